"""Decodes chunked message bodies (RFC 9112 section 7.1), for every HTTP/1.1 codec.

h11 makes an event of each chunk, and llhttp does not tell where a body ends. What two parsers
could read differently is refused: bare CR or LF, control characters, folded trailer lines.
"""

from __future__ import annotations

import re
from typing import Final

from tricorn.exceptions import RemoteProtocolError
from tricorn.quoting import quoted
from tricorn.types import Headers

# What one line may hold: HTAB is the only control character (RFC 9110 section 5.5). White space
# behind a size is sent by old programs, and before an extension it is to be read as nothing
# (RFC 9110 section 5.6.3). 16 digits are 64 bits.
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)", re.DOTALL
)
# Where the decoder stands: before a size, inside data, before its CRLF, in the trailers.
_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)
# A piece above this (bytes) is not copied before it is joined.
_SMALL: Final = 4096


class ChunkedDecoder:
    """Decodes one chunked body.

    ``chunks`` (int) counts the chunks begun so far. Once ``complete`` there are the
    ``trailers``, with lower-case names, and what lies behind the body, ``unused`` (bytes).
    How long lines and trailers may be is for the caller to bound.
    """

    __slots__ = ("_left", "_pending", "_phase", "chunks", "complete", "trailers", "unused")

    def __init__(self) -> None:
        self._phase = _SIZE
        self._left = 0  # bytes of the chunk to come
        self._pending = b""  # a line that is not whole
        self.chunks = 0
        self.complete = False
        self.trailers: Headers = []
        self.unused = b""

    def feed(self, data: bytes) -> bytes:
        """Body bytes in ``data``.

        :raises RemoteProtocolError: 400 on malformed framing.
        """
        if self._pending:
            data = self._pending + data
        size = len(data)
        view = memoryview(data)
        pieces: list[bytes | memoryview] = []
        phase, left, at = self._phase, self._left, 0
        while at < size:
            if phase == _DATA:
                end = min(at + left, size)
                pieces.append(data[at:end] if end - at < _SMALL else view[at:end])
                left -= end - at
                at = end
                if left:
                    break
                phase = _DATA_END
            elif phase == _DATA_END:
                if not data.startswith(b"\r\n", at):
                    if data[at:] == b"\r":
                        break
                    raise RemoteProtocolError("no CRLF behind the data of a chunk")
                at += 2
                phase = _SIZE
            elif phase == _SIZE:
                end = data.find(b"\r\n", at)
                if end < 0:
                    _check_unfinished(data[at:])
                    break
                left = _chunk_size(data[at:end])
                at = end + 2
                self.chunks += left > 0
                phase = _DATA if left else _TRAILERS
            else:
                at = self._read_trailers(data, at)
                break
        self._phase, self._left = phase, left
        self._pending = b""
        if self.complete:
            self.unused = data[at:]
        elif at < size:
            self._pending = data[at:]
        if len(pieces) == 1:
            return bytes(pieces[0])
        return b"".join(pieces)

    def _read_trailers(self, data: bytes, at: int) -> int:
        """Read the trailer section at ``at``, if it is whole; where what is unread begins."""
        if data.startswith(b"\r\n", at):
            self.complete = True
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            _check_unfinished(data[at:])
            return at
        for line in data[at:end].split(b"\r\n"):
            match = _TRAILER_LINE.fullmatch(line)
            if match is None:
                raise RemoteProtocolError(f"malformed trailer line {quoted(line)}")
            name, value = match.groups()
            self.trailers.append((name.lower(), value.rstrip(b" \t")))
        self.complete = True
        return end + 4


def _chunk_size(line: bytes) -> int:
    match = _CHUNK_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"malformed chunk size {quoted(line)}")
    return int(match[1], 16)


def _check_unfinished(lines: bytes) -> None:
    # Nothing can make these right any more.
    if lines.count(b"\n") != lines.count(b"\r\n"):
        raise RemoteProtocolError("bare LF in the framing of a chunked body")
