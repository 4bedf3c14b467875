"""A process without descriptors goes on serving, and says so without filling the disk."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_process import Daemon, daemon

from helpers.clients import HTTP1Client, open_socket
from helpers.serving import eventually

pytestmark = pytest.mark.long

_APP = """
import os, resource
import anyio

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/wait":
        await send({"type": "http.response.body", "body": b"waiting", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    if scope["path"] == "/cpu":
        body = b"%.3f" % sum(os.times()[:2])
    else:
        body = b"hello"
    await send({"type": "http.response.body", "body": body})
"""
COUNT = 100


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "site_app.py").write_text(_APP)
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", "0", "--lifespan", "off"]
    argv += ["--disconnect-grace", "0", "-k", request.param]
    with daemon(tmp_path, *argv) as running:
        yield running


def quiet(server: Daemon) -> None:
    """It has said what is wrong, in few lines, and nothing else."""
    assert 1 <= server.errors.count("cannot accept: Too many open files") <= 3
    assert "Traceback" not in server.errors
    assert len(server.errors.splitlines()) < 20, server.errors


def answered(sock: socket.socket, path: str = "/") -> str:
    return HTTP1Client(sock).get(path).text


def test_idle_connections_make_room(server: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(COUNT):
            sock = stack.enter_context(open_socket(server.address))
            assert answered(sock) == "hello"
    quiet(server)
    assert "closed the longest idle connection" in server.errors


def test_where_none_is_idle_the_new_one_is_closed(server: Daemon) -> None:
    served = 0
    with contextlib.ExitStack() as stack:
        for _ in range(COUNT):
            sock = stack.enter_context(open_socket(server.address))
            client = HTTP1Client(sock)
            response = client.response(client.start("GET", "/wait"), lambda r: len(r.body) > 0)
            served += response.text == "waiting"
        assert 30 < served < 64
        server.wait_for("none is idle, closed the new connection")
        quiet(server)

    def recovered() -> bool:
        with contextlib.suppress(OSError), open_socket(server.address) as sock:
            return answered(sock) == "hello"
        return False

    eventually(recovered, "a free descriptor")
    with open_socket(server.address) as sock:
        # Waiting for descriptors is no work.
        assert float(answered(sock, "/cpu")) < 8
