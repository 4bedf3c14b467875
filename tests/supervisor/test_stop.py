"""How a daemon with workers stops."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from workers_daemon import APP, Echo, Workers, eventually, is_alive, refuses, workers

from helpers.daemon import COMMAND, daemon

# It goes on importing, and says that it does.
_STARTS = """
open(f"starts.{os.getpid()}", "x").close()
time.sleep(60)
"""

# Its application starts until there is a file `go`, and leaves a mark where it is shut down.
_STARTS_UP = """
import os, signal, time
from pathlib import Path
import anyio

async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        raise RuntimeError("a request")
    await receive()
    Path(f"starts.{os.getpid()}").touch()
    while not os.path.exists("go"):
        PAUSE
    await send({"type": "lifespan.startup.complete"})
    await receive()
    Path("shut-down").touch()
    await send({"type": "lifespan.shutdown.complete"})
"""
_PAUSES = {"waits": "await anyio.sleep(0.01)", "blocks": "time.sleep(0.01)"}


def test_idle_connections_may_still_send_a_request(tmp_path: Path) -> None:
    """The request that crosses the stop is answered, with ``Connection: close``."""
    with workers(tmp_path) as site:
        client, slow = site.connection(), site.connection()
        client.request("GET", "/")
        client.getresponse().read()
        slow.request("GET", "/slow")
        response = slow.getresponse()
        site.server.send(signal.SIGTERM)
        site.server.wait_for("finishing what is in flight")
        assert response.read().startswith(b"first")
        client.request("GET", "/")
        last = client.getresponse()
        assert last.status == 200
        assert last.getheader("connection") == "close"
        last.read()
        client.close()
        slow.close()
        assert site.server.end() == 0


@pytest.mark.parametrize(
    "extra",
    [("-k", "asyncio"), ("-k", "trio"), ("--reuse-port", "--workers", "2")],
    ids=["asyncio", "trio", "reuse_port"],
)
def test_connections_are_refused_while_the_last_requests_end(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    with workers(tmp_path, "--insecure-bind", f"unix:{tmp_path}/s", *extra) as site:
        echo = Echo(site)
        site.server.send(signal.SIGTERM)
        eventually(lambda: refuses(site.server.address), "it still takes connections")
        eventually(lambda: refuses(f"{tmp_path}/s"), "the Unix socket still takes connections")
        for byte in b"b", b"c", b"d", b"e", b"f":
            echo.send(byte)
        echo.end()
        assert site.server.end() == 0
    assert not (tmp_path / "s").exists()


def test_connections_are_taken_for_the_drain_delay(tmp_path: Path) -> None:
    with workers(tmp_path, "--drain-delay", "60") as site:
        site.server.send(signal.SIGTERM)
        site.server.wait_for("finishing what is in flight")
        assert site.version() == "1"
        site.server.send_again(signal.SIGTERM, "stopping at once")
        assert site.server.end() == 0


def stop_while_it_starts(site: Workers, folder: Path, source: str) -> int:
    """Stop the server while a worker starts with another application; the worker's process id."""
    (folder / "site_app.py").write_text(source)
    site.server.send(signal.SIGHUP)
    eventually(lambda: [*folder.glob("starts.*")], "no new worker")
    (starts,) = folder.glob("starts.*")
    worker = int(starts.suffix[1:])
    site.server.send(signal.SIGTERM)
    eventually(lambda: refuses(site.server.address), "it still takes connections")
    assert is_alive(worker), "it was refused for want of the worker"
    return worker


def test_a_worker_that_starts_keeps_no_address_open(tmp_path: Path) -> None:
    with workers(tmp_path) as site:
        echo = Echo(site)
        stop_while_it_starts(site, tmp_path, APP + _STARTS)
        for byte in b"b", b"c", b"d", b"e", b"f":
            echo.send(byte)
        echo.end()
        assert site.server.end() == 0


@pytest.mark.long
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("startup", _PAUSES)
def test_an_application_that_starts_keeps_no_address_open(
    tmp_path: Path, loop: str, startup: str
) -> None:
    """Nor does its worker take what waits there, and it is shut down in order."""
    with workers(tmp_path, "-k", loop) as site:
        echo = Echo(site)
        source = _STARTS_UP.replace("PAUSE", _PAUSES[startup])
        worker = stop_while_it_starts(site, tmp_path, source)
        (tmp_path / "go").touch()
        eventually(lambda: not is_alive(worker), "it lives on")
        for byte in b"b", b"c", b"d", b"e", b"f":
            echo.send(byte)
        echo.end()
        assert site.server.end() == 0
    assert (tmp_path / "shut-down").exists()
    assert "killed" not in site.server.errors


