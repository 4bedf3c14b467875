"""What both HTTP versions say about time: since when a connection is idle, and what is due."""

from __future__ import annotations

import math

from tricorn.protocol.connection import HTTPConnection
from tricorn.protocol.timer import PhaseTimer


class Idleness(HTTPConnection):
    """The part of a connection that makes it give way to another one.

    ``_phase_now`` names what is waited for. A connection is idle between two requests, and
    where it has said nothing at all once a tick has seen it so.
    """

    _timer: PhaseTimer

    @property
    def _silent(self) -> bool:
        """Whether the peer has said nothing of a request head, or of HTTP/2's preface."""
        return False

    @property
    def idle(self) -> bool:
        """Whether no exchange is open."""
        return not self.busy_streams

    def _phase_now(self) -> tuple[object, float | None]:
        """What is being waited for, and for how long at most (seconds)."""
        raise NotImplementedError

    def idle_since(self) -> float | None:
        """Since when nothing goes on (seconds, as of the last tick), None while something does."""
        if self.closing:
            return None
        phase, _ = self._phase_now()
        kind = phase[0] if isinstance(phase, tuple) else phase
        if kind != "idle" and not (kind == "head" and self._silent):
            return None
        since = self._timer.since(phase)
        return math.inf if since is None and kind == "idle" else since

    def next_deadline(self) -> float | None:
        """When ``handle_timeout`` will act on the whole connection, as of its last call."""
        return self._timer.deadline
