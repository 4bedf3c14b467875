"""What an event source is: its events to requests, responses to the form it wants."""

from __future__ import annotations

import base64
import binascii
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from tricorn.exceptions import TricornError
from tricorn.types import Headers

Event: TypeAlias = Mapping[str, Any]

#: Bytes of JSON that Lambda takes as the answer of an invocation.
INVOCATION_LIMIT = 6_291_556
#: ``base_path`` as the event tells it.
AUTO = "auto"

# RFC 3986 section 3.3, and "%" where the text is percent-encoded already.
_PATH = "/:@!$&'()*+,;=~-._"
_QUERY = _PATH + "?%"
_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2", "HTTP/2": "2"}
# host, host:port, [v6], [v6]:port
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")


class EventError(TricornError):
    """An event that is of no known source, or that its source does not make."""


@dataclass(slots=True)
class Request:
    """The HTTP request of an event.

    ``target`` is what stood on the request line: path and query as bytes, percent-encoded.
    ``headers`` have lower-case names. ``client`` and ``server`` are as in the ASGI scope.
    """

    method: str
    target: bytes
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    client: tuple[str, int] | None = None
    server: tuple[str, int | None] | None = None
    scheme: str = "https"
    http_version: str = "1.1"
    root_path: str = ""


@dataclass(slots=True)
class Response:
    """The application's response, its body ready for JSON.

    ``headers`` have lower-case names; ``body`` is Base64 where ``is_base64`` says so.
    """

    status: int
    headers: Headers
    body: str = ""
    is_base64: bool = False


class EventSource(ABC):
    """One kind of event. A class of your own goes into ``LambdaHandler(sources=...)``."""

    #: For messages.
    name = "an event source"
    #: Bytes of JSON that the source takes as an answer.
    max_response_size = INVOCATION_LIMIT
    #: The source passes on a response while it is made, if it is set up so.
    can_stream = False

    @abstractmethod
    def matches(self, event: Event) -> bool:
        """Whether the event is of this kind."""

    @abstractmethod
    def request(self, event: Event, base_path: str) -> Request:
        """The request in the event.

        :param base_path: as ``LambdaHandler`` was given it.
        :raises EventError: if the event is not as this source makes them.
        """

    @abstractmethod
    def response(self, event: Event, response: Response) -> dict[str, Any]:
        """The answer in the form the source wants; it must go through ``json.dumps``."""

    def prelude(self, response: Response) -> dict[str, Any]:
        """Status and fields of a streamed response, which stand before its body as JSON."""
        raise NotImplementedError(f"{self.name} does not stream")


# Pieces of requests


def body_of(event: Event) -> bytes:
    """The request body (bytes).

    :raises EventError: if it is not text, or not the Base64 it is said to be.
    """
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise EventError(f"the event's body is of type {type(body).__name__}, not str")
    try:
        if event.get("isBase64Encoded"):
            return base64.b64decode(body, validate=True)
        return body.encode("utf-8")
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise EventError(f"the event's body cannot be decoded: {exc}") from None


def headers_of(event: Event) -> Headers:
    """The request fields, from ``multiValueHeaders`` where there are any, else ``headers``.

    Several Cookie fields become one, as RFC 9113 section 8.2.3 tells servers to do.
    """
    found: Headers = []
    cookies: list[bytes] = []
    multiple = event.get("multiValueHeaders") or {}
    known = {name.lower() for name in multiple}
    single = event.get("headers") or {}
    rest = ((name, value) for name, value in single.items() if name.lower() not in known)
    for name, value in [*pairs(multiple), *rest]:
        if value is None:
            continue
        field_name, field_value = _bytes(name).lower(), _bytes(value).strip()
        if field_name == b"cookie":
            cookies.append(field_value)
        else:
            found.append((field_name, field_value))
    if cookies:
        found.append((b"cookie", b"; ".join(cookies)))
    return found


def pairs(mapping: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of each entry, once for each of its values where it is a list."""
    for name, values in mapping.items():
        for value in values if isinstance(values, list) else [values]:
            yield name, value


def _bytes(value: object) -> bytes:
    return str(value).encode("utf-8", "replace")


def parameters_of(event: Event) -> list[tuple[str, str]]:
    """The query parameters of an event that has no raw query; their order among different
    names is lost."""
    found = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters")
    return [(name, "" if value is None else str(value)) for name, value in pairs(found or {})]


def encoded_query(parameters: list[tuple[str, str]]) -> str:
    """A query made of decoded parameters."""
    return urlencode(parameters, quote_via=quote, safe="", errors="replace")


def encoded_path(path: str, *, is_encoded: bool) -> str:
    """A path as it stands in a target.

    :param is_encoded: it is percent-encoded; only what may not stand in a path is changed.
    """
    if not path.startswith("/"):
        path = f"/{path}"
    return quote(path, safe=_PATH + "%" if is_encoded else _PATH, errors="replace")


def target(path: str, query: str) -> bytes:
    """A request target of an encoded path and an encoded query."""
    if not query:
        return path.encode("ascii")
    return f"{path}?{quote(query, safe=_QUERY, errors='replace')}".encode("ascii")


def under(base_path: str, path: str) -> tuple[str, str]:
    """The encoded path with the base path in front, and ``root_path``.

    ``scope["path"]`` holds ``root_path`` (ASGI HTTP 2.4), so it is put back where the
    gateway took it off.
    """
    if not base_path:
        return path, ""
    prefix = quote(base_path, safe=_PATH)
    if path == prefix or path.startswith(f"{prefix}/"):
        return path, base_path
    return prefix + path, base_path


def server_of(headers: Headers, default_name: object, scheme: str) -> tuple[str, int | None] | None:
    """Name and port the client asked for: of Host, else what the event says.

    The port is that of Host, of ``x-forwarded-port``, or the scheme's.
    """
    fields = dict(reversed(headers))
    authority = fields.get(b"host", b"").decode("latin-1") or str(default_name or "")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    port = match[2] or fields.get(b"x-forwarded-port", b"").decode("latin-1")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    return match[1].strip("[]"), number or (443 if scheme == "https" else 80)


def scheme_of(headers: Headers, default: str) -> str:
    """The scheme by ``x-forwarded-proto``, which all these sources set themselves."""
    value = dict(reversed(headers)).get(b"x-forwarded-proto", b"")
    scheme = value.rpartition(b",")[2].strip().lower().decode("latin-1")
    return scheme if scheme in ("http", "https") else default


def version_of(protocol: object) -> str:
    """``http_version`` of ``requestContext``'s protocol."""
    return _VERSIONS.get(str(protocol), "1.1")


def context_of(event: Event) -> Mapping[str, Any]:
    """``requestContext``, empty where there is none."""
    context = event.get("requestContext")
    return context if isinstance(context, Mapping) else {}


def required(event: Mapping[str, Any], key: str) -> str:
    """The text under a key. Raises `EventError` where there is none."""
    value = event.get(key)
    if not isinstance(value, str):
        raise EventError(f"the event has no text under {key!r}")
    return value
