"""The soak itself: two daemons, their traffic, and what happens to them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from compliance.soak import hostile, traffic
from compliance.soak.daemon import Daemon, Usage
from compliance.soak.ledger import Ledger
from compliance.soak.traffic import Peer
from compliance.soak.watch import Watch, tasks

SAMPLE_EVERY = 5.0
RELOAD_EVERY = 60.0
KILL_EVERY = 150.0
ROTATE_EVERY = 45.0
# Seconds that the last turns of the peers may take, and the daemon to let go of everything.
_LAST_TURNS = 90.0
_QUIET = 30.0

Turn = Callable[[Peer], Awaitable[None]]
#: What peers do, how many of each there are, and their pause between two turns (seconds).
ACTORS: tuple[tuple[Turn, int, float], ...] = (
    (traffic.keep_alive, 4, 0.1),
    (traffic.multiplexed, 2, 0.15),
    (traffic.echo, 3, 0.15),
    (traffic.single, 2, 0.4),
    (traffic.slow, 1, 0.5),
    (traffic.errors, 1, 1.0),
    (hostile.aborted, 2, 0.4),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    minutes: float
    worker_class: str
    workers: int
    rate: float
    seed: int

    def options(self, *more: str) -> list[str]:
        """The daemon's options."""
        return [
            "--worker-class",
            self.worker_class,
            "--workers",
            str(self.workers),
            "--certificate-watch",
            "5",
            *more,
        ]


@dataclass(slots=True)
class Side:
    """One daemon and all that is known of it."""

    daemon: Daemon
    ledger: Ledger
    watch: Watch
    changing: bool
    reloads: int = 0
    rotations: int = 0
    tasks_before: dict[int, int] = field(default_factory=dict)
    tasks_after: dict[int, int] = field(default_factory=dict)
    before: dict[int, Usage] = field(default_factory=dict)
    after: dict[int, Usage] = field(default_factory=dict)
    exit_code: int | None = None

    def usages(self) -> dict[int, Usage]:
        """What every process takes now."""
        found = {}
        for pid in (self.daemon.pid, *self.daemon.workers()):
            usage = self.daemon.usage(pid)
            if usage is not None:
                found[pid] = usage
        return found


@dataclass(slots=True)
class Outcome:
    """Everything that was measured."""

    plan: Plan
    seconds: float
    sides: list[Side]


async def soak(plan: Plan, directory: Path) -> Outcome:
    """Run it.

    :raises ServerError: if a daemon does not start or end.
    """
    sides: list[Side] = []
    try:
        for name, more in (
            ("changing", ("--max-requests", "800", "--max-requests-jitter", "400")),
            ("steady", ()),
        ):
            daemon = Daemon(name, directory, plan.options(*more))
            sides.append(Side(daemon, Ledger(name), Watch(daemon), name == "changing"))
            await asyncio.to_thread(daemon.wait, plan.workers)
            print(daemon.command, flush=True)
        started = time.monotonic()
        await asyncio.gather(*(_run(side, plan) for side in sides))
        seconds = time.monotonic() - started
    finally:
        for side in sides:
            side.exit_code = await asyncio.to_thread(side.daemon.stop)
    return Outcome(plan, seconds, sides)


async def _run(side: Side, plan: Plan) -> None:
    side.tasks_before = await tasks(side.daemon)
    side.before = side.usages()
    end = asyncio.Event()
    peers = [
        asyncio.create_task(_act(turn, side, plan, number, pause, end))
        for turn, count, pause in ACTORS
        for number in range(max(1, round(count * plan.rate)))
    ]
    events = [asyncio.create_task(_every(SAMPLE_EVERY, side.watch.look))]
    if side.changing:
        events.append(asyncio.create_task(_every(RELOAD_EVERY, lambda: _reload(side))))
        killer = random.Random(plan.seed)
        events.append(asyncio.create_task(_every(KILL_EVERY, lambda: _kill(side, killer))))
    else:
        events.append(asyncio.create_task(_every(ROTATE_EVERY, lambda: _rotate(side))))
    broken = asyncio.create_task(_first_failure([*peers, *events]))
    await asyncio.wait([broken], timeout=plan.minutes * 60)
    end.set()
    for event in events:
        event.cancel()
    _, late = await asyncio.wait(peers, timeout=_LAST_TURNS)
    for peer in late:
        peer.cancel()
    with suppress(asyncio.CancelledError):
        await broken  # a fault of the soak itself
    await _come_to_rest(side)


async def _first_failure(running: list[asyncio.Task[None]]) -> None:
    for done in asyncio.as_completed(running):
        with suppress(asyncio.CancelledError):
            await done


async def _act(
    turn: Turn, side: Side, plan: Plan, number: int, pause: float, end: asyncio.Event
) -> None:
    chance = random.Random(f"{plan.seed} {side.daemon.name} {turn.__name__} {number}")
    peer = Peer(side.daemon, side.ledger, chance, pause)
    while not end.is_set():
        await turn(peer)
        await peer.rest()


async def _every(seconds: float, act: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        act()


def _reload(side: Side) -> None:
    side.daemon.rotate()
    side.rotations += 1
    side.reloads += 1
    side.daemon.signal(signal.SIGHUP)


def _rotate(side: Side) -> None:
    side.daemon.rotate()
    side.rotations += 1


def _kill(side: Side, chance: random.Random) -> None:
    workers = side.daemon.workers()
    if workers != [side.daemon.pid]:
        victim = chance.choice(workers)
        side.ledger.kills.append((time.monotonic(), victim))
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


async def _come_to_rest(side: Side) -> None:
    """Wait until everything is let go of, at most so long; then take stock."""
    deadline = time.monotonic() + _QUIET
    while time.monotonic() < deadline:
        side.after = side.usages()
        if not leftovers(side):
            break
        await asyncio.sleep(0.5)
    side.tasks_after = await tasks(side.daemon)


def leftovers(side: Side) -> list[str]:
    """Descriptors that a process has more than the same one, or its like, had at first."""
    workers = [usage for pid, usage in side.before.items() if pid != side.daemon.pid]
    most = max((usage.descriptors for usage in workers), default=0)
    found = []
    for pid, usage in side.after.items():
        allowed = most if pid != side.daemon.pid else side.before[pid].descriptors
        if usage.descriptors > allowed + 1:
            found.append(f"process {pid}: {usage.descriptors} descriptors, {allowed} before")
    return found
