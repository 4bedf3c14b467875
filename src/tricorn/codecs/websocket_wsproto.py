"""The WebSocket slot filled by wsproto, with our own permessage-deflate.

Theory of operation. wsproto parses frames and text; an ``Extension`` of ours rides along
in every connection. wsproto shows an extension each frame header before the payload, each
piece of payload and the end of each frame, so one object there can refuse an announced
length at once, count fragments, and inflate.

wsproto's own ``PerMessageDeflate`` is not used: it inflates without a bound, forgets that
a message is compressed when a ping comes between its fragments, sends nothing at all for
the second of two empty messages, and cannot leave one message uncompressed.

Frames we send are not masked (RFC 6455 section 5.1), so a frame is a header of two to ten
bytes before the payload. It is written here: wsproto copies a payload four times for it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from tricorn.codecs.websocket_base import (
    BytesPiece,
    CloseFrame,
    CodecEvent,
    DeflateParameters,
    ParseFailure,
    PingFrame,
    PongFrame,
    TextPiece,
)
from tricorn.codecs.websocket_deflate import COMPRESSED_SLICE, Deflater, Inflater

_FIN = 0x80
_RSV1 = 0x40
_FIRST_CONTROL_OPCODE = 0x8
_NO_RSV = RsvBits(False, False, False)
_RSV1_ALLOWED = RsvBits(True, False, False)
_HEADER_16 = struct.Struct("!BBH")
_HEADER_64 = struct.Struct("!BBQ")

# Registered with IANA for gateways, unknown to wsproto, which would call it a reserved code.
_BAD_GATEWAY = b"\x03\xf6"
_BAD_GATEWAY_CODE = 1014
_NORMAL_CLOSURE = b"\x03\xe8"


class _FrameRules(Extension):
    """The limits on incoming frames, and the inflating half of permessage-deflate."""

    name = "permessage-deflate"

    def __init__(
        self,
        max_message_size: int,
        max_frame_size: int,
        max_fragments: int,
        deflate: DeflateParameters | None,
    ) -> None:
        self.failure = ""
        self.limit: str | None = None
        self.bad_gateway = False
        self._max_message_size = max_message_size
        self._max_frame_size = max_frame_size
        self._max_fragments = max_fragments
        self._rsv_allowed = _NO_RSV if deflate is None else _RSV1_ALLOWED
        self._inflater = None if deflate is None else Inflater(deflate, max_message_size)
        self._opcode = Opcode.CONTINUATION
        self._in_message = False
        self._compressed = False
        self._size = 0
        self._fragments = 0

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool | str:
        return False  # The handshake is ours; wsproto never asks.

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        # Called again for the same header when its masking key has not come yet: counting
        # is left to frame_inbound_complete.
        self._opcode = opcode
        if opcode >= _FIRST_CONTROL_OPCODE:
            return _NO_RSV
        if opcode == Opcode.CONTINUATION:
            if not self._in_message:
                return self._fail(CloseReason.PROTOCOL_ERROR, "continuation without a message")
            allowed = _NO_RSV
        elif self._in_message:
            return self._fail(CloseReason.PROTOCOL_ERROR, "message inside a fragmented message")
        else:
            allowed = self._rsv_allowed
            self._compressed = rsv.rsv1 and allowed.rsv1
        if payload_length > self._max_frame_size:
            return self._fail(CloseReason.MESSAGE_TOO_BIG, "frame too big", "max_frame_size")
        if not self._compressed and self._size + payload_length > self._max_message_size:
            return self._fail(CloseReason.MESSAGE_TOO_BIG, "message too big", "max_message_size")
        if self._fragments >= self._max_fragments:
            code = CloseReason.POLICY_VIOLATION
            return self._fail(code, "too many fragments", "max_fragments")
        return allowed

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        if self._opcode >= _FIRST_CONTROL_OPCODE:
            # wsproto waits for the whole payload of a control frame, so this is all of it.
            if self._opcode == Opcode.CLOSE and data.startswith(_BAD_GATEWAY):
                self.bad_gateway = True
                return _NORMAL_CLOSURE + data[2:]
            return data
        if self._compressed:
            assert self._inflater is not None
            return self._inflated(self._inflater.inflate(data))
        self._size += len(data)
        return data

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if self._opcode >= _FIRST_CONTROL_OPCODE:
            return None
        if not fin:
            self._in_message = True
            self._fragments += 1
            return None
        rest: bytes | CloseReason | None = None
        if self._compressed:
            assert self._inflater is not None
            rest = self._inflated(self._inflater.finish())
        self._in_message = False
        self._compressed = False
        self._size = 0
        self._fragments = 0
        return rest

    def stop_inflating(self) -> None:
        """Compressed messages that begin from here on come empty."""
        if self._inflater is not None:
            self._inflater.stop()

    def _inflated(self, result: bytes | ParseFailure) -> bytes | CloseReason:
        if isinstance(result, bytes):
            return result
        return self._fail(CloseReason(result.code), result.reason, result.limit)

    def _fail(self, code: CloseReason, reason: str, limit: str | None = None) -> CloseReason:
        self.failure, self.limit = reason, limit
        return code


class WsprotoCodec:
    """``WebSocketCodec`` on wsproto; the arguments are those of ``WebSocketCodecFactory``."""

    def __init__(
        self,
        *,
        max_message_size: int,
        max_frame_size: int,
        max_fragments: int,
        deflate: DeflateParameters | None,
    ) -> None:
        self._rules = _FrameRules(max_message_size, max_frame_size, max_fragments, deflate)
        self._connection = Connection(ConnectionType.SERVER, [self._rules])
        self._deflater = None if deflate is None else Deflater(deflate)
        self._begun = False  # a piece of the message under way has been handed on

    def receive_data(self, data: bytes) -> Iterator[CodecEvent]:
        """Parse ``data`` lazily into pieces and control frames (RFC 6455 section 5)."""
        if self._deflater is None or len(data) <= COMPRESSED_SLICE:
            return self._parse(data)
        return self._parse_slices(data)

    def _parse_slices(self, data: bytes) -> Iterator[CodecEvent]:
        view = memoryview(data)
        for start in range(0, len(data), COMPRESSED_SLICE):
            for event in self._parse(bytes(view[start : start + COMPRESSED_SLICE])):
                yield event
                if type(event) is CloseFrame or type(event) is ParseFailure:
                    return

    def _parse(self, data: bytes) -> Iterator[CodecEvent]:
        connection = self._connection
        connection.receive_data(data)
        for event in connection.events():
            # Exact types: isinstance on wsproto's abstract classes is several times slower.
            if type(event) is TextMessage:
                finished = event.message_finished
                yield TextPiece(event.data, finished) if self._in_pieces(finished) else event.data
            elif type(event) is BytesMessage:
                finished, data = event.message_finished, bytes(event.data)
                yield BytesPiece(data, finished) if self._in_pieces(finished) else data
            elif type(event) is Ping:
                yield PingFrame(bytes(event.payload))
            elif type(event) is Pong:
                yield PongFrame(bytes(event.payload))
            elif type(event) is CloseConnection:
                yield self._closing(event)

    def _in_pieces(self, finished: bool) -> bool:
        """Whether this is not all of its message."""
        begun, self._begun = self._begun, not finished
        return begun or not finished

    def _closing(self, event: CloseConnection) -> CloseFrame | ParseFailure:
        # wsproto reports a close frame and a broken rule with one event; only the former
        # moves its state.
        if self._connection.state is ConnectionState.OPEN:
            if self._rules.failure:
                return ParseFailure(int(event.code), self._rules.failure, self._rules.limit)
            if event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA:
                return ParseFailure(int(event.code), "invalid UTF-8")
            return ParseFailure(int(event.code), event.reason or "")
        if event.code == CloseReason.NO_STATUS_RCVD:
            return CloseFrame(None, "")
        code = _BAD_GATEWAY_CODE if self._rules.bad_gateway else int(event.code)
        return CloseFrame(code, event.reason or "")

    def stop_inflating(self) -> None:
        """Compressed messages that begin from here on come empty: nobody wants them."""
        self._rules.stop_inflating()

    def text(self, payload: str | bytes, compress: bool) -> bytes:
        """One whole text message, given as a str or in UTF-8, as a frame."""
        data = payload.encode() if isinstance(payload, str) else payload
        return self._message(Opcode.TEXT, data, compress)

    def binary(self, payload: bytes, compress: bool) -> bytes:
        """One whole binary message as a frame. ``compress`` needs an agreed deflate."""
        return self._message(Opcode.BINARY, payload, compress)

    def ping(self, payload: bytes) -> bytes:
        """A ping frame; at most 125 bytes of payload."""
        return _frame(_FIN | Opcode.PING, payload)

    def pong(self, payload: bytes) -> bytes:
        """A pong frame; at most 125 bytes of payload."""
        return _frame(_FIN | Opcode.PONG, payload)

    def close(self, code: int | None, reason: str) -> bytes:
        """A close frame, empty where ``code`` is None; ``reason`` at most 123 bytes of UTF-8."""
        payload = b"" if code is None else code.to_bytes(2) + reason.encode()
        return _frame(_FIN | Opcode.CLOSE, payload)

    def _message(self, opcode: int, payload: bytes, compress: bool) -> bytes:
        if not compress or not payload or self._deflater is None:
            return _frame(_FIN | opcode, payload)
        return _frame(_FIN | _RSV1 | opcode, self._deflater.deflate(payload))


def _frame(first: int, payload: bytes) -> bytes:
    """An unmasked frame; ``first`` is the byte of FIN, RSV and opcode (RFC 6455 section 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return _HEADER_16.pack(first, 126, length) + payload
    return _HEADER_64.pack(first, 127, length) + payload
