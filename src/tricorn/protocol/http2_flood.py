"""What one peer gets done cheaply on an HTTP/2 connection, as budgets over time.

Resets in either direction share one bucket: a peer can trick us into resetting
(CVE-2023-44487, CVE-2025-8671). "Glitches" are frames that are legal and odd in number:
PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown ones (CVE-2019-9512 and on).
Honest work earns both back.
"""

from __future__ import annotations

from typing import Final

from tricorn.codecs.base import CodecFailed, HTTP2Codec
from tricorn.config import Config
from tricorn.protocol.budget import TokenBucket
from tricorn.protocol.http2_errors import ENHANCE_YOUR_CALM

# What honest work earns back of the glitch budget.
_PER_REQUEST: Final = 10
_PER_WRITE: Final = 40


class FloodGuard:
    """The two budgets of a connection."""

    __slots__ = ("_completed", "_glitches", "_resets", "_written")

    def __init__(self, config: Config) -> None:
        self._resets = TokenBucket(config.h2_max_resets, config.h2_resets_per_second)
        self._glitches = TokenBucket(config.h2_max_glitches, config.h2_glitches_per_second)
        # Honest work since the last look at the budgets.
        self._completed = 0
        self._written = 0

    def _settle(self) -> None:
        """Give back what honest work has earned."""
        earned = self._completed * _PER_REQUEST + self._written * _PER_WRITE
        if earned:
            self._glitches.give(earned)
            self._resets.give(self._completed)
            self._completed = self._written = 0

    def reset(self, reason: str = "too many stream resets") -> CodecFailed | None:
        """Charge a stream reset; the connection error where the budget did not have it."""
        self._settle()
        return None if self._resets.take() else _calm(reason, "h2_max_resets")

    def glitch(self, count: int) -> CodecFailed | None:
        """Charge cheap frames; the connection error where the budget did not have them."""
        self._settle()
        if self._glitches.take(count):
            return None
        return _calm("too many control or empty frames", "h2_max_glitches")

    def charge(self, codec: HTTP2Codec) -> CodecFailed | None:
        """As ``glitch``, for what a codec has counted."""
        count, codec.glitches = codec.glitches, 0
        return self.glitch(count) if count else None

    def completed(self) -> None:
        """A request was answered in full."""
        self._completed += 1

    def written(self) -> None:
        """DATA was written; the peer's window updates for it are due."""
        self._written += 1

    def refill(self, now: float) -> None:
        """Let time pass (seconds, monotonic)."""
        self._settle()
        self._resets.refill(now)
        self._glitches.refill(now)


def _calm(reason: str, limit: str) -> CodecFailed:
    return CodecFailed(ENHANCE_YOUR_CALM, reason, limit)
