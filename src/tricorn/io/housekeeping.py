"""What a connection does as time passes: its timers, and the ends of applications."""

from __future__ import annotations

import math

from tricorn.asgi.host import WebSocketHost
from tricorn.asgi.http import HTTPStream
from tricorn.asgi.runner import describe
from tricorn.asgi.websocket import WebSocketStream
from tricorn.compilation import mypyc_attr
from tricorn.io.ending import Ending
from tricorn.io.transport import Transport
from tricorn.protocol.events import Event, PeerFault
from tricorn.protocol.http2_errors import CANCEL


@mypyc_attr(allow_interpreted_subclasses=True)
class Housekeeping(WebSocketHost):
    """The part of the driver that the ticks move."""

    __slots__ = ("_closing", "_ending", "_gone", "_in_flight", "_lingers", "_stall")

    transport: Transport
    _streams: dict[int, HTTPStream | WebSocketStream]
    _running: int
    _ending: Ending | None
    _closing: bool
    _lingers: bool
    _lost: bool  # nothing more can be written
    _gone: bool  # and nothing more is
    _paused: bool
    _in_flight: int  # bytes that the peer had not acknowledged at the last tick
    _stall: tuple[int, float]

    def _dispatch(self, events: list[Event]) -> None:
        raise NotImplementedError

    def _flush_now(self) -> None:
        raise NotImplementedError

    def _fault(self) -> None:
        raise NotImplementedError

    def _abort(self, reset: bool = False) -> None:
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic)."""
        try:
            if not self._lost:
                # The time for the peer to close begins when it has everything, and until then
                # nothing else is timed but how it takes that.
                in_flight = self.transport.in_flight() if self._closing else 0
                if not in_flight and (self._closing or not self.http.closing):
                    self.http.held = self._peer_takes()
                    self._dispatch(self.http.handle_timeout(now))
                for stream in list(self._streams.values()):
                    stream.tick(now)
                    if stream.complete and stream.task is None:
                        del self._streams[stream.stream_id]
                    elif stream.abandoned:
                        self._leave(stream.stream_id)  # a WebSocket that its peer has ended
                self._check_stall(now, in_flight)
                self._flush_now()
            if self._ending is not None:
                self._end_applications(self._ending, now)
        except Exception:
            self._fault()

    def _peer_takes(self) -> bool:
        """Whether the peer is still about what was written to it; asked for HTTP/2's streams.

        It gives no window for what it has not read, and the system may hold megabytes.
        """
        if self.http.http_version != "2" or not self.http.busy_streams:
            return False
        before, self._in_flight = self._in_flight, self.transport.in_flight()
        return self._paused or 0 < self._in_flight != before

    def _check_stall(self, now: float, in_flight: int) -> None:
        """Cut a peer that takes nothing of what was written to it."""
        held = self.transport.unsent()
        if held and not self._closing:
            # The system asks for more in steps of a megabyte perhaps; the peer reads meanwhile.
            in_flight = self.transport.in_flight()
        unsent = held + in_flight
        before, since = self._stall
        if not unsent or unsent != before:
            self._stall = (unsent, now)
            return
        config = self.worker.config
        limit = config.write_timeout
        if limit is not None and now - since >= limit:
            self.report(PeerFault(0, "peer takes no response data", None, "write_timeout"))
            # Half a response is of no use: else the system keeps megabytes of it for minutes.
            self._abort(reset=held > 0)

    def untaken(self, stream_id: int) -> int:
        """Bytes of a stream, and of those that share its wire, that the peer has not taken."""
        transport = self.transport
        return self.http.buffered(stream_id) + transport.unsent() + transport.in_flight()

    def cut(self, stream_id: int) -> None:
        """End a stream and drop what is queued for it: its peer is not waited for."""
        if self.http.http_version == "1.1":
            # It has the connection, which would close only behind what the peer does not take.
            self._abort(reset=self.transport.unsent() > 0)
        else:
            self.http.reset(stream_id, CANCEL)

    def _end_applications(self, ending: Ending, now: float) -> None:
        grace = self.worker.config.disconnect_grace
        for stream_id in ending.tick(now, grace, self._streams):
            what = describe(self._streams[stream_id])
            self.worker.log.error("the application ignores its cancellation: %s", what)
            if not self._lost:
                self.http.drain()
                self._flush_now()

    def running(self) -> list[str]:
        """The requests whose applications run, in a few words each."""
        return [describe(stream) for stream in self._streams.values() if stream.task is not None]

    @property
    def unfinished(self) -> bool:
        """Whether anything is left to do but to wait for the peer to close."""
        if self._running or not (self._closing or self._lost):
            return True
        return self.transport.unsent() > 0 or self.transport.in_flight() > 0

    def load(self) -> tuple[int, int, int]:
        """1 while the connection is open, applications that run for it, its open WebSockets."""
        websockets = 0
        for stream in self._streams.values():
            if isinstance(stream, WebSocketStream):
                websockets += stream.is_open
        return int(not self._gone), self._running, websockets

    # Making room for another connection

    def idle_since(self) -> float | None:
        """Since when nothing goes on (seconds, as of the last tick), None while something does."""
        if self._lost or self._running:
            return None
        if not self._closing:
            since = self.http.idle_since()
            return since if since is None or not self._would_cut() else None
        # One that only waits for its peer to close gives way before all others.
        return -math.inf if self._lingers and not self.unfinished else None

    def _would_cut(self) -> bool:
        """Whether the peer would lose some of its last response if the connection were closed now.

        What the system has it goes on to send; but over HTTP/2 peers say something as they read,
        which would be answered with a reset.
        """
        if self.transport.unsent():
            return True
        return self.http.http_version == "2" and self.transport.in_flight() > 0

    def evict(self) -> None:
        """Close the idle connection in favour of another one."""
        try:
            if not self._closing:
                self.http.end_idle()
                self._flush_now()
                self._closing = True
            self._lingers = False
            self.transport.close_at_once()
        except Exception:
            self._fault()

    # Applications that have to end

    def _leave(self, stream_id: int) -> None:
        """The peer has left this exchange; its application has its grace from now on."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.task is not None:
            self._ending = self._ending or Ending(self.worker.counters)
            self._ending.left(stream_id)

    def end_application(self, stream_id: int) -> None:
        """Cancel the application of an exchange."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.task is not None:
            self._ending = self._ending or Ending(self.worker.counters)
            self._ending.cancel(stream_id, stream.task)
