"""Pytest plugin: Starlette's ``TestClient`` talks to a Tricorn over a socket.

What stays: the class, its surface and what it promises (the application's exceptions come out of
the call). What changes: the request goes over the wire, to a server that serves the client's
application on the backend the test asks for. The scope says what the test client's own scope would
about things that are the client's to choose: its address, ``root_path``.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import blockbuster
import h2.connection
import h2.events
import h11
import httpcore2._sync.http11
import httpx2
import pytest
import starlette.testclient as upstream
import trustme
from starlette.websockets import WebSocketDisconnect

from compliance.upstream.shims.live import (
    PROTOCOL,
    WITNESS_FIELD,
    WORKER_CLASS,
    LiveServer,
    Record,
    Witness,
)
from compliance.upstream.shims.websocket_client import Closed, Refused, WebSocketClient
from tricorn.exceptions import LifespanError

_servers: list[LiveTransport] = []
_OPTIONS: dict[str, Any] = {
    "include_date_header": False,
    "include_server_header": False,
    "disconnect_grace": 0.2,
    "graceful_timeout": 1.0,
    "errorlog": None,
    "websocket_ping_interval": None,
    "debug": False,
}
_TE = (b"te", b"trailers")
# Fields of the handshake that belong to the wire, not to the test.
_HANDSHAKE = (b"host", b"connection", b"upgrade", b"sec-websocket-key", b"sec-websocket-version")


class _Certificate:
    """A certificate for the process, made when first used."""

    _paths: tuple[str, str] | None = None

    @classmethod
    def paths(cls) -> tuple[str, str]:
        if cls._paths is None:
            directory = Path(tempfile.mkdtemp(prefix="upstream-"))
            issued = trustme.CA().issue_cert("testserver", "localhost", "127.0.0.1")
            issued.private_key_and_cert_chain_pem.write_to_path(directory / "all.pem")
            cls._paths = str(directory / "all.pem"), str(directory / "all.pem")
        return cls._paths


class _Trailers:
    """Trailers of the last response, which the HTTP client reads and drops."""

    seen: ClassVar[list[tuple[bytes, bytes]]] = []

    @classmethod
    def watch_http11(cls, original: Any) -> Any:
        def receive(self: Any, *args: Any, **kwargs: Any) -> Any:
            event = original(self, *args, **kwargs)
            if isinstance(event, h11.EndOfMessage) and event.headers:
                cls.seen = list(event.headers)
            return event

        return receive

    @classmethod
    def watch_http2(cls, original: Any) -> Any:
        def receive(self: Any, data: bytes) -> Any:
            events = original(self, data)
            for event in events:
                if isinstance(event, h2.events.TrailersReceived):
                    cls.seen = [(bytes(name), bytes(value)) for name, value in event.headers]
            return events

        return receive


class LiveTransport(upstream._TestClientTransport):
    """Sends each request to a server of its own application."""

    _server: LiveServer | None = None
    _lifespan = "off"
    backend = "asyncio"
    state: dict[str, Any] | None = None

    def _serve(self) -> LiveServer:
        if self._server is None:
            self._witness = Witness(self.app, self._adapt)
            backend = "trio" if self.backend == "trio" else WORKER_CLASS
            certfile, keyfile = _Certificate.paths()
            self._server = LiveServer(
                self._witness,
                backend,
                bind=["127.0.0.1:0"],
                insecure_bind=["127.0.0.1:0"],
                certfile=certfile,
                keyfile=keyfile,
                lifespan=self._lifespan,
                root_path=self.root_path,
                **_OPTIONS,
            )
            _servers.append(self)
            self._server.start()
            self._client = httpx2.HTTPTransport(
                http1=PROTOCOL == "http/1.1", http2=PROTOCOL == "h2", verify=False
            )
        return self._server

    def _adapt(self, scope: dict[str, Any]) -> None:
        scope["client"] = self.client
        scope.setdefault("state", {})
        # What this client adds for `_Trailers`.
        scope["headers"] = [field for field in scope["headers"] if field != _TE]
        if scope["type"] == "http":
            scope["extensions"]["http.response.debug"] = {}

    def _address(self, secure: bool) -> tuple[str, int]:
        url = self._serve().urls[0 if secure else 1]
        return "127.0.0.1", int(url.rpartition(":")[2])

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme in ("ws", "wss"):
            session = LiveSession(self.app, {}, self.portal_factory)
            session.transport, session.request = self, request
            raise upstream._Upgrade(session)
        host, port = self._address(url.scheme == "https")
        number, record = self._witness.expect()
        headers = [*request.headers.raw, _TE, (WITNESS_FIELD, number)]
        _Trailers.seen = []
        live = httpx2.Request(
            request.method,
            url.copy_with(host=host, port=port),
            headers=headers,
            stream=request.stream,
            extensions=dict(request.extensions),
        )
        try:
            response = self._client.handle_request(live)
        except httpx2.TransportError:
            if self.raise_server_exceptions:
                record.finish()
            raise
        response.extensions = {**response.extensions}
        response.stream = _Body(response, record, self.raise_server_exceptions)
        if response.status_code == 500 and self.raise_server_exceptions:
            record.finish()
        response.request = request
        if record.debug is not None:
            response.extensions["http.response.debug"] = record.debug
            for name in ("template", "context"):
                if name in record.debug:
                    setattr(response, name, record.debug[name])
        return response

    def enter(self) -> None:
        """Start with the application's lifespan, whose exceptions come out of here."""
        self.shut()
        self._lifespan = "on"
        try:
            self._serve()
        except LifespanError:
            if self._witness.lifespan is not None:
                raise self._witness.lifespan from None
            raise

    def shut(self) -> None:
        """Stop the server, if there is one."""
        server, self._server = self._server, None
        self._lifespan = "off"
        if server is not None:
            _servers.remove(self)
            if hasattr(server, "_future"):
                self._client.close()
                server.stop()
                if self._witness.lifespan is not None:
                    raise self._witness.lifespan


