"""The application the real clients talk to; the daemon runs it, the tests import its data."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import anyio

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Fields = list[tuple[bytes, bytes]]

PUSHED = {"/pushed/style.css": b"body { color: green }", "/pushed/app.js": b"let tricorn = 1;"}
PUSHING_PAGE = b"<!doctype html><title>push</title>" + b"<p>tricorn</p>" * 4000
LINKS = [b"</style.css>; rel=preload; as=style", b"</app.js>; rel=preload; as=script"]


@functools.cache
def _block() -> bytes:
    return random.Random(20).randbytes(65536)


def content(size: int) -> bytes:
    """What ``/download/SIZE`` sends: a block without order, over and over."""
    return (_block() * (size // 65536 + 1))[:size]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Route by the first part of the path."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    table = HTTP if scope["type"] == "http" else WEBSOCKET
    # OPTIONS of "*" has no path to speak of.
    await table[scope["path"].lstrip("/").split("/")[0]](scope, receive, send)


async def respond(
    send: Send, body: bytes, status: int = 200, headers: Fields | None = None
) -> None:
    """A whole response with its length."""
    length = (b"content-length", b"%d" % len(body))
    await send(
        {"type": "http.response.start", "status": status, "headers": [*(headers or []), length]}
    )
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> tuple[bytes, Fields]:
    """The request body and its trailer fields."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client left inside its request")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts), message.get("trailers", [])


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a few bytes."""
    await respond(send, b"hello")


async def download(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream ``content(size)`` in blocks of 64 KiB."""
    left = int(scope["path"].rsplit("/", 1)[1])
    headers = [(b"content-length", b"%d" % left), (b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while left > 0:
        body = _block()[:left]
        left -= len(body)
        await send({"type": "http.response.body", "body": body, "more_body": left > 0})


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send for as long as anybody takes it; note under the last part of the path how it ended."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": _block(), "more_body": True})
    except OSError as exc:
        note_end(scope["path"].rsplit("/", 1)[1], type(exc).__name__)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send the request body back piece by piece as it arrives."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        await send(
            {"type": "http.response.body", "body": message.get("body", b""), "more_body": more}
        )


async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body, then tell its size and SHA-256."""
    body, _ = await read_body(receive)
    facts = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), **describe(scope)}
    await respond(send, json.dumps(facts).encode())


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the body without asking for it (RFC 9110 section 10.1.1)."""
    await respond(send, b"too large", 413)


def describe(scope: Scope) -> dict[str, Any]:
    """What a test wants to know of a scope."""
    return {
        "method": scope.get("method"),
        "http_version": scope["http_version"],
        "scheme": scope["scheme"],
        "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]],
        "extensions": sorted(scope["extensions"]),
        "client": scope["client"],
    }


async def show_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """The scope as JSON."""
    await respond(send, json.dumps(describe(scope)).encode())


async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    """103 Early Hints, then the response."""
    await send({"type": "http.response.early_hint", "links": LINKS})
    await respond(send, b"hinted")


async def push(scope: Scope, receive: Receive, send: Send) -> None:
    """Promise two resources behind the response start, then send a page of many frames."""
    length = (b"content-length", b"%d" % len(PUSHING_PAGE))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    if "http.response.push" in scope["extensions"]:
        for path in PUSHED:
            headers = [(b"accept-language", b"de")]
            await send({"type": "http.response.push", "path": path, "headers": headers})
    await send({"type": "http.response.body", "body": PUSHING_PAGE})


async def pushed(scope: Scope, receive: Receive, send: Send) -> None:
    """A pushed resource; tells whether it came through the promised request's fields."""
    language = dict(scope["headers"]).get(b"accept-language", b"none")
    await respond(send, PUSHED[scope["path"]], headers=[(b"x-language", language)])


