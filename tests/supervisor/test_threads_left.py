"""The end of a process whose application has threads that do not end by themselves."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from workers_daemon import APP, eventually, workers

from helpers.daemon import daemon

pytestmark = pytest.mark.long

# Threads that outlive the test; the loops wait for them in different places.
_STARTUP = """
import asyncio
import time
import anyio
import tricorn.io.ending

tricorn.io.ending.CANCEL_TIME = 0.2

async def hangs(scope, receive, send):
    await receive()
    await anyio.to_thread.run_sync(time.sleep, 60)

async def hangs_in_executor(scope, receive, send):
    await receive()
    await asyncio.to_thread(time.sleep, 60)

async def fails(scope, receive, send):
    await receive()
    hangs.consumer = asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
    await send({"type": "lifespan.startup.failed", "message": "no database"})

async def breaks(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await anyio.to_thread.run_sync(time.sleep, 60)
"""


@pytest.mark.parametrize("count", ["0", "1"])
@pytest.mark.parametrize(
    ("app", "loop", "said"),
    [
        ("hangs", "asyncio", "lifespan startup took longer than startup_timeout = 0.3 s"),
        ("hangs", "uvloop", "lifespan startup took longer than startup_timeout = 0.3 s"),
        ("hangs", "trio", "lifespan startup took longer than startup_timeout = 0.3 s"),
        ("hangs_in_executor", "asyncio", "lifespan startup took longer than startup_timeout"),
        ("fails", "asyncio", "the application's startup failed: no database"),
    ],
)
def test_a_startup_that_fails_beside_a_thread_says_why(
    tmp_path: Path, app: str, loop: str, said: str, count: str
) -> None:
    (tmp_path / "site_app.py").write_text(_STARTUP)
    argv = [f"site_app:{app}", "--bind", "127.0.0.1:0", "--workers", count, "-k", loop]
    pid = tmp_path / "pid"
    with daemon(tmp_path, *argv, "--startup-timeout", "0.3", "--pid", str(pid)) as server:
        assert server.end() == 3
    ended, line = server.errors.splitlines()
    assert "tasks or threads that do not end" in ended
    assert line.startswith(f"tricorn: error: {said}")
    assert not pid.exists()


@pytest.mark.parametrize("count", ["0", "1"])
def test_what_is_our_own_fault_is_told_beside_a_thread(tmp_path: Path, count: str) -> None:
    """Exit code 1 with a traceback, as it is without the thread."""
    broken = "\n\ndef broken(*args, **kwargs):\n    raise OSError('no memory')\n"
    broken += "import tricorn.server\ntricorn.server.announce = broken\n"
    (tmp_path / "site_app.py").write_text(_STARTUP + broken)
    argv = ["site_app:breaks", "--bind", "127.0.0.1:0", "--workers", count]
    with daemon(tmp_path, *argv, "--shutdown-timeout", "0.3") as server:
        assert server.end() == 1
    assert "OSError: no memory" in server.errors
    assert server.errors.count("Traceback") == 1


_IMPORT = """
import atexit
import threading
import time
import tricorn.last_resort

tricorn.last_resort.THREAD_TIME = 0.2
HELD
raise KeyError("DATABASE_URL")
"""
_THREAD = "threading.Thread(target=time.sleep, args=(60,)).start()"
_FAILED = "importing 'site_app' failed: KeyError: 'DATABASE_URL'"


@pytest.mark.parametrize("count", ["0", "1"])
def test_an_import_that_fails_beside_a_thread_says_why(tmp_path: Path, count: str) -> None:
    (tmp_path / "site_app.py").write_text(_IMPORT.replace("HELD", _THREAD))
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", count]
    with daemon(tmp_path, *argv) as server:
        assert server.end() == 4
    assert server.errors.splitlines()[-1] == f"tricorn: error: {_FAILED}"
    assert server.errors.count("Traceback") == 1


@pytest.mark.parametrize(
    "held", [_THREAD, "atexit.register(time.sleep, 60)"], ids=["thread", "atexit"]
)
def test_reloads_go_on_behind_one_that_left_a_thread(tmp_path: Path, held: str) -> None:
    """What holds the worker in another place has the supervisor kill it, 10 s later."""
    with workers(tmp_path) as site:
        (tmp_path / "site_app.py").write_text(_IMPORT.replace("HELD", held))
        site.server.send(signal.SIGHUP)
        site.server.wait_for(f"the former workers and configuration stay: {_FAILED}")
        (tmp_path / "site_app.py").write_text(APP.replace("VERSION = 1", "VERSION = 22"))
        site.server.send(signal.SIGHUP)
        site.wait_said(2)
        eventually(lambda: site.version() == "22", "the former worker serves on")


@pytest.mark.parametrize("count", ["0", "1"])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_threads_do_not_hold_up_a_stop(tmp_path: Path, loop: str, count: str) -> None:
    code = _IMPORT.replace("HELD", _THREAD).replace('raise KeyError("DATABASE_URL")', APP)
    (tmp_path / "site_app.py").write_text(code)
    pid = tmp_path / "pid"
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", count, "-k", loop]
    with daemon(tmp_path, *argv, "--pid", str(pid)) as server:
        server.wait_for(" speaks ")
        server.send(signal.SIGTERM)
        assert server.end() == 0
    assert "ERROR ending the process with tasks or threads that do not end" in server.errors
    assert not pid.exists()


def test_threads_do_not_hold_up_a_check(tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text(_IMPORT.replace("HELD", _THREAD))
    with daemon(tmp_path, "site_app:app", "--check-config") as server:
        assert server.end() == 4
    assert server.errors.splitlines()[-1] == f"tricorn: error: {_FAILED}"


_PRINTS = """
import os
import sys

unread, pipe = os.pipe()
sys.stdout = open(pipe, "w")
threading.Thread(target=print, args=("x" * 1_000_000,)).start()
"""


@pytest.mark.parametrize("count", ["0", "1"])
def test_a_thread_that_prints_to_nobody_does_not_hold_up_the_end(
    tmp_path: Path, count: str
) -> None:
    """It waits with the lock of the stream, which is flushed at the end."""
    (tmp_path / "site_app.py").write_text(_IMPORT.replace("HELD", _PRINTS))
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", count]
    with daemon(tmp_path, *argv) as server:
        assert server.end() == 4
    assert server.errors.splitlines()[-1] == f"tricorn: error: {_FAILED}"
