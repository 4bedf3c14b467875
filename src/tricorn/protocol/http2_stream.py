"""What an HTTP/2 connection keeps of one stream."""

from __future__ import annotations

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
