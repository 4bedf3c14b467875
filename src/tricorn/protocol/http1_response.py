"""Serialises HTTP/1.1 responses, once for every codec (RFC 9112 sections 4, 6 and 7)."""

from __future__ import annotations

import enum
from typing import Final

from tricorn.protocol import fields
from tricorn.protocol.flow import FileRegion, WriteQueue
from tricorn.protocol.outbound import line
from tricorn.reasons import REASONS
from tricorn.types import Headers

# Reason phrases are read by load testers and old clients (RFC 9112 4 lets them be empty).
_status_lines: Final[dict[int, bytes]] = {
    code: b"HTTP/1.1 %d %s\r\n" % (code, phrase.encode()) for code, phrase in REASONS.items()
}

LAST_CHUNK: Final = b"0\r\n\r\n"
CHUNKED_LINE: Final = b"transfer-encoding: chunked\r\n"


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` with its line end. HTTP/1.0 peers get it too (RFC 9112 2.3)."""
    return _status_lines.get(status) or b"HTTP/1.1 %d \r\n" % status


def head(status: int, headers: Headers, framing: bytes) -> bytes:
    """A response head.

    :param headers: checked fields, lower-case names.
    :param framing: further whole field lines, each with its CRLF, or nothing.
    """
    return joined(status, [line(field) for field in headers], b"", framing)


def joined(status: int, lines: list[bytes], block: bytes, framing: bytes) -> bytes:
    """A response head of field lines that are there already.

    :param block: lines in one.
    :param framing: those that say how the peer finds the end, and whether more may come.
    """
    parts = [_status_lines.get(status) or status_line(status)]
    parts += lines
    parts.append(block)
    parts.append(framing)
    parts.append(b"\r\n")
    return b"".join(parts)


def error(status: int, headers: Headers) -> bytes:
    """A whole response that says its status and closes."""
    phrase = status_line(status)[9:-2]
    lines = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(phrase)
    return head(status, headers, lines + b"connection: close\r\n") + phrase


def chunk(data: bytes) -> bytes:
    """One chunk; ``data`` must not be empty, for that would be the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers) -> bytes:
    """The last chunk with its trailer section (RFC 9112 section 7.1.2)."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in trailers])


def put_file(out: WriteQueue, region: FileRegion, *, chunked: bool) -> None:
    """Queue a piece of a file, as one chunk where the response is chunked."""
    if chunked:
        out.put(b"%x\r\n" % region.count)
    out.put_file(region)
    if chunked:
        out.put(b"\r\n")


class Framing(enum.Enum):
    """How the peer finds the end of a response body (RFC 9112 section 6.3)."""

    LENGTH = "Content-Length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until the connection closes"
    NO_CONTENT = "no content"


_LENGTH: Final = Framing.LENGTH
_DECIDED_HERE: Final = fields.CONNECTION_SPECIFIC | {b"content-length"}
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()


def frame(
    method: str, status: int, headers: Headers, *, http10: bool
) -> tuple[Headers, Framing, bytes, frozenset[bytes]]:
    """Decide the framing of a response.

    :param headers: the application's fields, checked, lower-case names.
    :return: the fields to send; the framing; its field lines; the connection options that
        the application asked for or its fields need (``close``, ``upgrade``).
    """
    sent: Headers = []
    options = _NO_OPTIONS
    length = None
    for header in headers:
        name = header[0]
        if name not in _DECIDED_HERE:
            sent.append(header)
        elif name == b"content-length":
            length = header[1]
        elif name == b"connection":
            if b"close" in fields.split_tokens(header[1]):
                options |= {b"close"}
        elif name == b"upgrade":
            # RFC 9110 7.8: whoever sends Upgrade names it in Connection (426 does).
            sent.append(header)
            options |= {b"upgrade"}
    if not fields.has_body(method, status):
        # RFC 9110 8.6: no length with 204; HEAD and 304 tell what GET would give.
        known = length is not None and status != 204
        return sent, Framing.NO_CONTENT, _length_line(length) if known else b"", options
    if length is not None:
        return sent, _LENGTH, _length_line(length), options
    if http10:
        return sent, Framing.UNTIL_CLOSE, b"", options
    return sent, Framing.CHUNKED, CHUNKED_LINE, options


def _length_line(length: bytes | None) -> bytes:
    return b"content-length: %b\r\n" % (length or b"0")


def length_line(length: int) -> bytes:
    """The Content-Length line of so many bytes."""
    return b"content-length: %d\r\n" % length
