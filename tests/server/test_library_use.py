"""``serve`` in a larger program: beside other tasks, twice, restarted, cancelled anywhere."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import ssl
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.streams.tls
import pytest

from helpers.apps import body, hello, reply, start
from helpers.serving import BACKENDS, Records, address_of
from helpers.site import Certificate
from tricorn import Config, serve
from tricorn.exceptions import LifespanError
from tricorn.types import ASGIApplication, Receive, Scope, Send

LOOPS = ["asyncio", "uvloop", "trio"]
_REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
_GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


def run(loop: str, main: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``main`` on a fresh event loop."""
    name, options = BACKENDS[loop]
    return anyio.run(main, backend=name, backend_options=options)


async def turns(count: int) -> None:
    """Let the event loop turn."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110 (it tells nobody)
            await anyio.sleep(0.001)


async def fetch(url: str) -> bytes:
    """What GET / answers, head and all, on a connection of its own."""
    request = _REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    async with await anyio.connect_tcp(*address_of(url)) as stream:
        await stream.send(request)
        answer = b""
        async for data in stream:
            answer += data
    return answer


def open_files() -> set[str]:
    """Open descriptors of the process, with what they are."""
    found = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            found.add(f"{entry.name} {os.readlink(entry.path)}")
        except FileNotFoundError:
            pass  # the listing's own
    # What pytest opens for the first log record.
    return {line for line in found if not line.endswith(os.devnull)}


class App:
    """Streams, and has a lifespan that takes its time; ``log`` says how far it came."""

    def __init__(self, name: bytes = b"body") -> None:
        self.name = name
        self.log: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await start(send)
            await body(send, self.name, more=True)
            await turns(3)
            await body(send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            self.log.append(phase)
            await turns(2)
            await send({"type": f"lifespan.{phase}.complete"})
            self.log.append(f"{phase} complete")


# Cancelled at every turn of the loop


class Life:
    """A server's whole life beside its client, ended by a cancellation on the way."""

    def __init__(self, config: Config, context: ssl.SSLContext | None, way: str) -> None:
        self.config = config
        self.context = context
        self.way = way
        self.app = App()
        self.urls: list[str] = []
        self.lived: bool

    async def run(self, cancel_after: int) -> None:
        """``lived`` says whether it came to its end before it was cancelled."""
        self.lived = False
        stop = anyio.Event()
        ended = anyio.Event()
        scope = anyio.CancelScope()
        task: asyncio.Task[None] | None = None

        async def server() -> None:
            try:
                with scope:
                    started = _Urls(self._urls_are)
                    await serve(self.app, self.config, shutdown_trigger=stop, task_status=started)
                    self.lived = True
            except asyncio.CancelledError:
                if self.way == "scope":
                    raise

        async def in_scope() -> None:
            await server()
            ended.set()

        async with anyio.create_task_group() as tasks:
            self.accepting = anyio.Event()
            if self.way == "scope":
                tasks.start_soon(in_scope)
            else:
                task = asyncio.create_task(server())
                task.add_done_callback(lambda _: ended.set())
            tasks.start_soon(self.client, stop)
            for _ in range(cancel_after):
                if ended.is_set():
                    break
                await anyio.lowlevel.checkpoint()
            for _ in range(2 if self.way == "task, twice" else 1):
                if task is None:
                    scope.cancel()
                else:
                    task.cancel()
                await turns(3)
            with anyio.fail_after(5):
                await ended.wait()
            tasks.cancel_scope.cancel()
        if task is not None and not task.cancelled():
            task.result()

    def _urls_are(self, urls: list[str]) -> None:
        self.urls = urls
        self.accepting.set()

    async def client(self, stop: anyio.Event) -> None:
        """Two requests, the second of which runs while the server drains."""
        await self.accepting.wait()
        try:
            async with await anyio.connect_tcp(*address_of(self.urls[0])) as raw:
                stream: anyio.abc.ByteStream = raw
                if self.context is not None:
                    stream = await anyio.streams.tls.TLSStream.wrap(
                        raw, hostname="localhost", ssl_context=self.context
                    )
                for last in (False, True):
                    await stream.send(_REQUEST)
                    answer = b""
                    while b"body" not in answer:
                        answer += await stream.receive()
                    if last:
                        stop.set()
                    while not answer.endswith(b"0\r\n\r\n"):
                        answer += await stream.receive()
        except _GONE:
            stop.set()


