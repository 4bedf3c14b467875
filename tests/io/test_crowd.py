"""What becomes of requests when more come in a turn of the loop than applications should begin."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from helpers.apps import reply
from helpers.clients import open_socket
from helpers.serving import PATIENCE
from helpers.site import Serving
from tricorn import Config
from tricorn.asgi.host import Worker
from tricorn.io import pacing
from tricorn.io.admission import Admission
from tricorn.io.anyio_transport import AnyioTransport
from tricorn.io.asyncio_transport import AsyncioTransport
from tricorn.io.pacing import Crowd
from tricorn.io.registry import Registry
from tricorn.types import Receive, Scope, Send

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
EAGER = sys.version_info >= (3, 12)


class Turns:
    """Turns of a loop that are taken by hand."""

    def __init__(self) -> None:
        self._next: deque[Callable[[], object]] = deque()

    def soon(self, function: Callable[..., object], *args: Any) -> None:
        self._next.append(lambda: function(*args))

    def take(self) -> None:
        for _ in range(len(self._next)):
            self._next.popleft()()

    def __bool__(self) -> bool:
        return bool(self._next)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await reply(send, b"hello")


class TestCrowd:
    def test_a_few_go_on_in_a_turn_in_their_order(self) -> None:
        crowd, worker, turns = Crowd(), Worker(hello, Config()), Turns()
        gone: list[int] = []

        def go_on(number: int) -> None:
            gone.append(number)
            worker.requests += 1

        count = 2 * pacing.TOGETHER + 3
        assert not crowd.is_full(worker)
        worker.requests = pacing.TOGETHER
        assert crowd.is_full(worker)
        for number in range(count):
            crowd.queue(worker, lambda number=number: go_on(number), turns.soon)  # type: ignore[misc]
        seen = []
        while turns:
            assert crowd.is_full(worker)
            turns.take()
            seen.append(len(gone))
        assert seen == [pacing.TOGETHER, 2 * pacing.TOGETHER, count]
        assert gone == list(range(count))
        assert not crowd.is_full(worker)

    def test_what_brings_no_request_costs_no_turn(self) -> None:
        crowd, worker, turns = Crowd(), Worker(hello, Config()), Turns()
        gone: list[int] = []
        for number in range(2 * pacing.TOGETHER):
            crowd.queue(worker, lambda number=number: gone.append(number), turns.soon)  # type: ignore[misc]
        turns.take()
        assert len(gone) == 2 * pacing.TOGETHER
        assert not turns

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        crowd, worker, turns = Crowd(), Worker(hello, Config()), Turns()
        gone: list[str] = []

        def fail() -> None:
            raise OSError("no")

        crowd.queue(worker, fail, turns.soon)
        crowd.queue(worker, lambda: gone.append("b"), turns.soon)
        with pytest.raises(OSError, match=r"^no$"):
            turns.take()
        turns.take()
        assert gone == ["b"]


def test_applications_begin_a_few_in_a_turn(serving: Serving) -> None:
    """Of all that came while the loop stood still."""
    if EAGER and serving.backend != "trio":
        pytest.skip("applications start at once")
    entered, go_on = threading.Event(), threading.Event()
    begun: Counter[int] = Counter()
    turns = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal turns
        if scope["path"] == "/block":
            entered.set()
            go_on.wait(PATIENCE)
            while sum(begun.values()) < len(socks):
                await turn(1)
                turns += 1
        else:
            begun[turns] += 1
        await reply(send, b"hello")

    address = serving(app).address
    with contextlib.ExitStack() as stack:
        blocker = stack.enter_context(open_socket(address))
        socks: list[socket.socket] = []
        for _ in range(3 * pacing.TOGETHER):
            socks.append(stack.enter_context(open_socket(address)))
            answered(socks[-1])
        begun.clear()
        blocker.sendall(REQUEST.replace(b"/ ", b"/block "))
        assert entered.wait(PATIENCE)
        for sock in socks:
            sock.sendall(REQUEST)
        go_on.set()
        for sock in socks:
            received(sock)
    assert sum(begun.values()) == len(socks)
    assert max(begun.values()) <= pacing.TOGETHER, begun


def answered(sock: socket.socket) -> None:
    sock.sendall(REQUEST)
    received(sock)


def received(sock: socket.socket) -> None:
    data = b""
    while not data.endswith(b"hello"):
        piece = sock.recv(65536)
        assert piece
        data += piece
    assert data.startswith(b"HTTP/1.1 200 ")


class Connected:
    """One connection whose requests have to queue."""

    def __init__(self, turns: Turns, peer: socket.socket) -> None:
        self.turns = turns
        self.peer = peer

    async def send(self, data: bytes) -> None:
        """Send to the server, and wait until it has been read."""
        self.peer.sendall(data)
        await turn(4)

    async def receive(self) -> bytes:
        """All that has come, or comes up to the end of the first response."""
        data = b""
        with anyio.fail_after(PATIENCE):
            while not data.endswith(b"hello"):
                await anyio.wait_readable(self.peer)
                piece = self.peer.recv(65536)
                if not piece:
                    break
                data += piece
        return data


async def turn(times: int) -> None:
    """Turns of the loop."""
    for _ in range(times):
        await anyio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def connected(backend: str) -> AsyncIterator[Connected]:
    worker, registry, turns = Worker(hello, Config()), Registry(), Turns()
    registry.crowd.queue(worker, lambda: None, turns.soon)  # someone is before them
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    peer.setblocking(False)
    address = ("127.0.0.1", 80)
    connection = Connected(turns, peer)
    if backend == "trio":
        stream = await anyio.abc.SocketStream.from_socket(ours)
        served = AnyioTransport(
            stream, worker, registry, None, client=None, server=address, call_soon=turns.soon
        )
        async with anyio.create_task_group() as group:
            group.start_soon(served.run)
            try:
                yield connection
            finally:
                peer.close()
        return
    place = Admission(worker.config, ()).enter(None)
    assert place is not None
    loop = asyncio.get_running_loop()
    made = AsyncioTransport(loop, worker, registry, None, address, client=None, place=place)
    transport, _ = await loop.connect_accepted_socket(lambda: made.protocol, ours)
    try:
        yield connection
    finally:
        peer.close()
        transport.abort()
        await turn(3)


def play(backend: str, part: Callable[[Connected], Awaitable[None]]) -> None:
    """On a loop of the backend's kind."""

    async def main() -> None:
        async with connected(backend) as connection:
            await part(connection)

    if backend == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        anyio.run(main, backend=backend)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
