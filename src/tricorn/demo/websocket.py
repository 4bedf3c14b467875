"""The echo of the demonstration application, over HTTP/1.1 and HTTP/2 alike."""

from __future__ import annotations

import json

from tricorn.demo.facts import connection_facts
from tricorn.demo.routes import route_path
from tricorn.types import Message, Receive, Scope, Send


async def serve_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what the connection is, then send every message back until the peer leaves."""
    await receive()  # websocket.connect
    if route_path(scope) != "/echo":
        await send({"type": "websocket.close"})  # before accept: the server answers 403
        return
    await send({"type": "websocket.accept"})
    try:
        await send({"type": "websocket.send", "text": json.dumps(connection_facts(scope))})
        while (message := await receive())["type"] == "websocket.receive":
            await send(_echo(message))
    except OSError:
        pass  # the peer left while we wrote: nobody is there to tell


def _echo(message: Message) -> Message:
    """Both keys may be present, with None in one of them."""
    if message.get("text") is not None:
        return {"type": "websocket.send", "text": message["text"]}
    return {"type": "websocket.send", "bytes": message["bytes"]}
