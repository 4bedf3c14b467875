"""``umask``: it holds for every file that a process of the server makes."""

from __future__ import annotations

import http.client
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.daemon import COMMAND, Daemon, daemon
from helpers.serving import eventually

_APP = """
import os

MASK = os.umask(0)
os.umask(MASK)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%o" % MASK})
"""


@contextmanager
def started(folder: Path, *argv: str) -> Iterator[Daemon]:
    (folder / "site_app.py").write_text(_APP)
    command = ("sh", "-c", 'umask 022; exec "$0" "$@"', *COMMAND)
    argv = ("site_app:app", "--bind", "127.0.0.1:0", *argv)
    with daemon(folder, *argv, command=command) as server:
        yield server


def of_application(server: Daemon) -> str:
    client = http.client.HTTPConnection(*server.address, timeout=20)
    try:
        client.request("GET", "/")
        return client.getresponse().read().decode()
    finally:
        client.close()


def modes(folder: Path, *names: str) -> set[int]:
    return {stat.S_IMODE(os.stat(folder / name).st_mode) for name in names}


@pytest.mark.parametrize("workers", ["0", "1"])
def test_it_holds_for_log_files_and_the_pid_file(tmp_path: Path, workers: str) -> None:
    argv = ("--umask", "0o077", "--workers", workers, "--pid-path", "pid", "--accesslog", "access",
            "--errorlog", "error")  # fmt: skip
    with started(tmp_path, *argv):
        eventually((tmp_path / "pid").exists, "the PID file")
        assert modes(tmp_path, "pid", "access", "error") == {0o600}


def test_a_reload_takes_it_over(tmp_path: Path) -> None:
    def configure(turn: int, *lines: str) -> None:
        paths = f'pid_path = "pid{turn}"', f'accesslog = "access{turn}"'
        (tmp_path / "tricorn.toml").write_text("\n".join([*lines, *paths]))

    configure(1, 'umask = "0o077"')
    with started(tmp_path) as server:
        assert of_application(server) == "77"
        for turn, lines, mask in ((2, ['umask = "0o027"'], 0o027), (3, [], 0o022)):
            configure(turn, *lines)
            server.send(signal.SIGHUP)
            server.wait_until(lambda said, turn=turn: said.count("below supervisor") == turn)
            assert of_application(server) == f"{mask:o}"
            assert modes(tmp_path, f"pid{turn}", f"access{turn}") == {0o666 & ~mask}
