"""``serve`` and ``run``: listeners, connections, lifespan, drain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    closing,
    nullcontext,
)
from functools import partial
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.abc
import anyio.lowlevel

from tricorn import logs, ticking
from tricorn.application import compose
from tricorn.asgi.exchange_count import counted, wants_metrics
from tricorn.asgi.host import Worker
from tricorn.asgi.lifespan import Lifespan
from tricorn.config import Config
from tricorn.counters import Counters
from tricorn.event_loop import run_on
from tricorn.exceptions import ConfigError, only_error
from tricorn.health_server import HealthServer
from tricorn.importing import refuse_meanwhile
from tricorn.io import ending
from tricorn.io.accepting import Acceptor, Intake
from tricorn.io.accepting_asyncio import AsyncioAcceptor
from tricorn.io.listener import Listener, Opening, bind_all
from tricorn.io.registry import Registry
from tricorn.last_resort import LastResort
from tricorn.loop_watch import watching
from tricorn.own_process import OwnProcess
from tricorn.pid_file import PidFile
from tricorn.protocol import negotiate
from tricorn.quoting import kind_of
from tricorn.start_lines import announce
from tricorn.types import Application, ASGIApplication

if TYPE_CHECKING:
    from tricorn.io.tls import TLSContext

_log = logging.getLogger("tricorn.error")


class Event(Protocol):
    """An ``anyio``, ``asyncio`` or ``trio`` event."""

    async def wait(self) -> object: ...


ShutdownTrigger = Callable[[], Awaitable[object]] | Event


async def serve(
    app: Application | None,
    config: Config | None = None,
    *,
    shutdown_trigger: ShutdownTrigger | None = None,
    install_signal_handlers: bool = False,
    task_status: anyio.abc.TaskStatus[list[str]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until cancelled or told to stop; asyncio or trio.

    :param app: ASGI 3, ASGI 2 or WSGI, as ``interface`` says; None where the configuration's
        ``mounts`` hold all that is served.
    :param config: defaults to ``Config()``.
    :param shutdown_trigger: an event, or an async callable; when it is set or returns, the
        server drains within ``graceful_timeout`` and ``serve`` returns.
    :param install_signal_handlers: drain on SIGTERM and SIGINT, stop at once on a second;
        open log files and certificates anew on SIGHUP, log files on SIGUSR1.
    :param task_status: from a task group's ``start``: told the bound URLs (list of str)
        once connections are accepted, an empty list where a signal has ended the start-up.
    :raises BindError: if an address cannot be bound.
    :raises ConfigError: if a certificate cannot be used, there is nothing to serve, nothing
        tells what the application is written for, or signals are to be taken in another thread
        than the main one.
    :raises AppImportError: if a mounted application cannot be imported.
    :raises LifespanError: if the application's startup failed.
    :raises BaseException: what ``shutdown_trigger`` raised, and Ctrl-C on trio; not in a group.
    """
    refuse_meanwhile("serve()")
    config = config or Config()
    server = Server(compose(app, config), config)
    await run_server(server, shutdown_trigger, install_signal_handlers, task_status)


