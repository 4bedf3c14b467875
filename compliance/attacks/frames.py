"""Builds and reads the bytes of HTTP/1.1, HTTP/2 and WebSocket, as far as attacks need it."""

from __future__ import annotations

import re
import struct
from collections import Counter

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = 0, 1, 2, 3, 4, 5
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE = 6, 7, 8, 9, 0x10
END_STREAM = ACK = 0x1
END_HEADERS, PADDED = 0x4, 0x8
MAX_WINDOW = 2**31 - 1

_CODES = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
    "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
    "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ")


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113 section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*entries: tuple[int, int]) -> bytes:
    """A SETTINGS frame of (identifier, value) pairs."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *entry) for entry in entries))


OPENING = PREFACE + settings()


def integer(value: int, prefix: int, first: int = 0) -> bytes:
    """An HPACK integer (RFC 7541 section 5.1)."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    out = bytearray([first | most])
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name: bytes, value: bytes, first: int = 0) -> bytes:
    """A literal HPACK field with a new name; ``first`` 0x40 has it indexed."""
    return bytes([first]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def request(path: bytes = b"/", *extra: bytes, method: bytes = b"GET") -> bytes:
    """A field section for the path; ``extra`` are encoded fields."""
    verb = b"\x82" if method == b"GET" else b"\x83" if method == b"POST" else b""
    verb = verb or b"\x02" + integer(len(method), 7) + method
    authority = b"\x01" + integer(9, 7) + b"localhost"
    return verb + b"\x86" + b"\x04" + integer(len(path), 7) + path + authority + b"".join(extra)


def websocket_request(path: bytes, *extra: bytes) -> bytes:
    """A field section that asks for a WebSocket (RFC 8441); pseudo-header fields come first."""
    protocol = literal(b":protocol", b"websocket")
    version = literal(b"sec-websocket-version", b"13")
    return request(path, protocol, version, *extra, method=b"CONNECT")


def headers(stream: int, block: bytes, *, end: bool = True) -> bytes:
    """A HEADERS frame that holds the whole field section."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def word(code: int) -> bytes:
    """32 bits, as in RST_STREAM and WINDOW_UPDATE."""
    return struct.pack(">I", code)


class HTTP2Reader:
    """Notes GOAWAY and RST_STREAM codes and response heads."""

    def __init__(self, answers: Counter[str]) -> None:
        self.answers = answers
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        data = self._buffer + data
        position, size = 0, len(data)
        if data.startswith(b"HTTP/1."):
            HTTP1Reader(self.answers).feed(data)
            return
        while size - position >= 9:
            length = int.from_bytes(data[position : position + 3], "big")
            end = position + 9 + length
            if end > size:
                break
            kind = data[position + 3]
            if kind != DATA and kind != PING:
                self.frame(kind, data[position + 9 : end])
            elif kind == DATA:
                self.data(data[position + 9 : end])
            position = end
        self._buffer = data[position:]

    def frame(self, kind: int, payload: bytes) -> None:
        """A frame that is neither DATA nor PING."""
        if kind == GOAWAY:
            self.answers["GOAWAY " + code_name(payload[4:8])] += 1
        elif kind == RST_STREAM:
            self.answers["RST_STREAM " + code_name(payload)] += 1
        elif kind == HEADERS:
            self.answers["response"] += 1

    def data(self, payload: bytes) -> None:
        """A DATA frame."""


def code_name(code: bytes) -> str:
    """The name of an HTTP/2 error code."""
    number = int.from_bytes(code, "big")
    return _CODES[number] if number < len(_CODES) else str(number)


class HTTP1Reader:
    """Notes the status codes of responses."""

    def __init__(self, answers: Counter[str]) -> None:
        self.answers = answers
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        data = self._tail + data
        end = 0
        for match in _STATUS_LINE.finditer(data):
            self.answers[match[1].decode()] += 1
            end = match.end()
        self._tail = data[max(end, len(data) - 12) :]


UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def upgrade(path: bytes, extra: bytes = b"") -> bytes:
    """An opening handshake (RFC 6455 section 4.1)."""
    return UPGRADE % (path, extra)


def websocket_frame(first: int, payload: bytes = b"", length: int | None = None) -> bytes:
    """A masked frame; ``first`` is FIN, RSV and opcode; ``length`` may announce what is not there.

    The masking key is zero, so that the payload goes as it is.
    """
    size = len(payload) if length is None else length
    if size < 126:
        head = struct.pack(">BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack(">BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


class WebSocketReader:
    """Notes the status of the handshake and the code of the close frame."""

    def __init__(self, answers: Counter[str]) -> None:
        self.answers = answers
        self._head = b""
        self._frames: WebSocketFrames | None = None

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        if self._frames is not None:
            self._frames.feed(data)
            return
        self._head += data
        head, mark, rest = self._head.partition(b"\r\n\r\n")
        if mark:
            match = _STATUS_LINE.match(head)
            self.answers[match[1].decode() if match else "no status"] += 1
            self._frames = WebSocketFrames(self.answers)
            self._frames.feed(rest)


class WebSocketFrames:
    """Notes pings and close codes in a stream of frames."""

    def __init__(self, answers: Counter[str]) -> None:
        self.answers = answers
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        data = self._buffer + data
        position, size = 0, len(data)
        while size - position >= 2:
            opcode, length, start = data[position] & 15, data[position + 1] & 127, position + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            elif length == 127:
                length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
            if start + length > size:
                break
            if opcode == 8:
                code = int.from_bytes(data[start : start + 2], "big")
                self.answers[f"close {code}"] += 1
            elif opcode == 9:
                self.answers["ping"] += 1
            position = start + length
        self._buffer = data[position:]


class TunnelReader(HTTP2Reader):
    """A WebSocket in an HTTP/2 stream."""

    def __init__(self, answers: Counter[str]) -> None:
        super().__init__(answers)
        self._frames = WebSocketFrames(answers)

    def data(self, payload: bytes) -> None:
        """Tunnel bytes."""
        self._frames.feed(payload)
