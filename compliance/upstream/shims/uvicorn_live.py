"""Pytest plugin: uvicorn's ``Server``, protocol and lifespan classes are Tricorn underneath.

``uvicorn.Config`` stays, and is read as what it asks for. A test that runs a server gets
``tricorn.serve`` in its event loop; one that drives a protocol object on a transport of its own
gets Tricorn's asyncio transport there.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
import time
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest
import uvicorn
import uvicorn.lifespan.on
import uvicorn.main
import uvicorn.middleware.wsgi
import uvicorn.protocols.http.auto_zttp_impl as auto_zttp_impl
import uvicorn.protocols.http.h11_impl as h11_impl
import uvicorn.protocols.http.httptools_impl as httptools_impl
import uvicorn.protocols.http.zttp_h2_impl as zttp_h2_impl
import uvicorn.protocols.http.zttp_impl as zttp_impl
import uvicorn.protocols.websockets.websockets_sansio_impl as sansio_impl
import uvicorn.protocols.websockets.wsproto_impl as wsproto_impl
import uvicorn.server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.importer import import_from_string

import tricorn
from tricorn.asgi.host import Worker
from tricorn.asgi.interface import adapt
from tricorn.asgi.lifespan import Lifespan
from tricorn.asgi.wsgi import WSGIAdapter
from tricorn.exceptions import TricornError
from tricorn.io.admission import Admission
from tricorn.io.asyncio_transport import AsyncioTransport
from tricorn.io.connection import Registry

# Seconds in which applications of a test end once their server is to end.
_GRACE = 5.0


def application(config: Any) -> Any:
    """The application of a uvicorn configuration, as Tricorn adapts it."""
    app = import_from_string(config.app) if isinstance(config.app, str) else config.app
    if config.factory:
        app = app()
    return app


def translate(config: Any, sockets: list[socket.socket] | None = None) -> tricorn.Config:
    """A uvicorn configuration as one of Tricorn."""
    if sockets:
        binds = [f"fd://{sock.fileno()}" for sock in sockets]
    elif config.uds:
        binds = [f"unix:{config.uds}"]
    elif config.fd is not None:
        binds = [f"fd://{config.fd}"]
    else:
        host = config.host or "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
        binds = [f"{host}:{config.port}"]
    options: dict[str, Any] = {}
    if config.ssl_certfile:
        options |= {
            "certfile": str(config.ssl_certfile),
            # As ssl.load_cert_chain: without a file of its own the key is beside the certificate.
            "keyfile": str(config.ssl_keyfile or config.ssl_certfile),
            "keyfile_password": config.ssl_keyfile_password,
            "ca_certs": None if config.ssl_ca_certs is None else str(config.ssl_ca_certs),
        }
    if config.h11_max_incomplete_event_size is not None:
        options["h11_max_incomplete_size"] = config.h11_max_incomplete_event_size
    return tricorn.Config(
        bind=binds,
        interface=config.interface if config.interface != "auto" else "auto",
        lifespan=config.lifespan,
        root_path=config.root_path,
        root_path_stripped=True,
        backlog=config.backlog,
        max_concurrent_requests=config.limit_concurrency,
        headers=[f"{name}: {value}" for name, value in config.headers],
        include_server_header=config.server_header,
        include_date_header=config.date_header,
        keep_alive_timeout=float(config.timeout_keep_alive),
        graceful_timeout=float(config.timeout_graceful_shutdown or _GRACE),
        websocket_max_message_size=config.ws_max_size,
        websocket_ping_interval=config.ws_ping_interval or None,
        websocket_ping_timeout=config.ws_ping_timeout or None,
        websocket_compression=config.ws_per_message_deflate,
        **options,
    )


class Server:
    """The surface of ``uvicorn.Server`` over ``tricorn.serve``."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.started = False
        self.should_exit = False
        self._stop = anyio.Event()
        self._done = anyio.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.run(self.serve(sockets))

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        async def poll() -> None:
            while not self.should_exit and not self._stop.is_set():  # noqa: ASYNC110
                await anyio.sleep(0.01)

        try:
            config = translate(self.config, sockets)
            app = adapt(application(self.config), config.interface, config)
            async with anyio.create_task_group() as tasks:

                async def serve(*, task_status: Any) -> None:
                    await tricorn.serve(app, config, shutdown_trigger=poll, task_status=task_status)
                    tasks.cancel_scope.cancel()

                await tasks.start(serve)
                self.started = True
                await anyio.sleep_forever()
        except* TricornError as group:
            logging.getLogger("uvicorn.error").error("%s", group.exceptions[0])
            sys.exit(STARTUP_FAILURE)
        finally:
            self._done.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stop.set()
        await self._done.wait()


