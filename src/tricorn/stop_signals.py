"""Whether a signal that asks for an end is another one, or the same that came twice.

``timeout`` signals its child and then the group that the child is in; ``npm``, ``foreman`` and
others pass on to it what the terminal has sent to the group already. So one wish comes as two
signals, of one kind or of two, within milliseconds.
"""

from __future__ import annotations

#: Seconds in which they come. Nobody asks again so soon.
RELAYED = 0.25


class StopSignals:
    """Counts those that are another one."""

    def __init__(self) -> None:
        self.count = 0
        self._last = float("-inf")

    def counts(self, now: float) -> bool:
        """Note one that came `now` (seconds, of any clock); whether it is another one."""
        if now - self._last < RELAYED:
            return False
        self._last = now
        self.count += 1
        return True
