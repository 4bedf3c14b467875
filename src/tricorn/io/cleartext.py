"""Cleartext HTTP at an address that speaks TLS: answered in words before TLS begins.

The first bytes are looked at and left where they are, so that TLS finds them. A TLS
connection begins with a handshake record, whose first byte is 22 (RFC 8446 section 5.1);
HTTP begins with the upper-case letters of a method.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import anyio

from tricorn.asgi.host import Worker
from tricorn.protocol.client_hello import RECORD_HEADER, is_cleartext_http, wanted

if TYPE_CHECKING:
    from tricorn.io.admission import Silent

_TEXT = b"This port speaks TLS: use https:// or wss:// to talk to it.\n"
ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n%s" % (len(_TEXT), _TEXT)
)
#: What the log says of it.
REASON = "cleartext HTTP at an address that speaks TLS"

#: Seconds a handshake has that began at the last moment.
LEAST_TIME = 0.1

#: Bytes of an unwanted request that are read so that its sender gets to read the answer.
MOST_DISCARDED = 1 << 20


class _Wait:
    """For the first record of a connection, in a scope."""

    def __init__(self, sock: socket.socket, worker: Worker, scope: anyio.CancelScope) -> None:
        self._socket = sock
        self._config = worker.config
        self._scope = scope
        self._since: float | None = None
        self.evicted = False

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic)."""
        if self._since is None:
            self._since = now

    def idle_since(self) -> float | None:
        """Since when it says nothing (seconds, as of the last tick), None once it has."""
        if self.evicted:
            return None
        try:
            return self._since if _peek(self._socket, 1) is None else None
        except OSError:
            return None  # it is gone, and about to find out

    def evict(self) -> None:
        """Close it in favour of another one."""
        self.evicted = True
        self._scope.cancel()

    def hurry(self) -> None:
        """The server stops: there is little time left to say something."""
        limit = anyio.current_time() + self._config.drain_idle_timeout
        self._scope.deadline = min(self._scope.deadline, limit)


async def before_tls(
    sock: socket.socket,
    worker: Worker,
    client: tuple[str, int] | None,
    silent: set[Silent],
) -> float | None:
    """Wait for TLS to begin; cleartext HTTP is answered with 400.

    :param sock: connected, non-blocking, and not in the hands of an event loop; what it has
        received stays in it.
    :param client: the peer, for the log; None for that of a Unix socket.
    :param silent: has the wait in it for as long as it lasts.
    :return: seconds left of ``ssl_handshake_timeout``.
    :raises ConnectionAbortedError: if it was HTTP, which has been answered, it makes room for
        another, or the server stops.
    :raises TimeoutError: if no first record comes within ``ssl_handshake_timeout``.
    :raises OSError: if the connection ends before.
    """
    config = worker.config
    left = config.ssl_handshake_timeout
    if _missing(sock):
        limit = config.drain_idle_timeout if worker.draining else left
        begun = anyio.current_time()
        with anyio.move_on_after(limit) as scope:
            wait = _Wait(sock, worker, scope)
            silent.add(wait)
            try:
                await _first_record(sock)
            finally:
                silent.discard(wait)
        if scope.cancelled_caught:
            with contextlib.suppress(OSError):
                sock.recv(65536)  # unread bytes would make a reset of the end
            if wait.evicted:
                raise ConnectionAbortedError("it makes room")
            if worker.draining:
                raise ConnectionAbortedError("the server stops")
            raise TimeoutError("no TLS handshake has come")
        left = None if left is None else max(left - (anyio.current_time() - begun), LEAST_TIME)
    first = _peek(sock, 1)
    if not first:
        raise ConnectionResetError("closed before its TLS handshake")
    if is_cleartext_http(first):
        worker.report(REASON, client)
        with anyio.move_on_after(config.close_timeout):
            await _turn_away(sock)
        raise ConnectionAbortedError(REASON)
    return left


async def _first_record(sock: socket.socket) -> None:
    """Wait for all of the ClientHello: until then a peer costs its socket and no TLS session."""
    try:
        while missing := _missing(sock):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, missing)
            await anyio.wait_readable(sock)
            if missing > 1 and _missing(sock) == missing:
                return  # the end, or a system that wakes us for less: TLS will see
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


def _missing(sock: socket.socket) -> int:
    """Bytes that must have come in all before there is something to do; 0 if they have."""
    head = _peek(sock, RECORD_HEADER)
    if head == b"":
        return 0
    size = wanted(head or b"")
    if head is not None and size > len(head) == RECORD_HEADER:
        size = wanted(_peek(sock, size) or b"")
    return size


def _peek(sock: socket.socket, size: int) -> bytes | None:
    """The first bytes, b"" at the end, None where none has come."""
    try:
        return sock.recv(size, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return None


async def _turn_away(sock: socket.socket) -> None:
    """Answer, and wait until the peer has closed too (RFC 9112 section 9.6)."""
    sock.send(ANSWER)  # a new connection's buffer takes this much
    sock.shutdown(socket.SHUT_WR)
    left = MOST_DISCARDED
    while left > 0:
        try:
            data = sock.recv(65536)
        except (BlockingIOError, InterruptedError):
            await anyio.wait_readable(sock)
            continue
        if not data:
            return
        left -= len(data)
