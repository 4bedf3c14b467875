"""The examples of the page on WSGI do what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from docs_pages import DOCS, blocks
from docs_server import command

from helpers.peers import peer_module

PAGE = DOCS / "how-to" / "wsgi.md"
LOCAL = ("--bind", "127.0.0.1:0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's applications, by the names in their first lines."""
    for block in blocks("python", PAGE):
        filename = block.text.partition("\n")[0].removeprefix("# ")
        (tmp_path / filename).write_text(block.text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("arguments", [("counter:app",), ("wsgi:counter:app",)], ids=str)
def test_counter_counts(folder: Path, arguments: tuple[str, ...]) -> None:
    with command(folder, *arguments, *LOCAL) as serving:
        assert httpx.get(f"{serving.urls[0]}/a").text == "Visit 1 to /a\n"
        assert httpx.get(f"{serving.urls[0]}/b").text == "Visit 2 to /b\n"


def test_root_path_is_taken_off_or_was_taken_off(folder: Path) -> None:
    with command(folder, "counter:app", *LOCAL, "--root-path", "/counter") as serving:
        assert httpx.get(f"{serving.urls[0]}/counter/a").text == "Visit 1 to /a\n"
        assert httpx.get(f"{serving.urls[0]}/a").text == "Visit 2 to /a\n"


def test_flask_application_is_recognised(folder: Path) -> None:
    peer_module("flask")
    with command(folder, "shop:app", *LOCAL) as serving:
        assert httpx.get(serving.urls[0]).text == "Hello from Flask\n"


def test_uploads_arrive_with_and_without_a_length(folder: Path) -> None:
    data = bytes(range(256)) * 2000

    def pieces() -> Iterator[bytes]:
        yield data[:1000]
        yield data[1000:]

    with command(folder, "uploads:app", *LOCAL) as serving:
        for content in (data, pieces()):
            found = httpx.put(serving.urls[0], content=content).text
            assert found == hashlib.sha256(data).hexdigest() + "\n"


def test_ticks_come_one_by_one(folder: Path) -> None:
    with (
        command(folder, "ticks:app", *LOCAL) as serving,
        httpx.stream("GET", serving.urls[0]) as response,
    ):
        assert "content-length" not in response.headers
        assert next(response.iter_lines()) == "data: 0"
