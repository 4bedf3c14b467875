"""What became of every request: served, given up on purpose, excused, or lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

# A request that takes longer than this (seconds) is lost: the slowest ones need ten.
PATIENCE = 45.0
# What may go wrong with a request whose server is gone.
_LOST = (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError)
_MOST_TOLD = 40


class Wrong(Exception):
    """An answer that is not the one asked for, or a connection that ended too early."""


class Restarted(Exception):
    """The server said that it goes away (1012, GOAWAY) before it took this up."""


@dataclass(slots=True)
class Origin:
    """Which worker a connection is with; None until an answer has said so."""

    worker: int | None = None


@dataclass(slots=True)
class Ledger:
    """The counts of one daemon.

    ``kills`` are moments (monotonic seconds) and workers; a request in flight on a worker
    that was killed is excused.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    kills: list[tuple[float, int]] = field(default_factory=list)

    def count(self, kind: str, outcome: str) -> None:
        """One more of this kind came out so."""
        self.counts[outcome] += 1
        self.kinds.setdefault(kind, Counter())[outcome] += 1

    async def attempt(
        self, kind: str, origin: Origin, request: Callable[[], Awaitable[object]]
    ) -> bool:
        """Make a request that must succeed; whether its connection can be used again."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                await request()
        except Restarted:
            self.count(kind, "told to come again")
            return False
        except (*_LOST, Wrong) as exc:
            self._judge(kind, origin, started, exc)
            return False
        self.count(kind, "served")
        return True

    def _judge(self, kind: str, origin: Origin, started: float, exc: Exception) -> None:
        now = time.monotonic()
        for when, worker in self.kills:
            # Which worker has a new connection is not known: any that died meanwhile.
            if when >= started - 0.5 and origin.worker in (None, worker):
                self.count(kind, "excused")
                return
        self.count(kind, "LOST")
        if len(self.lost) < _MOST_TOLD:
            clock = time.strftime("%H:%M:%S")
            after = now - started
            self.lost.append(
                f"{clock} {self.name} {kind} on worker {origin.worker} after {after:.2f} s: {exc!r}"
            )
