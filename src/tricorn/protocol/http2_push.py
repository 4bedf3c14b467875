"""Which pushes a connection makes (RFC 9113 section 8.4)."""

from __future__ import annotations

from typing import Final

from tricorn.protocol.events import RequestReceived
from tricorn.types import Headers

# Paths remembered so that none is pushed twice on a connection.
_MAX_PUSHED_PATHS: Final = 1024


class PushPolicy:
    """Bounds pushes, and pushes each path once per connection. ``open`` counts them."""

    __slots__ = ("_max_open", "_paths", "open")

    def __init__(self, max_open: int) -> None:
        self._max_open = max_open
        self._paths: set[bytes] = set()
        self.open = 0

    @property
    def full(self) -> bool:
        """Whether as many pushes are open as we allow ourselves (0: pushes are off)."""
        return 0 < self._max_open <= self.open

    def allows(self, path: bytes, peer_limit: int) -> bool:
        """Whether another push, of ``path``, may be made."""
        return (
            path not in self._paths
            and len(self._paths) < _MAX_PUSHED_PATHS
            and self.open < min(self._max_open, peer_limit)
        )

    def promise(
        self, scheme: bytes, authority: bytes, path: bytes, headers: Headers
    ) -> tuple[Headers, RequestReceived]:
        """The promised header block, and the request as if the peer had sent it.

        Its stream id (0 here) is known once the promise is queued.
        """
        self._paths.add(path)
        self.open += 1
        block = [
            (b":method", b"GET"),
            (b":scheme", scheme),
            (b":authority", authority),
            (b":path", path),
            *headers,
        ]
        event = RequestReceived(
            0,
            "2",
            "GET",
            path,
            [(b"host", authority), *headers],
            scheme=scheme.decode(),
            end_stream=True,
            pushed=True,
        )
        return block, event
