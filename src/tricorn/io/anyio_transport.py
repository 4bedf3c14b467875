"""The byte-moving leaf for any anyio byte stream: trio, and asyncio as a cross-check.

A reader loop pushes to the driver; what that gives goes out in ``anyio_output``.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc

from tricorn.asgi.host import Worker
from tricorn.io import pacing
from tricorn.io.anyio_means import GONE, SocketReader
from tricorn.io.anyio_output import AnyioOutput
from tricorn.io.connection import Connection
from tricorn.io.registry import Registry
from tricorn.io.resetting import reset_at_close

if TYPE_CHECKING:
    from tricorn.io.anyio_means import Scope
    from tricorn.io.anyio_tls import SecureStream
    from tricorn.io.tls import TLSContext
    from tricorn.protocol.proxy_protocol import ProxyHeader


# Seconds between two looks at what a peer takes that nothing else looks after.
_LOOK: Final = 1.0


async def cut(stream: anyio.abc.ByteStream) -> None:
    """Close at once."""
    with contextlib.suppress(*GONE):
        await anyio.aclose_forcefully(stream)


class EventWaiter:
    """A one-shot signal on an anyio event."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    def wait(self) -> Awaitable[None]:
        """Wait for ``set``."""
        return self._event.wait()


class AnyioTransport(AnyioOutput):
    """One connection on an anyio byte stream."""

    def __init__(
        self,
        stream: anyio.abc.ByteStream,
        worker: Worker,
        registry: Registry,
        tls: TLSContext | None,
        *,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        call_soon: Callable[..., object],
        header: ProxyHeader | None = None,
        secure: SecureStream | None = None,
    ) -> None:
        """Set it up.

        :param call_soon: calls a function in a later turn of the loop, when the applications that
            have been started have begun.
        :param secure: TLS on that stream, its handshake done.
        """
        super().__init__(stream, worker, client=client, secure=secure)
        self.cancelled = self._means.cancelled
        self.eager = False
        self._registry = registry
        self._tls = tls
        self._server = server
        self._header = header
        self._closing_scope = anyio.CancelScope(shield=True)
        self._resume: anyio.Event | None = None
        self._call_soon = call_soon
        self._late = b""  # read, and to be looked at when it is this connection's turn

    async def run(self) -> None:
        """Serve the connection to its end, application tasks included."""
        info, alpn = None, None
        if self._tls is not None and self._secure is not None:
            ssl_object = self._secure.object
            info, alpn = self._tls.describe(ssl_object), ssl_object.selected_alpn_protocol()
        async with self._means.group() as self._group:
            connection = self._connection = Connection(
                self._worker,
                self,
                self._registry,
                client=self._client,
                server=self._server,
                secure=self._tls is not None,
                tls=info,
                alpn=alpn,
                header=self._header,
            )
            try:
                try:
                    with self._reader_scope:
                        await self._read(connection)
                finally:
                    if self._close_wanted:
                        with self._closing_scope:
                            await self._close_in_order(connection)
            finally:
                self._gone = True
                connection.lost()
                with anyio.CancelScope(shield=True):
                    await cut(self._stream)
        # It has us: a cycle would wait for the collector.
        self._connection = None
        del connection

    async def _close_in_order(self, connection: Connection) -> None:
        """Close, over TLS with close_notify, so that the peer can tell an end from a cut."""
        if self._out or self._writing:
            if self._secure is None:
                return  # the peer is gone
            connection.ended()  # TLS has no half-close
            self._closing_scope.shield = False
            await self._written()
            self._closing_scope.shield = True
            if self._out or self._writing:
                return
        with contextlib.suppress(*GONE):
            if self._secure is not None:
                await self._close_tls(self._secure)
            else:
                await self._stream.aclose()

    async def _written(self) -> None:
        """Wait until what is unsent is with the system, as long as the peer takes any of it."""
        from tricorn.io.tls import close_limit, close_limit_option  # not above: for TLS only

        config = self._worker.config
        limit = close_limit(config)
        before, since = -1, 0.0
        self._reader_scope = anyio.CancelScope()  # cancelled behind the last byte
        with self._reader_scope:
            self.kick()
            while True:
                left, now = self.unsent() + self.in_flight(), anyio.current_time()
                if left != before:
                    before, since = left, now
                elif limit is not None and now - since >= limit:
                    self._worker.counters.limit(close_limit_option(config))
                    return
                await anyio.sleep(_LOOK if limit is None else min(limit, _LOOK))

    async def _close_tls(self, stream: SecureStream) -> None:
        """Say that nothing more comes, and wait until the peer says so too.

        The time for that is ssl_shutdown_timeout, once it has what was written before.
        """
        await stream.send_close_notify()
        behind = True
        while behind:
            left = self.in_flight()
            with anyio.move_on_after(self._worker.config.ssl_shutdown_timeout):
                await stream.wait_closed()
                return
            behind = left > 0 or self.in_flight() > 0
        self._worker.counters.limit("ssl_shutdown_timeout")

    async def _read(self, connection: Connection) -> None:
        """Push what arrives until the connection is gone or closed."""
        receive: Callable[[int], Awaitable[bytes]] = self._stream.receive
        if self._secure is not None:
            receive = partial(self._secure.receive, self._answer)
        elif self._socket is not None:
            receive = SocketReader(self._socket, self._means).receive
        size = pacing.FIRST_READ
        crowd, worker = self._registry.crowd, self._worker
        try:
            while True:
                if self._resume is not None:
                    await self._resume.wait()
                data = b""  # the last read is not kept while the next is waited for
                data = await receive(size)
                if self._late:
                    self._catch_up()
                if len(data) < pacing.UNTIMED:
                    if crowd.is_full(worker):
                        self._late = data
                        crowd.queue(worker, self._catch_up, self._call_soon)
                    else:
                        connection.bytes_received(data)
                    continue
                begun = time.perf_counter()
                connection.bytes_received(data)
                took = time.perf_counter() - begun
                size = pacing.next_size(size, len(data) == size, took)
                if pacing.is_dear(took):
                    await self._registry.slow_lane.turn()
        except GONE as exc:
            # An application that waits for the last of it, or begins with it, takes that before;
            # trio runs the tasks of one turn in any order.
            await self._means.checkpoint()
            await self._means.checkpoint()
            if not isinstance(exc, anyio.EndOfStream):
                return
            self._catch_up()
            connection.eof_received()
        if self._tls is None:
            # Our side stays open; the driver's close ends the wait.
            await anyio.sleep(math.inf)
        self._close_wanted = True  # TLS has no half-close

    def _catch_up(self) -> None:
        """Look at what was left for later, if it is still there."""
        late, self._late = self._late, b""
        if late and not self._gone and self._connection is not None:
            self._connection.bytes_received(late)

    # Transport

    def soon(self, callback: Callable[[], object]) -> None:
        """Behind what is to run by now."""
        self._call_soon(callback)

    def pause_reading(self) -> None:
        """Stop taking bytes from the stream."""
        if self._resume is None:
            self._resume = anyio.Event()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._resume is not None:
            self._resume.set()
            self._resume = None

    def write_eof(self) -> bool:
        """Shut down the sending side behind what is unsent; TLS has no half-close."""
        if self._tls is not None:
            return False
        self._eof_wanted = True
        self._end_soon()
        return True

    def close(self) -> None:
        """Close once what is unsent has gone."""
        if not self._close_wanted and not self._gone:
            self._close_wanted = True
            self._end_soon()

    def _end_soon(self) -> None:
        if not self._out and not self._writing:
            self._group.start_soon(self._finish)
        else:
            self.kick()

    def close_at_once(self) -> None:
        """Close behind what is unsent, as far as the socket takes it, and wait for nothing."""
        self.close()
        sock, secure = self._socket, self._secure
        if secure is not None and sock is not None and not self._out and not self._writing:
            self._send_now(sock, [secure.close_notify()])
        self._closing_scope.cancel()  # it begins behind what is unsent

    def abort(self, reset: bool = False) -> None:
        """Close now."""
        if reset:
            reset_at_close(self._stream.extra(anyio.abc.SocketAttribute.raw_socket, None))
        self._reader_scope.cancel()
        self._closing_scope.cancel()

    def spawn(self, coroutine: Coroutine[Any, Any, None], eager: bool = False) -> Scope:
        """Start an application task in the connection's group."""
        scope = self._means.scope()
        # In a copy of this context, not of that of whoever is sending just now, another
        # application perhaps.
        self._worker.context.run(self._group.start_soon, _run_in, scope, coroutine)
        return scope

    def waiter(self) -> EventWaiter:
        """A new one-shot signal."""
        return EventWaiter()


async def _run_in(scope: Scope, coroutine: Coroutine[Any, Any, None]) -> None:
    with scope:
        await coroutine
