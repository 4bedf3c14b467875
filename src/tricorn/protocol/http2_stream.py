"""What an HTTP/2 connection keeps of one stream."""

from __future__ import annotations

from tricorn.config import Config
from tricorn.protocol.events import RequestReceived


class HTTP2Stream:
    """One exchange. Counts are bytes; ``since`` is seconds on the ticks' clock."""

    __slots__ = (
        "buffered",
        "credit",
        "headers",
        "method",
        "pushed",
        "request_ended",
        "response_ended",
        "response_started",
        "sent",
        "since",
        "stalled",
        "touched",
        "tunnel",
    )

    def __init__(self, event: RequestReceived) -> None:
        self.method = event.method
        self.headers = event.headers
        self.pushed = event.pushed
        self.tunnel = event.protocol is not None
        self.request_ended = event.end_stream
        self.response_started = False
        self.response_ended = False
        self.sent = False  # END_STREAM is framed; a tunnel then waits for the peer's
        self.buffered = 0  # body bytes the application has not taken
        self.credit = 0  # bytes taken and not yet given back to the peer
        self.touched = True  # progress since the last tick
        self.stalled = -1  # bytes unsent at the last tick
        self.since = 0.0

    def stands_still(self, now: float, unsent: int) -> bool:
        """Note the time; whether nothing has moved since the last call."""
        if self.touched or unsent != self.stalled:
            self.touched = False
            self.stalled = unsent
            self.since = now
            return False
        return True

    def waited(self, now: float, limit: float | None) -> bool:
        """Whether the stream has stood still for ``limit`` seconds (None: never)."""
        return limit is not None and now - self.since >= limit

    def overdue(self, now: float, unsent: int, config: Config) -> str | None:
        """Why a stream that stands still should be reset by now, or None.

        :param unsent: response bytes the peer has not let us send.
        """
        if unsent:
            late = self.waited(now, config.write_timeout)
            return "peer takes no response data" if late else None
        # A tunnel may be silent, and so may a request that is being answered already; with
        # the application not reading, the silence may be ours.
        silent = not (self.request_ended or self.response_started or self.tunnel or self.buffered)
        if silent and self.waited(now, config.read_timeout):
            return "timed out in the request body"
        return None
