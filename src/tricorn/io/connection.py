"""Drives one sans-IO HTTP connection over one transport; shared by all event loops.

Theory of operation. The transport pushes: bytes, end of file, room to write, loss. The
driver feeds the connection, hands its events to the streams, starts application tasks,
and writes what the connection gives. All of that is synchronous; what waits is the
application, in ``receive`` with nothing there and in ``send`` above high water. Frames
of several streams that became ready in one turn of the loop leave in one write.

Ownership: everything here belongs to the event loop's thread, and changes only between
two awaits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tricorn.asgi.host import Waiter, Worker
from tricorn.asgi.http import HTTPStream
from tricorn.asgi.websocket import WebSocketStream
from tricorn.compilation import mypyc_attr
from tricorn.counters import CONNECTIONS
from tricorn.exceptions import ClientDisconnected, FileUnavailable, RemoteProtocolError
from tricorn.io import pacing
from tricorn.io.ending import Ending
from tricorn.io.exchanges import Exchanges
from tricorn.io.registry import Registry
from tricorn.io.transport import Transport
from tricorn.protocol import negotiate
from tricorn.protocol.connection import HTTPConnection
from tricorn.protocol.events import (
    DataReceived,
    Event,
    HTTP2Upgraded,
    LimitReached,
    PeerFault,
    PeerHalfClosed,
    RequestReceived,
    StreamReset,
)
from tricorn.protocol.flow import FileRegion
from tricorn.protocol.http2 import HTTP2Connection

if TYPE_CHECKING:
    from tricorn.protocol.proxy_protocol import ProxyHeader

_MISDIRECTED: Final = 421
# Messages an application may answer before the loop turns, where the answers wait for that.
_DEFERRED: Final = 64
# Requests that waited, taken in one go: the server may answer them all itself.
_TAKEN: Final = 16

_Stream: TypeAlias = HTTPStream | WebSocketStream


@mypyc_attr(allow_interpreted_subclasses=True)
class Connection(Exchanges):
    """One accepted connection."""

    __slots__ = (
        "_deferred", "_flush_scheduled", "_high", "_lost", "_paused", "_reading", "_sending",
        "_sniff", "_taking", "client", "http", "registry", "secure",
        "server", "tls", "transport", "tunnel", "via", "worker",
    )  # fmt: skip

    def __init__(
        self,
        worker: Worker,
        transport: Transport,
        registry: Registry,
        *,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        secure: bool = False,
        tls: dict[str, Any] | None = None,
        alpn: str | None = None,
        header: ProxyHeader | None = None,
    ) -> None:
        self.worker = worker
        self.transport = transport
        self.registry = registry
        proxies = worker.proxies
        self.via = proxies.via(client, header) if proxies is not None else None
        if header is not None:
            client, server = header.ends(client, server)
        self.client = client
        self.server = server
        self.secure = secure
        self.tls = tls
        self._streams = {}
        self._running = 0
        self._ending: Ending | None = None  # made for the first that needs it
        self._sending: dict[int, list[Waiter]] = {}  # applications waiting to send
        self._paused = False
        self._high = worker.config.write_buffer_high
        self._reading = True
        self._closing = self._lingers = False
        self._lost = self._gone = False
        self._flush_scheduled = False
        self._taking = False  # events that waited for what was written
        self._gathers = False
        self._begun = []
        self._deferred = 0  # writes left to the turn's end
        self._in_flight = 0
        self._stall = (0, 0.0)  # bytes unsent, and since when no fewer
        self._sniff: bytes | None = None
        self.tunnel: Callable[[bytes], bool] | None = None
        self.http: HTTPConnection
        if alpn == "h2":
            self._start_http2()
            self.flush()
        else:
            self.http = negotiate.http1(worker.config, worker.default_headers, secure=secure)
            if not secure and worker.config.h2_prior_knowledge:
                self._sniff = b""
        registry.add(self)
        worker.counters.add(CONNECTIONS)
        if worker.draining:
            self.shutdown()

    def __repr__(self) -> str:
        return f"<Connection {self.client} {self.http!r}>"

    def _new_http2(self) -> HTTP2Connection:
        worker = self.worker
        return negotiate.http2(worker.config, worker.default_headers, secure=self.secure)

    def _start_http2(self) -> None:
        http = self._new_http2()
        http.initiate()
        self._go_on_in(http)

    def _go_on_in(self, http: HTTP2Connection) -> None:
        self.http = http
        if self.worker.draining:
            http.drain()

    # From the transport

    def bytes_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self.tunnel is not None:
            try:
                if self.tunnel(data):
                    return
            except Exception:
                self._fault()
                return
        if self._sniff is not None:
            data = self._sniff + data
            choice = negotiate.speaks_http2(data)
            if choice is None:
                self._sniff = data
                return
            self._sniff = None
            if choice:
                self._start_http2()
        try:
            events = self.http.receive_data(data)
            if events:
                # What takes long would count as the cost of the read.
                self._gathers = self.transport.eager and len(data) < pacing.UNTIMED
                try:
                    self._dispatch(events)
                finally:
                    if self._gathers:
                        self._run_begun()
            self._flush_now()
        except Exception:
            # The failure boundary: a fault of ours costs this connection only.
            self._fault()

    def eof_received(self) -> None:
        """The peer closed its sending side."""
        try:
            if self._sniff:
                sniffed, self._sniff = self._sniff, None
                self._dispatch(self.http.receive_data(sniffed))
            self._dispatch(self.http.receive_eof())
            self._flush_now()
        except Exception:
            self._fault()

    def pause_writing(self) -> None:
        """The transport's buffer is above high water."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport's buffer is below low water."""
        self._paused = False
        try:
            self._flush_now()
        except Exception:
            self._fault()

    def ended(self) -> None:
        """Nothing more can be written: wake whoever waits, and give applications their grace.

        What the transport was given goes out as before: the connection is kept until it is lost.
        """
        if self._lost:
            return
        self._lost = True
        try:
            self._dispatch(self.http.receive_eof())
            for stream_id, stream in list(self._streams.items()):
                if not stream.complete:
                    stream.feed(StreamReset(stream_id))
                if stream.abandoned:
                    self._leave(stream_id)
        except Exception:
            self._fault()
        for stream_id in list(self._sending):
            self._wake_senders_of(stream_id)

    def lost(self) -> None:
        """The connection is gone; only for applications that run it is kept."""
        self.ended()
        self._gone = True
        if not self._running:
            self._let_go()

    def _let_go(self) -> None:
        """Nobody needs it any more, and no cycle keeps it until the collector's turn."""
        self.registry.discard(self)
        self._streams.clear()
        self.tunnel = None

    def file_failed(self, error: Exception) -> None:
        """A piece of a file could not be sent whole; its length is on the wire already."""
        if isinstance(error, FileUnavailable):
            self.worker.log.error("%s; the connection from %s is cut", error, self.client)
        self._abort()

    @property
    def can_send_file(self) -> bool:
        """Whether ``send_data`` may be given a ``FileRegion``."""
        return self.http.takes_files and self.transport.sends_files

    def _fault(self) -> None:
        self.worker.log.exception("internal error; closing the connection from %s", self.client)
        self._abort()

    def _abort(self, reset: bool = False) -> None:
        """Cut the connection; nothing is written any more."""
        self._closing = True
        self._lingers = False
        self.transport.abort(reset or self.http.cut_short(self.transport.unsent()))

    # Events

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is RequestReceived:
                self._start(event)  # type: ignore[arg-type]
            elif kind is PeerFault:
                self.report(event)  # type: ignore[arg-type]
            elif kind is LimitReached:
                self.worker.counters.limit(event.limit)  # type: ignore[union-attr, arg-type]
            elif kind is HTTP2Upgraded:
                self._switch(event)  # type: ignore[arg-type]
            else:
                stream_id = event.stream_id
                stream = self._streams.get(stream_id)
                if stream is not None:
                    stream.feed(event)
                    if kind is StreamReset or kind is PeerHalfClosed:
                        self._leave(stream_id)
                elif kind is DataReceived:
                    # Its response waits for the peer, which may be about its request until then.
                    self.http.consumed(stream_id, len(event.data))  # type: ignore[union-attr]

    def report(self, fault: PeerFault) -> None:
        """Count what the peer did wrong, and tell it in the log."""
        self.worker.report(fault.reason, self.client, fault.limit)

    def _switch(self, event: HTTP2Upgraded) -> None:
        """Go on in HTTP/2 behind the 101 answer (RFC 7540 section 3.2)."""
        for buffers in iter(self.http.data_to_send, []):
            self.transport.write(buffers)
        http = self._new_http2()
        try:
            http.initiate_upgrade(event.settings, event.request, event.body)
        except RemoteProtocolError as exc:
            self.report(PeerFault(0, str(exc), limit=exc.limit))
            self.transport.close()
            return
        self._go_on_in(http)
        self._dispatch(http.take_events())
        if event.rest:
            self._dispatch(http.receive_data(event.rest))

    # Output

    def flush(self, stream_id: int = 0) -> Awaitable[None] | None:
        """Write what is queued; with a stream, an awaitable where its sender should wait."""
        if stream_id and self.http.busy_streams > 1:
            self._schedule_flush()
        else:
            self._flush_now(kick=not stream_id)
        if not stream_id:
            return None
        high = self._high
        if self.http.buffered(stream_id) > high or self.transport.file is not None:
            return self._wait_writable(stream_id)
        return self.transport.drain()

    def consumed(self, stream_id: int, n: int) -> None:
        """The application has taken ``n`` body bytes; what that queues leaves with the rest."""
        self.http.consumed(stream_id, n)
        if self._flush_scheduled:
            return
        if self.http.busy_streams > 1:
            self._schedule_flush()
        else:
            self._flush_now()

    def open_tunnel(self, take: Callable[[bytes], bool]) -> None:
        """All bytes from the peer go to ``take`` from now on, until it gives False for some."""
        self.tunnel = take

    def write(self, stream_id: int, data: bytes, more: bool) -> Awaitable[None] | None:
        """``send_data`` and ``flush`` in one; with ``more`` to come it leaves at the turn's end."""
        http = self.http
        alone = not (more or self._paused or self._closing or self._lost)
        if alone and self.tunnel is not None and not http.buffered(stream_id):
            # Nothing is before it.
            self.transport.write((data,))
            return self.transport.drain()
        http.send_data(stream_id, data)
        if more:
            self._schedule_flush()
            self._deferred += 1
            if self._deferred > _DEFERRED:
                self._deferred = 0
                return self.transport.turn()
            if http.buffered(stream_id) <= self._high:
                return None
        return self.flush(stream_id)

    def _schedule_flush(self) -> None:
        """See that what is queued leaves in the next turn, once."""
        if not self._flush_scheduled:
            self._deferred = 0
            self._flush_scheduled = True
            self.transport.soon(self._scheduled_flush)

    def _scheduled_flush(self) -> None:
        self._flush_scheduled = False
        try:
            self._flush_now()
        except Exception:
            self._fault()

    def _flush_now(self, *, kick: bool = True) -> None:
        # An answer of our own flushes; were it to take the next request, each would be on the
        # stack of the one before.
        if self._lost or self._taking:
            return
        transport = self.transport
        http = self.http
        taken = 0
        while True:
            drained = self._closing  # what comes behind the end stays unsent
            while not (self._paused or self._closing):
                buffers = http.data_to_send() if http.has_output else None
                if not buffers:
                    drained = True
                    break
                transport.write(buffers)
            if not http.has_events:
                break
            self._taking = True
            try:
                self._dispatch(http.take_events())
            finally:
                self._taking = False
            http = self.http  # an upgrade may have waited
            taken += 1
            if taken == _TAKEN:
                # The next waits for the answer to this one, and that for the next turn.
                drained = False
                self._schedule_flush()
                break
        if kick:
            transport.kick()
        if self._sending:
            self._wake_senders()
        if http.closing and drained:
            self._close()
        wants = http.wants_data or self._closing
        if wants is not self._reading:
            self._reading = wants
            if wants:
                transport.resume_reading()
            else:
                transport.pause_reading()
                if not http.closing:
                    self.worker.counters.limit(http.pause_limit)

    def _close(self) -> None:
        """Everything is handed over: end the connection."""
        if self.http.cut_short(0):
            self._abort()
            return
        lingers = self.http.lingering
        if lingers and not self._closing:
            # TLS has no half-close; closing it waits for the peer's close_notify instead.
            lingers = self.transport.write_eof()
        self._closing = self._lingers = True
        if not lingers:
            self.transport.close()

    async def _wait_writable(self, stream_id: int) -> None:
        """Wait until the stream's buffer is below low water.

        :raises ClientDisconnected: if the peer is lost meanwhile.
        """
        if self.http.buffered(stream_id) > self._high:
            self.worker.counters.limit("write_buffer_high")
        drained = self.transport.drain()
        if drained is not None:
            await drained
        low = self.worker.config.write_buffer_low
        while not self._lost and self._unsent(stream_id) > low:
            await self._wait_to_send(stream_id)
        if self._lost:
            await self.after_listeners()
            raise ClientDisconnected("the client has disconnected")

    async def flush_file(self, stream_id: int, region: FileRegion) -> None:
        """Write what is queued, a file last, and wait until the system has all of it."""
        flushed = self.flush(stream_id)
        if flushed is not None:
            await flushed
        while region.count and not self._lost:
            await self._wait_to_send(stream_id)
        if region.count:
            if region.failure is None:
                await self.after_listeners()
            raise ClientDisconnected("the client has disconnected")

    async def _wait_to_send(self, stream_id: int) -> None:
        """Wait until that may be possible, or the connection is lost."""
        waiter = self.transport.waiter()
        self._sending.setdefault(stream_id, []).append(waiter)
        try:
            await waiter.wait()
        except BaseException:
            waiters = self._sending.get(stream_id, [])
            if waiter in waiters:  # else it was set in the same turn
                waiters.remove(waiter)
            raise

    def _unsent(self, stream_id: int) -> int:
        """Bytes the peer must take before the sender goes on."""
        file = self.transport.file
        return self.http.buffered(stream_id) + (file.count if file is not None else 0)

    def _wake_senders(self) -> None:
        low = self.worker.config.write_buffer_low
        for stream_id in list(self._sending):
            if self._unsent(stream_id) <= low:
                self._wake_senders_of(stream_id)

    def _wake_senders_of(self, stream_id: int) -> None:
        for waiter in self._sending.pop(stream_id):
            waiter.set()

    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""
        return self.transport.turn()

    def waiter(self) -> Waiter:
        """A new one-shot signal."""
        return self.transport.waiter()

    # Shutdown

    def shutdown(self) -> None:
        """Drain: no new exchanges; the open ones go on to their end."""
        try:
            self.http.drain()
            for stream in list(self._streams.values()):
                stream.shutdown()
            self._flush_now()
        except Exception:
            self._fault()

    def cancel(self) -> None:
        """End the applications and the connection now."""
        for stream in list(self._streams.values()):
            task = stream.task
            # Behind its first step: before it asyncio would drop the task without a word.
            if task is not None:
                self.transport.soon(task.cancel)
        self._abort()
