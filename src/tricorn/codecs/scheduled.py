"""The part of a codec that hands the peer's priority signals to a scheduler of ours."""

from __future__ import annotations

from tricorn.codecs.base import Scheduler


class Scheduled:
    """Whose frames leave in the order of RFC 9218, or of RFC 7540."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def prioritize(
        self, stream_id: int, urgency: int, incremental: bool, *, initial: bool = False
    ) -> None:
        """Set RFC 9218 parameters of a stream."""
        self._scheduler.prioritize(stream_id, urgency, incremental, initial=initial)

    def reprioritize(self, stream_id: int, depends_on: int, weight: int, exclusive: bool) -> bool:
        """Apply an RFC 7540 signal; False where it is a stream error."""
        try:
            self._scheduler.reprioritize(stream_id, depends_on, weight, exclusive)
        except ValueError:
            return False
        return True

    def disable_rfc7540(self) -> None:
        """The peer does without RFC 7540 priorities (RFC 9218 section 2.1)."""
        self._scheduler.disable_rfc7540()
