"""Who may connect: connections are counted from the accept to the descriptor's end.

At ``max_connections``, and where the process is out of descriptors, the connection that has
been idle for longest makes room (as nginx has it: an idle connection is worth less than a
new one); where none is idle, the new one is closed. At ``max_connections_per_address`` the
new one is closed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, Protocol

from tricorn.config import Config
from tricorn.config_proxies import TrustedProxies, parse_address
from tricorn.counters import CONNECTIONS_REFUSED, Counters

# One look over all connections finds as many as this many that may go.
_VICTIMS: Final = 64
# A flood of connections must not cost one look each: this many times as long as the last look
# took nobody looks again.
_LOOK_SHARE: Final = 20.0
# Seconds that what was found is remembered.
_STALE: Final = 1.0


class Evictable(Protocol):
    """An open connection."""

    def idle_since(self) -> float | None:
        """Since when nothing goes on (seconds, as of the last tick), None while something does."""
        ...

    def evict(self) -> None:
        """Close it in favour of another one."""
        ...


class Silent(Evictable, Protocol):
    """One that was accepted, and nothing is above it yet: its TLS has not begun."""

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic)."""
        ...

    def hurry(self) -> None:
        """The server stops: there is little time left to say something."""
        ...


class Place:
    """What one accepted connection takes up; given back once, by ``leave``."""

    __slots__ = ("_admission", "_key")

    def __init__(self, admission: Admission, key: object) -> None:
        self._admission: Admission | None = admission
        self._key = key

    def leave(self) -> None:
        """The connection's descriptor is closed; a second time does nothing."""
        admission, self._admission = self._admission, None
        if admission is not None:
            admission.left(self._key)


class Admission:
    """Counts the connections of a worker.

    :param connections: those that are open.
    :param report: told (reason, peer) of a connection that was not taken.
    :param counters: where that is counted.
    :param silent: those that have not begun; idle where they have said nothing at all.
    """

    def __init__(
        self,
        config: Config,
        connections: Iterable[Evictable],
        report: Callable[[str, str], None] | None = None,
        counters: Counters | None = None,
        silent: Iterable[Evictable] = (),
    ) -> None:
        self.open = 0
        self._counters = counters or Counters.create()
        self._most = config.max_connections
        self._most_each = config.max_connections_per_address
        self._trusted = TrustedProxies(config.trusted_proxies)
        self._each: Counter[object] = Counter()
        self._connections = connections
        self._silent = silent
        self._report = report
        self._victims: list[Evictable] = []
        self._looked = float("-inf")
        self._next_look = float("-inf")

    def enter(self, client: tuple[str, int] | None) -> Place | None:
        """A place for a connection that was just accepted, None where it has to go.

        :param client: the peer's address and port, None for a peer of a Unix socket.
        """
        if self._victims and time.monotonic() - self._looked > _STALE:
            self._victims.clear()  # and keep none of them alive
        key = None
        if self._most_each is not None and client is not None:
            key = self._counted_as(client[0])
            if key is not None and self._each[key] >= self._most_each:
                self._refuse("max_connections_per_address", client)
                return None
        if self._most is not None and self.open >= self._most:
            if not self.evict():
                self._refuse("max_connections", client)
                return None
            self._counters.limit("max_connections")
        self.open += 1
        if key is not None:
            self._each[key] += 1
        return Place(self, key)

    def left(self, key: object) -> None:
        """A place is free again."""
        self.open -= 1
        if key is not None:
            self._each[key] -= 1
            if not self._each[key]:
                del self._each[key]

    def evict(self) -> bool:
        """Close the connection that has been idle for longest; whether there was one."""
        while True:
            if not self._victims:
                self._look()
            if not self._victims:
                return False
            victim = self._victims.pop()
            if victim.idle_since() is not None:
                victim.evict()
                return True

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        idle = [
            (since, found)
            for found in chain(self._connections, self._silent)
            if (since := found.idle_since()) is not None
        ]
        idle.sort(key=lambda item: item[0])
        self._victims = [connection for _, connection in reversed(idle[:_VICTIMS])]
        self._looked = time.monotonic()
        self._next_look = self._looked + _LOOK_SHARE * (self._looked - now)

    def _counted_as(self, host: str) -> object:
        """What connections from ``host`` are counted under, None where they are not."""
        if ":" not in host and not self._trusted:
            return host
        try:
            address = parse_address(host)
        except ValueError:
            return host
        if self._trusted.trusts(address):
            return None
        if address.version == 6 and not address.is_link_local:
            # One subscriber has a /64 and all its addresses (RFC 6177).
            return address.packed[:8]
        return str(address)

    def _refuse(self, option: str, client: tuple[str, int] | None) -> None:
        self._counters.limit(option)
        self._counters.add(CONNECTIONS_REFUSED)
        if self._report is not None:
            self._report(f"connection over {option}", client[0] if client else "unix socket")
