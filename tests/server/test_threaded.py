"""``serve_in_thread``: a server beside a program that has other work."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.abc
import pytest

import tricorn
from helpers.apps import hello, reply
from helpers.clients import HTTP1Client, open_socket
from helpers.serving import PATIENCE, Records, address_of
from tricorn import Config, ServerThread, serve_in_thread
from tricorn.exceptions import BindError, ConfigError, LifespanError
from tricorn.types import Receive, Scope, Send

SOURCE = Path(tricorn.__file__).parents[1]
QUICK = Config(bind="127.0.0.1:0", graceful_timeout=5)


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def config(request: pytest.FixtureRequest) -> Config:
    return QUICK.replace(worker_class=request.param)


@pytest.fixture(autouse=True)
def no_thread_is_left(records: Records) -> Iterator[None]:
    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "tricorn"]

    assert ours() == []
    yield
    assert ours() == []


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds, in whichever loop and thread."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 (it tells nobody)
            await anyio.sleep(0.001)


class App:
    """Has a lifespan, and a path that waits for ``go``."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.inside = threading.Event()
        self.go = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == "/slow":
                self.inside.set()
                await until(self.go.is_set)
            await reply(send, b"served")
            return
        for phase in ("startup", "shutdown"):
            await receive()
            self.log.append(phase)
            await send({"type": f"lifespan.{phase}.complete"})


def fetch(url: str) -> str:
    with open_socket(address_of(url)) as sock:
        return HTTP1Client(sock).get("/").text


def test_serves_while_the_program_goes_on(config: Config) -> None:
    app = App()
    with serve_in_thread(app, config) as server:
        assert server.url == server.urls[0]
        assert server.running
        assert app.log == ["startup"]
        assert fetch(server.url) == "served"
    assert not server.running
    assert app.log == ["startup", "shutdown"]
    server.close()  # again is no harm
    with pytest.raises(ConnectionRefusedError):
        open_socket(address_of(server.url))


def test_exit_lets_open_exchanges_end(config: Config) -> None:
    app = App()
    with serve_in_thread(app, config.replace(close_timeout=0.1)) as server:
        sock = open_socket(address_of(server.url))
        client = HTTP1Client(sock)
        stream = client.start("GET", "/slow")
        assert app.inside.wait(PATIENCE)
        server.stop()
        assert not server.wait(0.05)
        app.go.set()
    with sock:
        assert client.response(stream).text == "served"


def test_cancel_cuts(config: Config) -> None:
    app = App()
    server = serve_in_thread(app, config)
    with open_socket(address_of(server.url)) as sock:
        client = HTTP1Client(sock)
        stream = client.start("GET", "/slow")
        assert app.inside.wait(PATIENCE)
        server.cancel()
        assert server.wait(PATIENCE)
        response = client.response(stream)
        assert response.cut or response.status == 500
    assert app.log == ["startup", "shutdown"]


def test_an_application_may_stop_its_server(config: Config) -> None:
    refused: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            server.stop()
            try:
                server.close()
            except RuntimeError as exc:
                refused.append(str(exc))
            await reply(send, b"bye")
        else:
            await App()(scope, receive, send)

    server = serve_in_thread(app, config)
    assert fetch(server.url) == "bye"
    assert server.wait(PATIENCE)
    assert len(refused) == 1
    assert "own thread" in refused[0]


def test_an_application_cannot_wait_for_the_end_of_its_server(config: Config) -> None:
    refused: list[str] = []

    async def leave() -> None:
        async with server:
            pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for wait in (server.aclose, leave):
            try:
                await wait()
            except RuntimeError as exc:
                refused.append(str(exc))
        await reply(send, b"goes on")

    with serve_in_thread(app, config.replace(lifespan="off")) as server:
        assert fetch(server.url) == "goes on"
        assert fetch(server.url) == "goes on"
    assert len(refused) == 4
    assert all("own thread" in reason for reason in refused)


def test_several_beside_each_other() -> None:
    loops = ("asyncio", "uvloop", "trio")
    servers = [serve_in_thread(App(), QUICK.replace(worker_class=loop)) for loop in loops]
    assert len({server.url for server in servers}) == 3
    for server in servers:
        assert fetch(server.url) == "served"
    for server in servers:
        server.close()


# Errors have their own type


def test_bind_error(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(BindError, match="in use"):
            serve_in_thread(hello, config.replace(bind=busy))


def test_lifespan_error(config: Config) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LifespanError, match="no database"):
        serve_in_thread(app, config)
    with pytest.raises(LifespanError, match="no database"), ServerThread(app, config):
        pytest.fail("it serves")


