"""The times of one WebSocket: keepalive, and how long our close frame waits. No clock.

A ping and a close frame lie behind all that was sent before them, by other streams of their
connection too. A peer that is at work on that is neither silent nor late, however long it takes.
"""

from __future__ import annotations


class WebSocketTimers:
    """Deadlines, in seconds; the arguments are those of ``WebSocketLimits``.

    Bytes: ``sent`` are the WebSocket's so far, ``buffered`` those of them that wait for their turn
    on the wire. ``others`` are those of other streams that had it, and ``taken`` is what the peer
    has taken of ``sent`` and ``others``. ``arriving`` are the peer's, of an HTTP/2 frame that is
    not there whole. Each timer runs from the call after the event that starts it, so it is late by
    at most one interval between calls.
    """

    __slots__ = (
        "_arriving", "_before", "_close_timeout", "_closing_since", "_end", "_last_heard",
        "_ping_interval", "_ping_timeout", "_taken", "heard", "ping_sent",
    )  # fmt: skip

    def __init__(
        self, ping_interval: float | None, ping_timeout: float | None, close_timeout: float
    ) -> None:
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._close_timeout = close_timeout
        self.heard = True  # a byte from the peer, since the last ``listen``
        self._last_heard = 0.0
        self._arriving = 0
        self.ping_sent: float | None = None  # None: no pong is waited for
        self._closing_since: float | None = None
        self._before = 0  # bytes sent up to what is to be answered: our ping or close frame
        self._end: int | None = None  # the same with the others', once all of them are on the wire
        self._taken: int | None = None  # by the peer, when that was last told behind it

    @property
    def behind(self) -> bool:
        """Whether the peer has not taken all that lies before what it is to answer."""
        return self._taken is None or self._end is None or self._taken < self._end

    def listen(self, now: float, arriving: int, *, reading: bool) -> None:
        """Note whether the peer was heard; one that we let say nothing is not silent."""
        if arriving != self._arriving:
            self._arriving = arriving
            self.heard = self.heard or arriving > 0
        if self.heard or not reading:
            self.heard = False
            self._last_heard = now
            self.ping_sent = None

    def is_silent(self, now: float, sent: int, buffered: int, others: int, taken: int) -> bool:
        """Whether a pong is overdue."""
        if self.ping_sent is None:
            return False
        if self._takes(sent - buffered, others, taken):
            self.ping_sent = now
        return self._ping_timeout is not None and now - self.ping_sent >= self._ping_timeout

    def wants_ping(self, now: float, sent: int) -> bool:
        """Whether it is time for a ping, which is waited for from now on."""
        if self._ping_interval is None:
            return False
        if self.ping_sent is not None and self._ping_timeout is not None:
            return False
        since = self._last_heard if self.ping_sent is None else self.ping_sent
        if now - since < self._ping_interval:
            return False
        self.ping_sent = now
        self._awaits(sent)
        return True

    def is_late_to_close(
        self, now: float, sent: int, buffered: int, others: int, taken: int, *, reading: bool
    ) -> bool:
        """Whether the answer to our close frame is overdue: never at the call that begins."""
        since = self._closing_since
        if since is None:
            self._awaits(sent)
        if self._takes(sent - buffered, others, taken) or since is None or not reading:
            self._closing_since = now
            return False
        return now - since >= self._close_timeout

    def _awaits(self, sent: int) -> None:
        self._before, self._end, self._taken = sent, None, None

    def _takes(self, left: int, others: int, taken: int) -> bool:
        """Whether the peer has taken more of what lies before what it is to answer."""
        if self._end is None and left >= self._before:
            self._end = self._before + others
        before = self._taken
        self._taken = taken if before is None else max(before, taken)
        if before is None or taken <= before:
            return False
        return self._end is None or before < self._end
