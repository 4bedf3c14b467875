"""The HTTP/2 connection: limits, push, extended CONNECT, flood budgets, GOAWAY and drain.

Theory of operation. The codec keeps frames, windows and compression; every rule that is
a matter of choice is here. The reader never stops for one stream: a stream's window is
given back as its application consumes, so an idle application costs its peer that
stream's window and nothing else. The connection window is the memory bound less what is
buffered: it never holds a stream back before the bound is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tricorn.codecs import base as frames
from tricorn.codecs.base import HTTP2Codec, HTTP2Event
from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import http2_errors as errors
from tricorn.protocol import scheduler
from tricorn.protocol.events import (
    DataReceived,
    Event,
    LimitReached,
    PeerFault,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from tricorn.protocol.http2_output import HTTP2Output
from tricorn.protocol.http2_request import check_trailers, make_first, read_request
from tricorn.protocol.http2_streams import HTTP2Stream
from tricorn.quoting import quoted
from tricorn.types import Headers


class HTTP2Connection(HTTP2Output):
    """Server side of one HTTP/2 connection (RFC 9113)."""

    def __init__(
        self,
        codec: HTTP2Codec,
        config: Config,
        defaults: Callable[[], Headers] = list,
        *,
        secure: bool,
    ) -> None:
        super().__init__(codec, config, defaults, secure=secure)
        self._announced = False  # the peer knows our settings
        self._partial = 0  # bytes of the DATA frame that had come in part at the last tick

    def __repr__(self) -> str:
        state = "closing" if self.closing else "draining" if self._drain.begun else "open"
        streams = self._streams
        return f"<HTTP2Connection {state} streams={len(streams.by_id)} in={streams.buffered}B>"

    def initiate(self) -> None:
        """Queue the server's connection preface."""
        self._codec.initiate()

    def initiate_upgrade(self, settings: bytes, request: RequestReceived, body: bytes) -> None:
        """Take over a request that came as HTTP/1.1 with ``Upgrade: h2c``, as stream 1.

        :raises RemoteProtocolError: if HTTP2-Settings is malformed.
        """
        self._codec.initiate_upgrade(settings)
        make_first(request, body)
        stream = self._open(request, self._events)
        if body:
            self._streams.received(stream, len(body))
            self._events += [DataReceived(1, body), StreamEnded(1)]
            stream.request_ended = True
        self.has_events = True

    # Input

    @property
    def can_push(self) -> bool:
        """Whether a push would be taken now."""
        return self._limits.pushes and self._codec.push_enabled and self._drain.takes_pushes

    @property
    def may_receive(self) -> bool:
        """Whether other streams leave any of the connection's window to a request body."""
        return self._streams.may_grow(self._limits.window)

    def arriving(self, stream_id: int) -> int:
        """Body bytes that have come and are no event yet."""
        partial, size = self._codec.partial_data()
        return size if partial == stream_id else 0

    @property
    def pause_limit(self) -> str:
        """The option that bounds what waits for a peer that does not read."""
        return "h2_max_output_control"

    def receive_data(self, data: bytes) -> list[Event]:
        """Feed bytes from the peer."""
        events: list[Event] = []
        if self.closing:
            return events
        self._heard = True
        codec, more = self._codec, True
        while more:
            received: list[HTTP2Event] = self._receive(data)
            for frame in received:
                if isinstance(frame, frames.HeadersFrame):
                    self._on_headers(frame, events)
                elif isinstance(frame, frames.DataFrame):
                    self._on_data(frame, events)
                else:
                    _HANDLERS[type(frame)](self, frame, events)
                if self.closing:
                    break
            if self._quiet():
                break
            if codec.glitches:
                self._fail(self._floods.charge(codec), events)
            more, data = codec.has_more and not self.closing, b""
        else:
            self._open_window()
        if self._drain.due and not self.closing:
            # What came behind the acknowledgement counts: the codec has seen it already.
            self._finish_drain()
        return events

    def receive_eof(self) -> list[Event]:
        """The peer closed its sending side: nothing is left to answer."""
        events: list[Event] = []
        self._lose_streams(events)
        self.closing = True
        self.lingering = False
        self._codec.end_input()
        return events

    def take_events(self) -> list[Event]:
        """Pushed requests."""
        events, self._events = self._events, []
        self.has_events = False
        return events

    def _on_headers(self, frame: frames.HeadersFrame, events: list[Event]) -> None:
        stream_id = frame.stream_id
        if frame.trailers:
            self._on_trailers(frame, events)
            return
        if self._drain.refuses(stream_id):
            self._reset_by_us(stream_id, errors.REFUSED_STREAM, events)
            return
        if self._streams.full(self._limits.streams):
            # RFC 9113 5.1.2: this stream alone; the request was not acted upon.
            events.append(LimitReached(stream_id, "h2_max_concurrent_streams"))
            if self._announced:
                self._reset_by_us(stream_id, errors.REFUSED_STREAM, events)
                return
            # Nor was it a fault: nobody has to wait for our settings.
            self._unsent = True
            self._codec.reset(stream_id, errors.REFUSED_STREAM)
            self._fail(self._floods.glitch(1), events)
            return
        try:
            event = read_request(frame.headers, stream_id, frame.end_stream, self._limits)
        except RemoteProtocolError as exc:
            self._refuse(stream_id, exc, events)
            return
        if (value := event.priority) is not None:
            self._codec.prioritize(stream_id, *scheduler.parse_priority(value), initial=True)
        self._open(event, events)

    def _open(self, event: RequestReceived, events: list[Event]) -> HTTP2Stream:
        stream = self._streams.open(event)
        events.append(event)
        self._requests += 1
        if self._requests == self._limits.last_request:
            events.append(LimitReached(event.stream_id, "keep_alive_max_requests"))
            self.drain()
        return stream

    def _refuse(self, stream_id: int, exc: RemoteProtocolError, events: list[Event]) -> None:
        """A malformed request costs its stream; a well-formed one is answered (RFC 9113 8.1.1)."""
        events.append(PeerFault(stream_id, str(exc), exc.status, exc.limit))
        if exc.status == 400 and not exc.in_value:
            self._reset_by_us(stream_id, errors.PROTOCOL_ERROR, events)
            return
        # As an application's answer that does not wait for the content, it costs no budget: behind
        # a proxy the connection is that of many. Nor has anybody begun to work for it, which is
        # what makes a reset dear (CVE-2025-8671).
        self._unsent = True
        if exc.status == 400:
            self._codec.reset(stream_id, errors.PROTOCOL_ERROR)
            return
        status = (b":status", b"%d" % exc.status)
        self._codec.send_headers(stream_id, [status, *exc.headers, *self._defaults()], True)
        self._codec.reset(stream_id, errors.NO_ERROR)

    def _on_trailers(self, frame: frames.HeadersFrame, events: list[Event]) -> None:
        if (stream := self._streams.find(frame.stream_id)) is None:
            return
        try:
            if stream.connect:
                raise RemoteProtocolError("trailers on a tunnel")  # RFC 9113 section 8.5
            # Behind the response nobody counts what comes.
            odd = check_trailers(frame, None if stream.sent else stream.still_due, self._limits)
        except RemoteProtocolError as exc:
            events.append(PeerFault(frame.stream_id, str(exc), limit=exc.limit))
            self._reset_by_us(frame.stream_id, errors.PROTOCOL_ERROR, events)
            return
        if odd:
            reason = f"control character in the value of trailer field {quoted(odd[0])}"
            events.append(PeerFault(frame.stream_id, reason))
        events.append(TrailersReceived(frame.stream_id, frame.headers))
        self._request_ended(frame.stream_id, stream, events)

    def _on_data(self, frame: frames.DataFrame, events: list[Event]) -> None:
        stream_id = frame.stream_id
        stream = self._streams.find(stream_id)
        if stream is None:
            return  # its connection credit comes back with the next window update
        stream.touched = True
        size = len(frame.data)
        if stream.sent and not stream.tunnel:
            # Nobody wants it; no credit is given back, so it ends with the window.
            stream.credit += frame.flow
            if stream.credit * 2 >= self._limits.stream_window and not frame.end_stream:
                self._end_unwanted(stream_id, stream)
                return
        elif not stream.takes(size, ended=frame.end_stream):
            events.append(PeerFault(stream_id, "content of another length than Content-Length"))
            self._reset_by_us(stream_id, errors.PROTOCOL_ERROR, events)
            return
        elif size:
            self._streams.received(stream, size)
            events.append(DataReceived(stream_id, frame.data))
        if frame.end_stream:
            self._request_ended(stream_id, stream, events)
        elif frame.flow > size:
            self._codec.credit(stream_id, frame.flow - size)

    def _request_ended(self, stream_id: int, stream: HTTP2Stream, events: list[Event]) -> None:
        stream.request_ended = True
        events.append(StreamEnded(stream_id))
        if stream.sent:
            self._drop(stream_id, stream, completed=True)

    def _on_reset(self, frame: frames.ResetFrame, events: list[Event]) -> None:
        stream = self._streams.find(frame.stream_id)
        if stream is not None:
            if frame.limit is not None:
                events.append(PeerFault(frame.stream_id, "window overrun", limit=frame.limit))
            events.append(StreamReset(frame.stream_id, frame.code))
            # Behind a whole response it only stops the request, which many clients do.
            self._drop(frame.stream_id, stream, completed=stream.sent)
        # It is a courtesy then, not an attack.
        if frame.local or (stream is not None and not stream.sent):
            self._fail(self._floods.reset(), events)

    def _on_priority(self, frame: frames.PriorityFrame, events: list[Event]) -> None:
        if not self._codec.reprioritize(
            frame.stream_id, frame.depends_on, frame.weight, frame.exclusive
        ):
            self._reset_by_us(frame.stream_id, errors.PROTOCOL_ERROR, events)

    def _on_priority_update(self, frame: frames.PriorityUpdateFrame, events: list[Event]) -> None:
        try:
            stream_id, value = scheduler.parse_priority_update(frame.payload)
        except ValueError as exc:
            short = isinstance(exc, scheduler.PriorityUpdateSizeError)
            code = errors.FRAME_SIZE_ERROR if short else errors.PROTOCOL_ERROR
            self._fail(frames.CodecFailed(code, str(exc)), events)
        else:
            self._codec.prioritize(stream_id, *scheduler.parse_priority(value))

    def _on_settings(self, frame: frames.SettingsReceived, events: list[Event]) -> None:
        if frame.no_rfc7540_priorities:
            self._codec.disable_rfc7540()

    def _on_settings_ack(self, frame: frames.SettingsAcknowledged, events: list[Event]) -> None:
        self._announced = True

    def _on_ping_ack(self, frame: frames.PingAck, events: list[Event]) -> None:
        self._drain.acknowledged(frame.data)

    def _on_goaway(self, frame: frames.GoAwayFrame, events: list[Event]) -> None:
        # The streams still open are answered (RFC 9113 6.8); nothing new is pushed.
        self._drain.peer_leaving = True
        self._close_if_done()

    def _on_failed(self, frame: frames.CodecFailed, events: list[Event]) -> None:
        events.append(PeerFault(0, frame.reason, None, frame.limit))
        self._lose_streams(events)
        self._close()

    def _fail(self, failure: frames.CodecFailed | None, events: list[Event]) -> None:
        """A connection error, if there is one (RFC 9113 section 5.4.1)."""
        if failure is None or self.closing:
            return
        self._unsent = True
        last = self._codec.highest_stream_id
        self._codec.goaway(last, failure.code, failure.reason.encode()[:64])
        self._on_failed(failure, events)

    def _lose_streams(self, events: list[Event]) -> None:
        for stream_id, stream in list(self._streams.by_id.items()):
            events.append(StreamReset(stream_id))
            self._drop(stream_id, stream)

    def _reset_by_us(self, stream_id: int, code: int, events: list[Event]) -> None:
        """Reset for what the peer did, and charge it."""
        self._unsent = True
        if (stream := self._streams.find(stream_id)) is not None:
            events.append(StreamReset(stream_id, code))
            self._drop(stream_id, stream)
        self._codec.reset(stream_id, code)
        self._fail(self._floods.reset("too many stream errors"), events)

    # Output

    def push(self, stream_id: int, path: bytes, headers: Headers) -> int | None:
        """Promise a response to GET ``path`` (RFC 9113 section 8.4); None where declined."""
        parent = self._streams.find(stream_id)
        if parent is None or parent.pushed or parent.response_ended or not self.can_push:
            return None
        # A promise names a host that the client has asked for (RFC 9113 section 8.4.1).
        authority = next((value for name, value in parent.headers if name == b"host"), b"")
        if not authority:
            return None
        if not self._pushes.allows(path, self._codec.peer_max_streams):
            if self._pushes.full:
                self._events.append(LimitReached(stream_id, "h2_max_pushes"))
                self.has_events = True
            return None
        self._unsent = True
        promise, event = self._pushes.promise(self._scheme, authority, path, headers)
        event.stream_id = self._codec.push(stream_id, promise)
        self._streams.open(event)
        self._events.append(event)
        self.has_events = True
        return event.stream_id

    # Time

    @property
    def _silent(self) -> bool:
        return not self._heard

    def _phase_now(self) -> tuple[object, float | None]:
        if self.lingering:
            # A peer that does not read has nothing to wait for but what is on its way.
            return "linger", 0.0 if self._drain.unheard else self._config.close_timeout
        if self._codec.mid_frame and not self._streams.by_id:
            return ("head", self._codec.highest_stream_id), self._config.header_timeout
        if self._drain.waits:
            return "drain", self._config.drain_idle_timeout
        if not self._streams.by_id:
            return ("idle", self._requests), self._config.keep_alive_timeout
        return None, None

    def handle_timeout(self, now: float) -> list[Event]:
        """Let time pass (seconds, monotonic)."""
        events: list[Event] = []
        self._floods.refill(now)
        if self.closing and not self.lingering:
            return events
        self._check_streams(now, events)
        phase, limit = self._phase_now()
        if not self._timer.expired(now, phase, limit):
            return events
        if self.lingering:
            if not self._drain.unheard:
                events.append(LimitReached(0, "close_timeout"))
            self.lingering = False
            return events
        if phase == "drain":
            self._drain.unheard = True
            self._finish_drain()
            return events
        if self._codec.mid_frame:
            events.append(PeerFault(0, "timed out in a frame", None, "header_timeout"))
        else:
            events.append(LimitReached(0, "keep_alive_timeout"))
        self.end_idle()
        return events

    def _check_streams(self, now: float, events: list[Event]) -> None:
        """Reset streams on which nothing has moved for too long."""
        partial, size = self._codec.partial_data()
        if size != self._partial:
            self._partial = size
            if (coming := self._streams.find(partial)) is not None:
                coming.touched = True
        for late in self._streams.overdue(now, self._codec, self._config, self.held):
            events.append(late)
            stream_id = late.stream_id
            if type(late) is LimitReached:
                self._end_unwanted(stream_id, self._streams.by_id[stream_id])
                continue
            self._reset_by_us(stream_id, errors.CANCEL, events)
            if self.closing:
                return


_HANDLERS: Final[dict[type[HTTP2Event], Callable[[HTTP2Connection, Any, list[Event]], None]]] = {
    frames.ResetFrame: HTTP2Connection._on_reset,
    frames.PriorityFrame: HTTP2Connection._on_priority,
    frames.PriorityUpdateFrame: HTTP2Connection._on_priority_update,
    frames.SettingsReceived: HTTP2Connection._on_settings,
    frames.SettingsAcknowledged: HTTP2Connection._on_settings_ack,
    frames.PingAck: HTTP2Connection._on_ping_ack,
    frames.GoAwayFrame: HTTP2Connection._on_goaway,
    frames.CodecFailed: HTTP2Connection._on_failed,
}
