"""The echo app Autobahn talks to: what comes in goes out, text as text, bytes as bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Accept every handshake without a subprotocol and echo until the peer is gone."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _echo(receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _echo(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.disconnect":
            return
        else:
            await _answer(message, send)


async def _answer(message: Message, send: Send) -> None:
    # An empty message is "" or b"", so the absent key, not the empty value, tells the kind.
    text = message.get("text")
    answer = {"bytes": message["bytes"]} if text is None else {"text": text}
    try:
        await send({"type": "websocket.send", **answer})
    except OSError:
        pass  # The peer left; the disconnect message is next.
