"""Cleartext HTTP at an address that speaks TLS: answered in words before TLS begins.

The first bytes are looked at and left where they are, so that TLS finds them. A TLS
connection begins with a handshake record, whose first byte is 22 (RFC 8446 section 5.1);
HTTP begins with the upper-case letters of a method.
"""

from __future__ import annotations

import socket

import anyio

from tricorn.asgi.host import Worker

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


async def before_tls(
    sock: socket.socket,
    worker: Worker,
    client: tuple[str, int] | None,
    silent: set[anyio.CancelScope],
) -> None:
    """Wait for TLS to begin; cleartext HTTP is answered with 400.

    :param sock: connected, non-blocking, and not in the hands of an event loop; what it has
        received stays in it.
    :param client: the peer, for the log; None for that of a Unix socket.
    :param silent: has the wait in it for as long as nothing comes: who stops shortens it.
    :raises ConnectionAbortedError: if it was HTTP, which has been answered, or the server stops.
    :raises TimeoutError: if nothing comes within ``ssl_handshake_timeout``.
    :raises OSError: if the connection ends before.
    """
    first = _peek(sock)
    if first is None:
        config = worker.config
        limit = config.drain_idle_timeout if worker.draining else config.ssl_handshake_timeout
        with anyio.move_on_after(limit) as scope:
            silent.add(scope)
            try:
                while first is None:
                    await anyio.wait_readable(sock)
                    first = _peek(sock)
            finally:
                silent.discard(scope)
        if first is None:
            if worker.draining:
                raise ConnectionAbortedError("the server stops")
            raise TimeoutError("nothing has come")
    if not first:
        raise ConnectionResetError("closed before its TLS handshake")
    if b"A" <= first <= b"Z":
        worker.report(REASON, client)
        with anyio.move_on_after(worker.config.close_timeout):
            await _turn_away(sock)
        raise ConnectionAbortedError(REASON)


def _peek(sock: socket.socket) -> bytes | None:
    """The first byte, b"" at the end, None where none has come."""
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return None


async def _turn_away(sock: socket.socket) -> None:
    """Answer, and wait until the peer has closed too (RFC 9112 section 9.6)."""
    sock.send(ANSWER)  # a new connection's buffer takes this much
    sock.shutdown(socket.SHUT_WR)
    left = _MOST_DISCARDED
    while left > 0:
        try:
            data = sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            await anyio.wait_readable(sock)
            continue
        if not data:
            return
        left -= len(data)
