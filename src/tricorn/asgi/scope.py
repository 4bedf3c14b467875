"""Builds the connection scope of an exchange (ASGI HTTP and WebSocket specification 2.5)."""

from __future__ import annotations

from typing import Any, Final

from tricorn.asgi.host import Host
from tricorn.asgi.stopping import EXTENSION as STOPPING
from tricorn.percent import quote, unquote
from tricorn.protocol.events import RequestReceived
from tricorn.types import Scope

SPEC_VERSION: Final = "2.5"

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
# Copied, which costs less than making one of its keys.
_ASGI: Final = {"version": "3.0", "spec_version": SPEC_VERSION}
_TEMPLATE: Final[dict[str, Any]] = {
    "type": "http",
    "asgi": None,
    "http_version": "1.1",
    "scheme": "http",
    "path": "",
    "raw_path": b"",
    "query_string": b"",
    "root_path": "",
    "headers": None,
    "client": None,
    "server": None,
    "extensions": None,
}
_WEBSOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


def http_scope(host: Host, request: RequestReceived) -> Scope:
    """The scope of one HTTP exchange."""
    extensions = host.worker.extensions.copy()
    http = host.http
    if http.can_push and not request.pushed:
        extensions["http.response.push"] = {}
    if request.http_version != "1.0":
        if http.can_early_hint and not request.pushed:
            extensions["http.response.early_hint"] = {}
        if request.accepts_trailers:
            extensions["http.response.trailers"] = {}
    scope = _scope(host, request, extensions)
    # RFC 9110 9.1 tells methods apart by case; ASGI wants them in upper case.
    method = request.method
    scope["method"] = method if method in _METHODS else method.upper()
    return scope


def websocket_scope(host: Host, request: RequestReceived, subprotocols: list[str]) -> Scope:
    """The scope of one WebSocket."""
    stopping = host.worker.extensions[STOPPING]
    extensions = {"websocket.http.response": {}, STOPPING: stopping}
    scope = _scope(host, request, extensions)
    scope["type"] = "websocket"
    scope["scheme"] = _WEBSOCKET_SCHEMES[scope["scheme"]]
    scope["subprotocols"] = subprotocols
    return scope


def _scope(host: Host, request: RequestReceived, extensions: dict[str, dict[str, Any]]) -> Scope:
    raw_path, query = request.target, b""
    if 0x3F in raw_path:
        raw_path, _, query = raw_path.partition(b"?")
    path = raw_path.decode("latin-1")
    if "%" in path:
        path = unquote(path)
    worker = host.worker
    if worker.root_path_stripped and path.startswith("/"):  # OPTIONS * is about the server
        path = worker.root_path + path
        raw_path = quote(worker.root_path).encode("ascii") + raw_path
    if host.tls is not None:
        extensions["tls"] = host.tls
    scope = _TEMPLATE.copy()
    scope["asgi"] = _ASGI.copy()
    scope["http_version"] = request.http_version
    # The transport knows better than a peer what it is (RFC 9113 8.3.1 lets a proxy
    # send another :scheme).
    if host.secure:
        scope["scheme"] = "https"
    scope["path"] = path
    scope["raw_path"] = raw_path
    if query:
        scope["query_string"] = query
    if worker.root_path:
        scope["root_path"] = worker.root_path
    scope["headers"] = request.raw_headers or request.headers
    scope["client"] = host.client
    scope["server"] = host.server
    scope["extensions"] = extensions
    if worker.state is not None:
        scope["state"] = worker.state.copy()
    if host.via is not None:
        stripped = worker.root_path if worker.root_path_stripped else ""
        host.via.apply(scope, request.headers, stripped)
    return scope
