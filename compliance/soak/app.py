"""The application of the soak: every answer can be checked, and some go wrong on purpose."""

from __future__ import annotations

import asyncio
import os
import sys
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import anyio

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PIECE = bytes(range(256)) * 64  # 16 KiB
_WORKER = str(os.getpid()).encode()
_FIELDS = [(b"x-worker", _WORKER)]


class Intended(Exception):
    """What a handler of ours fails with."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch by path."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _echo(receive, send)
    else:
        await _PATHS.get(scope["path"], _small)(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        kind = message["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _echo(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        match message["type"]:
            case "websocket.connect":
                await send({"type": "websocket.accept", "headers": _FIELDS})
            case "websocket.receive":
                await send({**message, "type": "websocket.send"})
            case _:
                return


def _number(scope: Scope, name: str, default: int) -> int:
    query: bytes = scope["query_string"]
    return int(parse_qs(query.decode("ascii")).get(name, [str(default)])[0])


async def _start(send: Send, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
    headers = [*_FIELDS, *fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _small(scope: Scope, receive: Receive, send: Send) -> None:
    body = b"hello " + scope["query_string"]
    await _start(send, 200, (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.body", "body": body})


async def _upload(scope: Scope, receive: Receive, send: Send) -> None:
    size = checksum = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body = message.get("body", b"")
        size += len(body)
        checksum = zlib.crc32(body, checksum)
        if not message.get("more_body"):
            break
    await _start(send)
    await send({"type": "http.response.body", "body": b"%d %d" % (size, checksum)})


async def _download(scope: Scope, receive: Receive, send: Send) -> None:
    count = _number(scope, "pieces", 16)
    await _start(send, 200, (b"content-length", b"%d" % (count * len(PIECE))))
    for number in range(count):
        await send({"type": "http.response.body", "body": PIECE, "more_body": number + 1 < count})


async def _sleep(seconds: float) -> None:
    if "trio" in sys.modules:
        import sniffio

        if sniffio.current_async_library() == "trio":
            import trio

            await trio.sleep(seconds)
            return
    await asyncio.sleep(seconds)


async def _events(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send, 200, (b"content-type", b"text/event-stream"))
    for number in range(_number(scope, "count", 20)):
        body = b"id: %d\ndata: event\n\n" % number
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _sleep(0.2)
    await send({"type": "http.response.body", "body": b""})


async def _fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise Intended("before the response")


async def _fail_late(scope: Scope, receive: Receive, send: Send) -> None:
    await _start(send)
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise Intended("in the response")


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    return


async def _push(scope: Scope, receive: Receive, send: Send) -> None:
    if "http.response.push" in scope["extensions"]:
        await send({"type": "http.response.push", "path": "/small?pushed", "headers": []})
    await _small(scope, receive, send)


def _tasks() -> int:
    if "trio" in sys.modules:
        import sniffio

        if sniffio.current_async_library() == "trio":
            import trio

            return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


async def _stats(scope: Scope, receive: Receive, send: Send) -> None:
    await anyio.sleep(0.01)  # the task that opened this connection ends meanwhile
    await _start(send)
    await send({"type": "http.response.body", "body": b"%d" % _tasks()})


_PATHS = {
    "/upload": _upload,
    "/download": _download,
    "/events": _events,
    "/fail": _fail,
    "/fail-late": _fail_late,
    "/nothing": _nothing,
    "/push": _push,
    "/stats": _stats,
}
