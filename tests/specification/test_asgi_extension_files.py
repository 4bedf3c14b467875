"""Path Send and Zero Copy Send, on every wire (docs/extensions.rst)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from specification_site import SharedSite, refused

from helpers.apps import body, start
from helpers.serving import Inbox
from tricorn.types import Message, Receive, Scope, Send

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ``CONTENT``."""
    path = tmp_path_factory.mktemp("files") / "data.bin"
    path.write_bytes(CONTENT)
    return path


def pathsend(path: object) -> Message:
    """The whole file as the response."""
    return {"type": "http.response.pathsend", "path": str(path)}


def zerocopysend(file: Any, **keys: Any) -> Message:
    """A piece of a file."""
    return {"type": "http.response.zerocopysend", "file": file, **keys}


async def more_body(send: Send, data: bytes) -> None:
    """A piece of the body that is not the last."""
    await body(send, data, more=True)


# http.response.pathsend


def test_pathsend(site: SharedSite, path: Path) -> None:
    """must, extensions "Path Send": behind the start, the response is the content of the file
    of that absolute path.

    must, extensions "Path Send": the fields are those that the application has given."""
    fields = [(b"content-type", b"x/y"), (b"content-length", b"%d" % len(CONTENT))]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 203, fields)
        await send(pathsend(path))

    client = site.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (response.status, response.complete) == (203, True)
        assert bytes(response.body) == CONTENT
        given = [field for field in response.headers if field[0].startswith(b"content-")]
        assert sorted(given) == sorted(fields)


def test_pathsend_from_the_working_directory(plain: SharedSite, path: Path) -> None:
    """optional, extensions "Path Send": a relative path is one from the working directory of the
    process, where frameworks hand on what they are given."""

    relative = os.path.relpath(path)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await send(pathsend(relative))

    response = plain.open(app).get("/")
    assert (response.status, bytes(response.body), response.complete) == (200, CONTENT, True)


def test_pathsend_once(plain: SharedSite, path: Path) -> None:
    """must, extensions "Path Send": it completes the response: a second one is ignored, as is a
    body behind it."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await send(pathsend(path))
        await send(pathsend(path))
        await body(send, b"late")
        ended.put((await receive(), await receive()))

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (bytes(response.body), response.complete) == (CONTENT, True)
        assert ended.take()[1] == {"type": "http.disconnect"}


def test_pathsend_out_of_place(plain: SharedSite, path: Path) -> None:
    """must, extensions "Path Send": before the start, and behind a body message, with which it
    cannot be mixed, it raises out of send."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.put(await refused(send, pathsend(path)))
        await start(send)
        await more_body(send, b"one")
        found.put(await refused(send, pathsend(path)))
        await body(send, b" two")

    assert plain.open(app).get("/").text == "one two"
    assert (found.take(), found.take()) == (True, True)


def test_pathsend_is_as_a_body(plain: SharedSite, path: Path) -> None:
    """must, extensions "Path Send": it behaves as a body message does: HEAD sends the fields
    only, and trailers that were promised are waited for."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, trailers=scope["method"] == "GET")
        await send(pathsend(path))
        if scope["method"] == "GET":
            await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    client = plain.open(app)
    response = client.response(client.start("HEAD"))
    assert (bytes(response.body), response.complete) == (b"", True)
    assert response.header(b"content-length") == b"%d" % len(CONTENT)
    response = client.get("/", [(b"te", b"trailers")])
    assert bytes(response.body) == CONTENT
    assert response.trailers == [(b"x-sum", b"1")]


@pytest.mark.parametrize("what", ["missing", "directory", "bytes", "short"])
def test_pathsend_that_cannot_be(plain: SharedSite, path: Path, what: str) -> None:
    """should, core "Error Handling": a path that is no text, or of no regular file, or of one
    that is shorter than was told, raises out of send before anything has left: another
    response is still possible."""
    paths: dict[str, object] = {
        "missing": path.with_name("missing"), "directory": path.parent,
        "bytes": os.fsencode(path), "short": path,
    }  # fmt: skip
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = len(CONTENT) + 1 if what == "short" else 5
        await start(send, 200, [(b"content-length", b"%d" % length)])
        found.put(await refused(send, {**pathsend(path), "path": paths[what]}))
        await body(send, b"sorry".ljust(length))

    response = plain.open(app).get("/")
    assert found.take() is True
    assert response.complete
    assert response.body.startswith(b"sorry")


# http.response.zerocopysend

Pieces = Callable[[BinaryIO, Send], Any]


def zero_copy_app(path: Path, pieces: Pieces, told: Inbox) -> Any:
    """An application that opens the file and sends of it what ``pieces`` says."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with path.open("rb") as file:
            await start(send, 200, trailers=scope["path"] == "/trailers")
            await pieces(file, send)
            told.put((file.closed, file.tell()))

    return app


