"""``serve`` and ``run``: listeners, connections, lifespan, drain."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.streams.tls import TLSStream

import tricorn
from tricorn.access_log import AccessLog
from tricorn.application import compose
from tricorn.asgi.host import Worker
from tricorn.asgi.lifespan import Lifespan
from tricorn.config import Config
from tricorn.event_loop import run_on
from tricorn.exceptions import ConfigError, TricornError
from tricorn.io.anyio_transport import AnyioTransport
from tricorn.io.asyncio_transport import AsyncioTransport
from tricorn.io.connection import Registry
from tricorn.io.listener import Listener, bind_all
from tricorn.io.tls import TLSContext
from tricorn.logs import RateLimitedLog
from tricorn.protocol.negotiate import CODECS
from tricorn.types import Application, ASGIApplication

_log = logging.getLogger("tricorn.error")

# Seconds between two looks at the clock, at most; shorter where a limit is shorter.
_TICK = 1.0
_SHORTEST_TICK = 0.02
# Seconds a cancelled application is waited for.
_CANCEL_TIME = 5.0
# How a connection can fail before it is one; a lookup fails where the peer is gone already.
_NO_CONNECTION = (
    OSError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    anyio.TypedAttributeLookupError,
)
# Seconds the accept loop rests when the system is out of descriptors.
_ACCEPT_PAUSE = 0.2


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
    :param install_signal_handlers: drain on SIGTERM and SIGINT, stop at once on a second.
    :param task_status: from a task group's ``start``: told the bound URLs (list of str)
        once connections are accepted.
    :raises BindError: if an address cannot be bound.
    :raises ConfigError: if a certificate cannot be used, there is nothing to serve, or nothing
        tells what the application is written for.
    :raises AppImportError: if a mounted application cannot be imported.
    :raises LifespanError: if the application's startup failed.
    """
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
    try:
        await server.run(shutdown_trigger, install_signal_handlers, task_status)
    except BaseExceptionGroup as group:
        error = _only_tricorn_error(group)
        if error is None:
            raise
        raise error from error.__cause__


def _only_tricorn_error(group: BaseExceptionGroup[BaseException]) -> TricornError | None:
    """Our own error out of the groups the task groups wrapped it in."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return inner if isinstance(inner, TricornError) else None


def run(app: Application | None, config: Config | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the event loop ``worker_class`` names.

    :raises TricornError: as ``serve`` does.
    """
    config = config or Config()
    served = compose(app, config)  # imports, which may take their time, before the loop runs

    async def main() -> None:
        await run_server(Server(served, config))

    with _pid_file(config.pid_path):
        run_on(config, main)