class _Handle:
    """The task of a coroutine that the test runs when it likes."""

    def cancel(self) -> None:
        """Such a coroutine is not running."""


class _Loop:
    """The test's stand-in of an event loop where it has one, the running loop elsewhere."""

    def __init__(self, mock: Any, tasks: set[Any]) -> None:
        self._mock, self._tasks = mock, tasks
        self.protocol: Protocol
        self._loop = asyncio.get_running_loop()

    def get_task_factory(self) -> Any:
        """Not None: then tasks are made by ``create_task``."""
        return self.create_task

    def create_task(self, coroutine: Coroutine[Any, Any, None], **_: Any) -> Any:
        if self._mock is None:
            task = self._loop.create_task(coroutine)
            self._tasks.add(task)
            return task

        async def whole() -> None:
            await coroutine
            await asyncio.sleep(0)  # what the transport does at the end of the turn
            self.protocol.tick(time.monotonic())

        self._mock.create_task(whole())
        return _Handle()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class _ALPN:
    def __init__(self, protocol: str | None) -> None:
        self._protocol = protocol

    def selected_alpn_protocol(self) -> str | None:
        return self._protocol


class _TLS:
    """Stands for the TLS of a transport that only says it has it."""

    def describe(self, ssl_object: object) -> dict[str, Any]:
        return {"server_cert": None, "tls_version": None, "cipher_suite": None}


class _Transport:
    """The test's transport with what Tricorn needs of one beside that."""

    def __init__(self, mock: Any, alpn: str | None) -> None:
        self._mock, self._alpn = mock, alpn

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return (
                _ALPN(self._alpn) if self._alpn else self._mock.get_extra_info(name) or _ALPN(None)
            )
        found = self._mock.get_extra_info(name)
        return default if found is None else found

    def writelines(self, buffers: list[bytes]) -> None:
        self.write(b"".join(buffers))

    # As with the transports of asyncio, nothing happens to one that is closing.

    def write(self, data: bytes) -> None:
        if not self._mock.is_closing():
            self._mock.write(bytes(data))

    def close(self) -> None:
        if not self._mock.is_closing():
            self._mock.close()

    def abort(self) -> None:
        self.close()

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """It has no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mock, name)


class _Clock:
    """A delay for the test's list of timers: compared with how late it is, it lets time pass."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def __le__(self, seconds: float) -> bool:
        self._protocol.tick(time.monotonic() + seconds)
        return False


class _Timer:
    def __init__(self, protocol: Protocol) -> None:
        self.delay = _Clock(protocol)


class Protocol(AsyncioTransport):
    """Tricorn's side of one connection with the constructor of uvicorn's protocols."""

    alpn: str | None = None

    def __init__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> None:
        translated = translate(config)
        app = adapt(application(config), translated.interface, translated)
        worker = Worker(app, translated)
        worker.state = app_state
        self.loop = _loop
        loop: Any = _Loop(_loop, server_state.tasks)
        loop.protocol = self
        place = Admission(translated, ()).enter(None)
        assert place is not None
        super().__init__(loop, worker, Registry(), None, None, client=None, place=place)
        self._gathers = False  # the tests look at what is written without a turn of the loop
        self._tls: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        secure = bool(transport.get_extra_info("sslcontext"))
        self._tls = _TLS() if secure else None
        if self.loop is not None:
            self.loop._later.append(_Timer(self))
        self._client = transport.get_extra_info("peername")
        wrapped: Any = _Transport(transport, self.alpn)
        super().connection_made(wrapped)
        # The transport lets go of it when it is lost; its applications go on.
        self.driver = self._connection

    def data_received(self, data: bytes) -> None:
        # A real transport reads no more once it is closed.
        if not self.transport.is_closing() and self._connection is not None:
            self._writes = 0
            self._connection.bytes_received(data)

    def shutdown(self) -> None:
        assert self.driver is not None
        self.driver.shutdown()

    def tick(self, now: float) -> None:
        assert self.driver is not None
        self.driver.tick(now)


