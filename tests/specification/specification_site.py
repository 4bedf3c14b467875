"""Servers that many tests share, each with an application of its own, and what they send."""

from __future__ import annotations

import contextlib
from typing import Any, cast

from helpers.serving import BACKENDS, Loops, Served, eventually
from helpers.site import Certificate, Serving, Site
from helpers.websocket import WebSocketClient
from tricorn.exceptions import FileUnavailable, InvalidMessage
from tricorn.types import Application, ASGIApplication, Message, Receive, Scope, Send


class Stage:
    """The application of a standing server: whichever a test puts on it."""

    def __init__(self) -> None:
        self.app: ASGIApplication
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        self.running += 1
        try:
            await app(scope, receive, send)
        finally:
            self.running -= 1


class Stages:
    """One standing server for each backend and wire, started on first use."""

    def __init__(self, loops: Loops, certificate: Certificate) -> None:
        self._servings = {name: Serving(loops, name, certificate) for name in BACKENDS}
        self._found: dict[tuple[str, bool], tuple[Stage, Served]] = {}
        self.stack = contextlib.ExitStack()

    def take(self, backend: str, tls: bool) -> tuple[Stage, Served]:
        """The server, and where its application is put."""
        key = backend, tls
        if key not in self._found:
            serving = self._servings[backend]
            self.stack.enter_context(serving.stack)
            stage = Stage()
            self._found[key] = stage, serving(stage, tls=tls)
        return self._found[key]


class SharedSite(Site):
    """A `Site` that starts a server only for options of its own."""

    def __init__(self, serving: Serving, protocol: str, tls: bool, stages: Stages) -> None:
        super().__init__(serving, protocol, tls)
        self._stages = stages
        self._stage: Stage | None = None

    def serve(self, app: Application | None, **options: Any) -> Served:
        """Put the application, of ASGI 3, on its server; of any kind with options."""
        if options:
            return super().serve(app, **options)
        assert app is not None
        self._stage, self.served = self._stages.take(self.serving.backend, self.tls)
        self._stage.app = cast("ASGIApplication", app)
        return self.served

    def accepted(self, app: ASGIApplication, **options: Any) -> WebSocketClient:
        """A WebSocket that the application has accepted."""
        self.serve(app, **options)
        client = self.websocket()
        assert client.handshake() == 200
        return client

    def close(self) -> None:
        """Close the clients, and wait until their applications have ended."""
        self.serving.stack.close()
        stage = self._stage
        if stage is not None:
            eventually(lambda: stage.running == 0, "the end of the applications")


async def accept(receive: Receive, send: Send, **more: Any) -> None:
    """Accept a WebSocket."""
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"} | more)


async def disconnected(receive: Receive) -> Message:
    """Wait for the WebSocket's end; the message that tells it."""
    while (message := await receive())["type"] != "websocket.disconnect":
        pass
    return message


async def refused(send: Send, message: Any) -> bool:
    """Whether ``send`` raises for a message."""
    try:
        await send(message)
    except (InvalidMessage, FileUnavailable):
        return True
    return False
