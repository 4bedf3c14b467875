"""The place of one worker after the other, without any process."""

from __future__ import annotations

from tricorn.supervisor_slots import Slot


def test_the_pause_between_attempts_doubles_up_to_its_longest() -> None:
    slot = Slot(0)
    pauses = [slot.pause(100.0) for _ in range(10)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert slot.retry_at == 130.0


def test_a_worker_that_fails_for_days_is_still_tried_again() -> None:
    """Thousands of failures: a power of two of them is more than a float holds."""
    slot = Slot(0)
    slot.failures = 100_000
    assert slot.pause(0.0) == 30.0
