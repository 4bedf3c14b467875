"""What can be seen of a server from outside: memory, log, and what its application tells."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (\w+) +(.*)")
_TIMEOUT = 5.0
_LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Stats:
    """What a worker holds, as its application counts it; see ``app.py``."""

    pid: int
    tasks: int
    descriptors: int
    objects: int
    running: int
    calls: int
    smuggled: int
    most_running: int

    def beyond(self, base: Stats) -> list[str]:
        """What there is more of than before."""
        pairs = [
            (name, getattr(base, name), getattr(self, name))
            for name in ("tasks", "descriptors", "objects", "running")
        ]
        return [f"{name}: {before} -> {now}" for name, before, now in pairs if now > before]


def ask(host: str, port: int, *, tls: bool) -> Stats | None:
    """Ask the application; None where nothing answers."""
    connection: http.client.HTTPConnection
    own = ("127.0.0.3", 0)  # neither the attacker's nor the neighbour's
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host, port, timeout=_TIMEOUT, source_address=own, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT, source_address=own)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/stats", headers={"Connection": "close"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
    return Stats(
        answer["pid"],
        answer["tasks"],
        answer["descriptors"],
        answer["objects"],
        answer["running"],
        answer.get("calls", 0),
        answer.get("smuggled", 0),
        answer.get("most running", 0),
    )


def steady(host: str, port: int, *, tls: bool, within: float) -> Stats | None:
    """What the application tells once it tells the same twice, or after ``within`` seconds."""
    end = time.monotonic() + within
    before = ask(host, port, tls=tls)
    while time.monotonic() < end:
        time.sleep(_LOOK)
        now = ask(host, port, tls=tls)
        if now is not None and before is not None and not now.beyond(before) + before.beyond(now):
            return now
        before = now
    return before


def settled(
    host: str, port: int, base: Stats, *, tls: bool, within: float
) -> tuple[Stats | None, float]:
    """Wait until nothing is left of an attack; what is told then, and the seconds it took."""
    begun = time.monotonic()
    while True:
        now = ask(host, port, tls=tls)
        took = time.monotonic() - begun
        if (now is not None and not now.beyond(base)) or took > within:
            return now, took
        time.sleep(_LOOK)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        for task in (_PROC / str(one) / "task").glob("*"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def forget_peak(pid: int) -> None:
    """Let the peak of memory begin anew in a process and all below it."""
    for one in tree(pid):
        with contextlib.suppress(OSError):
            (_PROC / str(one) / "clear_refs").write_text("5")


def memory(pid: int, *, peak: bool) -> int:
    """Resident memory of a process and all below it (bytes), now or at its peak."""
    name = "VmHWM:" if peak else "VmRSS:"
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in (_PROC / str(one) / "status").read_text().splitlines():
                if line.startswith(name):
                    total += int(line.split()[1]) * 1024
    return total


def cpu_time(pid: int) -> float:
    """Processor seconds of a process and all below it."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / 100


def noise(log: str, due: tuple[str, ...], most_lines: int = 60) -> list[str]:
    """Lines in Tricorn's log that should not be there.

    That is what is above INFO, unless it is due, and then once and once with what was held
    back; tracebacks but those of such lines; and more lines than ``most_lines``.
    """
    found: list[str] = []
    seen = dict.fromkeys(due, 0)
    lines = log.splitlines()
    excused = False  # the entry that the lines below it belong to
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            if not excused:
                found.append(line)
            continue
        pattern = next((one for one in due if re.search(one, match[2])), None)
        if pattern is not None:
            seen[pattern] += 1
        excused = match[1] in ("DEBUG", "INFO") or (pattern is not None and seen[pattern] <= 2)
        if not excused:
            found.append(line)
    if len(lines) > most_lines:
        found.append(f"{len(lines)} lines")
    return found
