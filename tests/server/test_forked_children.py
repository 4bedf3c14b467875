"""Signals to processes that the application has forked."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from serving_process import Daemon, daemon

from helpers.clients import HTTP1Client, open_socket

pytestmark = pytest.mark.long

_APP = """
import multiprocessing, os, time
import anyio

context = multiprocessing.get_context("fork")

def rest(ready):
    ready.send("")
    time.sleep(60)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = str(os.getpid())
    if scope["path"] != "/":
        heard, ready = context.Pipe()
        child = context.Process(target=rest, args=(ready,), daemon=True)
        child.start()
        if scope["path"] != "/at-once":
            await anyio.to_thread.run_sync(heard.recv)
        if scope["path"] != "/left":
            os.kill(child.pid, int(scope["query_string"]))
            await anyio.to_thread.run_sync(child.join, 5)
            body = str(child.exitcode)
            child.kill()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
"""

each_kind = pytest.mark.parametrize("count", ["0", "1"])
each_loop = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(_APP)
    return tmp_path


def _get(server: Daemon, target: str) -> str:
    with open_socket(server.address) as sock:
        return HTTP1Client(sock).get(target).text


@each_kind
@each_loop
@pytest.mark.parametrize("path", ["/at-once", "/running"])
def test_a_child_that_is_told_to_end_does_so_alone(
    folder: Path, loop: str, count: str, path: str
) -> None:
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "-k", loop, "--workers", count)
    with daemon(folder, *argv) as server:
        before = _get(server, "/")
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            assert _get(server, f"{path}?{int(number)}") == str(-number)
        assert _get(server, "/") == before
        for words in ("told to end", "finishing", "opened anew"):
            assert words not in server.errors
        server.send(signal.SIGTERM)
        assert server.end() == 0


@each_kind
def test_ctrl_c_is_an_exception_in_a_child(folder: Path, count: str) -> None:
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "--workers", count)
    with daemon(folder, *argv) as server:
        assert _get(server, f"/running?{int(signal.SIGINT)}") == "1"
        assert "KeyboardInterrupt" in server.errors
        assert "finishing" not in server.errors


@each_kind
@each_loop
def test_a_child_that_is_left_holds_up_no_stop(folder: Path, loop: str, count: str) -> None:
    """``multiprocessing`` ends the daemonic ones, and waits for them, at the interpreter's end."""
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "-k", loop, "--workers", count)
    with daemon(folder, *argv) as server:
        _get(server, "/left")
        server.send(signal.SIGTERM)
        assert server.end() == 0
        assert "killed" not in server.errors
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(server.address)
            again.listen()
