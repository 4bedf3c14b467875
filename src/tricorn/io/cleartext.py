"""Cleartext HTTP at an address that speaks TLS: answered in words before TLS begins.

The first bytes are looked at and left where they are, so that TLS finds them. A TLS
connection begins with a handshake record, whose first byte is 22 (RFC 8446 section 5.1);
HTTP begins with the upper-case letters of a method.
"""

from __future__ import annotations

import socket

import anyio

_TEXT = b"This port speaks TLS: use https:// or wss:// to talk to it.\n"
ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n%s" % (len(_TEXT), _TEXT)
)
#: What the log says of it.
REASON = "cleartext HTTP at an address that speaks TLS"

# Bytes of an unwanted request that are read so that its sender gets to read the answer.
_MOST_DISCARDED = 1 << 20


async def begins_with_tls(sock: socket.socket) -> bool:
    """Wait for the first byte; False if it is one of cleartext HTTP.

    :param sock: connected, non-blocking, and not in the hands of an event loop.
    :raises OSError: if the connection ends without one.
    """
    while True:
        try:
            first = sock.recv(1, socket.MSG_PEEK)
            break
        except (BlockingIOError, InterruptedError):
            await anyio.wait_readable(sock)
    if not first:
        raise ConnectionResetError("closed before its TLS handshake")
    return not b"A" <= first <= b"Z"


async def turn_away(sock: socket.socket, limit: float | None) -> None:
    """Answer 400, and close once the peer has (RFC 9112 section 9.6) or after ``limit`` seconds.

    The socket itself stays open: it is the caller's.
    """
    with anyio.move_on_after(limit):
        try:
            # A new connection's buffer takes this much.
            sock.send(ANSWER)
            sock.shutdown(socket.SHUT_WR)
            left = _MOST_DISCARDED
            while left > 0:
                try:
                    data = sock.recv(65536)
                except (BlockingIOError, InterruptedError):
                    await anyio.wait_readable(sock)
                    continue
                if not data:
                    break
                left -= len(data)
        except OSError:
            pass  # it is gone already
