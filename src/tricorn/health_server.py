"""Serves the addresses of ``health_bind``, apart from the application's.

They have connections of their own, which none of the application's limits concerns, and are
open until the server has ended what it had: a balancer that asks meanwhile gets an answer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from tricorn.asgi.health import Health
from tricorn.asgi.host import Worker
from tricorn.config import Config
from tricorn.io.accepting import Acceptor, Intake
from tricorn.io.accepting_asyncio import AsyncioAcceptor
from tricorn.io.listener import Listener
from tricorn.io.registry import Registry
from tricorn.types import Receive, Scope, Send

if TYPE_CHECKING:
    from tricorn.io.accepting_anyio import AnyioAcceptor

_log = logging.getLogger("tricorn.error")

# Connections at once; above it the longest idle one makes room.
_MOST = 64
# Seconds the last answers have to leave, and at most those that drain_idle_timeout has here.
_CLOSE_TIME = 1.0


class HealthServer:
    """The listeners of ``health_bind`` and their connections.

    :param worker: the one that is asked about.
    :param listeners: may be none; then there is nothing to do.
    :param trouble: told in words why accepting rests.
    """

    def __init__(
        self,
        worker: Worker,
        listeners: Sequence[Listener],
        trouble: Callable[[str], None],
    ) -> None:
        self.listeners = listeners
        self._connections = Registry()
        self._trouble = trouble
        self._stops: list[Callable[[], None]] = []
        self._worker = Worker(_nobody, _own_config(worker.config), peer_log=worker.peer_log)
        self._health = self._worker.health = Health.apart(worker.config, worker)

    def announce(self) -> None:
        """Say in the log what is answered where."""
        for listener in self.listeners:
            _log.info("%s answers %s", listener.url, ", ".join(self._health.paths))

    @asynccontextmanager
    async def answering(self, *, on_asyncio: bool) -> AsyncIterator[None]:
        """Answer at the addresses.

        :param on_asyncio: whether connections are asyncio's transports.
        """
        if not self.listeners:
            yield
            return
        intake = Intake(self._worker, self._connections, None, self._trouble)
        try:
            if on_asyncio:
                acceptor = AsyncioAcceptor(intake)
                for listener in self.listeners:
                    acceptor.listen(listener)
                    self._stops.append(listener.socket.close)
                self._stops.append(acceptor.stop)  # the first to be called
                try:
                    yield
                finally:
                    await self._close(acceptor)
            else:
                from tricorn.io.accepting_anyio import AnyioAcceptor  # not above: not for asyncio

                async with anyio.create_task_group() as tasks:
                    anyio_acceptor = AnyioAcceptor(intake, tasks)
                    for listener in self.listeners:
                        await tasks.start(self._accept, anyio_acceptor, listener)
                    try:
                        yield
                    finally:
                        await self._close(anyio_acceptor)
                    tasks.cancel_scope.cancel()
        finally:
            intake.close()

    async def _accept(
        self,
        acceptor: AnyioAcceptor,
        listener: Listener,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        """Accept until ``leave``; the connections go on."""
        with listener.socket, anyio.CancelScope() as scope:
            self._stops.append(scope.cancel)
            await acceptor.accept(listener, task_status=task_status)

    def leave(self) -> None:
        """Another server answers at the same addresses: accept no more, and drain what is open."""
        self._stop_accepting()
        self._worker.stopping.set()
        for connection in list(self._connections):
            connection.shutdown()

    def _stop_accepting(self) -> None:
        while self._stops:
            self._stops.pop()()

    async def _close(self, acceptor: Acceptor) -> None:
        """End the connections behind what they have to send; where cancelled, too.

        Those that drain have their time: somebody else serves on, and none of them is to fail.
        """
        self._stop_accepting()
        emptied = anyio.Event()
        self._connections.on_empty = emptied.set
        try:
            if self._worker.draining:
                with anyio.move_on_after(2 * _CLOSE_TIME):
                    await acceptor.settle()
                    if self._connections:
                        await emptied.wait()
        finally:
            for connection in list(self._connections):
                connection.evict()
            with anyio.move_on_after(_CLOSE_TIME, shield=True):
                if self._connections:
                    await emptied.wait()

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic)."""
        for connection in list(self._connections):
            connection.tick(now)


def _own_config(config: Config) -> Config:
    """Without what is the application's or the proxies' in front of it."""
    return config.replace(
        max_connections=_MOST,
        max_connections_per_address=None,
        max_concurrent_requests=None,
        drain_idle_timeout=min(config.drain_idle_timeout, _CLOSE_TIME),
        proxy_protocol=(),
        trusted_proxies=(),
        request_id="off",
        trace_context=False,
    )


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """The application that is never called."""
