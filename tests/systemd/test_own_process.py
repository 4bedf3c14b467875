"""A daemon without a supervisor: what systemd hears of it, and who it is."""

from __future__ import annotations

import grp
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import tricorn.exceptions

SOURCE = Path(tricorn.exceptions.__file__).parents[1]

_APP = """
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{os.getgid()} {os.umask(0)}".encode()})
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_systemd_hears_of_start_life_and_end(tmp_path: Path, loop: str) -> None:
    (tmp_path / "site_app.py").write_text(_APP)
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(20)
        manager.bind(path)
        server = subprocess.Popen(
            [sys.executable, "-m", "tricorn", "site_app:app", "--workers", "0", "--bind",
             "127.0.0.1:0", "-k", loop],
            cwd=tmp_path, stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(SOURCE), "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000",
                 "HOME": str(tmp_path)},
        )  # fmt: skip
        try:
            first = manager.recv(4096).decode()
            assert first.startswith("READY=1\nSTATUS=serving http://127.0.0.1:")
            assert manager.recv(4096) == b"WATCHDOG=1"
            server.send_signal(signal.SIGTERM)
            told = set()
            while b"STOPPING=1" not in told:
                told.add(manager.recv(4096))
            assert told <= {b"WATCHDOG=1", b"STOPPING=1"}
            assert server.wait(20) == 0
        finally:
            if server.poll() is None:
                server.kill()
            server.wait()


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
