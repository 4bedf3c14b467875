"""Short answers that the server's own applications give: refusals and redirects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tricorn.percent import quote_from_bytes
from tricorn.types import Header, Headers, Receive, Scope, Send

# What a request target may hold as it is; all else is percent-encoded in a Location.
TARGET_SAFE: Final = "!$%&'()*+,-./:;=?@_~[]|^`{}\"<>"
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")


async def reply(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    text: str,
    headers: Sequence[Header] = (),
) -> None:
    """Answer an HTTP request or refuse a WebSocket with this status and line of text.

    A WebSocket is refused by ``websocket.http.response`` where the scope offers it, else
    closed, which makes its status 403 (ASGI WebSocket specification).
    """
    body = text.encode() + b"\n"
    fields: Headers = [_PLAIN, (b"content-length", b"%d" % len(body)), *headers]
    kind = "http.response"
    if scope["type"] == "websocket":
        kind = "websocket.http.response"
        await receive()
        if kind not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
            return
    elif scope["method"] == "HEAD":
        body = b""
    await send({"type": f"{kind}.start", "status": status, "headers": fields})
    await send({"type": f"{kind}.body", "body": body})


def below(scope: Scope, prefix: str) -> str:
    """The path of a request below the mount at ``prefix``, decoded: empty or from its slash on.

    ``path`` is the whole path, ``root_path`` in front of it unless a proxy has taken it off.
    """
    path: str = scope["path"]
    for front in (scope.get("root_path", ""), prefix):
        if front and path.startswith(front) and path[len(front) :][:1] in ("", "/"):
            return path[len(front) :]
    return path


def encoded(raw: bytes) -> str:
    """Bytes of a request target, those that no URL holds percent-encoded."""
    return quote_from_bytes(raw, safe=TARGET_SAFE)
