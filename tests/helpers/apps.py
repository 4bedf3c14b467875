"""Small ASGI applications and what they are made of."""

from __future__ import annotations

from collections.abc import Sequence

from tricorn.types import Headers, Receive, Scope, Send


async def read_body(receive: Receive) -> bytes:
    """The whole request body."""
    body = bytearray()
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return bytes(body)


async def start(
    send: Send,
    status: int = 200,
    headers: Sequence[tuple[bytes, bytes]] = (),
    **more: object,
) -> None:
    """Send the response start."""
    message = {"type": "http.response.start", "status": status, "headers": list(headers)}
    await send(message | more)


async def body(send: Send, data: bytes = b"", *, more: bool = False) -> None:
    """Send a piece of the body."""
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def reply(
    send: Send,
    data: bytes = b"",
    status: int = 200,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Send a whole response."""
    await start(send, status, headers)
    await body(send, data)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything with ``hello``."""
    assert scope["type"] == "http"
    await reply(send, b"hello")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Streams the request body back."""
    headers: Headers = [(b"content-type", b"application/octet-stream")]
    await start(send, headers=headers)
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        more = message["more_body"]
        await body(send, message["body"], more=more)
