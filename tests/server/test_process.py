"""The daemon: signals, exit codes, and what it says about its end."""

from __future__ import annotations

import signal
import socket
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from serving_process import daemon

import tricorn.io.ending
from helpers.clients import HTTP1Client, open_socket
from helpers.serving import BACKENDS, Records
from tricorn import Config, serve
from tricorn.stop_signals import StopSignals
from tricorn.types import Receive, Scope, Send

_APP = """
import anyio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown told", file=__import__("sys").stderr)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.sleep(0.3)
    if scope["path"] == "/stuck":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.sleep_forever()
    await send({"type": "http.response.body", "body": b" last"})

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
LOOPS = ["asyncio", "uvloop", "trio"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(_APP)
    return tmp_path


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_exits_0(folder: Path, loop: str, number: signal.Signals) -> None:
    with daemon(folder, "site_app:app", "--bind", "127.0.0.1:0", "-k", loop) as server:
        with open_socket(server.address) as sock:
            client = HTTP1Client(sock)
            stream = client.start("GET", "/slow")
            client.response(stream, lambda r: len(r.body) > 0)
            server.send(number)
            server.wait_for("finishing what is in flight")
            response = client.response(stream)
            assert response.complete
            assert response.text == "first last"
        assert server.end() == 0
        assert "shutdown told" in server.errors
        assert "Traceback" not in server.errors
        with pytest.raises(ConnectionRefusedError):
            open_socket(server.address)


@pytest.mark.parametrize("loop", LOOPS)
def test_second_signal_stops_at_once(folder: Path, loop: str) -> None:
    with daemon(folder, "site_app:app", "--bind", "127.0.0.1:0", "-k", loop) as server:
        with open_socket(server.address) as sock:
            client = HTTP1Client(sock)
            stream = client.start("GET", "/stuck")
            client.response(stream, lambda r: len(r.body) > 0)
            server.send(signal.SIGTERM)
            server.wait_for("finishing what is in flight")
            server.send_again(signal.SIGTERM, "stopping at once")
            assert client.response(stream).cut
        assert server.end() == 0
        assert "Traceback" not in server.errors


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_signal_that_comes_twice_is_one(folder: Path, loop: str, workers: str) -> None:
    """As below ``timeout``, and from a terminal below what passes its signals on."""
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", workers, "-k", loop]
    with daemon(folder, *argv) as server:
        with open_socket(server.address) as sock:
            client = HTTP1Client(sock)
            stream = client.start("GET", "/slow")
            client.response(stream, lambda r: len(r.body) > 0)
            for number in signal.SIGINT, signal.SIGTERM:
                server.send(number)
            response = client.response(stream)
            assert response.complete
            assert response.text == "first last"
        assert server.end() == 0
        assert "stopping at once" not in server.errors
        assert "shutdown told" in server.errors


def test_what_is_another_signal() -> None:
    stops = StopSignals()
    assert [stops.counts(now) for now in (5.0, 5.0, 5.2, 5.25, 5.3, 9.0, 9.1)] == [
        True, False, False, True, False, True, False
    ]  # fmt: skip
    assert stops.count == 3


_STARTING = """
import sys
import anyio
import tricorn.io.ending

tricorn.io.ending.CANCEL_TIME = LIMIT

def say(text):
    print(text, file=sys.stderr)

async def app(scope, receive, send):
    await receive()
    say("startup told")
    try:
        await anyio.sleep(TAKES)
    except BaseException:
        say("startup cancelled")
        raise
    await send({"type": "lifespan.startup.complete"})
    await receive()
    say("shutdown told")
    await send({"type": "lifespan.shutdown.complete"})
"""

_BLOCKING = """
import os, signal, sys

async def app(scope, receive, send):
    await receive()
    os.kill(os.getpid(), signal.SIGTERM)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shutdown told", file=sys.stderr)
    await send({"type": "lifespan.shutdown.complete"})
