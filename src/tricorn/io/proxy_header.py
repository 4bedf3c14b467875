"""Reads the PROXY protocol header a connection begins with, before TLS, on any event loop."""

from __future__ import annotations

import socket

import anyio

from tricorn.asgi.host import Worker
from tricorn.config import Bind
from tricorn.config_proxies import compared, proxy_protocol_binds
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol.proxy_protocol import (
    CUT,
    LARGEST_BLOCK,
    LATE,
    UNTRUSTED,
    ProxyHeader,
    ProxyHeaderParser,
)

# As much as the largest header of version 2.
_LOOK = 16 + LARGEST_BLOCK


async def receive_header(sock: socket.socket, limit: float | None) -> ProxyHeader:
    """Take the header from a socket, and not a byte of what follows it.

    :param sock: connected, non-blocking, and not in the hands of an event loop.
    :param limit: seconds for the whole of it, None for no limit.
    :raises RemoteProtocolError: in words for the log, if it does not come or is malformed.
    :raises OSError: if the connection is lost, or ends before it has begun.
    """
    parser = ProxyHeaderParser()
    heard = False
    try:
        with anyio.fail_after(limit):
            while True:
                data = await _look(sock)
                if not data:
                    if not heard:  # as those who look whether anybody listens
                        raise ConnectionResetError("closed without a word")
                    raise RemoteProtocolError(CUT)
                heard = True
                header = parser.feed(data)
                sock.recv(len(data) - len(parser.rest))
                if header is not None:
                    return header
    except TimeoutError:
        raise RemoteProtocolError(LATE, limit="header_timeout") from None


async def _look(sock: socket.socket) -> bytes:
    """Bytes that have arrived, left where they are; b"" at the end."""
    while True:
        try:
            return sock.recv(_LOOK, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await anyio.wait_readable(sock)


class ProxyGate:
    """Where connections begin with the PROXY protocol, those that may go on.

    A gate belongs to one event loop.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._binds = proxy_protocol_binds(worker.config)
        self._waiting: set[anyio.CancelScope] = set()

    async def header(
        self, bind: Bind, sock: socket.socket, client: tuple[str, int] | None
    ) -> ProxyHeader | None:
        """The header of a new connection, None at an address that asks for none.

        :param client: the peer of the socket, None for the peer of a unix socket.
        :raises ConnectionAbortedError: if the connection is refused; the log has the reason.
        :raises OSError: if it is lost.
        """
        if compared(bind) not in self._binds:
            return None
        header = None
        with anyio.CancelScope() as scope:
            self._waiting.add(scope)
            try:
                header = await self._take(sock, client)
            except RemoteProtocolError as exc:
                self._worker.report(str(exc), client, exc.limit)
                raise ConnectionAbortedError(str(exc)) from None
            finally:
                self._waiting.discard(scope)
        if header is None:
            raise ConnectionAbortedError("the server stops")
        return header

    async def _take(self, sock: socket.socket, client: tuple[str, int] | None) -> ProxyHeader:
        proxies = self._worker.proxies
        if proxies is None or not proxies.trusted.trusts_peer(client):
            raise RemoteProtocolError(UNTRUSTED)
        return await receive_header(sock, self._worker.config.header_timeout)

    def close(self) -> None:
        """Let those go whose header has not come."""
        for scope in self._waiting:
            scope.cancel()
