"""A token bucket that is told the time instead of asking for it."""

from __future__ import annotations

import math


class TokenBucket:
    """An allowance of ``burst`` tokens that grows back by ``per_second`` tokens a second.

    It starts full. Guards against floods of frames that are each legal (rapid reset,
    RFC 9113 section 10.5): every such frame takes a token, time and finished requests
    give some back.

    Raises ``ValueError`` for a burst below 1 or a rate that is negative or not finite.
    A rate of 0 makes a budget for the whole connection.
    """

    __slots__ = ("_now", "_tokens", "burst", "per_second")

    def __init__(self, burst: int, per_second: float) -> None:
        if burst < 1:
            raise ValueError(f"burst must be at least 1 token, not {burst}")
        if not math.isfinite(per_second) or per_second < 0:
            raise ValueError(f"per_second must be finite and not negative, not {per_second}")
        self.burst = burst
        self.per_second = per_second
        self._tokens = float(burst)
        self._now: float | None = None

    @property
    def tokens(self) -> float:
        """Tokens left, 0 to ``burst``; parts of a token count only once they add up to one."""
        return self._tokens

    def take(self, n: int = 1) -> bool:
        """Take ``n`` tokens, or none and return False when fewer are left.

        Raises ``ValueError`` for a negative ``n``.
        """
        if n < 0:
            raise ValueError(f"cannot take {n} tokens")
        if self._tokens < n:
            return False
        self._tokens -= n
        return True

    def give(self, n: int = 1) -> None:
        """Put ``n`` tokens back, up to ``burst``. Raises ``ValueError`` for a negative ``n``."""
        if n < 0:
            raise ValueError(f"cannot give {n} tokens")
        self._tokens = min(self._tokens + n, self.burst)

    def refill(self, now: float) -> None:
        """Grow back for the time since the last call; the first call only sets the origin.

        ``now`` is monotonic time in seconds; one that goes backwards is ignored, so the same
        second is never paid for twice.
        """
        if self._now is None:
            self._now = now
        elif now > self._now:
            self._tokens = min(self._tokens + (now - self._now) * self.per_second, self.burst)
            self._now = now
