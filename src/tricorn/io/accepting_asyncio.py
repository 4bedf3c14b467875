"""Takes connections on asyncio and uvloop; see `accepting`."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from tricorn.io.accepting import Accepted, Intake
from tricorn.io.asyncio_transport import AsyncioTransport
from tricorn.io.listener import AcceptedSocket, Listener

if TYPE_CHECKING:
    from tricorn.io.asyncio_handshake import Handshakes
    from tricorn.protocol.proxy_protocol import ProxyHeader


class AsyncioAcceptor:
    """Accepts on asyncio and uvloop."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.loop = asyncio.get_running_loop()
        # The timer of those that rest.
        self._listeners: dict[socket.socket, asyncio.TimerHandle | None] = {}
        self._opening: dict[asyncio.Task[None], _Arrival] = {}
        self.handshakes: Handshakes | None = None
        self.secured: Any = None  # what TLS goes through
        if intake.tls is not None:
            # Not above: not for cleartext.
            from tricorn.io.asyncio_handshake import Handshakes
            from tricorn.io.asyncio_tls import AsyncioTLS

            silent = intake.connections.silent
            self.handshakes = Handshakes(self.loop, intake.worker, intake.tls, silent)
            self.secured = AsyncioTLS

    def listen(self, listener: Listener) -> None:
        """Take connections of this listener from now on.

        :raises BindError: if the address is taken by now.
        """
        listener.listen(self.intake.config.backlog)
        self._watch(listener)

    def stop(self) -> None:
        """Take no more; those whose TLS handshake is under way go on."""
        for sock, timer in self._listeners.items():
            if timer is not None:
                timer.cancel()
            self.loop.remove_reader(sock)
        self._listeners.clear()

    async def settle(self) -> None:
        """Wait for the handshakes under way."""
        if self._opening:
            await asyncio.wait(self._opening)
        if self.handshakes is not None:
            await self.handshakes.settle()

    def cancel(self) -> None:
        """End the handshakes under way."""
        for task, arrival in self._opening.items():
            # Once taken, the loop is about to give it its protocol.
            if not arrival.accepted.taken:
                task.cancel()
        if self.handshakes is not None:
            self.handshakes.cancel()

    def _watch(self, listener: Listener) -> None:
        self._listeners[listener.socket] = None
        self.loop.add_reader(listener.socket, self._ready, listener)

    def _ready(self, listener: Listener) -> None:
        found, rest = self.intake.accept(listener, AcceptedSocket)
        for accepted in found:
            arrival = _Arrival(self, accepted)
            task = self.loop.create_task(arrival.open())
            self._opening[task] = arrival
            task.add_done_callback(self._opened)
        if rest:
            self.loop.remove_reader(listener.socket)
            timer = self.loop.call_later(rest, self._watch, listener)
            self._listeners[listener.socket] = timer

    def _opened(self, task: asyncio.Task[None]) -> None:
        """A connection is open, and gives its place back itself, or has come to nothing."""
        arrival = self._opening.pop(task)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            arrival.failed(error)


class _Arrival:
    """An accepted connection on its way to its transport."""

    __slots__ = ("_acceptor", "_header", "accepted")

    def __init__(self, acceptor: AsyncioAcceptor, accepted: Accepted) -> None:
        self.accepted = accepted
        self._acceptor = acceptor
        self._header: ProxyHeader | None = None

    async def open(self) -> None:
        """Make a connection of a socket."""
        accepted, acceptor = self.accepted, self._acceptor
        gate = acceptor.intake.gate
        if gate is not None:
            bind = accepted.listener.bind
            self._header = await gate.header(bind, accepted.socket, accepted.client)
        await acceptor.loop.connect_accepted_socket(self.protocol, accepted.socket)

    def protocol(self) -> asyncio.BaseProtocol:
        """What the event loop knows the connection by."""
        accepted, acceptor = self.accepted, self._acceptor
        accepted.taken = True
        if accepted.listener.secure and acceptor.handshakes is not None:
            made = acceptor.secured(
                acceptor.handshakes, self.connection, self.failed, accepted.client
            )
            protocol: asyncio.BaseProtocol = made.protocol
            return protocol
        return self.connection().protocol

    def connection(self) -> AsyncioTransport:
        """The transport of the connection; with TLS once its handshake is done."""
        accepted, acceptor = self.accepted, self._acceptor
        listener, intake = accepted.listener, acceptor.intake
        return AsyncioTransport(
            acceptor.loop,
            intake.worker,
            intake.connections,
            intake.tls if listener.secure else None,
            listener.address if listener.is_unix else None,
            client=accepted.client,
            place=accepted.place,
            header=self._header,
        )

    def failed(self, error: BaseException | None) -> None:
        """The connection has come to nothing."""
        accepted, intake = self.accepted, self._acceptor.intake
        accepted.close()
        if isinstance(error, OSError):
            intake.failed(accepted, error)
        elif error is not None:
            intake.worker.log.error(
                "internal error; closed the connection from %s", accepted.client, exc_info=error
            )