async def trailers(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the request's trailer fields and send some back, with the body's checksum.

    Under ``/trailers/always`` without looking whether the client takes them.
    """
    body, received = await read_body(receive)
    text = json.dumps([[name.decode(), value.decode()] for name, value in received]).encode()
    wanted = "http.response.trailers" in scope["extensions"]
    wanted = wanted or scope["path"].endswith("/always")
    headers = [(b"trailer", b"x-checksum, x-last")]
    await send(
        {"type": "http.response.start", "status": 200, "headers": headers, "trailers": wanted}
    )
    await send({"type": "http.response.body", "body": text})
    if wanted:
        checksum = (b"x-checksum", hashlib.sha256(body).hexdigest().encode())
        message = {"type": "http.response.trailers", "headers": [checksum]}
        await send({**message, "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-last", b"yes")]})


async def grpc(scope: Scope, receive: Receive, send: Send) -> None:
    """The shape of a gRPC server: messages of 5 bytes prefix and payload, status in trailers."""
    headers = [(b"content-type", b"application/grpc")]
    if scope["path"].endswith("/Missing"):
        # "Trailers-Only": one header section that ends the stream.
        await read_body(receive)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*headers, (b"grpc-status", b"12"), (b"grpc-message", b"no method")],
            }
        )
        await send({"type": "http.response.body", "body": b""})
        return
    start = {"type": "http.response.start", "status": 200, "trailers": True}
    await send({**start, "headers": headers})
    buffer, more, count = b"", True, 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        buffer += message.get("body", b"")
        more = message.get("more_body", False)
        while len(buffer) >= 5 and len(buffer) >= 5 + int.from_bytes(buffer[1:5]):
            end = 5 + int.from_bytes(buffer[1:5])
            count += 1
            await send({"type": "http.response.body", "body": buffer[:end], "more_body": True})
            buffer = buffer[end:]
    await send({"type": "http.response.body", "body": b""})
    fields = [(b"grpc-status", b"0"), (b"x-messages", b"%d" % count)]
    await send({"type": "http.response.trailers", "headers": fields})


#: How exchanges ended for the application, by the key their tests gave them.
_ends: dict[str, Any] = {}
_ended: dict[str, anyio.Event] = {}


def note_end(key: str, how: Any) -> None:
    """Keep how an exchange ended, for ``/end/KEY``."""
    _ends[key] = how
    _ended.setdefault(key, anyio.Event()).set()


async def show_end(scope: Scope, receive: Receive, send: Send) -> None:
    """How the exchange of this key ended for the application, once it did."""
    key = scope["path"].rsplit("/", 1)[1]
    await _ended.setdefault(key, anyio.Event()).wait()
    await respond(send, json.dumps(_ends[key]).encode())


async def websocket_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send every message back; note how it ended under the ``key`` of the query."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
    key = parse_qs(scope["query_string"].decode()).get("key", [""])[0]
    note_end(key, (message["code"], message["reason"]))


async def websocket_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the scope, then return: the server closes."""
    await receive()
    subprotocol = next((name for name in scope["subprotocols"] if name == "two"), None)
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": subprotocol,
            "headers": [(b"x-accepted", b"yes")],
        }
    )
    facts = {**describe(scope), "subprotocols": scope["subprotocols"]}
    await send({"type": "websocket.send", "text": json.dumps(facts)})


async def websocket_close(scope: Scope, receive: Receive, send: Send) -> None:
    """Close with the code and reason of the query."""
    await receive()
    await send({"type": "websocket.accept"})
    query = parse_qs(scope["query_string"].decode())
    reason = query.get("reason", [""])[0]
    await send({"type": "websocket.close", "code": int(query["code"][0]), "reason": reason})


async def websocket_reject(scope: Scope, receive: Receive, send: Send) -> None:
    """Close before accepting: 403."""
    await receive()
    await send({"type": "websocket.close"})


async def websocket_deny(scope: Scope, receive: Receive, send: Send) -> None:
    """A denial response (ASGI extension websocket.http.response)."""
    await receive()
    headers = [(b"www-authenticate", b"Basic realm=tricorn")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you?"})


HTTP = {
    "*": hello,
    "hello": hello,
    "download": download,
    "echo": echo,
    "digest": digest,
    "refuse": refuse,
    "scope": show_scope,
    "hints": hints,
    "push": push,
    "pushed": pushed,
    "trailers": trailers,
    "grpc": grpc,
    "end": show_end,
    "endless": endless,
}
WEBSOCKET = {
    "echo": websocket_echo,
    "scope": websocket_scope,
    "close": websocket_close,
    "reject": websocket_reject,
    "deny": websocket_deny,
}
