"""A slot: the place of one worker after the other."""

from __future__ import annotations

from collections.abc import Sequence

from tricorn.exceptions import TricornError
from tricorn.supervisor_workers import WorkerProcess

# Seconds before a worker that failed is started again: nothing the first time, then doubled.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# Doublings after which it is the longest in any case; without end they overflow a float.
_DOUBLINGS = 10


class Slot:
    """The place of one worker after the other."""

    def __init__(self, number: int, current: WorkerProcess | None = None) -> None:
        self.number = number
        self.current = current  # serves, or is the first to start here
        self.incoming: WorkerProcess | None = None  # starts to replace it
        self.failures = 0
        self.retry_at: float | None = None

    def workers(self) -> list[WorkerProcess]:
        """Those that are there."""
        return [worker for worker in (self.current, self.incoming) if worker is not None]

    def pause(self, now: float) -> float:
        """Note a failure; the seconds to wait before the next attempt."""
        seconds = 0.0
        if self.failures:
            doublings = min(self.failures - 1, _DOUBLINGS)
            seconds = min(_FIRST_PAUSE * 2**doublings, _LONGEST_PAUSE)
        self.failures += 1
        self.retry_at = now + seconds
        return seconds


def count_of(slots: Sequence[Slot]) -> str:
    """How many workers, in words."""
    return f"{len(slots)} worker{'' if len(slots) == 1 else 's'}"


def unready(worker: WorkerProcess, death: str) -> TricornError:
    """What ended a worker that was not ready yet, as an error with its exit code."""
    error = TricornError(f"worker {worker.pid} {death} before the server had started")
    if worker.exit_code > 0:
        error.exit_code = worker.exit_code
    return error
