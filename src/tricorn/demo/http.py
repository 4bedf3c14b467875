"""The HTTP side of the demonstration application."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import anyio

from tricorn.demo.facts import connection_facts
from tricorn.demo.page import render
from tricorn.demo.routes import route_path
from tricorn.percent import quote
from tricorn.reasons import REASONS
from tricorn.types import Headers, Receive, Scope, Send

MAX_BYTES: Final = 2**30
CHUNK: Final = bytes(64 * 1024)
EVENT_INTERVAL: Final = 1.0  # seconds
RETRY: Final = 1000  # milliseconds until a browser reconnects to /events

NO_STORE: Final = (b"cache-control", b"no-store")
# A hint or a push fetches these ahead of the page, which no-store would make useless: the
# browser would have to fetch them again. Ten seconds carry them to the page and no further.
BRIEFLY: Final = (b"cache-control", b"private, max-age=10")
ASSETS: Final = {
    "/style.css": (b"text/css; charset=utf-8", b"style"),
    "/app.js": (b"text/javascript; charset=utf-8", b"script"),
    "/favicon.svg": (b"image/svg+xml", None),
}
SECURITY: Final = [
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
        b" connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none';"
        b" frame-ancestors 'none'",
    ),
]

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


async def serve_http(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request. A peer that leaves early is no error."""
    path = route_path(scope)
    handler, methods = _find(path)
    if handler is None:
        await _text(scope, send, 404, f"There is nothing at {path}")
    elif scope["method"] not in methods:
        allow = (b"allow", ", ".join(methods).encode("ascii"))
        await _text(scope, send, 405, f"Use {' or '.join(methods)} here", [allow])
    else:
        try:
            await handler(scope, receive, send)
        except OSError:
            pass  # raised by send(): nobody is left to answer


def _find(path: str) -> tuple[Handler | None, tuple[str, ...]]:
    if path in ASSETS:
        return _asset, ("GET", "HEAD")
    if re.fullmatch("/bytes/[0-9]{1,20}", path):
        return _bytes, ("GET", "HEAD")
    return ROUTES.get(path, (None, ()))


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
    body = render(connection_facts(scope), host).encode()
    headers = [(b"content-type", b"text/html; charset=utf-8"), NO_STORE]
    extensions = {} if scope["method"] == "HEAD" else scope.get("extensions") or {}
    push = "http.response.push" in extensions
    if not push and "http.response.early_hint" in extensions:
        # Before the start: a 103 must leave ahead of the response it belongs to, and not
        # every server holds the start back for it.
        await send({"type": "http.response.early_hint", "links": _links(scope)})
    await _start(send, 200, headers, len(body))
    if push:
        for path, _ in _announced(scope):
            await send({"type": "http.response.push", "path": path, "headers": []})
    await _end(scope, send, body)


def _announced(scope: Scope) -> list[tuple[str, bytes]]:
    """What the page is going to ask for: path and ``as`` value of a preload link."""
    root = quote(scope.get("root_path", "").rstrip("/"))
    return [(root + path, use) for path, (_, use) in ASSETS.items() if use is not None]


def _links(scope: Scope) -> list[bytes]:
    """Values of Link fields (RFC 8288, 3; RFC 8297)."""
    return [b"<%s>; rel=preload; as=%s" % (path.encode(), use) for path, use in _announced(scope)]


async def _asset(scope: Scope, receive: Receive, send: Send) -> None:
    path = route_path(scope)
    content_type, _ = ASSETS[path]
    body = _read(path[1:])
    await _start(send, 200, [(b"content-type", content_type), BRIEFLY], len(body))
    await _end(scope, send, body)


@cache
def _read(name: str) -> bytes:
    return files("tricorn.demo").joinpath(name).read_bytes()


async def _connection(scope: Scope, receive: Receive, send: Send) -> None:
    await _json(scope, send, connection_facts(scope))


async def _upload(scope: Scope, receive: Receive, send: Send) -> None:
    started = time.perf_counter()
    received, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    seconds = round(time.perf_counter() - started, 6)
    await _json(scope, send, {"bytes": received, "seconds": seconds})


async def _bytes(scope: Scope, receive: Receive, send: Send) -> None:
    """Send zero bytes in chunks; send() waits whenever the peer reads slower than we write."""
    left = min(int(route_path(scope).removeprefix("/bytes/")), MAX_BYTES)
    headers = [(b"content-type", b"application/octet-stream"), NO_STORE]
    await _start(send, 200, headers, left)
    if scope["method"] != "HEAD":
        while left > len(CHUNK):
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            left -= len(CHUNK)
    await _end(scope, send, CHUNK[:left])


async def _events(scope: Scope, receive: Receive, send: Send) -> None:
    """Count up once a second until the peer leaves (HTML standard, server-sent events)."""
    await _start(send, 200, [(b"content-type", b"text/event-stream"), NO_STORE], None)
    if scope["method"] == "HEAD":
        await _end(scope, send, b"")
        return
    async with anyio.create_task_group() as group:
        group.start_soon(_count, send, _last_event_id(scope))
        while (await receive())["type"] != "http.disconnect":
            pass
        group.cancel_scope.cancel()


async def _count(send: Send, count: int) -> None:
    body = f"retry: {RETRY}\n\n"
    try:
        while True:
            count += 1
            data = json.dumps({"count": count, "time": int(time.time())})
            body += f"id: {count}\ndata: {data}\n\n"
            await send({"type": "http.response.body", "body": body.encode(), "more_body": True})
            body = ""
            await anyio.sleep(EVENT_INTERVAL)
    except OSError:
        pass  # the peer left: receive() says so too and ends the group


def _last_event_id(scope: Scope) -> int:
    """Where a reconnecting client stopped; 0 for a new one or nonsense."""
    value = dict(scope["headers"]).get(b"last-event-id", b"")
    return int(value) if re.fullmatch(rb"[0-9]{1,15}", value) else 0


ROUTES: Final[dict[str, tuple[Handler, tuple[str, ...]]]] = {
    "/": (_page, ("GET", "HEAD")),
    "/connection.json": (_connection, ("GET", "HEAD")),
    "/events": (_events, ("GET", "HEAD")),
    "/upload": (_upload, ("POST", "PUT")),
}


async def _json(scope: Scope, send: Send, content: dict[str, Any]) -> None:
    body = json.dumps(content, indent=2).encode() + b"\n"
    await _start(send, 200, [(b"content-type", b"application/json"), NO_STORE], len(body))
    await _end(scope, send, body)


async def _text(
    scope: Scope, send: Send, status: int, detail: str, headers: Headers | None = None
) -> None:
    body = f"{status} {REASONS[status]}\n{detail}\n".encode(errors="replace")
    content_type = (b"content-type", b"text/plain; charset=utf-8")
    await _start(send, status, [content_type, NO_STORE, *(headers or [])], len(body))
    await _end(scope, send, body)


async def _start(send: Send, status: int, headers: Headers, length: int | None) -> None:
    headers = [*headers, *SECURITY]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _end(scope: Scope, send: Send, body: bytes) -> None:
    """A response to HEAD has the headers of the GET and no content (RFC 9110, 9.3.2)."""
    if scope["method"] == "HEAD":
        body = b""
    await send({"type": "http.response.body", "body": body})
