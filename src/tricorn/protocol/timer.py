"""One deadline for what a connection is waiting for."""

from __future__ import annotations


class PhaseTimer:
    """Times the phase a connection is in, by ticks alone.

    A phase begins at the first tick that sees it, so a limit fires up to one tick late and
    nothing on the hot path reads a clock. ``deadline`` is when it fires (seconds), as of
    the last tick, or None.
    """

    __slots__ = ("_phase", "_since", "deadline")

    def __init__(self) -> None:
        self._phase: object = None
        self._since = 0.0
        self.deadline: float | None = None

    def expired(
        self, now: float, phase: object, limit: float | None, *, moved: bool = False
    ) -> bool:
        """Note the time; whether ``phase`` has lasted ``limit`` seconds.

        :param phase: compared with the last one; a new one starts anew.
        :param moved: there was progress since the last tick: start anew all the same.
        """
        began = moved or phase != self._phase
        if began:
            self._phase, self._since = phase, now
        self.deadline = None if limit is None else self._since + limit
        return not began and self.deadline is not None and now >= self.deadline

    def since(self, phase: object) -> float | None:
        """When ``phase`` began (seconds); None where no tick has seen it."""
        return self._since if phase == self._phase else None
