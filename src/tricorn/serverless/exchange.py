"""One exchange in memory: what the ASGI layer takes for a connection and its driver."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread

from tricorn.asgi.host import Exchange, Host, Waiter, Worker
from tricorn.asgi.hosts import host_of
from tricorn.asgi.http import HTTPStream
from tricorn.asgi.runner import run
from tricorn.exceptions import ClientDisconnected
from tricorn.protocol import fields
from tricorn.protocol.connection import HTTPConnection
from tricorn.protocol.events import (
    DataReceived,
    Event,
    PeerFault,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from tricorn.protocol.flow import Buffer
from tricorn.serverless.events import Request
from tricorn.types import Headers

STREAM_ID = 1
# What separates the prelude of a streamed response from its body.
DELIMITER = bytes(8)

_MISDIRECTED = 421
# Seconds between two looks at the time an application takes.
_TICK = 1.0
_SHORTEST_TICK = 0.02


class ResponseStream(Protocol):
    """Where a streamed response goes; ``write`` and ``close`` may wait and raise ``OSError``."""

    def write(self, data: bytes) -> None:
        """Send a piece; the first one begins the response."""
        ...

    def close(self, error: tuple[str, str] | None) -> None:
        """End the response.

        :param error: type and message where the body is not whole.
        """
        ...

    def abort(self) -> None:
        """Cut the response: a ``write`` that waits in another thread raises ``OSError``."""
        ...


class Outlet:
    """A response stream, for one thread at a time, and for none behind the response's end.

    The application's pieces are written in threads beside its event loop, the end in that of
    the invocation, which waits for them no longer than its time lasts.
    """

    def __init__(self, sink: ResponseStream) -> None:
        self._sink = sink
        self._writing = threading.Lock()
        self._ended = False

    def write(self, data: bytes) -> None:
        """Send a piece.

        :raises OSError: if the stream is lost, or ended.
        """
        with self._writing:
            if self._ended:
                raise OSError("the response has been ended")
            self._sink.write(data)

    def cut(self) -> bool:
        """End the response if a write is under way; whether it was."""
        if self._writing.locked():
            self._ended = True
            self._sink.abort()
            return True
        return False

    def end(self, data: bytes, error: tuple[str, str] | None) -> None:
        """Send the last piece and end the response, where nobody has.

        :param error: see `ResponseStream`.
        :raises OSError: if the stream is lost.
        """
        if self._ended:
            return
        self._ended = True
        if not self._writing.acquire(blocking=False):
            self._sink.abort()
            return
        try:
            if data:
                self._sink.write(data)
            self._sink.close(error)
        finally:
            self._writing.release()


class MemoryConnection(HTTPConnection):
    """An ``HTTPConnection`` with one exchange, whose response is kept.

    :param limit: bytes of body to keep; what is more sets ``overflow`` and is dropped.
        None: whoever takes the data bounds it.
    """

    def __init__(self, http_version: str, limit: int | None = None) -> None:
        self.http_version = http_version
        self.closing = self.lingering = self.has_events = False
        self.takes_files = self.can_early_hint = False
        self.status: int | None = None
        self.headers: Headers = []
        self.ended = False
        self.aborted = False
        self.overflow = False
        self._limit = limit
        self._data: list[bytes] = []
        self._size = 0

    def __repr__(self) -> str:
        return f"<MemoryConnection {self.status} {self._size} bytes>"

    def send_headers(
        self, stream_id: int, status: int, headers: Headers, end_stream: bool = False
    ) -> None:
        """Keep the response head, without what belongs to a connection."""
        self.status = status
        self.headers = [header for header in headers if header[0] not in fields.CONNECTION_SPECIFIC]
        self.ended = end_stream

    def send_data(self, stream_id: int, data: Buffer, end_stream: bool = False) -> None:
        """Keep a piece of the body."""
        assert isinstance(data, bytes)
        self.ended = end_stream
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            self.overflow = True
            self._data.clear()
        else:
            self._data.append(data)

    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """End the response; no event source has a place for trailers."""
        self.ended = True

    def reset(self, stream_id: int, code: int) -> None:
        """The response cannot be completed."""
        self.aborted = True

    def take_data(self) -> bytes:
        """The body kept since the last call."""
        data = b"".join(self._data)
        self._data.clear()
        self._size = 0
        return data

    def buffered(self, stream_id: int) -> int:
        """Bytes of body kept."""
        return self._size

    # What an exchange without a wire has no use for

    @property
    def has_output(self) -> bool:
        """Nothing leaves this way."""
        return False

    @property
    def wants_data(self) -> bool:
        """Nothing comes."""
        return True

    @property
    def pause_limit(self) -> str:
        """Nothing is paused."""
        return "request_buffer_size"

    @property
    def idle(self) -> bool:
        """The exchange is open."""
        return False

    @property
    def busy_streams(self) -> int:
        """The one exchange."""
        return 1

    def receive_data(self, data: bytes) -> list[Event]:
        """Nothing comes."""
        return []

    def receive_eof(self) -> list[Event]:
        """Nothing comes."""
        return []

    def take_events(self) -> list[Event]:
        """Nothing comes."""
        return []

    def handle_timeout(self, now: float) -> list[Event]:
        """The invocation has its own limit."""
        return []

    def next_deadline(self) -> float | None:
        """None."""
        return None

    def idle_since(self) -> float | None:
        """Never: there is one exchange."""
        return None

    def end_idle(self) -> None:
        """Never idle."""

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None:
        """There is no place for them."""

    def upgrade(self, stream_id: int, status: int, headers: Headers) -> None:
        """Never asked for: requests have no ``protocol``."""

    def consumed(self, stream_id: int, n: int) -> None:
        """The whole body is there already."""

    def released(self, stream_id: int) -> None:
        """The application has ended."""

    def data_to_send(self) -> list[Buffer]:
        """Nothing: ``take_data`` is asked instead."""
        return []

    def drain(self) -> None:
        """One exchange is all there is."""


class LambdaExchange(Host):
    """The driver of one exchange: ``Host`` for its stream, and the stream's task.

    :param scope: entries for the ASGI scope, ``extensions`` among them.
    :param limit: see `MemoryConnection`.
    :param sink: where a streamed response goes, None to keep it whole.
    :param prelude: makes what stands before a streamed body.
    """

    can_send_file = False

    def __init__(
        self,
        worker: Worker,
        request: Request,
        scope: dict[str, Any],
        *,
        limit: int | None = None,
        sink: Outlet | None = None,
        prelude: Callable[[MemoryConnection], dict[str, Any]] | None = None,
    ) -> None:
        self.worker = worker
        self.request = request
        self.client = request.client
        self.server = request.server
        self.secure = request.scheme == "https"
        self.tls = None
        self.via = None  # the gateway is asked by its event, not by fields
        self.response = MemoryConnection(request.http_version, limit)
        self.http = self.response
        #: The finished exchange for the access log.
        self.logged: Exchange | None = None
        self.timed_out = False
        self._sink = sink
        self._prelude = prelude
        self.started = False  # something of the response has left
        self._cut = False
        self._received = RequestReceived(
            stream_id=STREAM_ID,
            http_version=request.http_version,
            method=request.method,
            target=request.target,
            headers=request.headers,
            scheme=request.scheme,
            end_stream=not request.body,
        )
        self.stream = HTTPStream(self, self._received)
        extensions = scope.pop("extensions", {})
        self.stream.scope["extensions"].update(extensions)
        self.stream.scope.update(scope, root_path=request.root_path)

    def report(self, fault: PeerFault) -> None:
        """Count what is refused, and tell it in the log."""
        self.worker.report(fault.reason, self.client, fault.limit)

    async def run(self, limit: float | None) -> None:
        """Answer the request: by the application, unless the server does.

        :param limit: seconds after which the application is cancelled, None for no limit.
        """
        worker, stream, gate = self.worker, self.stream, self.worker.gate
        answer = None if worker.health is None else worker.health.answer(self._received)
        if answer is not None:
            stream.answer(*answer)
            return
        if worker.server_names and not worker.server_names.match(
            host_of(self.request.headers), secure=self.secure
        ):
            stream.refuse(_MISDIRECTED, b"Misdirected Request")
            return
        if gate is not None and not gate.admits(stream):
            return
        try:
            if self.request.body:
                stream.feed(DataReceived(STREAM_ID, self.request.body))
                stream.feed(StreamEnded(STREAM_ID))
            if not stream.complete:  # else the body was larger than it may be
                await self._run_application(limit)
        finally:
            if gate is not None:
                gate.running -= 1

    async def _run_application(self, limit: float | None) -> None:
        limits = self.worker.limits
        cancelled = anyio.get_cancelled_exc_class()
        with anyio.move_on_after(limit) as self._time:
            if limits is None or limits.response is None:
                await run(self.worker, self.stream, cancelled)
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._tick, limits.response)
                    await run(self.worker, self.stream, cancelled)
                    tasks.cancel_scope.cancel()
        self.timed_out = self._time.cancelled_caught and self.stream.unfinished

    async def _tick(self, limit: float) -> None:
        """Let the time pass that the application has until its response begins (seconds)."""
        while True:
            self.stream.tick(anyio.current_time())
            await anyio.sleep(max(_SHORTEST_TICK, min(_TICK, limit / 4)))

    def cut(self) -> bool:
        """End a streamed response if a piece of it is being written; whether one was."""
        return self._sink is not None and self._sink.cut()

    # For the stream

    def released(self, stream_id: int) -> None:
        """Nothing: ``run`` returns."""

    def flush(self, stream_id: int = 0) -> Awaitable[None] | None:
        """Send what is there of a streamed response; cut one that has grown too large."""
        if self.response.overflow:
            self._disconnect()
        elif self._sink is not None and stream_id and self.response.status is not None:
            return self._write(self._sink)
        return None

    async def _write(self, sink: Outlet) -> None:
        data = self.pending()
        if not data:
            return
        try:
            await anyio.to_thread.run_sync(sink.write, data)
        except OSError as exc:
            self._disconnect()
            await self.after_listeners()
            raise ClientDisconnected(f"the response stream broke: {exc}") from exc

    def pending(self) -> bytes:
        """What is to be sent next of a streamed response; its prelude goes first."""
        data = self.response.take_data()
        if not self.started:
            assert self._prelude is not None
            self.started = True
            prelude = json.dumps(self._prelude(self.response), ensure_ascii=False)
            data = prelude.encode("utf-8", "replace") + DELIMITER + data
        return data

    def _disconnect(self) -> None:
        """Nobody takes the rest of the response."""
        if not self._cut:
            self._cut = True
            self.stream.feed(StreamReset(STREAM_ID))

    def consumed(self, stream_id: int, n: int) -> None:
        """The body is here already: nobody waits for room."""

    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""
        return anyio.lowlevel.checkpoint()

    def end_application(self, stream_id: int) -> None:
        """Cancel the application."""
        self._time.cancel()

    def waiter(self) -> Waiter:
        """A new one-shot signal."""
        return anyio.Event()
