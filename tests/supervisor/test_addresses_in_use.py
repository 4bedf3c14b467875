"""Addresses that can be bound, and turn out to be somebody else's once they are to be served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from workers_daemon import eventually, refuses

from helpers.daemon import daemon

# Starts once there is a file named ``go``.
APP = """
import os
import anyio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        open(f"starts.{os.getpid()}", "x").close()
        while not os.path.exists("go"):
            await anyio.sleep(0.01)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "late.py").write_text(APP)
    (tmp_path / "early.py").write_text("async def app(scope, receive, send):\n    raise OSError\n")
    return tmp_path


@pytest.fixture
def port() -> Iterator[int]:
    """A port that no other test gets: it is bound, and nobody listens."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 0))
        yield sock.getsockname()[1]


@pytest.mark.parametrize("other", ["insecure_bind", "health_bind"])
@pytest.mark.parametrize("extra", [("-k", "asyncio"), ("-k", "trio"), ("--workers", "0")])
def test_addresses_that_overlap(
    folder: Path, port: int, other: str, extra: tuple[str, ...]
) -> None:
    flag = f"--{other.replace('_', '-')}"
    argv = ("--bind", f"0.0.0.0:{port}", flag, f"127.0.0.1:{port}", "--loglevel", "warning")
    with daemon(folder, "early:app", "--lifespan", "off", *argv, *extra) as server:
        assert server.end() == 5
    (line,) = server.errors.splitlines()
    assert line.startswith("tricorn: error: ")
    assert "bind: cannot bind " in line
    assert f":{port}': this address, or one that overlaps, is in use" in line


@pytest.mark.parametrize("count", ["0", "1", "2"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_of_two_that_start_at_once_one_serves(
    folder: Path, port: int, kind: str, count: str
) -> None:
    address = f"127.0.0.1:{port}" if kind == "tcp" else f"unix:{folder}/s"
    argv = ("--bind", address, "--loglevel", "warning")
    with daemon(folder, "late:app", *argv, "--workers", count) as late:
        eventually(lambda: [*folder.glob("starts.*")], "it does not start")
        with daemon(folder, "early:app", "--lifespan", "off", *argv[:2]) as early:
            early.wait_for("1 worker (")
            (folder / "go").touch()
            assert late.end() == 5
            assert not refuses(f"{folder}/s" if kind == "unix" else ("127.0.0.1", port))
    (line,) = late.errors.splitlines()
    assert line.startswith(f"tricorn: error: bind: cannot bind '{address}': ")
