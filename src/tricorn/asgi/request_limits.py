"""Limits on requests, the same for both HTTP versions: how many, how large, how slow.

`Gate` decides before the application is called; `Patience` times one request that goes on.
Time comes with the ticks, so that nothing here costs a request that is over within one.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, Protocol

from tricorn.asgi.replies import below
from tricorn.config import Config
from tricorn.config_limits import body_sizes
from tricorn.protocol.events import PeerFault
from tricorn.types import Headers, Scope

# What a request body may be ahead of its least rate, as a multiple of the grace: a burst
# does not pay for minutes of silence.
_CREDIT: Final = 2


class Refusal(NamedTuple):
    """An answer in the application's place; ``limit`` is the option behind it."""

    status: int
    text: bytes
    reason: str
    limit: str
    headers: Headers

    def fault(self, stream_id: int) -> PeerFault:
        """For the log and the counters."""
        return PeerFault(stream_id, self.reason, self.status, self.limit)


BODY_TOO_LARGE: Final = Refusal(
    413, b"Content Too Large", "too large a request body", "max_request_body_size", []
)
#: The rest of the body must not be waited for: the connection ends with the answer.
BODY_TOO_SLOW: Final = Refusal(
    408,
    b"Request Timeout",
    "too slow a request body",
    "min_body_rate",
    [(b"connection", b"close")],
)
NO_RESPONSE: Final = Refusal(
    504, b"Gateway Timeout", "a request without a response in time", "response_timeout", []
)
NO_HANDSHAKE: Final = Refusal(
    504,
    b"Gateway Timeout",
    "a WebSocket handshake without an answer in time",
    "websocket_handshake_timeout",
    [],
)


class Reporter(Protocol):
    """The connection driver."""

    def report(self, fault: PeerFault) -> None: ...


class Stream(Protocol):
    """An exchange that has not begun."""

    stream_id: int
    scope: Scope
    body_limit: int | None

    @property
    def host(self) -> Reporter: ...
    def refuse(self, status: int, text: bytes, headers: Headers | None = None) -> None: ...


class Gate:
    """Who is let through to the application of a worker."""

    def __init__(self, config: Config) -> None:
        #: Requests and WebSockets with applications now.
        self.running = 0
        self._most = config.max_concurrent_requests
        self._size = config.max_request_body_size
        self._sizes = body_sizes(config)
        self._has_sizes = bool(self._sizes) or self._size is not None
        fields: Headers = []
        if config.retry_after is not None:
            fields.append((b"retry-after", b"%d" % math.ceil(config.retry_after)))
        self._busy = Refusal(
            503,
            b"Service Unavailable",
            "a request above the number at once",
            "max_concurrent_requests",
            fields,
        )

    @classmethod
    def create(cls, config: Config) -> Gate | None:
        """The gate of a configuration, None where it has none of the limits."""
        gate = cls(config)
        return gate if gate._most is not None or gate._has_sizes else None

    @property
    def full(self) -> bool:
        """Whether one more request would be one too many."""
        return self._most is not None and self.running >= self._most

    def admits(self, stream: Stream) -> bool:
        """Let a request through to its application, or answer it here."""
        limit = self.body_limit(stream.scope)
        refusal = self.refuses(stream.scope, limit)
        if refusal is None:
            self.running += 1
            stream.body_limit = limit
            return True
        stream.host.report(refusal.fault(stream.stream_id))
        stream.refuse(refusal.status, refusal.text, refusal.headers)
        return False

    def refuses(self, scope: Scope, limit: int | None) -> Refusal | None:
        """Why a request is not let through.

        :param limit: what ``body_limit`` says of it.
        """
        if self.full:
            return self._busy
        if limit is not None and _declared_length(scope) > limit:
            return BODY_TOO_LARGE
        return None

    def body_limit(self, scope: Scope) -> int | None:
        """The largest body of a request (bytes), None for no limit."""
        if not self._has_sizes or scope["type"] != "http":
            return None
        path = below(scope, "")
        for prefix, size in self._sizes:
            if path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/"):
                return size
        return self._size


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name.lower() == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


class Limits:
    """How long a request may take, as the configuration has it."""

    def __init__(self, config: Config) -> None:
        self.rate = config.min_body_rate
        self.grace = config.min_body_rate_grace
        self.response = config.response_timeout

    @classmethod
    def create(cls, config: Config) -> Limits | None:
        """None where there is no such limit."""
        limits = cls(config)
        return limits if limits.rate is not None or limits.response is not None else None


class Patience:
    """Times one request up to its response: either the peer is waited for, or the application.

    A body begins with a credit of ``min_body_rate_grace`` seconds. Every second that the
    application waits for it costs one, every ``min_body_rate`` bytes earn one.
    """

    __slots__ = ("_credit", "_limits", "_now", "_received", "_thinking")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._now = now
        self._received = 0
        self._credit = limits.grace
        self._thinking = 0.0

    def ends(self, now: float, received: int, *, waits_for_body: bool) -> Refusal | None:
        """Note the time (seconds, monotonic); why the request has to end by now.

        :param received: bytes of its body that have come.
        :param waits_for_body: whether the application waits for more of them.
        """
        limits = self._limits
        passed, self._now = now - self._now, now
        if waits_for_body:
            if limits.rate is None:
                return None
            earned = (received - self._received) / limits.rate
            self._received = received
            self._credit = min(self._credit + earned, limits.grace * _CREDIT) - passed
            return BODY_TOO_SLOW if self._credit <= 0 else None
        self._thinking += passed
        late = limits.response is not None and self._thinking >= limits.response
        return NO_RESPONSE if late else None