def test_zero_copy_send(site: SharedSite, path: Path) -> None:
    """must, extensions "Zero Copy Send": count bytes of the file from offset on are sent.

    must, extensions "Zero Copy Send": it can be mixed with body messages, and come many times.

    must, extensions "Zero Copy Send": the server does not close the file."""
    told = Inbox()

    async def pieces(file: BinaryIO, send: Send) -> None:
        await send(zerocopysend(file, offset=250, count=10, more_body=True))
        await more_body(send, b"|")
        await send(zerocopysend(file, offset=0, count=3, more_body=True))
        await send(zerocopysend(file, offset=5, count=100_000, more_body=True))
        await more_body(send, b"")
        await send(zerocopysend(file, offset=9, count=0, more_body=True))
        await body(send, b"|end")

    client = site.open(zero_copy_app(path, pieces, told))
    for _ in range(2):
        expected = [CONTENT[250:260], b"|", CONTENT[:3], CONTENT[5:100_005], b"|end"]
        response = client.get("/")
        assert bytes(response.body) == b"".join(expected)
        assert response.complete
        assert told.take()[0] is False


def test_zero_copy_send_defaults(plain: SharedSite, path: Path) -> None:
    """must, extensions "Zero Copy Send": without offset it is read from where the file stands,
    without count to its end; more_body defaults to False."""
    told = Inbox()

    async def pieces(file: BinaryIO, send: Send) -> None:
        file.seek(1000)
        await send(zerocopysend(file, count=10, more_body=True))
        await send(zerocopysend(file, count=5, more_body=True))
        await send(zerocopysend(file, offset=len(CONTENT) - 7, more_body=True))
        await send(zerocopysend(file))

    response = plain.open(zero_copy_app(path, pieces, told)).get("/")
    assert bytes(response.body) == CONTENT[1000:1015] + CONTENT[-7:] + CONTENT[1015:]
    assert response.complete
    assert told.take() == (False, len(CONTENT))


def test_what_zero_copy_send_completes(plain: SharedSite, path: Path) -> None:
    """must, extensions "Zero Copy Send": with more_body False the response is complete, and
    further messages are ignored.

    must, extensions "Zero Copy Send": it behaves as a body message does: HEAD sends the fields
    only, and trailers that were promised are waited for."""
    told = Inbox()

    async def pieces(file: BinaryIO, send: Send) -> None:
        await send(zerocopysend(file, count=100))
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
        await send(zerocopysend(file, count=100))
        await body(send, b"late")

    client = plain.open(zero_copy_app(path, pieces, told))
    response = client.get("/trailers", [(b"te", b"trailers")])
    assert (bytes(response.body), response.trailers) == (CONTENT[:100], [(b"x-sum", b"1")])
    response = client.get("/")
    assert (bytes(response.body), response.complete) == (CONTENT[:100], True)
    response = client.response(client.start("HEAD"))
    assert (bytes(response.body), response.complete) == (b"", True)
    assert response.header(b"content-length") == b"100"


def test_zero_copy_send_out_of_place(plain: SharedSite, path: Path) -> None:
    """must, extensions "Zero Copy Send": before the start it raises out of send.

    should, core "Error Handling": so does a piece that the file does not have."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with path.open("rb") as file:
            found.put(await refused(send, zerocopysend(file)))
            await start(send)
            found.put(await refused(send, zerocopysend(file, offset=len(CONTENT) - 5, count=6)))
            await send(zerocopysend(file, count=4))

    assert bytes(plain.open(app).get("/").body) == CONTENT[:4]
    assert (found.take(), found.take()) == (True, True)


def test_kinds_of_files(plain: SharedSite, path: Path) -> None:
    """must, extensions "Zero Copy Send": file is an open file with a descriptor below it, that
    of os.open included, and not one in memory."""
    files: list[Callable[[], Any]] = [
        lambda: path.open("rb"), lambda: path.open("rb", buffering=0), lambda: path.open("r+b"),
    ]  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for make in files:
            with make() as file:
                await send(zerocopysend(file, offset=1, count=2, more_body=True))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            await send(zerocopysend(descriptor, offset=3, count=4))
            assert os.fstat(descriptor).st_size == len(CONTENT)
        finally:
            os.close(descriptor)

    assert bytes(plain.open(app).get("/").body) == CONTENT[1:3] * 3 + CONTENT[3:7]
