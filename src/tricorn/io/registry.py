"""The open connections of a worker."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tricorn.counters import APPLICATIONS_RUNNING, CONNECTIONS_OPEN, WEBSOCKETS_OPEN, Counters
from tricorn.io.pacing import FIRST_READ, LARGEST_READ, Crowd, SlowLane

if TYPE_CHECKING:
    from tricorn.io.admission import Silent
    from tricorn.io.connection import Connection


class Registry:
    """The open connections of a worker, and those whose applications still run."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        #: Accepted ones whose TLS has not begun.
        self.silent: set[Silent] = set()
        self.on_empty: Callable[[], None] | None = None
        self.slow_lane = SlowLane()
        self.crowd = Crowd()
        # What is read is taken from here at once, so all connections of one loop share it; not
        # those of other loops: they may read in another thread at the same moment. It is of the
        # system's pages, which take memory once something is read into them: few reads are large.
        self.read_buffer = memoryview(mmap.mmap(-1, LARGEST_READ, flags=mmap.MAP_PRIVATE))
        self.first_read = self.read_buffer[:FIRST_READ]

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections)

    def add(self, connection: Connection) -> None:
        """Know of a connection."""
        self._connections.add(connection)

    def discard(self, connection: Connection) -> None:
        """Forget a connection; tells ``on_empty`` at the last."""
        self._connections.discard(connection)
        if not self._connections and self.on_empty is not None:
            self.on_empty()

    def clear(self) -> None:
        """Forget them all."""
        self._connections.clear()

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic) on all of them.

        Here, so that no variable of a coroutine that sleeps keeps the last one alive.
        """
        for connection in list(self._connections):
            connection.tick(now)
        for silent in self.silent:
            silent.tick(now)

    def unfinished(self) -> int:
        """How many wait for more than their peers to close."""
        return sum(connection.unfinished for connection in self._connections)

    def measure(self, counters: Counters) -> None:
        """Set the gauges of what is open now."""
        connections = applications = websockets = 0
        for connection in self._connections:
            load = connection.load()
            connections += load[0]
            applications += load[1]
            websockets += load[2]
        counters.set(CONNECTIONS_OPEN, connections)
        counters.set(APPLICATIONS_RUNNING, applications)
        counters.set(WEBSOCKETS_OPEN, websockets)
