"""Figures over time: memory, descriptors and tasks of every process, and their trend."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from compliance.soak.daemon import Daemon, Usage
from compliance.soak.http1 import HTTP1Client

_ASKS = 60
KIB = 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trend:
    """How a process's memory went behind the warm-up: MiB, and KiB for each minute."""

    pid: int
    minutes: float
    first: float
    last: float
    slope: float

    def line(self) -> str:
        """For the summary."""
        return (
            f"process {self.pid}: {self.first:.1f} -> {self.last:.1f} MiB in {self.minutes:.1f} min"
            f", {self.slope:+.0f} KiB a minute"
        )


@dataclass(slots=True)
class Watch:
    """Samples of one daemon's processes. ``samples`` are (seconds since start, usage)."""

    daemon: Daemon
    started: float = field(default_factory=time.monotonic)
    samples: dict[int, list[tuple[float, Usage]]] = field(default_factory=dict)

    def look(self) -> None:
        """Take a sample of every process."""
        now = time.monotonic() - self.started
        for pid in {self.daemon.pid, *self.daemon.workers()}:
            usage = self.daemon.usage(pid)
            if usage is not None:
                self.samples.setdefault(pid, []).append((now, usage))

    def trend(self, pid: int, warm_up: float) -> Trend | None:
        """The memory of a process from ``warm_up`` seconds on; None for too few samples."""
        points = [(at, usage.rss) for at, usage in self.samples.get(pid, ()) if at >= warm_up]
        if len(points) < 8:
            return None
        quarter = max(1, len(points) // 4)
        first = statistics.median(rss for _, rss in points[:quarter]) / MIB
        last = statistics.median(rss for _, rss in points[-quarter:]) / MIB
        slope = _slope(points) * 60 / KIB
        minutes = (points[-1][0] - points[0][0]) / 60
        return Trend(pid, minutes, first, last, slope)

    def most(self, pid: int) -> Usage:
        """The most a process ever took of each."""
        usages = [usage for _, usage in self.samples[pid]]
        return Usage(
            pid,
            max(usage.age for usage in usages),
            max(usage.rss for usage in usages),
            max(usage.descriptors for usage in usages),
            max(usage.threads for usage in usages),
        )

    def table(self) -> list[dict[str, float]]:
        """All samples, for the results file."""
        return [
            {
                "pid": pid,
                "at": round(at, 1),
                "rss": usage.rss,
                "descriptors": usage.descriptors,
                "threads": usage.threads,
            }
            for pid, samples in self.samples.items()
            for at, usage in samples
        ]


def _slope(points: Sequence[tuple[float, int]]) -> float:
    """Bytes a second, by least squares."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope


async def tasks(daemon: Daemon) -> dict[int, int]:
    """How many tasks each worker has, one of them for the request that asks."""
    found: dict[int, int] = {}
    workers = set(daemon.workers())
    for _ in range(_ASKS):
        if found.keys() >= workers:
            break
        # Whichever worker accepts answers.
        client = HTTP1Client(daemon.plain)
        await client.connect()
        client.send("GET", "/stats", "connection: close\r\n")
        response = await client.response()
        await client.close()
        if client.origin.worker is not None:
            found[client.origin.worker] = int(response.body)
        await asyncio.sleep(0)
    return found