"""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("takes", "limit", "said"), [(60, 0.2, "startup cancelled"), (0.3, 5, "shutdown told")]
)
def test_a_signal_ends_a_startup(
    tmp_path: Path, loop: str, takes: float, limit: float, said: str
) -> None:
    code = _STARTING.replace("TAKES", str(takes)).replace("LIMIT", str(limit))
    (tmp_path / "site_app.py").write_text(code)
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", "0", "-k", loop]
    with daemon(tmp_path, *argv) as server:
        server.wait_for("startup told")
        server.send(signal.SIGTERM)
        assert server.end() == 0
    assert said in server.errors.splitlines()
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("loop", LOOPS)
def test_a_signal_during_a_startup_that_holds_up_the_loop(tmp_path: Path, loop: str) -> None:
    """The loop hears of it behind the start-up only."""
    (tmp_path / "site_app.py").write_text(_BLOCKING)
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--workers", "0", "-k", loop]
    with daemon(tmp_path, *argv, "--drain-delay", "3") as server:
        assert server.end() == 0
    assert "shutdown told" in server.errors.splitlines()
    assert " speaks " not in server.errors
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("signals", [1, 2])
def test_a_task_group_that_waits_for_the_start_hears_of_its_end(
    monkeypatch: pytest.MonkeyPatch, records: Records, loop: str, signals: int
) -> None:
    monkeypatch.setattr(tricorn.io.ending, "CANCEL_TIME", 0.1 if signals == 1 else 60.0)
    records.expect("SIGTERM again: stopping at once")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for count in range(signals):
            while len(records.messages("tricorn.error")) <= count:
                signal.raise_signal(signal.SIGTERM)  # one at once is the former again
                await anyio.sleep(0.02)
        await anyio.sleep_forever()

    async def main() -> None:
        serving = partial(serve, app, Config(bind="127.0.0.1:0"), install_signal_handlers=True)
        async with anyio.create_task_group() as tasks:
            assert await tasks.start(serving) == []

    backend, options = BACKENDS[loop]
    anyio.run(main, backend=backend, backend_options=options)
    assert len(records.messages("tricorn.error")) == signals


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(("app", "code"), [("site_app:failing", 3), ("site_app:missing", 4)])
def test_a_start_that_fails_leaves_the_pid_file(
    folder: Path, app: str, code: int, workers: str
) -> None:
    path = folder / "pid"
    same = ["--bind", "127.0.0.1:0", "--workers", workers, "--pid", str(path)]
    with daemon(folder, "site_app:app", *same) as first:
        assert first.address
        mine = path.read_text()
        with daemon(folder, app, *same) as second:
            assert second.end() == code
        assert path.read_text() == mine
        first.send(signal.SIGTERM)
        assert first.end() == 0
    assert not path.exists()
    with daemon(folder, app, *same) as last:
        assert last.end() == code
    assert not path.exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_second_start_leaves_the_pid_file(folder: Path, workers: str) -> None:
    path = folder / "pid"
    same = ["--workers", workers, "--pid", str(path)]
    with daemon(folder, "site_app:app", "--bind", "127.0.0.1:0", *same) as first:
        bind = f"127.0.0.1:{first.address[1]}"
        mine = path.read_text()
        with daemon(folder, "site_app:app", "--bind", bind, *same) as second:
            assert second.end() == 5
        assert path.read_text() == mine
        first.send(signal.SIGTERM)
        assert first.end() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["site_app:app", "--no-such-flag"], 2, "--no-such-flag"),
        (["site_app:app", "--keep-alive-timeout", "soon"], 2, "keep_alive_timeout"),
        (["site_app:failing"], 3, "no database"),
        (["site_app:missing"], 4, "missing"),
        (["no_such_module:app"], 4, "no_such_module"),
        (["site_app:app", "--bind", "BUSY"], 5, "bind: cannot bind"),
    ],
)
def test_exit_codes(folder: Path, argv: list[str], code: int, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        argv = [busy if word == "BUSY" else word for word in argv]
        if busy not in argv:
            argv += ["--bind", "127.0.0.1:0"]
        with daemon(folder, *argv, "--loglevel", "warning") as server:
            assert server.end() == code
    lines = server.errors.splitlines()
    assert len(lines) == 1, server.errors
    assert lines[0].startswith("tricorn: error: ")
    assert said in lines[0]