def _is_open(path: Path) -> bool:
    """Whether any process has a socket that is bound to the path, listening or not."""
    return str(path) in Path("/proc/net/unix").read_text()


@pytest.mark.parametrize("count", ["0", "1"])
def test_a_stop_of_the_first_start_begins_no_drain_delay(tmp_path: Path, count: str) -> None:
    (tmp_path / "site_app.py").write_text(_STARTS_UP.replace("PAUSE", _PAUSES["waits"]))
    path = tmp_path / "s"
    argv = ("site_app:app", "--bind", f"unix:{path}", "--workers", count, "--drain-delay", "60")
    with daemon(tmp_path, *argv) as server:
        eventually(lambda: [*tmp_path.glob("starts.*")], "no worker")
        assert _is_open(path)
        server.send(signal.SIGTERM)
        eventually(lambda: not _is_open(path), "it keeps its address open")
        (tmp_path / "go").touch()
        assert server.end() == 0
    assert not path.exists()
    assert (tmp_path / "shut-down").exists()
    assert "killed" not in server.errors
    assert " speaks " not in server.errors


def test_the_second_signal_forces(tmp_path: Path) -> None:
    with workers(tmp_path, "--workers", "2") as site:
        pids, _ = site.said[0]
        client = site.connection()
        client.request("GET", "/stuck")
        client.getresponse().read(5)
        site.server.send(signal.SIGINT)
        site.server.wait_for("finishing what is in flight")
        site.server.send_again(signal.SIGINT, "stopping at once")
        assert site.server.end() == 0
        client.close()
        assert not any(map(is_alive, pids))
        assert "Traceback" not in site.server.errors


def test_a_signal_to_all_processes_while_workers_are_started_is_a_stop(tmp_path: Path) -> None:
    """One that has no handler yet dies of it, and that is no failure to start."""
    (tmp_path / "site_app.py").write_text(APP)
    program = """
import os, signal, sys
from tricorn.cli import main
from tricorn.supervisor_fleet import Fleet

start = Fleet.start

def start_and_be_told_to_stop(self, slot, **options):
    start(self, slot, **options)
    if slot.number == 1:
        for pid in (os.getpid(), slot.current.pid):
            os.kill(pid, signal.SIGTERM)
        os.waitid(os.P_PID, slot.current.pid, os.WEXITED | os.WNOWAIT)

Fleet.start = start_and_be_told_to_stop
sys.exit(main())
"""
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "--workers", "2")
    with daemon(tmp_path, *argv, command=(COMMAND[0], "-c", program)) as server:
        assert server.end() == 0, server.errors
    assert "error:" not in server.errors


def test_a_signal_to_all_processes_is_the_first_of_each(tmp_path: Path) -> None:
    with workers(tmp_path) as site:
        ((pid,), _) = site.said[0]
        echo, client = Echo(site), site.connection()
        client.request("GET", "/stopping")
        response = client.getresponse()
        assert response.read(5) == b"first"
        site.server.send(signal.SIGTERM)
        assert response.read()  # the worker has heard of it
        client.close()
        os.kill(pid, signal.SIGTERM)
        for byte in b"b", b"c", b"d", b"e":  # turns of its loop, of which one would cut
            echo.send(byte)
        os.kill(pid, signal.SIGTERM)
        assert not echo.end()
        assert site.server.end() == 0
    assert "Traceback" not in site.server.errors


@pytest.mark.parametrize("path", ["/block", "/thread"])
def test_a_worker_that_does_not_end_is_killed(tmp_path: Path, path: str) -> None:
    with workers(tmp_path) as site:
        ((pid,), _) = site.said[0]
        client = site.connection()
        client.request("GET", path)
        if path == "/thread":
            client.getresponse().read()
        client.close()
        site.server.send(signal.SIGTERM)
        site.server.wait_for("finishing what is in flight")
        site.server.send_again(signal.SIGTERM, "stopping at once")
        site.server.send_again(signal.SIGTERM, "killed: SIGTERM came 3 times")  # asks nobody
        assert site.server.end() == 0
        assert not is_alive(pid)
