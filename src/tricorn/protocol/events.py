"""What a connection tells the layer above, version-neutral.

Every event carries a stream id; HTTP/1.1 numbers its exchanges 1, 2, 3, ... so that a
late call on a finished exchange can be told apart from one on the current exchange.
"""

from __future__ import annotations

from typing import TypeAlias

from tricorn.plain import Plain
from tricorn.types import Headers


class RequestReceived(Plain):
    """A complete request head.

    ``target`` is the origin-form target (path and query, bytes). ``headers`` have lower
    case names, ``host`` first where ``:authority`` gave it. ``protocol`` is set for a
    WebSocket opening handshake on HTTP/1.1 and for an extended CONNECT (RFC 8441).
    ``raw_headers`` keep the case the peer used, where asked for. ``content_length`` is what an
    HTTP/2 request announces (bytes); HTTP/1.1 frames its body with it. ``priority`` is the
    value of that field (RFC 9218), on HTTP/2.
    """

    __slots__ = (
        "accepts_trailers",
        "content_length",
        "end_stream",
        "expects_continue",
        "headers",
        "http_version",
        "method",
        "priority",
        "protocol",
        "pushed",
        "raw_headers",
        "scheme",
        "stream_id",
        "target",
    )

    def __init__(
        self,
        stream_id: int,
        http_version: str,
        method: str,
        target: bytes,
        headers: Headers,
        scheme: str | None = None,
        protocol: bytes | None = None,
        end_stream: bool = False,
        expects_continue: bool = False,
        accepts_trailers: bool = False,
        pushed: bool = False,
        raw_headers: Headers | None = None,
        content_length: int | None = None,
        priority: bytes | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.http_version = http_version
        self.method = method
        self.target = target
        self.headers = headers
        self.scheme = scheme
        self.protocol = protocol
        self.end_stream = end_stream
        self.expects_continue = expects_continue
        self.accepts_trailers = accepts_trailers
        self.pushed = pushed
        self.raw_headers = raw_headers
        self.content_length = content_length
        self.priority = priority


class DataReceived(Plain):
    """A piece of the request body (or, after an upgrade, of the tunnel)."""

    __slots__ = ("data", "stream_id")

    def __init__(self, stream_id: int, data: bytes) -> None:
        self.stream_id = stream_id
        self.data = data


class TrailersReceived(Plain):
    """The trailer section of the request (RFC 9110 section 6.5)."""

    __slots__ = ("headers", "stream_id")

    def __init__(self, stream_id: int, headers: Headers) -> None:
        self.stream_id = stream_id
        self.headers = headers


class StreamEnded(Plain):
    """The peer has sent its last byte on this stream."""

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class StreamReset(Plain):
    """The stream is gone: reset by the peer, or lost with the connection.

    ``code`` is the HTTP/2 error code, or None where there is none.
    """

    __slots__ = ("code", "stream_id")

    def __init__(self, stream_id: int, code: int | None = None) -> None:
        self.stream_id = stream_id
        self.code = code


class PeerHalfClosed(Plain):
    """The peer closed its side while its request is being answered.

    A client that is gone and one that only shut down its sending side look alike: the
    application is told of a disconnect, while what it still sends is written.
    """

    __slots__ = ("stream_id",)

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id


class PeerFault(Plain):
    """The peer broke a rule or a limit; for the log. Stream 0 is the whole connection.

    ``limit`` is the option whose bound it was, to be counted; None for another rule.
    """

    __slots__ = ("limit", "reason", "status", "stream_id")

    def __init__(
        self, stream_id: int, reason: str, status: int | None = None, limit: str | None = None
    ) -> None:
        self.stream_id = stream_id
        self.reason = reason
        self.status = status
        self.limit = limit


class LimitReached(Plain):
    """A bound was reached that is no fault of the peer's: for its counter, not for the log.

    ``limit`` is the option that sets the bound.
    """

    __slots__ = ("limit", "stream_id")

    def __init__(self, stream_id: int, limit: str) -> None:
        self.stream_id = stream_id
        self.limit = limit


class HTTP2Upgraded(Plain):
    """An HTTP/1.1 request asked for h2c (RFC 7540 section 3.2) and was granted it.

    The 101 answer is already queued; ``request`` becomes stream 1, ``body`` is its
    whole content, ``settings`` the HTTP2-Settings value, ``rest`` the bytes that follow.
    """

    __slots__ = ("body", "request", "rest", "settings", "stream_id")

    def __init__(
        self, stream_id: int, request: RequestReceived, settings: bytes, body: bytes, rest: bytes
    ) -> None:
        self.stream_id = stream_id
        self.request = request
        self.settings = settings
        self.body = body
        self.rest = rest


Event: TypeAlias = (
    RequestReceived
    | DataReceived
    | TrailersReceived
    | StreamEnded
    | StreamReset
    | PeerHalfClosed
    | PeerFault
    | LimitReached
    | HTTP2Upgraded
)
