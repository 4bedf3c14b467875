"""Addresses that can be bound, and turn out to be somebody else's once they are to be served."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from workers_daemon import eventually, is_alive, refuses, workers

from helpers.daemon import daemon

pytestmark = pytest.mark.long

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


def test_a_path_that_is_taken_while_a_reload_starts(folder: Path) -> None:
    """The former workers stay, and so does the other process with what it has."""
    path, settings = folder / "s", folder / "tricorn.toml"
    bind = 'bind = "127.0.0.1:0"\n'
    settings.write_text(bind)
    (folder / "go").touch()
    with daemon(folder, "late:app") as late:
        late.wait_for("1 worker (")
        (folder / "go").unlink()
        settings.write_text(f'{bind}insecure_bind = "unix:{path}"\n')
        late.send(signal.SIGHUP)
        eventually(lambda: len([*folder.glob("starts.*")]) == 2, "it does not reload")
        settings.write_text("")
        argv = ("--bind", f"unix:{path}", "--lifespan", "off")
        with daemon(folder, "early:app", *argv) as early:
            early.wait_for("1 worker (")
            (folder / "go").touch()
            late.wait_for("the reload failed, the former workers and configuration stay: ")
            assert f"insecure_bind: cannot bind 'unix:{path}': another process" in late.errors
            assert not refuses(late.address)
            assert not refuses(str(path))


def test_a_path_that_was_taken_long_ago_hinders_no_reload(folder: Path) -> None:
    path = folder / "s"
    (folder / "go").touch()
    with daemon(folder, "late:app", "--bind", f"unix:{path}") as server:
        server.wait_for("1 worker (")
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            server.send(signal.SIGHUP)
            server.wait_until(lambda errors: errors.count("1 worker (") == 2)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_path_that_somebody_has_removed_is_made_anew(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "s"
    with workers(tmp_path, "--bind", f"unix:{path}") as site:
        path.unlink()
        site.server.send(number)
        _, supervisor = site.wait_said(2)
        try:
            assert not refuses(str(path))
        finally:
            os.kill(supervisor, signal.SIGTERM)
            eventually(lambda: not is_alive(supervisor), "it does not end")
    assert not path.exists()