class _Urls(anyio.abc.TaskStatus[list[str]]):
    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self._tell = tell

    def started(self, value: list[str] | None = None) -> None:
        assert value is not None
        self._tell(value)


def check_free(urls: list[str], unix: Path) -> None:
    """Nothing listens, and no path is left."""
    assert not unix.exists()
    if urls:
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(address_of(urls[0]))
            again.listen()


async def sweep(life: Callable[[], Life], unix: Path) -> int:
    """Cancel a life after 0, 1, 2, ... turns of the loop until one ends by itself."""
    for count in range(2000):
        before = open_files()
        current = life()
        await current.run(count)
        where = f"cancelled after {count} turns: {current.app.log}"
        check_free(current.urls, unix)  # at once
        if "startup complete" in current.app.log and current.way != "task, twice":
            assert current.app.log[-1] == "shutdown complete", where
        # The client's sockets and the loop's own handles take a turn to be gone.
        await turns(4)
        assert open_files() - before == set(), where
        if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
            assert asyncio.all_tasks() == {asyncio.current_task()}, where
        if current.lived:
            return count
    raise AssertionError("it does not end")


@pytest.mark.long
@pytest.mark.parametrize(
    ("loop", "way"),
    [
        ("asyncio", "scope"),
        ("asyncio", "task"),
        ("asyncio", "task, twice"),
        ("uvloop", "scope"),
        ("uvloop", "task"),
        ("uvloop", "task, twice"),
        ("trio", "scope"),
    ],
)
@pytest.mark.parametrize("secure", [False, True], ids=["cleartext", "tls"])
def test_cancelled_at_every_turn(
    loop: str,
    way: str,
    secure: bool,
    certificate: Certificate,
    tmp_path: Path,
    records: Records,
) -> None:
    unix = tmp_path / "server.sock"
    options = certificate.options if secure else {}
    binds = {"bind": ["127.0.0.1:0", f"unix:{unix}"], "health_bind": "127.0.0.1:0"}
    config = Config(**binds, graceful_timeout=5, **options)
    context = certificate.client() if secure else None
    count = run(loop, lambda: sweep(lambda: Life(config, context, way), unix))
    assert count > 20
    gc.collect()  # what was not closed warns here, which is an error


# Beside others


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def start_serving(
    tasks: anyio.abc.TaskGroup, app: ASGIApplication, **options: Any
) -> tuple[str, anyio.Event]:
    """The URL of a new server in ``tasks``, and what stops it."""
    stop = anyio.Event()
    config = Config(**{"bind": "127.0.0.1:0"} | options)

    async def server(*, task_status: anyio.abc.TaskStatus[list[str]]) -> None:
        await serve(app, config, shutdown_trigger=stop, task_status=task_status)

    urls: list[str] = await tasks.start(server)
    return urls[0], stop


def test_a_crashing_sibling_ends_the_server_in_order(loop: str, records: Records) -> None:
    app = App()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            url, _ = await start_serving(tasks, app)
            assert b"body" in await fetch(url)
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        run(loop, main)
    # Nothing but the sibling's own error, however the group prints.
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
    assert app.log[-1] == "shutdown complete"


def test_the_end_of_the_server_leaves_the_others_alone(loop: str, records: Records) -> None:
    async def main() -> bool:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await anyio.sleep(0.001)

        async with anyio.create_task_group() as outer:
            outer.start_soon(beat)
            async with anyio.create_task_group() as tasks:
                _, stop = await start_serving(tasks, App())
                stop.set()
            # A start that fails neither cancels what is beside it.
            with pytest.raises(LifespanError):
                await serve(hello, Config(bind="127.0.0.1:0", lifespan="on"))
            ended = beats
            await until(lambda: beats >= ended + 3)
            outer.cancel_scope.cancel()
        return True

    assert run(loop, main)


