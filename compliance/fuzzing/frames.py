"""HTTP/2 frames: those a fuzzer sends, and the rules for those a server may send.

The reading side knows nothing of ours: hyperframe and hpack take the bytes apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

Fields = list[tuple[bytes, bytes]]

GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"a"),
    (b":path", b"/"),
]
POST: Fields = [(b":method", b"POST"), *GET[1:]]
CONNECT: Fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
_FRAME_HEADER = 9


def raw(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Any frame, however wrong."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags])
    return head + stream_id.to_bytes(4, "big") + payload


def headers(stream_id: int, fields: Fields, *, end: bool = True) -> bytes:
    """HEADERS with END_HEADERS, its block without references to earlier ones."""
    return raw(1, 4 | end, stream_id, bytes(hpack.Encoder().encode(fields)))


def data(stream_id: int, content: bytes = b"", *, end: bool = False) -> bytes:
    """DATA without padding."""
    return raw(0, int(end), stream_id, content)


def settings(values: Mapping[int, int] | None = None) -> bytes:
    """SETTINGS."""
    pairs = (values or {}).items()
    return raw(4, 0, 0, b"".join(k.to_bytes(2, "big") + v.to_bytes(4, "big") for k, v in pairs))


def window(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE."""
    return raw(8, 0, stream_id, increment.to_bytes(4, "big"))


def split_frames(wire: bytes) -> Iterator[bytes]:
    """The frames of a wire; what is no whole one comes last."""
    at = 0
    while at + _FRAME_HEADER <= len(wire):
        end = at + _FRAME_HEADER + int.from_bytes(wire[at : at + 3], "big")
        if end > len(wire):
            break
        yield wire[at:end]
        at = end
    if at < len(wire):
        yield wire[at:]


class ServerFrames:
    """Checks what a server sends, frame by frame (RFC 9113)."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()
        self._buffer = b""
        self._responses: dict[int, str] = {}  # "head", "body" or "ended" of each stream
        self._last_promised = 0
        self._last_stream: int | None = None  # of GOAWAY
        self.first = True

    def feed(self, output: bytes) -> list[Any]:
        """Take what one write gave; the frames in it.

        :raises AssertionError: for half a frame or one that may not come here.
        """
        found = []
        while output:
            assert len(output) >= _FRAME_HEADER, "half a frame was written"
            frame, length = Frame.parse_frame_header(memoryview(output[:_FRAME_HEADER]))
            end = _FRAME_HEADER + length
            assert len(output) >= end, "half a frame was written"
            frame.parse_body(memoryview(output[_FRAME_HEADER:end]))
            self._check(frame)
            found.append(frame)
            output = output[end:]
        return found

    def _check(self, frame: Any) -> None:
        if self.first:
            assert isinstance(frame, SettingsFrame), "the preface is a SETTINGS frame"
            self.first = False
        match frame:
            case HeadersFrame():
                self._on_headers(frame)
            case DataFrame():
                assert self._responses.get(frame.stream_id) == "body", f"{frame} without a head"
                self._ended(frame)
            case RstStreamFrame():
                self._responses[frame.stream_id] = "ended"
            case PushPromiseFrame():
                self._on_promise(frame)
            case GoAwayFrame():
                last = frame.last_stream_id
                assert self._last_stream is None or last <= self._last_stream, "GOAWAY went up"
                self._last_stream = last
            case SettingsFrame() | PingFrame() | WindowUpdateFrame():
                pass
            case _:
                raise AssertionError(f"a server does not send {frame!r}")

    def _on_headers(self, frame: Any) -> None:
        assert "END_HEADERS" in frame.flags, "no CONTINUATION is ever needed"
        fields = self._decoder.decode(bytes(frame.data), raw=True)
        stream_id = frame.stream_id
        state = self._responses.get(stream_id, "head")
        assert state != "ended", f"HEADERS behind the end of stream {stream_id}"
        status = [value for name, value in fields if name == b":status"]
        if state == "body":
            assert not status, "trailers with a status"
            assert "END_STREAM" in frame.flags, "trailers that end nothing"
        else:
            assert len(status) == 1, "a head has one status"
            if status[0][:1] != b"1":
                self._responses[stream_id] = "body"
        self._ended(frame)

    def _ended(self, frame: Any) -> None:
        if "END_STREAM" in frame.flags:
            assert self._responses.get(frame.stream_id) == "body", "an end without a head"
            self._responses[frame.stream_id] = "ended"

    def _on_promise(self, frame: Any) -> None:
        fields = self._decoder.decode(bytes(frame.data), raw=True)
        assert [name for name, _ in fields][:1] == [b":method"], "a promise is a request"
        promised = frame.promised_stream_id
        assert promised % 2 == 0, "a server's streams are even"
        assert promised > self._last_promised, "stream numbers rise"
        assert self._responses.get(frame.stream_id) != "ended", "a promise behind the end"
        self._last_promised = promised
