"""ASGI types. No runtime code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# What may be served. Frameworks annotate scope, receive, send and environ in ways of their
# own that no one type takes; so these say only how often and with how much they are called.
ASGI2Application: TypeAlias = Callable[[Any], Callable[[Any, Any], Awaitable[Any]]]
WSGIApplication: TypeAlias = Callable[[Any, Any], Iterable[bytes]]
Application: TypeAlias = (
    Callable[[Any, Any, Any], Awaitable[Any]] | ASGI2Application | WSGIApplication
)

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = list[Header]


class ASGIVersions(TypedDict):
    """``scope["asgi"]``."""

    version: Literal["3.0"]
    spec_version: str


class HTTPScope(TypedDict):
    """Connection scope of one HTTP exchange (ASGI HTTP 2.5)."""

    type: Literal["http"]
    asgi: ASGIVersions
    http_version: str
    method: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    root_path: str
    headers: Headers
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    state: NotRequired[dict[str, Any]]
    extensions: dict[str, dict[str, Any]]


class WebSocketScope(TypedDict):
    """Connection scope of one WebSocket (ASGI WebSocket 2.5)."""

    type: Literal["websocket"]
    asgi: ASGIVersions
    http_version: str
    scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    root_path: str
    headers: Headers
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    subprotocols: list[str]
    state: NotRequired[dict[str, Any]]
    extensions: dict[str, dict[str, Any]]


class LifespanScope(TypedDict):
    """Scope of the lifespan exchange (ASGI lifespan 2.0)."""

    type: Literal["lifespan"]
    asgi: ASGIVersions
    state: dict[str, Any]