def test_two_servers_on_one_loop(loop: str, records: Records) -> None:
    first, second = App(b"the first"), App(b"the other")

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            url, stop = await start_serving(
                tasks, first, accesslog="-", access_log_format="first %(s)s"
            )
            other, stop_other = await start_serving(tasks, second)
            assert url != other
            assert b"the first" in await fetch(url)
            assert b"the other" in await fetch(other)
            stop.set()
            await until(lambda: "shutdown complete" in first.log)
            # The other goes on, and has not been told to shut down.
            assert b"the other" in await fetch(other)
            assert second.log == ["startup", "startup complete"]
            stop_other.set()

    run(loop, main)
    assert second.log[-1] == "shutdown complete"
    assert records.messages("tricorn.access") == ["first 200"]


def test_restarted_on_the_same_port(loop: str, records: Records) -> None:
    """The server closes first, so its port has connections in TIME_WAIT."""

    async def main() -> None:
        bind = "127.0.0.1:0"
        for _ in range(20):
            async with anyio.create_task_group() as tasks:
                url, stop = await start_serving(tasks, App(), bind=bind)
                bind = url.removeprefix("http://")
                assert b"200 OK" in await fetch(url)
                stop.set()

    run(loop, main)


def test_signals_are_left_alone(loop: str, records: Records) -> None:
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD]

    def ours(number: int, frame: object) -> None:
        seen.append(number)

    seen: list[int] = []
    before = [signal.signal(number, ours) for number in numbers]

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            url, stop = await start_serving(tasks, App())
            for number in numbers:
                assert signal.getsignal(number) is ours
                signal.raise_signal(number)
            # It serves on.
            assert b"200 OK" in await fetch(url)
            stop.set()

    try:
        run(loop, main)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert seen == numbers


def test_small_writes_are_not_held_back(loop: str, records: Records) -> None:
    """Nagle's algorithm is off: a piece does not wait for the peer's delayed ACK."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"%d" % nodelay())

    def nodelay() -> int:
        # The server's end of the one connection to its port.
        for entry in os.listdir("/proc/self/fd"):
            try:
                with socket.socket(fileno=os.dup(int(entry))) as sock:
                    if sock.family == socket.AF_INET and sock.getsockname() == address:
                        sock.getpeername()
                        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            except OSError:
                continue
        raise AssertionError("no such connection")

    address: tuple[str, int] = ("", 0)

    async def main() -> bytes:
        nonlocal address
        async with anyio.create_task_group() as tasks:
            url, stop = await start_serving(tasks, app, lifespan="off")
            address = address_of(url)
            answer = await fetch(url)
            stop.set()
        return answer

    assert run(loop, main).endswith(b"\r\n\r\n1")


def test_a_task_factory_that_knows_no_contexts(records: Records) -> None:
    """As they were before Python 3.11; uvloop itself can do nothing with them."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        before = variable.get()
        variable.set(before + 1)
        await reply(send, f"{task in made} {before}".encode())

    # Some versions of asyncio rename what a factory has made.
    made: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Any, *, name: str | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop)  # with a name since Python 3.14
        made.add(task)
        return task

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        async with anyio.create_task_group() as tasks:
            url, stop = await start_serving(tasks, app, lifespan="off")
            for _ in range(2):
                assert (await fetch(url)).endswith(b"\r\n\r\nTrue 0")
            stop.set()

    run("asyncio", main)


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_handshake_that_outlives_the_server_is_not_served(
    loop: str, cancelled: bool, certificate: Certificate, records: Records
) -> None:
    """Where nothing has come of it, it is ended a moment behind the stop."""

    async def main() -> bool:
        options = {"ssl_handshake_timeout": 30.0, **certificate.options}
        with anyio.fail_after(10):
            return await outlive(options)

    async def outlive(options: dict[str, Any]) -> bool:
        async with anyio.create_task_group() as tasks:
            url, stop = await start_serving(tasks, App(), **options)
            raw = await anyio.connect_tcp(*address_of(url))
            await anyio.sleep(0.02)  # so that it is accepted, not in the kernel's queue
            stop.set()
            if cancelled:
                tasks.cancel_scope.cancel()
        async with raw:
            try:
                stream = await anyio.streams.tls.TLSStream.wrap(
                    raw, hostname="localhost", ssl_context=certificate.client()
                )
                await stream.send(_REQUEST)
                return await stream.receive() == b""
            except _GONE:
                return True

    assert run(loop, main)
