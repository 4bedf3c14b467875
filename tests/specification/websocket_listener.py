"""An application that tells what it receives from a WebSocket."""

from __future__ import annotations

from specification_site import accept

from helpers.serving import Inbox
from tricorn.types import Receive, Scope, Send


class Listener:
    """Accepts, then tells every message it receives."""

    def __init__(self) -> None:
        self.messages = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while True:
            message = await receive()
            self.messages.put(message)
            if message["type"] == "websocket.disconnect":
                return
