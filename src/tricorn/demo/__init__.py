"""The demonstration application: ``tricorn tricorn.demo:app``.

A plain ASGI 3 application without a framework, so it is also a sample of what the server
hands to one. It runs on asyncio and trio alike.

======================  ==================================================================
``/``                   a page that shows what the connection is
``/connection.json``    the same facts as JSON
``/echo``               WebSocket: first a JSON text with the facts, then an echo
``/events``             server-sent events: a counter that a reconnecting client continues
``/upload``             POST or PUT: counts the bytes of the body
``/bytes/N``            N bytes, at most 1 GiB
======================  ==================================================================
"""

from __future__ import annotations

from tricorn.demo.http import serve_http
from tricorn.demo.websocket import serve_websocket
from tricorn.types import Receive, Scope, Send

__all__ = ["app"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI 3 callable. Raises ValueError for a scope type it does not know."""
    match scope["type"]:
        case "http":
            await serve_http(scope, receive, send)
        case "websocket":
            await serve_websocket(scope, receive, send)
        case "lifespan":
            await _lifespan(receive, send)
        case unknown:
            raise ValueError(f"scope type {unknown!r} is not supported")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
