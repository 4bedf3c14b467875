"""What a connection tells the layer above, version-neutral.

Every event carries a stream id; HTTP/1.1 numbers its exchanges 1, 2, 3, ... so that a
late call on a finished exchange can be told apart from one on the current exchange.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tricorn.types import Headers


@dataclass(slots=True)
class RequestReceived:
    """A complete request head.

    ``target`` is the origin-form target (path and query, bytes). ``headers`` have lower
    case names, ``host`` first where ``:authority`` gave it. ``protocol`` is set for a
    WebSocket opening handshake on HTTP/1.1 and for an extended CONNECT (RFC 8441).
    ``raw_headers`` keep the case the peer used, where asked for. ``content_length`` is what an
    HTTP/2 request announces (bytes); HTTP/1.1 frames its body with it. ``priority`` is the
    value of that field (RFC 9218), on HTTP/2.
    """

    stream_id: int
    http_version: str
    method: str
    target: bytes
    headers: Headers
    scheme: str | None = None
    protocol: bytes | None = None
    end_stream: bool = False
    expects_continue: bool = False
    accepts_trailers: bool = False
    pushed: bool = False
    raw_headers: Headers | None = None
    content_length: int | None = None
    priority: bytes | None = None


@dataclass(slots=True)
class DataReceived:
    """A piece of the request body (or, after an upgrade, of the tunnel)."""

    stream_id: int
    data: bytes


@dataclass(slots=True)
class TrailersReceived:
    """The trailer section of the request (RFC 9110 section 6.5)."""

    stream_id: int
    headers: Headers


@dataclass(slots=True)
class StreamEnded:
    """The peer has sent its last byte on this stream."""

    stream_id: int


@dataclass(slots=True)
class StreamReset:
    """The stream is gone: reset by the peer, or lost with the connection.

    ``code`` is the HTTP/2 error code, or None where there is none.
    """

    stream_id: int
    code: int | None = None


@dataclass(slots=True)
class PeerHalfClosed:
    """The peer closed its side while its request is being answered.

    A client that is gone and one that only shut down its sending side look alike: the
    application is told of a disconnect, while what it still sends is written.
    """

    stream_id: int


@dataclass(slots=True)
class PeerFault:
    """The peer broke a rule or a limit; for the log. Stream 0 is the whole connection.

    ``limit`` is the option whose bound it was, to be counted; None for another rule.
    """

    stream_id: int
    reason: str
    status: int | None = None
    limit: str | None = None


@dataclass(slots=True)
class LimitReached:
    """A bound was reached that is no fault of the peer's: for its counter, not for the log.

    ``limit`` is the option that sets the bound.
    """

    stream_id: int
    limit: str


@dataclass(slots=True)
class HTTP2Upgraded:
    """An HTTP/1.1 request asked for h2c (RFC 7540 section 3.2) and was granted it.

    The 101 answer is already queued; ``request`` becomes stream 1, ``body`` is its
    whole content, ``settings`` the HTTP2-Settings value, ``rest`` the bytes that follow.
    """

    stream_id: int
    request: RequestReceived
    settings: bytes
    body: bytes
    rest: bytes


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
