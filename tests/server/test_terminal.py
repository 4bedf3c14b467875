"""A server whose terminal is closed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from helpers.clients import open_socket
from helpers.codecs import python_path
from helpers.daemon import COMMAND, SOURCE
from helpers.serving import eventually

_APP = """
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.body", "body": b" last"})
"""


@pytest.mark.parametrize("count", ["0", "1"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_it_drains_and_ends(tmp_path: Path, loop: str, count: str) -> None:
    """The shell tells of it, and the system again once the shell has ended."""
    (tmp_path / "site_app.py").write_text(_APP)
    log = tmp_path / "error.log"
    argv = ("site_app:app", "--bind", f"unix:{tmp_path}/s", "--workers", count, "-k", loop)
    master, slave = os.openpty()
    server = subprocess.Popen(
        [*COMMAND, *argv, "--lifespan", "off", "--errorlog", str(log)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": python_path(SOURCE)},
        stdout=subprocess.DEVNULL,
        stderr=slave,
    )
    try:
        os.close(slave)
        eventually(lambda: log.exists() and "speaks" in log.read_text())
        with open_socket(f"{tmp_path}/s") as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
            received = sock.recv(4096)
            os.close(master)
            for _ in range(2):
                server.send_signal(signal.SIGHUP)
                eventually(lambda: "SIGHUP: finishing" in log.read_text())
            sock.sendall(b"x")
            while data := sock.recv(4096):
                received += data
        assert b"last" in received
        assert received.endswith(b"0\r\n\r\n")
        assert server.wait(20) == 0
    finally:
        server.kill()
        server.wait()
    assert "at once" not in log.read_text()
