"""A server whose terminal is closed, or another job's."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.clients import open_socket
from helpers.codecs import python_path
from helpers.daemon import COMMAND, SOURCE
from helpers.serving import eventually

pytestmark = pytest.mark.long

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


_READS = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    try:
        return [b"%r" % os.read(0, 1)]
    except OSError as exc:
        return [exc.strerror.encode()]
"""
# As a shell starts a job in the background: in a process group that has not the terminal.
_SHELL = """
import fcntl, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
attributes = termios.tcgetattr(0)
attributes[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, attributes)
job = subprocess.Popen(sys.argv[1:], process_group=0)
print(job.pid, flush=True)
sys.exit(job.wait())
"""


@contextmanager
def background(directory: Path, *argv: str) -> Iterator[int]:
    """A server that is a background job; its terminal, which stops those that write to it."""
    (directory / "site_app.py").write_text(_READS)
    server = (*COMMAND, "site_app:app", "--bind", f"unix:{directory}/s", "--workers", "1", *argv)
    master, slave = os.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-c", _SHELL, *server],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": python_path(SOURCE)},
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    assert shell.stdout is not None
    job = int(shell.stdout.readline())
    try:
        yield master
        os.kill(job, signal.SIGTERM)
        assert shell.wait(20) == 0
    finally:
        if shell.poll() is None:
            os.killpg(job, signal.SIGKILL)
        shell.wait()
        shell.stdout.close()
        os.close(master)


def test_a_background_job_cannot_read_its_terminal(tmp_path: Path) -> None:
    """The system would signal the whole job again and again, and SIGTTIN asks for a worker."""
    log = tmp_path / "error.log"
    with background(tmp_path, "--interface", "wsgi", "--errorlog", str(log)):
        eventually(lambda: log.exists() and "below supervisor" in log.read_text())
        with open_socket(f"{tmp_path}/s") as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = b"".join(iter(lambda: sock.recv(4096), b""))
    assert received.endswith(b"Input/output error")
    assert "SIGTT" not in log.read_text()


def test_a_background_job_logs_to_its_terminal(tmp_path: Path) -> None:
    """One that stops whoever writes: each line would be a SIGTTOU that takes a worker away."""
    with background(tmp_path, "--interface", "wsgi") as terminal:
        said = b""
        while b"below supervisor" not in said:
            assert select.select([terminal], [], [], 20)[0], said
            said += os.read(terminal, 4096)
    assert b"SIGTT" not in said
