"""Serialises HTTP/1.1 responses, once for every codec (RFC 9112 sections 4, 6 and 7)."""

from __future__ import annotations

from http import HTTPStatus

from tricorn.types import Headers

# Reason phrases are read by load testers and old clients (RFC 9112 4 lets them be empty).
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_PHRASES[421] = "Misdirected Request"
_status_lines: dict[int, bytes] = {
    code: b"HTTP/1.1 %d %s\r\n" % (code, _PHRASES.get(code, "").encode())
    for code in range(100, 600)
}

LAST_CHUNK = b"0\r\n\r\n"


def status_line(status: int) -> bytes:
    """``HTTP/1.1 200 OK`` with its line end. HTTP/1.0 peers get it too (RFC 9112 2.3)."""
    return _status_lines.get(status) or b"HTTP/1.1 %d \r\n" % status


def head(status: int, headers: Headers, framing: bytes) -> bytes:
    """A response head.

    :param headers: checked fields, lower-case names.
    :param framing: further whole field lines, each with its CRLF, or nothing.
    """
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"%b%b%b\r\n" % (status_line(status), b"".join(lines), framing)


def chunk(data: bytes) -> bytes:
    """One chunk; ``data`` must not be empty, for that would be the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Headers) -> bytes:
    """The last chunk with its trailer section (RFC 9112 section 7.1.2)."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in trailers])