@contextmanager
def _pid_file(path: str | None) -> Iterator[None]:
    """Write the process id to ``path`` while serving; replaced whole, removed at the end."""
    if path is None:
        yield
        return
    target = Path(path)
    fresh = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        fresh.write_text(f"{os.getpid()}\n", "ascii")
        fresh.replace(target)
    except OSError as exc:
        raise ConfigError(f"pid_path: cannot write {path!r}: {exc.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):
            if target.read_text("ascii").strip() == str(os.getpid()):
                target.unlink()


class Server:
    """One serving process' part: its listeners and connections."""

    #: For tests: asyncio through anyio streams, as a cross-check of the two transports.
    force_anyio_transport = False

    def __init__(self, app: ASGIApplication, config: Config) -> None:
        self.config = config
        self.connections = Registry()
        self._peers = RateLimitedLog(_log, config.peer_log_interval)
        self.worker = Worker(
            app, config, access_log=AccessLog.create(config), peer_log=self._log_peer
        )
        self._tls: TLSContext | None = None
        self._listeners: list[Listener] = []
        self._asyncio_servers: list[asyncio.Server] = []
        self._on_asyncio = False

    def _log_peer(self, reason: str, peer: str) -> None:
        """One rate-limited line about what a peer did."""
        now = time.monotonic()
        self._peers.log(logging.INFO, reason, now, "refused %s from %s", reason, peer)

    async def run(
        self,
        shutdown_trigger: ShutdownTrigger | None,
        install_signal_handlers: bool,
        task_status: anyio.abc.TaskStatus[list[str]],
    ) -> None:
        """Start, serve, drain, stop."""
        self._on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError
        self._tls = TLSContext(self.config) if self.config.ssl_enabled else None
        self._listeners = bind_all(self.config)
        lifespan = Lifespan(self.worker.app, self.config, self.worker.stopping)
        stop = anyio.Event()
        try:
            async with anyio.create_task_group() as tasks:
                if install_signal_handlers:
                    await tasks.start(self._watch_signals, stop, tasks.cancel_scope, lifespan)
                try:
                    await lifespan.startup(tasks)
                    self.worker.state = lifespan.state
                    async with self._accepting():
                        tasks.start_soon(self._tick)
                        self._announce()
                        task_status.started([listener.url for listener in self._listeners])
                        await self._until(shutdown_trigger, stop)
                        self.worker.stopping.set()
                    await self._drain()
                finally:
                    # Where serve() is cancelled; a connection that is accepted just now sees it.
                    self.worker.stopping.set()
                    with anyio.CancelScope(shield=True):
                        await self._end(lifespan)
                tasks.cancel_scope.cancel()
        finally:
            self._peers.flush(time.monotonic())
            for listener in self._listeners:
                listener.close()

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

    async def _watch_signals(
        self,
        stop: anyio.Event,
        scope: anyio.CancelScope,
        lifespan: Lifespan,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                name = signal.Signals(number).name
                if stop.is_set():
                    _log.warning("%s again: stopping at once", name)
                    lifespan.cancel()
                    scope.cancel()
                    return
                limit = self.config.graceful_timeout
                _log.info("%s: finishing what is in flight, at most %g s", name, limit)
                stop.set()

    # Accepting

    @asynccontextmanager
    async def _accepting(self) -> AsyncIterator[None]:
        if self._on_asyncio and not self.force_anyio_transport:
            try:
                for listener in self._listeners:
                    await self._listen_asyncio(listener)
                yield
            finally:
                await self._stop_listening_asyncio()
        else:
            # Connections outlive the accept loops, so they have a task group of their own.
            async with anyio.create_task_group() as connections:
                async with anyio.create_task_group() as loops:
                    for listener in self._listeners:
                        await loops.start(self._accept_anyio, listener, connections)
                    yield
                    loops.cancel_scope.cancel()
                await self._drain()
                await self._cut()

    async def _listen_asyncio(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        tls = self._tls if listener.secure else None
        address = listener.address if listener.is_unix else None

        def factory() -> AsyncioTransport:
            return AsyncioTransport(loop, self.worker, self.connections, tls, address)

        options: dict[str, Any] = {"sock": listener.socket, "backlog": self.config.backlog}
        if tls is not None:
            options["ssl"] = tls.ssl
            options["ssl_handshake_timeout"] = self.config.ssl_handshake_timeout
            options["ssl_shutdown_timeout"] = self.config.ssl_shutdown_timeout
        create = loop.create_unix_server if listener.is_unix else loop.create_server
        # Started when it is known: a cancellation in between would leave it to nobody.
        server = await create(factory, start_serving=False, **options)
        self._asyncio_servers.append(server)
        await server.start_serving()

    async def _stop_listening_asyncio(self) -> None:
        """Accept no more, then close: asyncio loses what it is accepting in a closed server."""
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.socket)
        try:
            await anyio.lowlevel.cancel_shielded_checkpoint()
        finally:
            for server in self._asyncio_servers:
                server.close()

    async def _accept_anyio(
        self,
        listener: Listener,
        connections: anyio.abc.TaskGroup,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        address = listener.address
        # Closed with its copy: a peer that waits in its queue would wait for nobody.
        with listener.socket:
            listener.socket.listen(self.config.backlog)
            # Closing the listener closes its socket; the path of a Unix socket is ours to remove.
            sockets = await anyio.abc.SocketListener.from_socket(listener.socket.dup())
            async with sockets:
                task_status.started()
                while True:
                    try:
                        stream = await sockets.accept()
                    except OSError as exc:
                        now = time.monotonic()
                        self._peers.log(logging.ERROR, "accept", now, "cannot accept: %s", exc)
                        await anyio.sleep(_ACCEPT_PAUSE)
                    else:
                        connections.start_soon(self._handle_anyio, listener, address, stream)

    async def _handle_anyio(
        self,
        listener: Listener,
        server: tuple[str, int | None],
        stream: anyio.abc.SocketStream,
    ) -> None:
        client = None
        tls = self._tls if listener.secure else None
        transport_stream: anyio.abc.ByteStream = stream
        try:
            if not listener.is_unix:
                client = _pair(stream.extra(anyio.abc.SocketAttribute.remote_address))
                server = _pair(stream.extra(anyio.abc.SocketAttribute.local_address))
            if tls is not None:
                with anyio.fail_after(self.config.ssl_handshake_timeout):
                    transport_stream = await TLSStream.wrap(
                        stream, server_side=True, ssl_context=tls.ssl
                    )
        except _NO_CONNECTION as exc:
            _log.debug("no TLS with %s: %r", client, exc)
            await anyio.aclose_forcefully(stream)
            return
        except BaseException:
            # Cancelled in the handshake.
            await anyio.aclose_forcefully(stream)
            raise
        transport = AnyioTransport(
            transport_stream, self.worker, self.connections, tls, client=client, server=server
        )
        try:
            await transport.run()
        except Exception:
            # The failure boundary: whatever it was, it costs this connection only.
            _log.exception("internal error; closed the connection from %s", client)

    # Time

    async def _tick(self) -> None:
        """One coarse timer for all connections."""
        interval = self._tick_interval()
        while True:
            await anyio.sleep(interval)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.tick(now)
            self._peers.flush(now, due_only=True)

    def _tick_interval(self) -> float:
        config = self.config
        limits = (
            config.keep_alive_timeout,
            config.header_timeout,
            config.read_timeout,
            config.write_timeout,
            config.close_timeout,
            config.disconnect_grace,
            config.websocket_ping_interval,
            config.websocket_ping_timeout,
            config.websocket_close_timeout,
            config.websocket_handshake_timeout,
        )
        shortest = min((limit for limit in limits if limit is not None), default=_TICK)
        return max(_SHORTEST_TICK, min(_TICK, shortest / 4))

    # Stopping

    async def _drain(self) -> None:
        """Let the open exchanges end, within ``graceful_timeout``."""
        with anyio.move_on_after(self.config.graceful_timeout) as scope:
            for connection in list(self.connections):
                connection.shutdown()
            await self._emptied()
        if scope.cancelled_caught:
            count = len(self.connections)
            limit = self.config.graceful_timeout
            _log.warning("%d connections still open after graceful_timeout = %g s", count, limit)

    async def _emptied(self) -> None:
        """Wait until no connection is left."""
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

    async def _cut(self) -> None:
        """End whatever is left."""
        if not self.connections:
            return
        for connection in list(self.connections):
            connection.cancel()
        with anyio.move_on_after(_CANCEL_TIME):
            await self._emptied()
        for connection in self.connections:
            _log.error("the application ignores its cancellation: %r", connection)
        self.connections.clear()

    # Start-up lines

    def _announce(self) -> None:
        """Say what is served where, in a few lines."""
        loop = "trio" if not self._on_asyncio else _loop_name()
        codecs = ", ".join(f"{name} {_version(name)}" for name in CODECS.values())
        _log.info("Tricorn %s on %s with %s", tricorn.__version__, loop, codecs)
        for listener in self._listeners:
            _log.info("%s speaks %s", listener.url, self._spoken(listener))
        for listener in self._listeners:
            if listener.is_unix:
                continue
            note = ""
            if listener.secure and self.config.certfile is None:
                note = " (its development certificate is self-signed: the browser asks once)"
            _log.info("open %s/ in a browser%s", listener.url, note)
            break

    def _spoken(self, listener: Listener) -> str:
        if listener.secure:
            names = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}
            spoken = [names[name] for name in self.config.alpn_protocols]
            return f"{' and '.join(spoken)} over TLS (ALPN), WebSocket over {_each(spoken)}"
        spoken = ["HTTP/1.1"]
        if self.config.h2_prior_knowledge:
            spoken.append("HTTP/2 (prior knowledge)")
        if self.config.h2c_upgrade:
            spoken.append("h2c upgrade")
        return f"{', '.join(spoken)} in cleartext, WebSocket over {_each(spoken)}"


def _each(spoken: list[str]) -> str:
    return "it" if len(spoken) == 1 else "both"


def _loop_name() -> str:
    module = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    return f"uvloop {_version('uvloop')}" if module == "uvloop" else "asyncio"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _pair(address: object) -> tuple[str, int]:
    assert isinstance(address, tuple)
    return str(address[0]), int(address[1])
