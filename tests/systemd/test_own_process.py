"""A daemon without a supervisor: what systemd hears of it, and who it is."""

from __future__ import annotations

import grp
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import tricorn.exceptions
from helpers.descriptors import leave_descriptors

SOURCE = Path(tricorn.exceptions.__file__).parents[1]

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "trio"])

_APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{os.getgid()} {os.umask(0)}".encode()})
"""


@contextmanager
def noticed(
    folder: Path, loop: str, bind: str = "127.0.0.1:0", **environ: str
) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A server that is up, and systemd's end of what it says from then on."""
    (folder / "site_app.py").write_text(_APP)
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(20)
        manager.bind(path)
        server = subprocess.Popen(
            [sys.executable, "-m", "tricorn", "site_app:app", "--workers", "0", "--bind", bind,
             "-k", loop],
            cwd=folder, stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(SOURCE), "NOTIFY_SOCKET": path, "HOME": str(folder), **environ},
        )  # fmt: skip
        try:
            first = manager.recv(4096).decode()
            assert first.startswith("READY=1\nSTATUS=serving http")
            yield server, manager
        finally:
            if server.poll() is None:
                server.kill()
            server.wait()


@LOOPS
def test_systemd_hears_of_start_life_and_end(tmp_path: Path, loop: str) -> None:
    with noticed(tmp_path, loop, WATCHDOG_USEC="400000") as (server, manager):
        assert manager.recv(4096) == b"WATCHDOG=1"
        server.send_signal(signal.SIGTERM)
        told = set()
        while b"STOPPING=1" not in told:
            told.add(manager.recv(4096))
        assert told <= {b"WATCHDOG=1", b"STOPPING=1"}
        assert server.wait(20) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only there limits can be set")
@LOOPS
def test_systemd_hears_of_life_out_of_descriptors(tmp_path: Path, loop: str) -> None:
    """It would kill a server that serves."""
    with noticed(tmp_path, loop, WATCHDOG_USEC="400000") as (server, manager):
        leave_descriptors(server.pid, 0)
        manager.setblocking(False)
        with suppress(BlockingIOError):
            while manager.recv(4096):
                pass  # what was said before
        manager.settimeout(20)
        for _ in range(3):
            assert manager.recv(4096) == b"WATCHDOG=1"


@LOOPS
def test_short_watchdog(tmp_path: Path, loop: str) -> None:
    """Its signs of life come in time although nothing else asks for so many looks."""
    with noticed(tmp_path, loop, WATCHDOG_USEC="200000") as (_, manager):
        assert manager.recv(4096) == b"WATCHDOG=1"
        begin = time.monotonic()
        for _ in range(5):
            assert manager.recv(4096) == b"WATCHDOG=1"
        assert time.monotonic() - begin < 4  # a look takes place each second anyway


@LOOPS
def test_systemd_hears_of_a_reload_and_its_end(tmp_path: Path, loop: str) -> None:
    """``Type=notify-reload`` waits for both."""
    with noticed(tmp_path, loop) as (server, manager):
        for _ in range(2):
            server.send_signal(signal.SIGHUP)
            assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert manager.recv(4096) == b"READY=1"
        server.send_signal(signal.SIGUSR1)
        server.send_signal(signal.SIGTERM)
        assert manager.recv(4096) == b"STOPPING=1"
        assert server.wait(20) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_group_and_umask_are_taken(tmp_path: Path) -> None:
    """The group alone: an interpreter below /root is not for other users."""
    (tmp_path / "site_app.py").write_text(_APP)
    path = str(tmp_path / "web.sock")
    server = subprocess.Popen(
        [sys.executable, "-m", "tricorn", "site_app:app", "--workers", "0", "--bind",
         f"unix:{path}", "--group", "daemon", "--umask", "027"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", "HOME": "/root"},
    )  # fmt: skip
    try:
        assert server.stderr is not None
        said = ""
        while " speaks " not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(path)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while data := sock.recv(4096):
                answer += data
        gid = grp.getgrnam("daemon").gr_gid
        assert answer.endswith(f"{gid} {0o027}".encode())
        assert os.stat(path).st_gid == gid
        server.terminate()
        assert server.wait(20) == 0
    finally:
        if server.poll() is None:
            server.kill()
        server.communicate()
