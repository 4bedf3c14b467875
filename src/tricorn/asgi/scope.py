"""Builds the connection scope of an exchange (ASGI HTTP and WebSocket specification 2.5)."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, unquote

from tricorn.asgi.host import Host
from tricorn.asgi.stopping import EXTENSION as STOPPING
from tricorn.protocol.events import RequestReceived
from tricorn.types import Scope

SPEC_VERSION: Final = "2.5"

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
    scope = _scope("http", host, request, extensions)
    # RFC 9110 9.1 tells methods apart by case; ASGI wants them in upper case.
    scope["method"] = request.method.upper()
    return scope


def websocket_scope(host: Host, request: RequestReceived, subprotocols: list[str]) -> Scope:
    """The scope of one WebSocket."""
    stopping = host.worker.extensions[STOPPING]
    extensions = {"websocket.http.response": {}, STOPPING: stopping}
    scope = _scope("websocket", host, request, extensions)
    scope["scheme"] = _WEBSOCKET_SCHEMES[scope["scheme"]]
    scope["subprotocols"] = subprotocols
    return scope


def _scope(
    kind: str, host: Host, request: RequestReceived, extensions: dict[str, dict[str, Any]]
) -> Scope:
    raw_path, query = request.target, b""
    if 0x3F in raw_path:
        raw_path, _, query = raw_path.partition(b"?")
    path = raw_path.decode("latin-1")
    if "%" in path:
        path = unquote(path)
    worker = host.worker
    if worker.root_path_stripped:
        path = worker.root_path + path
        raw_path = quote(worker.root_path).encode("ascii") + raw_path
    if host.tls is not None:
        extensions["tls"] = host.tls
    scope: Scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
        "http_version": request.http_version,
        # The transport knows better than a peer what it is (RFC 9113 8.3.1 lets a proxy
        # send another :scheme).
        "scheme": "https" if host.secure else "http",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": worker.root_path,
        "headers": request.raw_headers or request.headers,
        "client": host.client,
        "server": host.server,
        "extensions": extensions,
    }
    if worker.state is not None:
        scope["state"] = worker.state.copy()
    if host.via is not None:
        stripped = worker.root_path if worker.root_path_stripped else ""
        host.via.apply(scope, request.headers, stripped)
    return scope