class H2Protocol(Protocol):
    """A connection that TLS has agreed to be HTTP/2."""

    alpn = "h2"


class NegotiatingProtocol(Protocol):
    """A connection that can be either, whose transport is told the outcome."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if transport.get_extra_info("sslcontext"):
            self._tell()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._tell()

    def _tell(self) -> None:
        assert self._connection is not None
        kind = type(self._connection.http).__name__
        if self._connection._sniff is None:
            told = _TOLD_H2 if kind == "HTTP2Connection" else _TOLD_H1
            view = object.__new__(told)
            view.__dict__ = self.__dict__
            self.transport.set_protocol(view)


class WebSocketProtocol(Protocol):
    """A connection for the tests of uvicorn's WebSocket classes."""


class LifespanOn:
    """The surface of uvicorn's lifespan runner over Tricorn's."""

    def __init__(self, config: Any) -> None:
        self._app = application(config)
        self._config = tricorn.Config(lifespan=config.lifespan)
        self._lifespan: Lifespan | None = None
        self.state: dict[str, Any] = {}
        self.error_occurred = False
        self.should_exit = False
        self.startup_failed = False
        self.shutdown_failed = False

    async def startup(self) -> None:
        self._stop, self._started = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._run())
        await self._started.wait()

    async def _run(self) -> None:
        lifespan = Lifespan(adapt(self._app, "auto", self._config), self._config)
        async with anyio.create_task_group() as tasks:
            try:
                await lifespan.startup(tasks)
            except TricornError as exc:
                logging.getLogger("uvicorn.error").error("%s", exc)
                self.should_exit = True
                self.error_occurred = exc.__cause__ is not None
                self.startup_failed = not self.error_occurred
                self._started.set()
                return
            self.error_occurred = lifespan.state is None
            self.state.update(lifespan.state or {})
            self._started.set()
            await self._stop.wait()
            await lifespan.shutdown()
            tasks.cancel_scope.cancel()

    async def shutdown(self) -> None:
        self._stop.set()
        await self._task


def _wsgi(app: Any) -> Any:
    return WSGIAdapter(app, threads=4, max_body_size=None)


_wsgi.__name__ = "_WSGIMiddleware"

_TOLD_H1 = type("H11Protocol", (Protocol,), {})
_TOLD_H2 = H2Protocol
for _module in (uvicorn, uvicorn.server, uvicorn.main):
    _module.Server = Server
h11_impl.H11Protocol = httptools_impl.HttpToolsProtocol = zttp_impl.ZttpProtocol = _TOLD_H1
zttp_h2_impl.ZttpH2Protocol = H2Protocol
auto_zttp_impl.AutoZttpProtocol = NegotiatingProtocol
sansio_impl.WebSocketsSansIOProtocol = type("WebSocketsSansIOProtocol", (WebSocketProtocol,), {})
wsproto_impl.WSProtocol = type("WSProtocol", (WebSocketProtocol,), {})
uvicorn.lifespan.on.LifespanOn = LifespanOn
uvicorn.middleware.wsgi._WSGIMiddleware = _wsgi

# One of uvicorn's implementations of a protocol is enough: they are all Tricorn here. Those of
# its HTTP classes come first; a WebSocket test that skips itself on one is run as the other.
_OTHERS = re.compile(r"\[(.*-)?(httptools|zttp|WSGIMiddleware)\b")
_WSPROTO = re.compile(r"\[(.*-)?wsproto\b")
_WSPROTO_ONLY = re.compile(r"_with_invalid_msg|_with_missing_body|_response_start_events")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the other parameters of the same tests out."""
    chosen = []
    for item in items:
        by_wsproto = bool(_WSPROTO_ONLY.search(item.name))
        other = bool(_WSPROTO.search(item.name)) != by_wsproto and "ws_protocol_cls" in getattr(
            item, "fixturenames", ()
        )
        if not other and not _OTHERS.search(item.name):
            chosen.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
