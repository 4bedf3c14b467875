"""The open connections of a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tricorn.counters import APPLICATIONS_RUNNING, CONNECTIONS_OPEN, WEBSOCKETS_OPEN, Counters
from tricorn.io.pacing import FIRST_READ, LARGEST_READ, SlowLane

if TYPE_CHECKING:
    from tricorn.io.connection import Connection


class Registry(set["Connection"]):
    """The open connections of a worker, and those whose applications still run."""

    def __init__(self) -> None:
        super().__init__()
        self.on_empty: Callable[[], None] | None = None
        self.slow_lane = SlowLane()
        # What is read is taken from here at once, so all connections of one loop share it; not
        # those of other loops: they may read in another thread at the same moment.
        self.read_buffer = memoryview(bytearray(LARGEST_READ))
        self.first_read = self.read_buffer[:FIRST_READ]

    def discard(self, connection: object) -> None:
        """Forget a connection; tells ``on_empty`` at the last."""
        super().discard(connection)
        if not self and self.on_empty is not None:
            self.on_empty()

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic) on all of them.

        Here, so that no variable of a coroutine that sleeps keeps the last one alive.
        """
        for connection in list(self):
            connection.tick(now)

    def measure(self, counters: Counters) -> None:
        """Set the gauges of what is open now."""
        connections = applications = websockets = 0
        for connection in self:
            load = connection.load()
            connections += load[0]
            applications += load[1]
            websockets += load[2]
        counters.set(CONNECTIONS_OPEN, connections)
        counters.set(APPLICATIONS_RUNNING, applications)
        counters.set(WEBSOCKETS_OPEN, websockets)
