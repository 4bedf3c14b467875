"""Walks incoming HTTP/2 frame headers in front of a codec (RFC 9113 section 4.1)."""

from __future__ import annotations

from typing import Final

from tricorn.codecs.base import CodecFailed, GoAwayFrame, PriorityUpdateFrame

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

_DATA, _HEADERS, _SETTINGS, _GOAWAY, _CONTINUATION = 0x0, 0x1, 0x4, 0x7, 0x9
_ALTSVC, _PRIORITY_UPDATE = 0xA, 0x10
_OWN_FRAMES: Final = frozenset({_GOAWAY, _PRIORITY_UPDATE})
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED = 0x4, 0x8
_MAX_SETTINGS_ENTRIES: Final = 32
# Frames of one run: what is done for a peer before its budgets are looked at.
_RUN: Final = 32
_PROTOCOL_ERROR, _FRAME_SIZE_ERROR, _ENHANCE_YOUR_CALM = 0x1, 0x6, 0xB

Piece = bytes | CodecFailed | GoAwayFrame | PriorityUpdateFrame


class FrameScanner:
    """Cuts received bytes into whole frames for the codec, and keeps some from it.

    ``glitches`` counts cheap control frames and empty ones, ``due`` the header blocks and DATA
    frames handed on, each of which should give an event; the reader sets both back.
    """

    __slots__ = (
        "_greeted",
        "_in_headers",
        "_max_continuations",
        "_max_frame",
        "_missing",
        "_partial",
        "_preface",
        "_rest",
        "_rest_size",
        "due",
        "glitches",
    )

    def __init__(self, max_frame: int, max_continuations: int) -> None:
        self._max_frame = max_frame  # bytes
        self._max_continuations = max_continuations
        self._preface = PREFACE
        self._greeted = False  # the peer's first SETTINGS is here
        self._partial = b""  # of a frame; what came behind it is in _rest while more is missing
        self._missing = 0  # bytes behind _partial, where it has the frame's header
        self._rest: list[bytes] = []  # joined once: a large frame may come in many reads
        self._rest_size = 0
        self._in_headers = 0  # frames of the header block being received
        self.glitches = 0
        self.due = 0

    @property
    def mid_frame(self) -> bool:
        """Whether the peer is inside a frame, a header block or the preface, SETTINGS included."""
        return bool(self._partial or self._in_headers or not self._greeted)

    @property
    def partial_data(self) -> tuple[int, int]:
        """The stream of a DATA frame that has come in part, and its bytes so far; 0 and 0: none."""
        partial = self._partial
        size = len(partial) - 9 + self._rest_size
        if size <= 0 or partial[3] != _DATA:
            return 0, 0
        return int.from_bytes(partial[5:9], "big") & 0x7FFFFFFF, size

    def scan(self, data: bytes) -> list[Piece]:
        """What ``data`` completes, in order: runs of whole frames, frames kept from the
        codec, or a connection error, behind which nothing follows.
        """
        pieces: list[Piece] = []
        taken = b""
        if self._preface:
            taken = data[: len(self._preface)]
            if not self._preface.startswith(taken):
                return [CodecFailed(_PROTOCOL_ERROR, "invalid preface")]
            self._preface = self._preface[len(taken) :]
            data = data[len(taken) :]
        if self._partial:
            self._rest.append(data)
            self._rest_size += len(data)
            if self._rest_size < self._missing:
                return pieces
            data = b"".join([self._partial, *self._rest])
            self._partial, self._rest = b"", []
            self._missing = self._rest_size = 0
        if not self._greeted and len(data) >= 9:
            self._greeted = True
            if data[3] != _SETTINGS or data[4] & _ACK:
                # RFC 9113 3.4: SETTINGS is the second half of the preface.
                return [taken, CodecFailed(_PROTOCOL_ERROR, "invalid preface: no SETTINGS")]
        self._partial = data[self._walk(data, pieces) :]
        if taken:
            first = pieces[0] if pieces else None
            pieces[:1] = [taken + first] if isinstance(first, bytes) else [taken, *pieces[:1]]
        return pieces

    def _walk(self, data: bytes, pieces: list[Piece]) -> int:
        """Walk the whole frames in ``data``; where the rest begins."""
        start = position = run = 0
        size = len(data)
        failure: CodecFailed | None = None
        while size - position >= 9:
            length = (data[position] << 16) | (data[position + 1] << 8) | data[position + 2]
            if length > self._max_frame:
                reason = f"frame of {length} bytes"
                failure = CodecFailed(_FRAME_SIZE_ERROR, reason, "h2_max_inbound_frame_size")
                break
            end = position + 9 + length
            if end > size:
                self._missing = end - size
                break
            kind, flags = data[position + 3], data[position + 4]
            if kind == _HEADERS and flags & _END_HEADERS:
                self._in_headers = 0
                self.due += 1
            elif kind == _DATA:
                self.due += 1
                # Nothing, or nothing but padding.
                empty = not length or (flags & _PADDED and data[position + 9] == length - 1)
                if empty and not flags & _END_STREAM:
                    self.glitches += 1
            elif kind in _OWN_FRAMES:
                # The codec gets what came before, so that events keep their order.
                if position > start:
                    pieces.append(data[start:position])
                pieces.append(self._own_frame(kind, data[position:end]))
                start = end
            elif kind == _ALTSVC and not self._in_headers:
                # RFC 7838 4: a server ignores it. h2 would take itself for a client.
                self.glitches += 1
                if position > start:
                    pieces.append(data[start:position])
                start = end
            elif not self._count_control(kind, flags, length):
                reason = "CONTINUATION flood"
                failure = CodecFailed(_ENHANCE_YOUR_CALM, reason, "h2_max_continuation_frames")
                break
            position = end
            run += 1
            if run == _RUN:
                pieces.append(data[start:position])
                start, run = position, 0
        if position > start:
            pieces.append(data[start:position])
        if failure is not None:
            pieces.append(failure)
        return position

    def _count_control(self, kind: int, flags: int, length: int) -> bool:
        if kind == _CONTINUATION and flags & _END_HEADERS:
            self._in_headers = 0
            self.due += 1
            return True
        if kind in (_HEADERS, _CONTINUATION):
            # One more has to follow.
            self._in_headers = 1 if kind == _HEADERS else self._in_headers + 1
            return self._in_headers <= self._max_continuations
        self.glitches += 1
        if kind == _SETTINGS and length > 6 * _MAX_SETTINGS_ENTRIES:
            self.glitches += length // 6
        return True

    def _own_frame(self, kind: int, frame: bytes) -> Piece:
        stream_id = int.from_bytes(frame[5:9], "big") & 0x7FFFFFFF
        payload = frame[9:]
        if self._in_headers or stream_id:
            return CodecFailed(_PROTOCOL_ERROR, "frame out of place")
        self.glitches += 1
        if kind == _PRIORITY_UPDATE:
            return PriorityUpdateFrame(payload)
        if len(payload) < 8:
            return CodecFailed(_FRAME_SIZE_ERROR, "short GOAWAY")
        last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        return GoAwayFrame(last, int.from_bytes(payload[4:8], "big"))