def test_config_error(config: Config, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(ConfigError, match=r"missing\.pem"):
        serve_in_thread(hello, config.replace(certfile=missing, keyfile=missing))


def test_event_loop_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tricorn\[trio\]"):
        serve_in_thread(hello, QUICK.replace(worker_class="trio"))


def test_what_ended_the_server_is_raised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = threading.Event()

    def is_alive(self: threading.Thread) -> bool:
        if broken.is_set() and threading.current_thread().name == "tricorn":
            raise ZeroDivisionError
        return alive(self)

    alive = threading.Thread.is_alive
    monkeypatch.setattr(threading.Thread, "is_alive", is_alive)
    server = serve_in_thread(App(), QUICK)
    broken.set()
    with pytest.raises(ZeroDivisionError):
        server.wait(PATIENCE)
    server.close()


def test_order_of_calls() -> None:
    server = ServerThread(App(), QUICK)
    with pytest.raises(RuntimeError, match="does not serve yet"):
        _ = server.url
    assert server.wait(0)
    server.close()
    with pytest.raises(RuntimeError, match="once"), server:
        server.start()
    assert not server.running


# From programs with an event loop of their own


@pytest.mark.parametrize("outer", ["asyncio", "trio"])
def test_from_a_running_loop(config: Config, outer: str) -> None:
    """As in a notebook: the calling thread has a loop that runs."""
    app = App()

    async def main() -> None:
        with serve_in_thread(app, config) as server:
            # Not on our loop, which stands still.
            assert fetch(server.url) == "served"

    anyio.run(main, backend=outer)
    assert app.log == ["startup", "shutdown"]


@pytest.mark.parametrize("outer", ["asyncio", "trio"])
def test_async_with_leaves_the_loop_running(config: Config, outer: str) -> None:
    async def main() -> int:
        beats = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await receive()
                first = beats
                await until(lambda: beats >= first + 3)  # only where the caller's loop turns
                await send({"type": "lifespan.startup.complete"})
                await receive()
                then = beats
                await until(lambda: beats >= then + 3)
                await send({"type": "lifespan.shutdown.complete"})

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            async with ServerThread(app, config) as server:
                assert server.running
            assert not server.running
            tasks.cancel_scope.cancel()
        return beats

    assert anyio.run(main, backend=outer) >= 6


@pytest.mark.parametrize("outer", ["asyncio", "trio"])
@pytest.mark.parametrize("phase", ["startup", "shutdown"])
def test_cancelled_caller(config: Config, outer: str, phase: str) -> None:
    """No thread outlives a caller that is cancelled while it waits."""
    reached = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if phase == "shutdown":
            await send({"type": "lifespan.startup.complete"})
            await receive()
        reached.set()
        await anyio.sleep(0.1 if phase == "shutdown" else 60)

    async def main() -> bool:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cancel_when, reached, scope)
                async with ServerThread(app, config):
                    pass
        return scope.cancelled_caught

    async def cancel_when(event: threading.Event, scope: anyio.CancelScope) -> None:
        await until(event.is_set)
        scope.cancel()

    assert anyio.run(main, backend=outer)
    assert reached.is_set()


def test_asyncio_timeout_of_the_caller() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(60)

    async def main() -> None:
        async with asyncio.timeout(0.05), ServerThread(app, QUICK.replace(lifespan="on")):
            pytest.fail("it serves")

    before = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert time.monotonic() - before < 3


# The end of the program


def program(text: str) -> subprocess.CompletedProcess[str]:
    lifespan_app = """
import os, signal, threading, time
import anyio
import tricorn

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})

config = tricorn.Config(bind="127.0.0.1:0")
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", lifespan_app + text],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_a_program_that_forgets_its_server_ends() -> None:
    result = program("tricorn.serve_in_thread(app, config)")
    assert (result.returncode, result.stdout) == (0, "shut down\n")
    assert "without closing its server" in result.stderr


def test_ctrl_c_closes_the_server() -> None:
    result = program(
        "with tricorn.serve_in_thread(app, config):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(5)\n"
    )
    assert result.stdout == "shut down\n"
    assert result.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("stuck", ["startup", "shutdown"])
def test_ctrl_c_while_waiting(stuck: str) -> None:
    """The lifespan that is waited for is cut, and the program ends."""
    result = program(
        f"""
async def stuck(scope, receive, send):
    await receive()
    if {stuck!r} == "shutdown":
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
    print("stuck", flush=True)
    threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
    await anyio.sleep({60 if stuck == "startup" else 0.3})

tricorn.serve_in_thread(stuck, config).close()
"""
    )
    assert result.stdout == "stuck\n"
    assert result.stderr.endswith("KeyboardInterrupt\n")


def test_examples_of_the_page(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs"
    examples = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    hello = examples.findall((docs / "tutorial" / "first-server.md").read_text("utf-8"))[0]
    (tmp_path / "hello.py").write_text(hello, encoding="utf-8")
    page = (docs / "how-to" / "own-program.md").read_text("utf-8")
    printed = []
    for block in examples.findall(page):
        if "thread" in block.lower():
            result = subprocess.run(
                [sys.executable, "-c", block],
                cwd=tmp_path,
                env={"PYTHONPATH": str(SOURCE)},
                capture_output=True,
                text=True,
                timeout=20,
            )
            assert result.returncode == 0, result.stderr
            printed.append(result.stdout)
    assert printed[0] == "Hello over HTTP/1.1!\n"
    assert printed[1].startswith("serving on http://127.0.0.1:")
