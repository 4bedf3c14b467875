"""The ASGI 3 application the cases talk to; it runs on any ASGI server.

Every path that has no entry below answers with what the app saw of the request, as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_smuggled: set[str] = set()
"""Cases whose hidden request reached the app; one process serves the whole run."""


class Gone(Exception):
    """The client left, or its body broke off, before the request was complete."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch on the scope's type and path."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _websocket(scope, receive, send)
    else:
        handler = _ROUTES.get(scope["path"], _echo)
        if scope["path"].startswith("/status/"):
            handler = _status
        try:
            await handler(scope, receive, send)
        except Gone:
            return


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _report(scope: Scope, body: bytes) -> bytes:
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in pairs]
    report = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": (scope.get("raw_path") or b"").decode("latin-1"),
        "query": scope.get("query_string", b"").decode("latin-1"),
        "http_version": scope["http_version"],
        "scheme": scope.get("scheme"),
        "headers": headers,
        "header_count": len(headers),
        "body": body[:256].decode("latin-1"),
        "body_length": len(body),
        "body_sha256": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(report).encode()


async def _reply(
    send: Send, body: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [length, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await _reply(send, _report(scope, await _read_body(receive)))


async def _early(scope: Scope, receive: Receive, send: Send) -> None:
    await _reply(send, b'{"path": "/early"}')


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await _reply(send, b"too much", status=413)


async def _close(scope: Scope, receive: Receive, send: Send) -> None:
    await _read_body(receive)
    await _reply(send, b"bye", headers=((b"connection", b"close"),))


async def _status(scope: Scope, receive: Receive, send: Send) -> None:
    await _read_body(receive)
    status = int(scope["path"].rpartition("/")[2])
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body"})


async def _head(scope: Scope, receive: Receive, send: Send) -> None:
    await _reply(send, b"hello")


async def _chunked(scope: Scope, receive: Receive, send: Send) -> None:
    await _stream(send, (), (b"one", b"", b"two", b"three"))


async def _own_coding(scope: Scope, receive: Receive, send: Send) -> None:
    await _stream(send, ((b"transfer-encoding", b"chunked"),), (b"one", b"two", b"three"))


async def _stream(
    send: Send, headers: tuple[tuple[bytes, bytes], ...], parts: tuple[bytes, ...]
) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


async def _big(scope: Scope, receive: Receive, send: Send) -> None:
    await _reply(send, b"x" * 262_144)


async def _injection(scope: Scope, receive: Receive, send: Send) -> None:
    await _reply(send, b"split", headers=((b"x-test", b"a\r\nx-injected: 1"),))


async def _overrun(scope: Scope, receive: Receive, send: Send) -> None:
    length = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"helloHTTP/1.1 200 OK\r\n\r\n"})


async def _underrun(scope: Scope, receive: Receive, send: Send) -> None:
    length = [(b"content-length", b"50")]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": b"hello"})


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    await _read_body(receive)


async def _fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the case asks for this failure")


async def _fail_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise RuntimeError("the case asks for this failure")


async def _smuggled_request(scope: Scope, receive: Receive, send: Send) -> None:
    _smuggled.update(_case_ids(scope))
    await _reply(send, b'{"path": "/smuggled"}')


async def _seen(scope: Scope, receive: Receive, send: Send) -> None:
    ids = _case_ids(scope)
    await _reply(send, json.dumps({"smuggled": any(one in _smuggled for one in ids)}).encode())


async def _forget(scope: Scope, receive: Receive, send: Send) -> None:
    _smuggled.difference_update(_case_ids(scope))
    await _reply(send, b"{}")


def _case_ids(scope: Scope) -> list[str]:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get("case", [])


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if scope["path"] == "/ws-refuse":
        await send({"type": "websocket.close", "code": 1000})
        return
    offered = list(scope.get("subprotocols") or [])
    chosen = "superchat" if "superchat" in offered else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})


_ROUTES: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    "/early": _early,
    "/refuse": _refuse,
    "/close": _close,
    "/head": _head,
    "/chunked": _chunked,
    "/own-coding": _own_coding,
    "/big": _big,
    "/injection": _injection,
    "/overrun": _overrun,
    "/underrun": _underrun,
    "/silent": _silent,
    "/fail": _fail,
    "/fail-late": _fail_late,
    "/smuggled": _smuggled_request,
    "/seen": _seen,
    "/forget": _forget,
}
