"""A connection in memory: the real driver over a transport, tasks and time of our own.

There is no event loop and no clock, so that every run of an input is the same. The transport
is eager and buffers like asyncio's; its peer reads and writes when the fuzzer says so.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any

from tricorn.asgi.host import Worker
from tricorn.config import Config
from tricorn.io.connection import Connection
from tricorn.io.registry import Registry
from tricorn.io.transport import Transport
from tricorn.protocol.events import RequestReceived
from tricorn.types import ASGIApplication

_MOST_TURNS = 20_000
# What applications fail of is no finding and would fill the screen.
_SILENT = logging.Logger("fuzzing", level=logging.CRITICAL + 1)


class Cancelled(BaseException):
    """The cancellation exception of this loop."""


class Turn:
    """Awaited: the others have their turn first."""

    def __await__(self) -> Generator[None, None, None]:
        yield None


class MemoryWaiter:
    """A one-shot signal."""

    def __init__(self) -> None:
        self.is_set = False
        self.task: Task | None = None

    def set(self) -> None:
        """Wake whoever waits."""
        if not self.is_set:
            self.is_set = True
            if self.task is not None:
                self.task.loop.call_soon(self.task.step)

    def wait(self) -> MemoryWaiter:
        """Wait for ``set``."""
        return self

    def __await__(self) -> Generator[MemoryWaiter, None, None]:
        while not self.is_set:
            yield self


class Loop:
    """Callbacks in order."""

    def __init__(self) -> None:
        self._ready: deque[Callable[[], object]] = deque()
        self.tasks: set[Task] = set()

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Run it behind what is ready now."""
        self._ready.append(callback)

    def run(self) -> None:
        """Run until nothing is ready."""
        turns = 0
        while self._ready:
            turns += 1
            assert turns < _MOST_TURNS, "the loop does not come to rest"
            self._ready.popleft()()


class Task:
    """A running application."""

    def __init__(self, loop: Loop, coroutine: Coroutine[Any, Any, None], eager: bool) -> None:
        self.loop = loop
        self._coroutine = coroutine
        self._cancelling = False
        self._waiter: MemoryWaiter | None = None
        loop.tasks.add(self)
        if eager:
            self.step()
        else:
            loop.call_soon(self.step)

    def step(self) -> None:
        """Go on until it waits or ends."""
        if self not in self.loop.tasks:
            return
        if self._waiter is not None:
            self._waiter.task = None
            self._waiter = None
        try:
            if self._cancelling:
                self._cancelling = False
                awaited = self._coroutine.throw(Cancelled())
            else:
                awaited = self._coroutine.send(None)
        except (StopIteration, Cancelled):
            self.loop.tasks.discard(self)
        else:
            if awaited is None or awaited.is_set:
                self.loop.call_soon(self.step)
            else:
                self._waiter = awaited
                awaited.task = self

    def cancel(self) -> None:
        """Ask it to end."""
        if self in self.loop.tasks:
            self._cancelling = True
            self.loop.call_soon(self.step)


