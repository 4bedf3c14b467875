"""The application every server runs. It does as little as a route can do.

=====================  ==========================================================
route                  answer
=====================  ==========================================================
``/``                  13 bytes of plain text
``/10k``               10,240 bytes
``/echo``              the request body, in one message
``/sink``              reads the body as fast as it comes; answers its length
``/slow-reader``       reads the body at `SLOW_RATE`; answers its length
``/stream/N``          N bytes in `CHUNK` pieces, as fast as ``send()`` lets it
``/slow-stream/N``     the same at `SLOW_RATE`
``/stuck``             reads nothing until ``/release`` is asked for
``/release``           ends every ``/stuck``
``/wait``              13 bytes of plain text after `WAIT_SECONDS`
a WebSocket            every message back
=====================  ==========================================================

What a server takes to start is a figure too, so nothing is imported here that only the
routes with a pace need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import anyio

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SLOW_RATE = 5_000_000
"""Bytes per second at which the slow routes read and write."""

CHUNK = 65_536
"""Bytes per body message of the streaming routes."""

WAIT_SECONDS = 0.010

STUCK_SECONDS = 60.0
"""A ``/stuck`` nobody releases ends after this time, so that none outlives a run."""

SMALL = b"Hello, world!"
TEN_K = b"0123456789abcdef" * 640
PIECE = b"x" * CHUNK

_stuck: set[anyio.Event] = set()


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    """Send one complete plain text response with its Content-Length."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def echo(receive: Receive, send: Send) -> None:
    """Answer with the request body."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await answer(send, b"".join(parts))


def pace(rate: float | None) -> Callable[[int], Awaitable[None]] | None:
    """What waits until a total of bytes is due at `rate` bytes per second from now."""
    if rate is None:
        return None
    import anyio

    began = anyio.current_time()

    def keep(total: int) -> Awaitable[None]:
        return anyio.sleep_until(began + total / rate)

    return keep


async def count(receive: Receive, send: Send, rate: float | None) -> None:
    """Read the body, no faster than `rate` bytes per second, and answer its length."""
    total = 0
    keep_pace = pace(rate)
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        total += len(message.get("body", b""))
        if keep_pace is not None:
            await keep_pace(total)
        if not message.get("more_body", False):
            break
    await answer(send, b"%d" % total)


async def stream(send: Send, size: int, rate: float | None) -> None:
    """Answer with `size` bytes in pieces, no faster than `rate` bytes per second."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % size)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    keep_pace = pace(rate)
    sent = 0
    while sent < size:
        piece = PIECE if size - sent >= CHUNK else PIECE[: size - sent]
        sent += len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": sent < size})
        if keep_pace is not None:
            await keep_pace(sent)
    if size == 0:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def stuck(send: Send) -> None:
    """Leave the request body unread until released."""
    import anyio

    released = anyio.Event()
    _stuck.add(released)
    try:
        with anyio.move_on_after(STUCK_SECONDS):
            await released.wait()
    finally:
        _stuck.discard(released)
    await answer(send, b"released")


async def release(send: Send) -> None:
    """End every ``/stuck`` exchange; answer how many there were."""
    waiting = list(_stuck)
    for event in waiting:
        event.set()
    await answer(send, b"%d" % len(waiting))


async def wait(send: Send) -> None:
    """Answer after a time, slept in whichever event loop this is."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        import trio

        await trio.sleep(WAIT_SECONDS)
    else:
        await asyncio.sleep(WAIT_SECONDS)
    await answer(send, SMALL)


async def websocket(receive: Receive, send: Send) -> None:
    """Send every message back."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        data = message.get("bytes")
        if data is not None:
            await send({"type": "websocket.send", "bytes": data})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge startup and shutdown."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI 3 application."""
    kind = scope["type"]
    if kind == "websocket":
        await websocket(receive, send)
        return
    if kind != "http":
        await lifespan(receive, send)
        return
    path: str = scope["path"]
    if path == "/":
        await answer(send, SMALL)
    elif path == "/10k":
        await answer(send, TEN_K)
    elif path == "/echo":
        await echo(receive, send)
    elif path == "/wait":
        await wait(send)
    else:
        await slow_routes(path, receive, send)


async def slow_routes(path: str, receive: Receive, send: Send) -> None:
    """The routes whose own cost does not matter."""
    name, _, argument = path.strip("/").partition("/")
    if name == "sink":
        await count(receive, send, None)
    elif name == "slow-reader":
        await count(receive, send, SLOW_RATE)
    elif name == "stream" and argument.isdecimal():
        await stream(send, int(argument), None)
    elif name == "slow-stream" and argument.isdecimal():
        await stream(send, int(argument), SLOW_RATE)
    elif name == "stuck":
        await stuck(send)
    elif name == "release":
        await release(send)
    else:
        await answer(send, b"not found", 404)