class _Body(httpx2.SyncByteStream):
    """A response body whose end is the application's end."""

    def __init__(self, response: httpx2.Response, record: Record, raising: bool) -> None:
        self._response, self._stream = response, response.stream
        self._record, self._raising = record, raising

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx2.TransportError:
            self._finish()
            raise
        if _Trailers.seen:
            self._response.extensions["http.response.trailers"] = _Trailers.seen
        self._finish()

    def _finish(self) -> None:
        if self._raising:
            self._record.finish()

    def close(self) -> None:
        self._stream.close()
        if self._record.started:
            self._record.done.wait(2)


class LiveSession(upstream.WebSocketTestSession):
    """A WebSocket over the wire behind the surface of the test session."""

    transport: LiveTransport
    request: httpx2.Request
    _socket: WebSocketClient | None = None
    _record: Record

    def __enter__(self) -> LiveSession:
        url = self.request.url
        secure = url.scheme == "wss"
        address = self.transport._address(secure)
        number, self._record = self.transport._witness.expect()
        fields = [
            (name.lower(), value)
            for name, value in self.request.headers.raw
            if name.lower() not in _HANDSHAKE
        ]
        try:
            self._socket = WebSocketClient(
                address,
                url.raw_path,
                [*fields, (WITNESS_FIELD, number)],
                protocol=PROTOCOL,
                tls=secure,
                authority=url.netloc,
            )
        except Refused as refused:
            self._record.finish()
            if refused.status == 403 and refused.body == b"Forbidden":
                # The close code of a refusal does not cross the wire (ASGI WebSocket).
                raise WebSocketDisconnect(1000, "") from None
            raise upstream.WebSocketDenialResponse(
                status_code=refused.status, headers=list(refused.headers), content=refused.body
            ) from None
        own = (b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol")
        own += (b"transfer-encoding",)
        headers = dict(self._socket.headers)
        protocol = headers.get(b"sec-websocket-protocol")
        self.accepted_subprotocol = None if protocol is None else protocol.decode()
        self.extra_headers = [(k, v) for k, v in self._socket.headers if k.lower() not in own]
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._socket is None:
            return
        self._socket.close(1000)
        with contextlib.suppress(Closed):
            while not self._record.done.is_set():
                self._socket.receive()
        self._socket.abort()
        self._record.finish()

    def send(self, message: dict[str, Any]) -> None:
        assert self._socket is not None
        if message["type"] == "websocket.disconnect":
            self._socket.close(message.get("code", 1000), message.get("reason"))
        elif message.get("text") is not None:
            self._socket.send_text(message["text"])
        else:
            self._socket.send_bytes(message["bytes"])

    def receive(self) -> dict[str, Any]:
        assert self._socket is not None
        try:
            data = self._socket.receive()
        except Closed as closed:
            if closed.code in (1006, 1011):
                self._record.finish()
            return {"type": "websocket.close", "code": closed.code, "reason": closed.reason}
        kind = "text" if isinstance(data, str) else "bytes"
        return {"type": "websocket.send", kind: data}


def _make(self: Any, *args: Any, **options: Any) -> None:
    _original_init(self, *args, **options)
    transport = self._transport
    if isinstance(transport, LiveTransport):
        transport.backend = self.async_backend["backend"]


def _enter(self: Any) -> Any:
    self._transport.enter()
    return self


def _exit(self: Any, *args: Any) -> None:
    self._transport.shut()


def _watch(self: Any, *args: Any, **kwargs: Any) -> None:
    """Blockbuster lets asyncio call ``os.sendfile`` on a non-blocking socket; so may Tricorn."""
    _original_watch(self, *args, **kwargs)
    self.functions["os.sendfile"].can_block_in("tricorn/io/sendfile.py", "send_some")


_original_watch = blockbuster.BlockBuster.__init__
blockbuster.BlockBuster.__init__ = _watch
_http11 = httpcore2._sync.http11.HTTP11Connection
_http11._receive_event = _Trailers.watch_http11(_http11._receive_event)
_http2 = h2.connection.H2Connection
_http2.receive_data = _Trailers.watch_http2(_http2.receive_data)
_original_init = upstream.TestClient.__init__
upstream._TestClientTransport = LiveTransport
upstream.TestClient.__init__ = _make
upstream.TestClient.__enter__ = _enter
upstream.TestClient.__exit__ = _exit


@pytest.fixture(autouse=True)
def _servers_end_with_the_test() -> Iterator[None]:
    yield
    for transport in _servers.copy():
        with contextlib.suppress(Exception):
            transport.shut()


def pytest_configure() -> None:
    """Sockets that the test client leaves to the garbage collector are not the tests' matter."""
    warnings.filterwarnings("ignore", category=ResourceWarning)
    # Its tracebacks would be formatted in the server's thread: CPython 3.11 parses sources for
    # that, and its parser breaks when pytest's thread does the same (CPython gh-106905).
    logging.getLogger("tricorn.error").disabled = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only the tests that have a client."""
    chosen = [item for item in items if "test_client_factory" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