class MemoryTransport(Transport):
    """Moves bytes between the driver and a peer that may not read."""

    def __init__(self, loop: Loop, config: Config, *, eager: bool = False) -> None:
        self.cancelled = Cancelled
        self.eager = eager
        self.file = None
        self.sends_files = False
        self._loop = loop
        self._config = config
        self.connection: RecordedConnection | None = None
        self.writes: list[bytes] = []  # each as it was handed over
        self.reading = True
        self.peer_reads = True
        self.closed = self.lost = False
        self._half_closed = False
        self._buffered = 0
        self._over = False
        self._since_turn = 0
        self.faults: list[str] = []  # an assertion would be lost in the application's task

    def write(self, buffers: Sequence[Any]) -> None:
        """Take bytes."""
        data = b"".join(buffers)
        if self.closed or self._half_closed:
            self.faults.append(f"output behind the end: {data[:80]!r}")
        if not data:
            self.faults.append("an empty write")
        self.writes.append(data)
        self._since_turn += 1
        if not self.peer_reads:
            self._buffered += len(data)
            if self._buffered > self._config.write_buffer_high and not self._over:
                self._over = True
                assert self.connection is not None
                self.connection.pause_writing()

    def peer_takes(self, count: int) -> None:
        """The peer reads so many bytes of what is buffered."""
        self._buffered = max(0, self._buffered - count)
        if self._over and self._buffered <= self._config.write_buffer_low:
            self._over = False
            assert self.connection is not None
            self.connection.resume_writing()
        self._end_if_flushed()

    def _end_if_flushed(self) -> None:
        if self.closed and not self._buffered:
            self._loop.call_soon(self.lose)

    def lose(self) -> None:
        """The connection is gone."""
        self.closed = True
        if not self.lost:
            self.lost = True
            assert self.connection is not None
            self.connection.lost()

    def drain(self) -> Awaitable[None] | None:
        """As asyncio's: now and then the loop has to turn."""
        if self._since_turn < 4:
            return None
        self._since_turn = 0
        return Turn()

    def turn(self) -> Awaitable[None]:
        """The others have their turn."""
        return Turn()

    def kick(self) -> None:
        """Writing is eager."""

    def soon(self, callback: Callable[[], object]) -> None:
        """Behind what is to run by now."""
        self._loop.call_soon(callback)

    def unsent(self) -> int:
        """Bytes the peer has not read."""
        return self._buffered

    def in_flight(self) -> int:
        """There is no system between."""
        return 0

    def pause_reading(self) -> None:
        """Hold the peer's bytes back."""
        self.reading = False

    def resume_reading(self) -> None:
        """Take bytes again."""
        self.reading = True

    def write_eof(self) -> bool:
        """Nothing more will be written."""
        self._half_closed = True
        return True

    def close(self) -> None:
        """Close once what is unsent has gone."""
        self.closed = True
        self._end_if_flushed()

    def close_at_once(self) -> None:
        """Close behind what the peer takes now."""
        self.abort()

    def abort(self, reset: bool = False) -> None:
        """Close now."""
        self.closed = True
        self._buffered = 0
        self._loop.call_soon(self.lose)

    def spawn(self, coroutine: Coroutine[Any, Any, None], eager: bool = False) -> Task:
        """Start an application."""
        return Task(self._loop, coroutine, eager)

    def waiter(self) -> MemoryWaiter:
        """A new signal."""
        return MemoryWaiter()


class RecordedConnection(Connection):
    """The driver, which notes what was asked of it."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.requests: list[RequestReceived] = []
        super().__init__(*args, **named)

    def _start(self, request: RequestReceived) -> None:
        self.requests.append(request)
        super()._start(request)

    def _fault(self) -> None:
        self.transport.faults.append(traceback.format_exc())  # type: ignore[attr-defined]

    def assert_nothing_left(self) -> None:
        """The connection is lost, and nothing of it lives on."""
        assert not self._running, f"applications left: {self._running}"
        assert not self._sending, "senders left waiting"
        waiting = [stream for stream in self._streams.values() if stream._waiters]
        assert not waiting, f"receivers left waiting: {waiting}"
        assert self not in self.registry, "still in the registry"
        # An exchange of HTTP/1.1 is not ended by the end of its peer: that may be half a close.
        assert self.http.idle or self.http.http_version == "1.1", f"streams left: {self.http!r}"

    def assert_bounded(self, largest: int) -> None:
        """No more is buffered than the options allow, a message and a read apart."""
        config = self.worker.config
        allowed = config.write_buffer_high + 2 * largest
        for stream_id in self._streams:
            held = self.http.buffered(stream_id)
            assert held <= allowed, f"{held} bytes are queued for stream {stream_id}"


def serve(
    app: ASGIApplication, config: Config, *, alpn: str | None = None, eager: bool = False
) -> tuple[Loop, MemoryTransport, RecordedConnection]:
    """A connection of this application.

    :param eager: its loop starts applications at once where it is asked to.
    """
    loop = Loop()
    worker = Worker(app, config)
    worker.log = _SILENT
    transport = MemoryTransport(loop, config, eager=eager)
    connection = RecordedConnection(
        worker,
        transport,
        Registry(),
        client=("192.0.2.1", 1234),
        server=("192.0.2.2", 80),
        secure=alpn is not None,
        alpn=alpn,
    )
    transport.connection = connection
    return loop, transport, connection
