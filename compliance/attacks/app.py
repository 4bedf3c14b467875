"""The ASGI application under attack; it counts its invocations and tells what the worker holds."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PIECE = bytes(65536)
_PIECES = 1600
# Seconds in which an application does not read: longer than an attack, shorter than what an
# attack may leave behind.
_DEAF = 4.0
# What is left of a connection that is gone, by the name of its class.
_KEPT = frozenset(
    {"Connection", "HTTPStream", "WebSocketStream", "AsyncioTransport", "AnyioTransport"}
)
_counts: Counter[str] = Counter()
_running = 0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch on the scope's type and path; everything but the neighbour's path is counted."""
    global _running
    kind = scope["type"]
    if kind == "lifespan":
        await _lifespan(receive, send)
        return
    path = scope["path"]
    if path == "/neighbour":
        await _answer(send, 200, b"ok")
        return
    if path == "/stats":
        await _answer(send, 200, json.dumps(_stats()).encode())
        return
    _counts["calls"] += 1
    if path == "/smuggled":
        _counts["smuggled"] += 1
    _running += 1
    _counts["most running"] = max(_counts["most running"], _running)
    try:
        if kind == "websocket":
            await _WEBSOCKETS.get(path, _ws_listen)(receive, send)
        else:
            await _ROUTES.get(path, _plain)(receive, send)
    except OSError:
        return  # the client has gone, and sending said so
    finally:
        _running -= 1


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _stats() -> dict[str, Any]:
    gc.collect()
    kept = sum(
        type(one).__name__ in _KEPT and type(one).__module__.startswith("tricorn.")
        for one in gc.get_objects()
    )
    return {
        "pid": os.getpid(),
        "tasks": _tasks(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": kept,
        "running": _running,
        **_counts,
    }


def _tasks() -> int:
    if "trio" in sys.modules:
        import trio

        try:
            return trio.lowlevel.current_statistics().tasks_living
        except RuntimeError:
            pass
    import asyncio

    return len(asyncio.all_tasks())


async def _answer(send: Send, status: int, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


async def _plain(receive: Receive, send: Send) -> None:
    await _answer(send, 200, b"ok")


async def _read(receive: Receive, send: Send) -> None:
    """Reads the whole body."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            await _answer(send, 200, b"%d" % size)
            return


async def _wait(receive: Receive, send: Send) -> None:
    """Long polling: waits until the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _deaf(receive: Receive, send: Send) -> None:
    """Neither reads nor answers for a while."""
    await anyio.sleep(_DEAF)
    await _answer(send, 200, b"")


async def _big(receive: Receive, send: Send) -> None:
    """A download of 100 MiB."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(_PIECES):
        await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _split(receive: Receive, send: Send) -> None:
    """Copies a client's line break into a field."""
    field = (b"x-copied", b"a\r\nx-injected: yes\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    await send({"type": "http.response.start", "status": 200, "headers": [field]})
    await send({"type": "http.response.body", "body": b""})


_ROUTES = {"/read": _read, "/wait": _wait, "/deaf": _deaf, "/big": _big, "/split": _split}


async def _accept(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def _ws_listen(receive: Receive, send: Send) -> None:
    """Reads and says nothing."""
    await _accept(receive, send)
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _ws_talk(receive: Receive, send: Send) -> None:
    """Sends for ever."""
    await _accept(receive, send)
    while True:
        await send({"type": "websocket.send", "bytes": _PIECE})


async def _ws_close(receive: Receive, send: Send) -> None:
    """Closes at once."""
    await _accept(receive, send)
    await send({"type": "websocket.close", "code": 1000})


async def _ws_deaf(receive: Receive, send: Send) -> None:
    """Accepts and does not read for a while."""
    await _accept(receive, send)
    await anyio.sleep(_DEAF)


_WEBSOCKETS = {"/ws-talk": _ws_talk, "/ws-close": _ws_close, "/ws-deaf": _ws_deaf}
