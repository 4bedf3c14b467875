"""One open WebSocket: messages, close handshake, keepalive (RFC 6455). No I/O and no clock.

Bytes go in through ``receive_data`` and come out of ``data_to_send``; time comes in through
``handle_timeout``. The wire under it may be a TCP stream after 101 or an HTTP/2 stream after
200: nothing here knows which.

Once ``closed`` is true the transport writes what ``data_to_send`` gives and ends the stream
(RFC 6455 section 7.1.1: the server closes first); where ``wants_abort`` is true as well, the
peer has not kept to the close handshake, or takes nothing any more, and is cut off: what is
queued is not waited for.
"""

from __future__ import annotations

import enum
import io
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from tricorn.codecs import choice
from tricorn.codecs.websocket_base import (
    BytesPiece,
    CloseFrame,
    DeflateParameters,
    ParseFailure,
    PingFrame,
    PongFrame,
    TextPiece,
    WebSocketCodecFactory,
)
from tricorn.exceptions import LocalProtocolError
from tricorn.protocol.websocket_timers import WebSocketTimers

NO_STATUS_RECEIVED: Final = 1005
ABNORMAL_CLOSURE: Final = 1006
INTERNAL_ERROR: Final = 1011

# A control frame holds 125 bytes, two of them the code (RFC 6455 section 5.5).
MAX_CLOSE_REASON: Final = 123

# RFC 6455 section 5.5.2 lets us answer only the latest ping. Peers that send a few in one go
# and wait for every pong get them all; a flood finds this much of our memory and no more.
_MAX_PENDING_PONGS: Final = 16


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """What one peer may cost; sizes in bytes, times in seconds.

    ``max_message_size`` counts after inflation; ``max_frame_size`` the payload announced in
    one frame header; ``max_fragments`` the frames of one message. A ping is sent after
    ``ping_interval`` without a byte from the peer (None: never) and the connection fails when
    ``ping_timeout`` more pass in silence (None: it never does). ``close_timeout`` is how long
    our close frame may wait for the peer's, once that takes nothing of what lies before ours.
    """

    max_message_size: int = 16 * 1024 * 1024
    max_frame_size: int = 16 * 1024 * 1024
    max_fragments: int = 65536
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class CompressionOptions:
    """What we want of permessage-deflate (RFC 7692 section 7.1).

    Window sizes are base-2 logarithms of bytes, 9 to 15: zlib cannot deflate with 8.
    Messages of less than ``min_size`` bytes are sent uncompressed.

    Raises ValueError for a window size out of range.
    """

    server_max_window_bits: int = 15
    client_max_window_bits: int = 15
    server_context_takeover: bool = True
    client_context_takeover: bool = True
    min_size: int = 64

    def __post_init__(self) -> None:
        for bits in (self.server_max_window_bits, self.client_max_window_bits):
            if not 9 <= bits <= 15:
                raise ValueError(f"deflate window bits must be 9 to 15, not {bits}")


@dataclass(slots=True)
class PongReceived:
    """A pong, asked for or not, with at most 125 bytes of payload."""

    payload: bytes


@dataclass(slots=True)
class CloseReceived:
    """The peer's close frame; ``code`` is 1005 and ``reason`` empty where it gave none."""

    code: int
    reason: str


@dataclass(slots=True)
class ConnectionFailed:
    """The connection ended without the peer's close frame.

    ``code`` is the close code we sent (1002, 1007, 1008, 1009, ...), or 1006 where the peer is
    gone, silent or too slow to close. ``limit`` is the option whose bound was passed, None
    where it was another rule.
    """

    code: int
    reason: str
    limit: str | None = None


#: A whole text message is a ``str``, a whole binary message is ``bytes``.
WebSocketEvent: TypeAlias = str | bytes | PongReceived | CloseReceived | ConnectionFailed


class WebSocketState(enum.Enum):
    """Where the closing handshake stands (RFC 6455 section 7.1)."""

    OPEN = "open"
    CLOSING = "closing"  # Our close frame is out, the peer's is not in.
    REMOTE_CLOSING = "remote closing"  # The peer's close frame is in, ours is not out.
    CLOSED = "closed"


class _Trigger(enum.Enum):
    CLOSE_SENT = enum.auto()
    CLOSE_RECEIVED = enum.auto()
    ENDED = enum.auto()  # The stream ended, or we gave the connection up.


