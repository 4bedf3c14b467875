"""A server that is started with standard streams closed."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path

import pytest
from workers_daemon import APP, workers

from helpers.daemon import COMMAND, daemon
from helpers.serving import eventually

pytestmark = pytest.mark.long

_CLOSED = ("sh", "-c", 'exec "$@" <&- >&-', "sh")
_PRINTS = """
import os, sys

os.system("echo started")
sys.stdout and print("imported", flush=True)
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_its_workers_print_to_nowhere(tmp_path: Path, loop: str) -> None:
    (tmp_path / "site_app.py").write_text(APP + _PRINTS)
    with workers(tmp_path, "-k", loop, command=(*_CLOSED, *COMMAND)) as site:
        for times in (2, 3):
            site.server.send(signal.SIGHUP)
            site.wait_said(times)
        assert site.version() == "1"
        site.server.send(signal.SIGTERM)
        assert site.server.end() == 0
    assert "ERROR" not in site.server.errors
    assert "WARNING" not in site.server.errors
    assert "I/O error" not in site.server.errors


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_it_ends_as_ever(tmp_path: Path, loop: str) -> None:
    """libuv ends a process that has it close one of the first three descriptors."""
    (tmp_path / "site_app.py").write_text(APP)
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "-k", loop, "--workers", "0")
    with daemon(tmp_path, *argv, command=(*_CLOSED, *COMMAND)) as server:
        assert server.address
        server.send(signal.SIGTERM)
        assert server.end() == 0


def test_a_program_that_runs_it_may_have_them_closed(tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text(APP + _PRINTS)
    program = (
        "import tricorn.logs\n"
        "config = tricorn.Config(bind='127.0.0.1:0')\n"
        "tricorn.logs.setup(config)\n"
        "tricorn.run('site_app:app', config)\n"
    )
    with workers(tmp_path, command=(*_CLOSED, COMMAND[0], "-c", program)) as site:
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        site.server.send(signal.SIGTERM)
        assert site.server.end() == 0
    assert "ERROR" not in site.server.errors
    assert "WARNING" not in site.server.errors
    assert "I/O error" not in site.server.errors


@pytest.mark.parametrize("count", ["0", "2"])
def test_without_standard_error_there_is_no_log(tmp_path: Path, count: str, port: int) -> None:
    """To refuse it would be a refusal that nobody reads."""
    (tmp_path / "site_app.py").write_text(APP)
    argv = ("site_app:app", "--bind", f"127.0.0.1:{port}", "--workers", count)
    closed = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    with daemon(tmp_path, *argv, command=(*closed, *COMMAND)) as server:
        eventually(lambda: answers(port), "an answer")
        server.send(signal.SIGTERM)
        assert server.end() == 0


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return client.recv(12) == b"HTTP/1.1 200"
    return False
