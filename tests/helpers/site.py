"""A served application and a client of it, as fixtures hand them out."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from helpers.clients import Client, HTTP1Client, HTTP2Client, open_socket
from helpers.serving import Gate, Loops, Served, running
from helpers.websocket import WebSocketClient
from tricorn import Config
from tricorn.types import Application

# For a test whose subject is time that passes: each protocol and each wire, not every pair of them.
EACH_ONCE = pytest.mark.parametrize(
    ("protocol", "tls"),
    [("http/1.1", False), ("h2", True)],
    ids=["http/1.1-cleartext", "h2-tls"],
)

# No test waits for these; they only bound what a fault can cost.
_QUICK: dict[str, Any] = {
    "bind": "127.0.0.1:0",
    "lifespan": "off",
    "graceful_timeout": 5.0,
    "drain_idle_timeout": 0.05,
}


class Certificate:
    """A certificate for localhost, and contexts that trust it."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("localhost", "127.0.0.1", "::1")
        self.certfile = str(folder / "certificate.pem")
        self.keyfile = str(folder / "key.pem")
        for blob in issued.cert_chain_pems:
            blob.write_to_path(self.certfile, append=True)
        issued.private_key_pem.write_to_path(self.keyfile)

    @property
    def options(self) -> dict[str, str]:
        """Server options that use it."""
        return {"certfile": self.certfile, "keyfile": self.keyfile}

    def client(self) -> ssl.SSLContext:
        """A client context that trusts it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context


class Serving:
    """Starts servers on one backend and ends them with the test."""

    def __init__(self, loops: Loops, backend: str, certificate: Certificate) -> None:
        self.backend = backend
        self.portal = loops.portal(backend)
        self.certificate = certificate
        self.stack = contextlib.ExitStack()

    def __call__(
        self,
        app: Application | None,
        *,
        tls: bool = False,
        callable_trigger: bool = False,
        **options: Any,
    ) -> Served:
        """Serve ``app`` on a free port of the loopback unless told otherwise."""
        options = _QUICK | (self.certificate.options if tls else {}) | options
        config = Config(**options)
        return self.stack.enter_context(
            running(self.portal, app, config, callable_trigger=callable_trigger)
        )

    def gate(self) -> Gate:
        """A gate on this backend's loop."""
        return Gate(self.portal)

    def connect(
        self,
        served: Served,
        protocol: str = "http/1.1",
        *,
        address: tuple[str, int] | str | None = None,
        receive_buffer: int | None = None,
        **options: Any,
    ) -> Client:
        """A client of a server, with TLS where its first address has it."""
        context = self.certificate.client() if served.url.startswith("https") else None
        sock = open_socket(address or served.address, context, protocol, receive_buffer)
        if context is not None:
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.selected_alpn_protocol() == protocol
        self.stack.callback(sock.close)
        return HTTP2Client(sock, **options) if protocol == "h2" else HTTP1Client(sock)


class Site:
    """One server on the wire of the parameters, and its clients."""

    def __init__(self, serving: Serving, protocol: str, tls: bool) -> None:
        self.serving = serving
        self.protocol = protocol
        self.tls = tls
        self.served: Served

    @property
    def http2(self) -> bool:
        """Whether the wire is HTTP/2."""
        return self.protocol == "h2"

    def serve(self, app: Application | None, **options: Any) -> Served:
        """Start the server."""
        self.served = self.serving(app, tls=self.tls, **options)
        return self.served

    def connect(self, **options: Any) -> Client:
        """A new connection to it."""
        return self.serving.connect(self.served, self.protocol, **options)

    def open(self, app: Application | None, **options: Any) -> Client:
        """Start the server and connect."""
        self.serve(app, **options)
        return self.connect()

    def websocket(self, **options: Any) -> WebSocketClient:
        """A new WebSocket, its handshake sent and not answered."""
        return WebSocketClient(self.connect(), **options)

    def gate(self) -> Gate:
        """A gate on the server's loop."""
        return self.serving.gate()
