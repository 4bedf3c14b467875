"""One framework's daemon as the features see it: over one protocol, with clients for it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from compliance.frameworks.catalogue import Framework
from compliance.frameworks.daemon import Daemon
from compliance.frameworks.websocket import HTTP2WebSocket, WebSocket, over_http1, over_http2
from compliance.frameworks.wire import PATIENCE, HTTP1Client, HTTP2Client, connect

PROTOCOLS = ("http/1.1", "h2")


class Unmet(Exception):
    """A feature did not do what it should; the text says what was seen."""


def expect(seen: object, wanted: object, what: str) -> None:
    """Raise Unmet where `seen` is not equal to `wanted`."""
    if seen != wanted:
        raise Unmet(f"{what}: {_short(seen)}, not {_short(wanted)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


class Site:
    """HTTP/1.1 in cleartext, or HTTP/2 over TLS."""

    def __init__(
        self, framework: Framework, daemon: Daemon, protocol: str, authority: Path
    ) -> None:
        self.framework = framework
        self.daemon = daemon
        self.protocol = protocol
        self.is_http2 = protocol == "h2"
        self.scheme = "https" if self.is_http2 else "http"
        self.port = daemon.ports[self.scheme]
        self._tls = ssl.create_default_context(cafile=str(authority))
        self.client = httpx.Client(
            base_url=f"{self.scheme}://localhost:{self.port}",
            http1=not self.is_http2,
            http2=self.is_http2,
            verify=ssl.create_default_context(cafile=str(authority)),
            timeout=PATIENCE,
            # So that what frameworks compress by themselves keeps its length and its pieces.
            headers={"Accept-Encoding": "identity"},
            trust_env=False,
        )

    def get(self, path: str, status: int = 200, **options: Any) -> httpx.Response:
        """A GET that is answered with `status`."""
        return self._checked(self.client.get(path, **options), status)

    def post(self, path: str, status: int = 200, **options: Any) -> httpx.Response:
        """A POST that is answered with `status`."""
        return self._checked(self.client.post(path, **options), status)

    def json(self, path: str, **options: Any) -> Any:
        """The JSON of a GET."""
        return decoded(self.get(path, **options))

    def _checked(self, response: httpx.Response, status: int) -> httpx.Response:
        request = response.request
        expect(response.status_code, status, f"status of {request.method} {request.url.path}")
        version = "HTTP/2" if self.is_http2 else "HTTP/1.1"
        expect(response.http_version, version, "protocol")
        return response

    @contextmanager
    def wire(self, *, push: bool = False) -> Iterator[HTTP1Client | HTTP2Client]:
        """A connection of its own; over HTTP/2 it takes pushes if `push`."""
        if self.is_http2:
            with self.http2(push=push) as client:
                yield client
        else:
            with HTTP1Client(connect(self.port, None, "http/1.1")) as plain:
                yield plain

    def http2(self, *, push: bool = False) -> HTTP2Client:
        """An HTTP/2 connection of its own."""
        return HTTP2Client(connect(self.port, self._tls, "h2"), push=push)

    def websocket(self, path: str, *offer: str) -> AbstractContextManager[WebSocket]:
        """A WebSocket that offers the subprotocols `offer`. Entering raises Refused."""
        if self.is_http2:
            return self._websocket_over_http2(path, offer)
        return over_http1(connect(self.port, None, "http/1.1"), path, offer)

    @contextmanager
    def _websocket_over_http2(self, path: str, offer: Sequence[str]) -> Iterator[HTTP2WebSocket]:
        with self.http2() as client, over_http2(client, path, offer) as opened:
            yield opened

    def close(self) -> None:
        """Close the connections of the HTTP client."""
        self.client.close()


def decoded(response: httpx.Response) -> Any:
    """The JSON of a response. Raises Unmet."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("application/json"):
        raise Unmet(f"content-type of {response.request.url.path}: {kind!r}")
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise Unmet(f"no JSON at {response.request.url.path}: {error}") from error
