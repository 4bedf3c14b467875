"""The HTTP/2 slot on h2, hpack and hyperframe.

Theory of operation. h2 validates frames, keeps the windows and compresses headers. What
it does not do is done here: buffering and scheduling of outgoing DATA, and a scan of the
incoming frame headers, for four things h2 offers no hook for:

- an over-long frame is refused on its header, not after it was buffered;
- CONTINUATION frames and cheap control frames are counted;
- GOAWAY is kept from h2, which would refuse to send on the streams still open;
- PRIORITY_UPDATE (RFC 9218) is handed up undecoded.

Likewise our own SETTINGS and GOAWAY frames are written with hyperframe: h2 would end the
whole connection for one stream above the limit it announced, and for a GOAWAY it sent.
Header fields are validated above, where a malformed request costs its stream only.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

from tricorn.codecs.base import (
    CodecFailed,
    DataFrame,
    HeadersFrame,
    HTTP2Event,
    HTTP2Settings,
    PingAck,
    PriorityFrame,
    ResetFrame,
    Scheduler,
    SettingsAcknowledged,
    SettingsReceived,
)
from tricorn.codecs.frame_scanner import FrameScanner, Piece
from tricorn.codecs.h2_connection import announced, bound_encoder, limit_of, new_connection, upgrade
from tricorn.codecs.scheduled import Scheduled
from tricorn.codecs.send_buffer import SendBuffer
from tricorn.quoting import shortened
from tricorn.types import Headers

# Any peer takes frames of this size (RFC 9113 section 4.2).
_USUAL_FRAME = 16384
_NO_RFC7540_PRIORITIES = 0x9
_MAX_STREAM_ID = 2**31 - 1
_DEFAULT_WEIGHT = 16
# A window of fewer bytes than this with more to send makes work, not progress
# (CVE-2019-9511).
_TINY = 256
# The connection window is topped up in steps of at least this share of its target.
_WINDOW_STEP = 4


class H2Codec(Scheduled):
    """One HTTP/2 connection's wire syntax, server side."""

    name = "h2"

    def __init__(self, settings: HTTP2Settings, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._settings = settings
        self._announced = announced(settings)
        self._connection = new_connection(settings, self._announced)
        self._scanner = FrameScanner(settings.max_frame_size, settings.max_continuation_frames)
        self._pieces: deque[Piece] = deque()  # frames that wait
        self._failed = False
        self._last_told = _MAX_STREAM_ID  # by GOAWAY
        self._held: list[bytes] = []
        self._held_size = 0
        self._responses = 0  # bytes of heads, and of bodies framed with them, that are queued
        self._outbound: dict[int, SendBuffer | None] = {}  # None: nothing buffered yet
        self._finished: list[int] = []
        self._at_once = 0  # bytes that may be framed before data_to_send asks again
        self._progress = False
        self.framed = 0
        self.glitches = 0

    # Set-up

    def initiate(self) -> None:
        """Queue our SETTINGS and open the connection window."""
        self._connection.initiate_connection()
        self._announce()

    def initiate_upgrade(self, settings: bytes) -> None:
        """As ``initiate``, on a connection upgraded from HTTP/1.1.

        :raises RemoteProtocolError: if HTTP2-Settings is malformed.
        """
        upgrade(self._connection, settings)
        self._announce()
        self._outbound[1] = None
        self._scheduler.insert(1)

    def _announce(self) -> None:
        # Its SETTINGS frame carries h2's own view of the stream limit: write ours instead.
        self._connection.clear_outbound_data_buffer()
        self._hold(hyperframe.frame.SettingsFrame(0, settings=self._announced).serialize())
        self.open_connection_window(self._settings.connection_window)

    def _hold(self, data: bytes) -> None:
        """Queue bytes behind what h2 has queued so far."""
        queued = self._connection.data_to_send()
        for piece in (queued, data):
            if piece:
                self._held.append(piece)
                self._held_size += len(piece)

    # Input

    @property
    def mid_frame(self) -> bool:
        """Whether the peer is inside a frame, a header block or the preface."""
        return self._scanner.mid_frame

    def partial_data(self) -> tuple[int, int]:
        """The stream of a DATA frame that has come in part, and its bytes so far."""
        return self._scanner.partial_data

    @property
    def has_more(self) -> bool:
        """Whether frames wait that ``receive_data`` has not looked at."""
        return bool(self._pieces) and not self._failed

    def quiet(self) -> bool:
        """Whether events are all that ``receive_data`` brought, which cannot be told."""
        return False

    def receive_data(self, data: bytes) -> list[HTTP2Event]:
        """Feed bytes; never raises: a connection error is the last event."""
        events: list[HTTP2Event] = []
        scanner = self._scanner
        if self._failed:
            return events
        if data:
            self._pieces += scanner.scan(data)
        while self._pieces and not self._failed:
            piece = self._pieces.popleft()
            if isinstance(piece, bytes):
                self._feed(piece, events)
                break
            if isinstance(piece, CodecFailed):
                self._fail(events, piece.code, piece.reason, piece.limit)
            else:
                events.append(piece)
        self.glitches += scanner.glitches
        scanner.glitches = 0
        if not self._pieces:
            # What gave no event came for a stream that is over; h2 answers each frame.
            self.glitches += scanner.due
            scanner.due = 0
        return events

    def _feed(self, data: bytes, events: list[HTTP2Event]) -> None:
        try:
            received = self._connection.receive_data(data)
        except h2.exceptions.ProtocolError as exc:
            reason = shortened(str(exc)) or type(exc).__name__
            self._fail(events, int(exc.error_code), reason, limit_of(self._connection, exc))
            return
        except Exception as exc:
            # h2 and hpack let a few plain exceptions through on malformed input.
            code = h2.errors.ErrorCodes.PROTOCOL_ERROR
            self._fail(events, code, shortened(f"{type(exc).__name__}: {exc}"))
            return
        for event in received:
            translate = _TRANSLATE.get(type(event))
            if translate is not None:
                translate(self, event, events)

    def end_input(self) -> None:
        """No more bytes will come."""
        # h2's own bound methods, for which it would wait for the garbage collector.
        self._connection._frame_dispatch_table.clear()

    def _fail(
        self, events: list[HTTP2Event], code: int, reason: str, limit: str | None = None
    ) -> None:
        self.goaway(self._connection.highest_inbound_stream_id, code)
        self._failed = True
        events.append(CodecFailed(code, reason, limit))

    def _on_request(self, event: h2.events.RequestReceived, events: list[HTTP2Event]) -> None:
        self._scanner.due -= 1
        stream_id = event.stream_id
        self._outbound[stream_id] = None
        self._scheduler.insert(stream_id)
        fields = [(name, value) for name, value in event.headers]  # BlackSheep wants plain ones
        events.append(HeadersFrame(stream_id, fields, event.stream_ended is not None))

    def _on_trailers(self, event: h2.events.TrailersReceived, events: list[HTTP2Event]) -> None:
        self._scanner.due -= 1
        events.append(HeadersFrame(event.stream_id, event.headers, True, trailers=True))

    def _on_data(self, event: h2.events.DataReceived, events: list[HTTP2Event]) -> None:
        self._scanner.due -= 1
        ended = event.stream_ended is not None
        flow = event.flow_controlled_length
        events.append(DataFrame(event.stream_id, bytes(event.data), flow, ended))

    def _on_reset(self, event: h2.events.StreamReset, events: list[HTTP2Event]) -> None:
        self.forget(event.stream_id)
        code = int(event.error_code or 0)
        events.append(ResetFrame(event.stream_id, code, local=not event.remote_reset))

    def _on_window(self, event: h2.events.WindowUpdated, events: list[HTTP2Event]) -> None:
        if event.stream_id:
            self._mark_ready(event.stream_id)
        else:
            self._mark_all_ready()

    def _on_settings(
        self, event: h2.events.RemoteSettingsChanged, events: list[HTTP2Event]
    ) -> None:
        self._mark_all_ready()
        bound_encoder(self._connection)
        changed = event.changed_settings.get(_NO_RFC7540_PRIORITIES)
        value = changed.new_value if changed is not None else 0
        if value not in (0, 1):  # RFC 9218 2.1
            code = h2.errors.ErrorCodes.PROTOCOL_ERROR
            self._fail(events, code, f"SETTINGS_NO_RFC7540_PRIORITIES of {value}")
            return
        events.append(SettingsReceived(value == 1))

    def _on_priority(self, event: h2.events.PriorityUpdated, events: list[HTTP2Event]) -> None:
        events.append(
            PriorityFrame(
                event.stream_id or 0,
                event.depends_on or 0,
                event.weight or _DEFAULT_WEIGHT,
                bool(event.exclusive),
            )
        )

    def _on_ping_ack(self, event: h2.events.PingAckReceived, events: list[HTTP2Event]) -> None:
        events.append(PingAck(event.ping_data))

    # Output

    def send_headers(self, stream_id: int, headers: Headers, end_stream: bool) -> None:
        """Queue a response head, or an informational one."""
        if self._failed or stream_id not in self._outbound:
            return
        self._responses -= self._queued
        self._connection.send_headers(stream_id, headers, end_stream)
        self._responses += self._queued
        if end_stream:
            self.forget(stream_id)

    @property
    def _queued(self) -> int:
        """Bytes that h2 has queued."""
        return len(self._connection._data_to_send)

    def respond(self, stream_id: int, headers: Headers, data: bytes) -> bool:
        """``send_headers``, and ``send_data`` that ends the stream."""
        self.send_headers(stream_id, headers, False)
        return self.send_data(stream_id, data, True)

    def send_data(self, stream_id: int, data: bytes, end_stream: bool) -> bool:
        """Buffer body bytes; they leave as windows and scheduling allow."""
        if self._failed or stream_id not in self._outbound:
            return False
        out = self._outbound[stream_id]
        if end_stream and (out is None or not out.size) and self._send_at_once(stream_id, data):
            return False
        if out is None:
            out = self._outbound[stream_id] = SendBuffer()
        if data:
            out.pieces.append(data)
            out.size += len(data)
        out.ended = out.ended or end_stream
        if data or end_stream:
            self._scheduler.ready(stream_id)
        return True

    def _send_at_once(self, stream_id: int, data: bytes) -> bool:
        """Frame a short whole body now, where nobody is waiting before it; whether it was.

        Most responses are of this kind, and need neither the buffer nor the scheduler.
        """
        size = len(data)
        if size > self._at_once or self._scheduler.has_ready or not self._scheduler.is_fair:
            return False
        connection = self._connection
        window = connection.local_flow_control_window(stream_id)
        if size > min(window, connection.max_outbound_frame_size):
            return False
        self._at_once -= size + 9
        self._responses += size + 9
        self.framed += size
        connection.send_data(stream_id, data, True)
        self.forget(stream_id)
        return True

    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """Buffer trailers behind the body; they end the stream."""
        if self._failed or stream_id not in self._outbound:
            return
        out = self._outbound[stream_id]
        if out is None:
            out = self._outbound[stream_id] = SendBuffer()
        out.trailers = headers
        out.ended = True
        self._scheduler.ready(stream_id)

    def push(self, parent_id: int, headers: Headers) -> int:
        """Queue a PUSH_PROMISE; the promised stream id."""
        promised = self._connection.get_next_available_stream_id()
        self._responses -= self._queued
        self._connection.push_stream(parent_id, promised, headers)
        self._responses += self._queued
        self._outbound[promised] = None
        self._scheduler.insert(promised)
        return promised

    def reset(self, stream_id: int, code: int) -> None:
        """Queue RST_STREAM and drop what is buffered."""
        self.forget(stream_id)
        if not self._failed:
            # A stream that has ended meanwhile needs no reset.
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._connection.reset_stream(stream_id, code)

    def forget(self, stream_id: int) -> None:
        """Drop the outbound state of a stream."""
        if stream_id in self._outbound:
            del self._outbound[stream_id]
            self._scheduler.remove(stream_id)

    def _finish(self, stream_id: int) -> None:
        self.forget(stream_id)
        self._finished.append(stream_id)

    def take_finished(self) -> list[int]:
        """Streams whose END_STREAM ``data_to_send`` has framed since the last call."""
        finished, self._finished = self._finished, []
        return finished

    def credit(self, stream_id: int, n: int) -> None:
        """Give the peer ``n`` bytes of the stream's receive window back."""
        if not self._failed:
            with contextlib.suppress(h2.exceptions.ProtocolError, KeyError):
                self._connection.increment_flow_control_window(n, stream_id)

    def open_connection_window(self, target: int) -> None:
        """Bring the connection's receive window up to ``target`` bytes, in large steps."""
        missing = target - self._connection.inbound_flow_control_window
        if missing > 0 and missing * _WINDOW_STEP >= target and not self._failed:
            self._connection.increment_flow_control_window(missing)

    def ping(self, data: bytes) -> None:
        """Queue a PING of 8 bytes."""
        if not self._failed:
            self._connection.ping(data)

    def goaway(self, last_stream_id: int, code: int, debug: bytes = b"") -> None:
        """Queue a GOAWAY (RFC 9113 section 6.8); open streams go on."""
        if not self._failed:
            self._last_told = min(self._last_told, last_stream_id)
            frame = hyperframe.frame.GoAwayFrame(0, self._last_told, code, debug)
            self._hold(frame.serialize())

    def data_to_send(self, limit: int) -> list[bytes]:
        """Control frames, then DATA by priority until about ``limit`` bytes."""
        if not self._failed and self._scheduler.has_ready:
            written = 0
            while written < limit:
                stream_id = self._scheduler.next()
                if stream_id is None:
                    break
                written += self._write_frame(stream_id, limit - written)
        self._at_once = limit or self._at_once
        self._responses = 0
        queued = self._connection.data_to_send()
        if not self._held:
            return [queued] if queued else []
        held = self._held
        self._held = []
        self._held_size = 0
        if queued:
            held.append(queued)
        return held

    def _write_frame(self, stream_id: int, rest: int) -> int:
        """One DATA frame, a large one within ``rest``, or the trailers; its cost in bytes."""
        connection = self._connection
        out = self._outbound.get(stream_id)
        if out is None:
            self._scheduler.remove(stream_id)
            return 0
        size = 0
        if out.size:
            window = connection.local_flow_control_window(stream_id)
            room = min(window, connection.max_outbound_frame_size, max(rest, _USUAL_FRAME))
            if room <= 0:
                self._scheduler.blocked(stream_id)
                return 0
            data = out.take(room)
            size = len(data)
            out.sent += size
            self.framed += size
            if room < _TINY and out.size:
                self.glitches += 1
            else:
                self._progress = True
            last = out.ended and not out.size and out.trailers is None
            connection.send_data(stream_id, data, last)
            if last:
                self._finish(stream_id)
                return size + 9
        elif out.ended and out.trailers is None:
            connection.send_data(stream_id, b"", True)
            self._finish(stream_id)
            return 9
        if not out.size:
            if out.trailers is not None:
                connection.send_headers(stream_id, out.trailers, True)
                self._finish(stream_id)
            else:
                self._scheduler.blocked(stream_id)
        return size + 9

    def _mark_ready(self, stream_id: int) -> None:
        out = self._outbound.get(stream_id)
        if out is not None and (out.size or out.ended):
            self._scheduler.ready(stream_id)

    def _mark_all_ready(self) -> None:
        for stream_id in self._outbound:
            self._mark_ready(stream_id)

    def backlog(self, stream_id: int) -> tuple[int, int]:
        """Bytes buffered for the stream, and bytes of it that were framed."""
        out = self._outbound.get(stream_id)
        return (0, 0) if out is None else (out.size, out.sent)

    def windows(self, stream_id: int) -> tuple[int, int]:
        """Bytes that the stream's own window lets us send, and that of the connection."""
        connection = self._connection
        stream = connection.streams.get(stream_id)
        own = 0 if stream is None else stream.outbound_flow_control_window
        return own, connection.outbound_flow_control_window

    def take_progress(self) -> bool:
        """Whether DATA worth the name was framed since the last call."""
        progress, self._progress = self._progress, False
        return progress

    def buffered(self, stream_id: int) -> int:
        """Bytes buffered for the stream."""
        out = self._outbound.get(stream_id)
        return 0 if out is None else out.size

    def pending(self) -> tuple[int, int]:
        """Bytes queued and not yet given out: of control frames, and of responses."""
        return self._held_size + self._queued - self._responses, self._responses

    @property
    def push_enabled(self) -> bool:
        """Whether the peer takes pushes."""
        return bool(self._connection.remote_settings.enable_push)

    @property
    def peer_max_streams(self) -> int:
        """How many pushed streams the peer lets us have open."""
        return self._connection.remote_settings.max_concurrent_streams

    @property
    def highest_stream_id(self) -> int:
        """The highest client stream seen."""
        return self._connection.highest_inbound_stream_id


_TRANSLATE: dict[type[h2.events.Event], Callable[[H2Codec, Any, list[HTTP2Event]], None]] = {
    h2.events.RequestReceived: H2Codec._on_request,
    h2.events.TrailersReceived: H2Codec._on_trailers,
    h2.events.DataReceived: H2Codec._on_data,
    h2.events.StreamReset: H2Codec._on_reset,
    h2.events.WindowUpdated: H2Codec._on_window,
    h2.events.RemoteSettingsChanged: H2Codec._on_settings,
    h2.events.SettingsAcknowledged: lambda _, __, events: events.append(SettingsAcknowledged()),
    h2.events.PriorityUpdated: H2Codec._on_priority,
    h2.events.PingAckReceived: H2Codec._on_ping_ack,
}