class TestOneThatQueues:
    def test_it_goes_on_in_its_turn(self, loop: str) -> None:
        async def part(connection: Connected) -> None:
            await connection.send(REQUEST)
            with pytest.raises(BlockingIOError):
                connection.peer.recv(1)
            connection.turns.take()
            assert (await connection.receive()).endswith(b"hello")

        play(loop, part)

    def test_what_comes_behind_it_stays_behind_it(self, loop: str) -> None:
        async def part(connection: Connected) -> None:
            await connection.send(LAST[:9])
            await connection.send(LAST[9:20])
            await connection.send(LAST[20:])
            connection.turns.take()
            assert (await connection.receive()).startswith(b"HTTP/1.1 200 ")

        play(loop, part)

    def test_nothing_is_lost_where_it_was_dear(
        self, loop: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Less is read at a time behind it, and what has been read by then is kept."""
        body = bytes(pacing.FIRST_READ)
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(body)
        head += b"x: " + b"y" * pacing.UNTIMED + b"\r\n\r\n"
        seconds = itertools.count()

        async def part(connection: Connected) -> None:
            monkeypatch.setattr(time, "perf_counter", lambda: float(next(seconds)))
            await connection.send(head)
            await connection.send(body)
            while connection.turns:
                connection.turns.take()
                await turn(3)
            assert (await connection.receive()).endswith(b"hello")

        play(loop, part)

    def test_a_request_with_the_end_of_the_stream_is_answered(self, loop: str) -> None:
        async def part(connection: Connected) -> None:
            await connection.send(REQUEST)
            connection.peer.shutdown(socket.SHUT_WR)
            assert (await connection.receive()).endswith(b"hello")
            connection.turns.take()

        play(loop, part)

    def test_one_that_is_gone_by_then_is_left_alone(self, loop: str) -> None:
        async def part(connection: Connected) -> None:
            await connection.send(REQUEST)
            connection.peer.close()
            await turn(5)
            connection.turns.take()

        play(loop, part)
