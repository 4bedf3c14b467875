"""What one exchange costs the event loop, counted exactly: tasks, callbacks, writes.

Counted on plain asyncio, over a connection that is open already. The callbacks are those
the loop runs between two requests: a ready file descriptor is one, a task's step another.
"""

from __future__ import annotations

import asyncio
import asyncio.selector_events
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h2.connection
import h2.events
import pytest

from helpers.apps import echo, hello
from helpers.serving import PATIENCE
from tricorn import Config, serve
from tricorn.types import ASGIApplication


@dataclass
class Cost:
    """Counts of one exchange."""

    callbacks: int = 0
    tasks: int = 0
    writes: int = 0


class Counter:
    """Counts what a loop does for the server while ``on``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = False
        self.cost = Cost()
        run = asyncio.Handle._run
        transport = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
        write = transport.write

        def counted_run(handle: Any) -> None:
            self.cost.callbacks += self.on
            run(handle)

        def counted_write(this: Any, data: bytes) -> None:
            self.cost.writes += self.on
            write(this, data)

        monkeypatch.setattr(asyncio.Handle, "_run", counted_run)
        monkeypatch.setattr(transport, "write", counted_write)

    def create_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> Any:
        """Task factory."""
        self.cost.tasks += self.on
        return asyncio.Task(coro, loop=loop, **more)


Exchange = Callable[[socket.socket], None]


def measure(
    monkeypatch: pytest.MonkeyPatch,
    app: ASGIApplication,
    send: Exchange,
    receive: Callable[[socket.socket], bool],
    rounds: int = 4,
    *,
    factory: bool = True,
) -> Cost:
    """The cost of one exchange, the same for each of ``rounds``.

    With a task ``factory`` tasks are counted, and none starts at once.

    The client shares the thread, and the loop runs only what the server is waiting for:
    nothing of the client is counted.
    """
    counter = Counter(monkeypatch)

    async def main() -> list[Cost]:
        loop = asyncio.get_running_loop()
        if factory:
            loop.set_task_factory(counter.create_task)
        stop, started = asyncio.Event(), asyncio.Event()
        urls: list[str] = []

        class Status:
            def started(self, value: list[str] | None = None) -> None:
                urls.extend(value or ())
                started.set()

        # No timer may fire while we count.
        config = Config(bind=("127.0.0.1:0",), lifespan="off")
        server = asyncio.create_task(
            serve(app, config, shutdown_trigger=stop, task_status=Status())
        )
        await started.wait()
        address = ("127.0.0.1", int(urls[0].rpartition(":")[2]))
        costs = []
        with socket.create_connection(address) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
            for number in range(rounds + 1):
                send(sock)
                counter.cost, counter.on = Cost(), True
                turns = 0
                while not receive(sock):
                    # One turn of the loop; our own step is one callback of it.
                    await asyncio.sleep(0)
                    turns += 1
                    assert turns < 1_000_000
                counter.on = False
                counter.cost.callbacks -= turns
                if number:  # the first one opens the connection
                    costs.append(counter.cost)
                for _ in range(10):
                    await asyncio.sleep(0)
        stop.set()
        await asyncio.wait_for(server, PATIENCE)
        return costs

    costs = asyncio.run(main())
    assert costs == [costs[0]] * rounds
    return costs[0]


class HTTP1:
    """One request at a time over HTTP/1.1."""

    def __init__(self, request: bytes, answer: bytes) -> None:
        self._request = request
        self._answer = answer
        self._data = b""

    def send(self, sock: socket.socket) -> None:
        self._data = b""
        sock.send(self._request)

    def receive(self, sock: socket.socket) -> bool:
        try:
            self._data += sock.recv(65536)
        except BlockingIOError:
            return False
        return self._data.endswith(self._answer)


class HTTP2:
    """One GET at a time over HTTP/2."""

    def __init__(self) -> None:
        self._h2 = h2.connection.H2Connection()
        self._h2.initiate_connection()

    def send(self, sock: socket.socket) -> None:
        stream = self._h2.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
        self._h2.send_headers(stream, head, end_stream=True)
        sock.send(self._h2.data_to_send())

    def receive(self, sock: socket.socket) -> bool:
        try:
            events = self._h2.receive_data(sock.recv(65536))
        except BlockingIOError:
            return False
        return any(isinstance(event, h2.events.StreamEnded) for event in events)


def test_http1_get(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HTTP1(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"hello")
    cost = measure(monkeypatch, hello, client.send, client.receive)
    # The socket is ready; the application's task takes one step.
    assert cost == Cost(callbacks=2, tasks=1, writes=1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brings eager tasks")
def test_an_application_that_never_waits_needs_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HTTP1(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"hello")
    cost = measure(monkeypatch, hello, client.send, client.receive, factory=False)
    assert cost == Cost(callbacks=1, tasks=0, writes=1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brings eager tasks")
def test_nor_does_one_that_reads_what_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HTTP1(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello", b"hello")
    cost = measure(monkeypatch, echo, client.send, client.receive, factory=False)
    assert cost == Cost(callbacks=1, tasks=0, writes=1)


def test_http1_post_streamed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HTTP1(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello", b"hello")
    cost = measure(monkeypatch, echo, client.send, client.receive)
    assert cost == Cost(callbacks=2, tasks=1, writes=1)


def test_http1_pipelined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of a small burst costs a task's step; the burst costs one read."""
    client = HTTP1(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3, b"")
    count = 3
    received = 0

    def receive(sock: socket.socket) -> bool:
        nonlocal received
        try:
            received += sock.recv(65536).count(b"hello")
        except BlockingIOError:
            return False
        if received == count:
            received = 0
            return True
        return False

    cost = measure(monkeypatch, hello, client.send, receive)
    assert cost == Cost(callbacks=1 + count, tasks=count, writes=count)


def test_http2_get(monkeypatch: pytest.MonkeyPatch) -> None:
    client = HTTP2()
    cost = measure(monkeypatch, hello, client.send, client.receive)
    assert cost == Cost(callbacks=2, tasks=1, writes=1)


class Uploads(HTTP2):
    """Several small POSTs at a time over HTTP/2."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count
        self._open = 0

    def send(self, sock: socket.socket) -> None:
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/")]
        for _ in range(self._count):
            stream = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream, head)
            self._h2.send_data(stream, b"hello", end_stream=True)
        self._open = self._count
        sock.send(self._h2.data_to_send())

    def receive(self, sock: socket.socket) -> bool:
        try:
            events = self._h2.receive_data(sock.recv(65536))
        except BlockingIOError:
            return False
        self._open -= sum(isinstance(event, h2.events.StreamEnded) for event in events)
        return not self._open


def test_http2_posts_of_one_read_are_answered_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither taking a body nor answering it costs a write of its own."""
    count = 8
    client = Uploads(count)
    cost = measure(monkeypatch, echo, client.send, client.receive)
    # The socket is ready; each application takes one step; the write is at the turn's end.
    assert cost == Cost(callbacks=2 + count, tasks=count, writes=1)
