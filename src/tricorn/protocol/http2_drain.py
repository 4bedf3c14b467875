"""How an HTTP/2 connection comes to its end in order (RFC 9113 section 6.8)."""

from __future__ import annotations

from typing import Final

from tricorn.codecs.base import HTTP2Codec
from tricorn.protocol.http2_errors import NO_ERROR

_MAX_STREAM_ID: Final = 2**31 - 1
_PING: Final = b"tricorn\0"


class Drain:
    """GOAWAY in two steps.

    The first asks for no new streams; those already on their way are still taken. The
    second, a round trip later, says which was the last. It is ``due`` once the peer has
    answered the first. ``peer_leaving`` is set by the peer's own GOAWAY, ``unheard`` where
    the peer has not answered the first step in time.
    """

    __slots__ = ("begun", "due", "last_stream_id", "peer_leaving", "unheard")

    def __init__(self) -> None:
        self.begun = self.due = False
        self.peer_leaving = self.unheard = False
        self.last_stream_id: int | None = None

    @property
    def takes_pushes(self) -> bool:
        """Whether new streams of ours still make sense."""
        return not self.begun and not self.peer_leaving

    @property
    def waits(self) -> bool:
        """Whether the second step is to come."""
        return self.begun and self.last_stream_id is None

    def begin(self, codec: HTTP2Codec) -> None:
        """The first step."""
        if not self.begun:
            self.begun = True
            codec.goaway(_MAX_STREAM_ID, NO_ERROR)
            codec.ping(_PING)

    def acknowledged(self, ping: bytes) -> None:
        """The peer has answered ``ping`` (8 bytes), that of the first step perhaps."""
        if ping == _PING:
            self.unheard = False
            self.due = self.waits

    def finish(self, codec: HTTP2Codec) -> None:
        """The second step."""
        self.due = False
        if self.last_stream_id is None:
            self.last_stream_id = codec.highest_stream_id
            codec.goaway(self.last_stream_id, NO_ERROR)

    def refuses(self, stream_id: int) -> bool:
        """Whether a new stream comes after the last one taken."""
        return self.last_stream_id is not None and stream_id > self.last_stream_id

    def over(self, open_streams: int) -> bool:
        """Whether nothing is left to wait for."""
        return not open_streams and (self.peer_leaving or self.last_stream_id is not None)