async def run_server(
    server: Server,
    shutdown_trigger: ShutdownTrigger | None = None,
    install_signal_handlers: bool = True,
    task_status: anyio.abc.TaskStatus[list[str]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server to its end; what it raises is as ``serve`` says."""
    error: BaseException | None = None
    if install_signal_handlers:
        from tricorn.server_signals import check_thread  # not above: a supervisor has its own

        check_thread()
    try:
        await server.run(shutdown_trigger, install_signal_handlers, task_status)
    except BaseExceptionGroup as group:
        error = only_error(group)
        if error is None:
            raise
    if error is not None:
        try:
            raise error  # not above, where the groups would be its context
        finally:
            del error  # its traceback has this frame


def run(app: Application | None, config: Config | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the event loop ``worker_class`` names.

    :raises TricornError: as ``serve`` does.
    """
    config = config or Config()
    served = compose(app, config)  # imports, which may take their time, before the loop runs

    file = PidFile(config.pid_path)
    last_resort = LastResort()

    async def main() -> None:
        server = Server(served, config)
        server.last_resort = last_resort

        def clean() -> None:
            file.remove()
            server.close_listeners()

        last_resort.clean = clean
        with closing(OwnProcess(server, file)) as own:
            await run_server(server, task_status=own)

    try:
        run_on(config, main)
    finally:
        last_resort.cancel()
        file.remove()


class Server:
    """One serving process' part: its listeners and connections.

    :param listeners: sockets that another process has bound; else they are bound here.
    :param tls: made before, while the process could still read its keys.
    """

    #: For tests: asyncio through anyio streams, as a cross-check of the two transports.
    force_anyio_transport = False

    def __init__(
        self,
        app: ASGIApplication,
        config: Config,
        *,
        listeners: list[Listener] | None = None,
        tls: TLSContext | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.config = config
        #: Seconds that connections are still taken behind a stop; may be set until then.
        self.drain_delay = config.drain_delay
        #: Behind a stop another process serves at the same addresses; see `tell_balancers`.
        self.replaced = False
        #: Whether changed certificate files are loaded.
        self.watches_certificates = True
        #: Whether the log says what is served where.
        self.announces = True
        #: What ends the process where it would not end; set by whoever owns it.
        self.last_resort: LastResort | None = None
        self._stuck = False  # applications ignore their cancellation
        self._told = False  # whoever waits for the start
        #: Called once the addresses are bound and the keys read.
        self.on_bound: Callable[[], None] | None = None
        #: Called with the time (seconds, monotonic) about once a tick.
        self.on_tick: Callable[[float], None] | None = None
        #: Seconds between two calls of it, at most; None: as the limits of connections need it.
        self.tick_within: float | None = None
        #: Around what SIGHUP does.
        self.reloading: Callable[[], AbstractContextManager[None]] = nullcontext
        self.connections = Registry()
        self._peers = logs.RateLimitedLog(_log, config.peer_log_interval)
        counters = counters or Counters.create()
        self.worker = Worker(
            app,
            config,
            access_log=counted(logs.access_log(config), config, counters),
            peer_log=self._log_peer,
            counters=counters,
        )
        if wants_metrics(config):
            self.worker.measure = partial(self.connections.measure, counters)
        self._health = HealthServer(self.worker, (), self._no_accept)
        self._tls = tls
        self._listeners = self._every = listeners or []
        #: To be closed at a stop: the addresses of a server that starts are closed then.
        self.opening = Opening(self._every)
        self._intake: Intake
        self._acceptor: Acceptor | None = None
        self._on_asyncio = False
        self._lifespan: Lifespan | None = None

    def hurry(self) -> None:
        """Do not wait for the application's shutdown; to be followed by a cancellation."""
        if self._lifespan is not None:
            self._lifespan.cancel()
        if self.last_resort is not None:
            self.last_resort.end_after(2 * ending.CANCEL_TIME)

    def reload_certificates(self) -> None:
        """Read the certificate files again; new connections get what is in them."""
        if self._tls is not None:
            try:
                self._tls.reload()
            except ConfigError as exc:
                _log.error("the former certificate stays: %s", exc)

    def _log_peer(self, reason: str, peer: str) -> None:
        """One rate-limited line about what a peer did."""
        now = time.monotonic()
        self._peers.log(logging.INFO, kind_of(reason), now, "refused %s from %s", reason, peer)

    async def run(
        self,
        shutdown_trigger: ShutdownTrigger | None,
        install_signal_handlers: bool,
        task_status: anyio.abc.TaskStatus[list[str]],
    ) -> None:
        """Start, serve, drain, stop."""
        logs.unsilence()  # applications configure logging where they are imported
        self._on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError
        negotiate.codecs(self.config)
        if self._tls is None and self.config.ssl_enabled:
            from tricorn.io.tls import TLSContext  # not above: for TLS only

            self._tls = TLSContext(self.config)
        if not self._every:
            self._every += bind_all(self.config)
        every = self._every
        self._listeners = [listener for listener in every if not listener.health]
        apart = [listener for listener in every if listener.health]
        self._health = HealthServer(self.worker, apart, self._no_accept)
        lifespan = self._lifespan = Lifespan(
            self.worker.app, self.config, self.worker.stopping, counters=self.worker.counters
        )
        stop = anyio.Event()
        starting = anyio.CancelScope()
        try:
            if self.on_bound is not None:
                self.on_bound()
            signals: AbstractAsyncContextManager[None] = nullcontext()
            if install_signal_handlers:
                from tricorn.server_signals import catch_up, taken  # a supervisor has its own

                signals = taken(self, stop, starting)
            async with signals, anyio.create_task_group() as tasks:
                try:
                    with starting:
                        await lifespan.startup(tasks)
                    logs.unsilence()  # or where they start
                    if install_signal_handlers:
                        await catch_up()
                    if not starting.cancelled_caught:
                        self.worker.state = lifespan.state
                        self._start_watching(tasks)
                        await self._take(shutdown_trigger, stop, task_status)
                except Exception as exc:
                    # It leaves the task group only once the last task has ended.
                    if self.last_resort is not None:
                        self.last_resort.failed(exc)
                    raise
                finally:
                    # Where serve() is cancelled; a connection that is accepted just now sees it.
                    self.worker.stopping.set()
                    with anyio.CancelScope(shield=True):
                        await self._end(lifespan)
                tasks.cancel_scope.cancel()
            if not self._told:  # a signal has ended the start-up
                task_status.started([])
        finally:
            self._peers.flush(time.monotonic())
            self.close_listeners()

    async def _take(
        self,
        shutdown_trigger: ShutdownTrigger | None,
        stop: anyio.Event,
        task_status: anyio.abc.TaskStatus[list[str]],
    ) -> None:
        """Take connections until told to stop, and drain; none where that was told already."""
        if not self.opening.passed():
            self.tell_balancers()
            self._told = True
            task_status.started([])
            return
        async with self._health.answering(on_asyncio=self._uses_asyncio):
            async with self._accepting():
                if self.announces:
                    announce(self.config, self._listeners, on_asyncio=self._on_asyncio)
                    self._health.announce()
                with self._watching_loop():
                    self._told = True
                    task_status.started([listener.url for listener in self._every])
                    await self._until(shutdown_trigger, stop)
                    await self._say_goodbye()
            await self._drain()

    def close_listeners(self) -> None:
        """Close the sockets; the paths of Unix sockets go with them."""
        for listener in self._every:
            listener.close()

    def _start_watching(self, tasks: anyio.abc.TaskGroup) -> None:
        """Start what goes on beside the connections."""
        tasks.start_soon(self._tick)
        interval = self.config.certificate_watch if self.watches_certificates else None
        if self._tls is not None and interval is not None:
            from tricorn.io.certificates import CertificateWatch

            tasks.start_soon(CertificateWatch(self._tls).run, interval)

    def _watching_loop(self) -> AbstractContextManager[None]:
        return watching(self.config.blocked_loop_warning, self._loop_stalled)

    def _loop_stalled(self) -> None:
        self.worker.counters.limit("blocked_loop_warning")

    async def _say_goodbye(self) -> None:
        """Balancers and applications hear of the stop, and connections come for a while yet."""
        self.tell_balancers()
        await anyio.sleep(self.drain_delay)
        self.worker.stopping.set()
        self.tell_balancers()

    def tell_balancers(self) -> None:
        """Answer as ``replaced`` says; to be called where it changes behind a stop."""
        self.worker.ready = self.replaced
        if self.replaced and self.worker.draining:
            self._health.leave()

    @property
    def _uses_asyncio(self) -> bool:
        """Whether connections are asyncio's transports."""
        return self._on_asyncio and not self.force_anyio_transport

    async def _until(self, trigger: ShutdownTrigger | None, stop: anyio.Event) -> None:
        """Wait for a signal or the caller's trigger, whichever is first."""

        async def wait_for_trigger() -> None:
            if trigger is not None:
                await (trigger() if callable(trigger) else trigger.wait())
                stop.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_trigger)
            await stop.wait()
            tasks.cancel_scope.cancel()

    # Accepting

    @asynccontextmanager
    async def _accepting(self) -> AsyncIterator[None]:
        self._intake = Intake(self.worker, self.connections, self._tls, self._no_accept)
        if self._uses_asyncio:
            self._acceptor = acceptor = AsyncioAcceptor(self._intake)
            try:
                for listener in self._listeners:
                    acceptor.listen(listener)
                yield
            finally:
                acceptor.stop()
                self._stop_listening()
        else:
            from tricorn.io.accepting_anyio import AnyioAcceptor  # not above: not for asyncio

            # Connections outlive the accept loops, so they have a task group of their own.
            async with anyio.create_task_group() as connections:
                self._acceptor = anyio_acceptor = AnyioAcceptor(self._intake, connections)
                try:
                    try:
                        async with anyio.create_task_group() as loops:
                            for listener in self._listeners:
                                await loops.start(anyio_acceptor.accept, listener)
                            yield
                            loops.cancel_scope.cancel()
                    finally:
                        self._stop_listening()
                    await self._drain()
                finally:
                    # Else a connection that waits for its peer, shielded, kept the group.
                    with anyio.CancelScope(shield=True):
                        await self._cut()
                        if self._stuck and self._lifespan is not None:
                            # This task group never ends: what comes behind it comes now.
                            await self._end(self._lifespan)

    def _stop_listening(self) -> None:
        """New connections are refused from here on; a Unix socket's path stays to the end."""
        self._intake.close()
        for listener in self._listeners:
            listener.socket.close()

    def _no_accept(self, reason: str) -> None:
        self._peers.log(logging.ERROR, "accept", time.monotonic(), "%s", reason)

    # Time

    async def _tick(self) -> None:
        """One coarse timer for all connections."""
        usual = ticking.tick_interval(self.config, self.tick_within)
        clock = ticking.Clock(time.monotonic())
        stood = False
        while True:
            draining = self.worker.draining
            interval = ticking.DRAINING if draining else usual
            with anyio.move_on_after(interval):
                await (anyio.sleep_forever() if draining else self.worker.stopping.wait())
            now = time.monotonic()
            # Once, lest a loop that is always late has no limits.
            stood = clock.look(now, interval) and not stood
            if not stood:
                self.connections.tick(clock.time)
                self._health.tick(clock.time)
            if self.worker.measure is not None:
                self.worker.measure()
            self._peers.flush(now, due_only=True)
            if self.on_tick is not None:
                self.on_tick(now)

    # Stopping

    async def _drain(self) -> None:
        """Let the open exchanges end, within ``graceful_timeout``."""
        with anyio.move_on_after(self.config.graceful_timeout) as scope:
            for connection in list(self.connections):
                connection.shutdown()
            await self._emptied()
        if scope.cancelled_caught and (count := self.connections.unfinished()):
            self.worker.counters.limit("graceful_timeout")
            limit = self.config.graceful_timeout
            _log.warning("%d connections still open after graceful_timeout = %g s", count, limit)

    async def _emptied(self) -> None:
        """Wait until no connection is left."""
        if self._acceptor is not None:
            await self._acceptor.settle()
        emptied = anyio.Event()
        self.connections.on_empty = emptied.set
        if self.connections:
            await emptied.wait()

    async def _end(self, lifespan: Lifespan) -> None:
        """Cut what is open and shut the application down."""
        try:
            await self._cut()
            await lifespan.shutdown()
        except anyio.get_cancelled_exc_class():
            # An asyncio task can be cancelled in spite of the shield; twice is a hurry.
            await self._cut()
            await lifespan.shutdown()
            raise
        finally:
            lifespan.cancel()
            self._let_go()

    def _let_go(self) -> None:
        """Everything is over; what is not by now must not hold up the process."""
        if self.last_resort is not None:
            if self._stuck:
                self.last_resort.end()
            self.last_resort.end_after(ending.CANCEL_TIME)

    async def _cut(self) -> None:
        """End whatever is left."""
        if self._acceptor is not None:
            self._acceptor.cancel()
            with anyio.move_on_after(ending.CANCEL_TIME):
                await self._acceptor.settle()
        if not self.connections:
            return
        for connection in list(self.connections):
            connection.cancel()
        with anyio.move_on_after(ending.CANCEL_TIME):
            await self._emptied()
        for connection in self.connections:
            self._stuck = True
            for what in connection.running():
                _log.error("the application ignores its cancellation: %s", what)
        self.connections.clear()