_OPEN: Final = WebSocketState.OPEN
_CLOSING: Final = WebSocketState.CLOSING
_CLOSED: Final = WebSocketState.CLOSED

# A pair that is missing here is a defect of this module, and a KeyError.
TRANSITIONS: Final[dict[tuple[WebSocketState, _Trigger], WebSocketState]] = {
    (_OPEN, _Trigger.CLOSE_SENT): _CLOSING,
    (_OPEN, _Trigger.CLOSE_RECEIVED): WebSocketState.REMOTE_CLOSING,
    (_OPEN, _Trigger.ENDED): _CLOSED,
    (_CLOSING, _Trigger.CLOSE_RECEIVED): _CLOSED,
    (_CLOSING, _Trigger.ENDED): _CLOSED,
    (WebSocketState.REMOTE_CLOSING, _Trigger.CLOSE_SENT): _CLOSED,
}


class WebSocketConnection:
    """Server side of one WebSocket after its handshake.

    ``deflate`` is what the handshake agreed on, None for no compression; ``min_size`` (bytes)
    the smallest message worth compressing; ``codec_factory`` None takes the fastest codec.
    ``close_code`` and ``close_reason`` say how the connection ended and are None and "" until
    then.
    """

    def __init__(
        self,
        limits: WebSocketLimits,
        deflate: DeflateParameters | None = None,
        min_size: int = 0,
        codec_factory: WebSocketCodecFactory | None = None,
    ) -> None:
        self.close_code: int | None = None
        self.close_reason = ""
        self.close_received = False
        self.close_sent = False
        self.wants_abort = False
        self.has_output = False  # data_to_send has news, be it that we are closed
        self.has_held = False  # settle has something to do
        self._codec = (codec_factory or choice.websocket())(
            max_message_size=limits.max_message_size,
            max_frame_size=limits.max_frame_size,
            max_fragments=limits.max_fragments,
            deflate=deflate,
        )
        self._compresses = deflate is not None
        self._min_size = min_size
        self._state = _OPEN
        self._output: list[bytes] = []
        self._pongs: deque[bytes] = deque(maxlen=_MAX_PENDING_PONGS)
        self._held: ParseFailure | None = None
        self._held_late = False  # a call of handle_timeout ago already
        # The message under way. Buffers, not lists of pieces: a peer that sends one byte at a
        # time must not cost an object for each.
        self._text: io.StringIO | None = None
        self._bytes: bytearray | None = None
        self._timers = WebSocketTimers(
            limits.ping_interval, limits.ping_timeout, limits.close_timeout
        )
        self._pings = 0

    @property
    def state(self) -> WebSocketState:
        return self._state

    @property
    def closed(self) -> bool:
        """True once the transport should flush and end the stream."""
        return self._state is _CLOSED

    @property
    def awaits_answer(self) -> bool:
        """True while a ping or our close frame is not answered."""
        return self.close_sent or self._timers.ping_sent is not None

    @property
    def owes_pongs_only(self) -> bool:
        """True while what ``data_to_send`` would give may as well wait: of many, few are kept."""
        return not self._output and self._state is _OPEN

    def receive_data(self, data: bytes, untaken: bool = False) -> list[WebSocketEvent]:
        """Take ``data`` from the wire; give what it completed, in order.

        Pings are answered and the peer's close is echoed without being asked. Never raises
        for what the peer sent: a broken rule closes with its code and is the last event. Where
        other events came before it in ``data``, or messages of earlier calls are ``untaken``,
        the failure is held back until ``settle``, so that what they lead to can still be sent.
        Data after the end is ignored, and messages are dropped once our close frame is out.
        """
        self._timers.heard = True
        events: list[WebSocketEvent] = []
        if self._state is _CLOSED:
            return events
        if self._held is not None:
            return events if untaken else self.settle()
        is_open = self._state is _OPEN
        for piece in self._codec.receive_data(data):
            kind = piece.__class__
            # Messages that come in one piece are nearly all there are.
            if kind is str or kind is bytes:
                if is_open:
                    events.append(piece)  # type: ignore[arg-type]
            elif kind is TextPiece:
                self._add_text(piece, events)  # type: ignore[arg-type]
            elif kind is BytesPiece:
                self._add_bytes(piece, events)  # type: ignore[arg-type]
            elif kind is ParseFailure and (events or untaken):
                self._held = piece  # type: ignore[assignment]
                self.has_held = True
                break
            else:
                # The ends are the last there is.
                self._control(piece, events)  # type: ignore[arg-type]
        return events

    def settle(self) -> list[WebSocketEvent]:
        """Carry out the failure that ``receive_data`` held back, if any; give its event.

        To be called once the events before it have been dealt with. The next ``receive_data``
        with nothing untaken, ``receive_eof`` or the second ``handle_timeout`` does it too.
        """
        held, self._held = self._held, None
        self.has_held = False
        return [] if held is None else self._broken(held)

    def _add_text(self, piece: TextPiece, events: list[WebSocketEvent]) -> None:
        if self._state is not _OPEN:
            return
        if self._text is None:
            self._text = io.StringIO()
        self._text.write(piece.data)
        if piece.finished:
            events.append(self._text.getvalue())
            self._text = None

    def _add_bytes(self, piece: BytesPiece, events: list[WebSocketEvent]) -> None:
        if self._state is not _OPEN:
            return
        if self._bytes is None:
            self._bytes = bytearray()
        self._bytes += piece.data
        if piece.finished:
            events.append(bytes(self._bytes))
            self._bytes = None

    def _control(
        self,
        frame: PingFrame | PongFrame | CloseFrame | ParseFailure,
        events: list[WebSocketEvent],
    ) -> None:
        if isinstance(frame, PingFrame):
            if self._state is _OPEN:
                self._pongs.append(frame.payload)
                self.has_output = True
        elif isinstance(frame, PongFrame):
            events.append(PongReceived(frame.payload))
        elif isinstance(frame, CloseFrame):
            events.append(self._close_arrived(frame))
        else:
            events += self._broken(frame)

    def _close_arrived(self, frame: CloseFrame) -> CloseReceived:
        code = NO_STATUS_RECEIVED if frame.code is None else frame.code
        self.close_received = True
        self.close_code = code
        self.close_reason = frame.reason
        was_open = self._state is _OPEN
        self._move(_Trigger.CLOSE_RECEIVED)
        if was_open:
            # RFC 6455 section 5.5.1: the answer typically echoes the status code.
            self._write_close(frame.code, "")
            self._move(_Trigger.CLOSE_SENT)
        self._drop_message()
        return CloseReceived(code, frame.reason)

    def receive_eof(self) -> list[WebSocketEvent]:
        """The stream ended. Without the peer's close frame that is a failure, code 1006."""
        events = self.settle()
        if self._state is not _CLOSED:
            events += self._end(ABNORMAL_CLOSURE, "connection lost")
        return events

    def send_text(self, text: str) -> None:
        """Queue a text message.

        Raises LocalProtocolError once closing has begun, or for a ``text`` with surrogates,
        which UTF-8 cannot carry.
        """
        if self._state is not _OPEN:
            self._refuse("text message")
        if self._pongs:
            self._write_pongs()
        try:
            if self._compresses:
                payload = text.encode()
                frame = self._codec.text(payload, len(payload) >= self._min_size)
            else:
                frame = self._codec.text(text, False)
        except UnicodeEncodeError as error:
            raise LocalProtocolError(f"text is not valid Unicode: {error.reason}") from error
        self._output.append(frame)
        self.has_output = True

    def send_bytes(self, data: bytes) -> None:
        """Queue a binary message. Raises LocalProtocolError once closing has begun."""
        if self._state is not _OPEN:
            self._refuse("binary message")
        if self._pongs:
            self._write_pongs()
        compress = self._compresses and len(data) >= self._min_size
        self._output.append(self._codec.binary(data, compress))
        self.has_output = True

    def send_close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake (RFC 6455 section 7.1.2).

        Raises LocalProtocolError once closing has begun, for a ``code`` that may not be sent
        (section 7.4), or a ``reason`` over 123 bytes of UTF-8.
        """
        if self._state is not _OPEN:
            self._refuse("close frame")
        if not is_sendable_close_code(code):
            raise LocalProtocolError(f"close code {code} may not be sent")
        try:
            length = len(reason.encode())
        except UnicodeEncodeError as error:
            raise LocalProtocolError(f"reason is not valid Unicode: {error.reason}") from error
        if length > MAX_CLOSE_REASON:
            raise LocalProtocolError(f"close reason of {length} bytes; {MAX_CLOSE_REASON} fit")
        self._write_close(code, reason)
        self._move(_Trigger.CLOSE_SENT)
        self._drop_message()

    def fail(self, code: int, reason: str = "") -> list[WebSocketEvent]:
        """Fail the connection (RFC 6455 section 7.1.7): a close frame, and no waiting for one.

        Gives the one event that says so, or none if the connection had ended already. The
        close frame is left out where ours is out already or ``code`` may not be sent; a
        ``reason`` that is too long is cut.
        """
        return self._fail(code, code, reason)

    def _broken(self, failure: ParseFailure) -> list[WebSocketEvent]:
        """The peer broke a rule; the codec's limits are our options of the same name."""
        limit = None if failure.limit is None else f"websocket_{failure.limit}"
        return self._fail(failure.code, failure.code, failure.reason, limit)

    def _fail(
        self, wire_code: int, code: int, reason: str, limit: str | None = None
    ) -> list[WebSocketEvent]:
        if self._state is _CLOSED:
            return []
        if self._state is _OPEN and is_sendable_close_code(wire_code):
            cut = reason.encode(errors="replace")[:MAX_CLOSE_REASON].decode(errors="ignore")
            self._write_close(wire_code, cut)
        return self._end(code, reason, limit)

    def handle_timeout(
        self,
        now: float,
        *,
        reading: bool = True,
        arriving: int = 0,
        sent: int = 0,
        buffered: int = 0,
        others: int = 0,
        taken: int = 0,
    ) -> list[WebSocketEvent]:
        """Tell the time: ``now`` in seconds of a monotonic clock, every second or oftener.

        All timers run from the call after the event that starts them, so they are late by at
        most one interval between calls. ``reading`` is False while we do not listen to the peer,
        or let it say nothing: it is neither silent nor late. One with bytes ``arriving`` that
        ``receive_data`` cannot be given yet is not silent. Nor is one that is at work on what
        lies before our ping or close frame: of all the bytes ``sent`` those still ``buffered``,
        of ``others`` on the wire, and ``taken`` of both, are asked for behind those only.
        """
        if self._state is _CLOSED:
            return []
        if self._held is not None:
            # The first call may come at any moment; an application has an interval's time.
            late, self._held_late = self._held_late, True
            return self.settle() if late else []
        timers = self._timers
        timers.listen(now, arriving, reading=reading)
        if self._state is _CLOSING:
            if not timers.is_late_to_close(now, sent, buffered, others, taken, reading=reading):
                return []
            self.wants_abort = True
            return self._end(ABNORMAL_CLOSURE, "close timeout", "websocket_close_timeout")
        if timers.is_silent(now, sent, buffered, others, taken):
            # The peer is told 1011 where that gets to it; for us it is gone without a close frame.
            self.wants_abort = timers.behind
            reason, limit = "keepalive ping timeout", "websocket_ping_timeout"
            return self._fail(INTERNAL_ERROR, ABNORMAL_CLOSURE, reason, limit)
        if timers.wants_ping(now, sent):
            self._pings += 1
            self._put(self._codec.ping(self._pings.to_bytes(8)))
        return []

    def data_to_send(self) -> bytes:
        """Everything queued for the wire since the last call; empty when there is nothing."""
        if self._pongs:
            self._write_pongs()
        self.has_output = False
        output = self._output
        if len(output) == 1:
            return output.pop()
        data = b"".join(output)
        output.clear()
        return data

    def _put(self, frame: bytes) -> None:
        self._output.append(frame)
        self.has_output = True

    def _write_pongs(self) -> None:
        # Before a message that is sent later than the ping came in, or the answer overtakes it.
        self._output += [self._codec.pong(payload) for payload in self._pongs]
        self._pongs.clear()

    def _write_close(self, code: int | None, reason: str) -> None:
        self._write_pongs()
        self._put(self._codec.close(code, reason))
        self.close_sent = True
        self._codec.stop_inflating()  # messages are dropped from now on

    def _end(self, code: int, reason: str, limit: str | None = None) -> list[WebSocketEvent]:
        self._move(_Trigger.ENDED)
        self._drop_message()
        self.close_code = code
        self.close_reason = reason
        return [ConnectionFailed(code, reason, limit)]

    def _drop_message(self) -> None:
        self._text = None
        self._bytes = None

    def _move(self, trigger: _Trigger) -> None:
        self._state = TRANSITIONS[self._state, trigger]
        self.has_output = True

    def _refuse(self, what: str) -> None:
        raise LocalProtocolError(f"{what} cannot be sent: the connection is {self._state.value}")


def is_sendable_close_code(code: int) -> bool:
    """Whether ``code`` may stand in a close frame (RFC 6455 section 7.4, IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
