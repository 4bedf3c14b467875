"""The verdict of a soak: a table, the bars, and a file of figures."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from compliance.soak import log_lines
from compliance.soak.run import Outcome, Side, leftovers
from compliance.soak.watch import MIB, Trend

# What a process may grow by behind the warm-up (MiB), by its trend and by its ends: allocators
# settle for longer than any warm-up. Over an hour that is less than 100 KiB a minute.
MOST_GROWTH = 4.0
# A process still warms up for this share of the soak, and at least so long (seconds).
WARM_UP_SHARE = 0.3
WARM_UP = 60.0
_OUTCOMES = ("served", "given up on purpose", "told to come again", "excused", "LOST")


def finish(outcome: Outcome, file: Path | None) -> int:
    """Print the summary and write the figures; the exit code."""
    failures: list[str] = []
    results: dict[str, Any] = {
        "minutes": round(outcome.seconds / 60, 2),
        "worker_class": outcome.plan.worker_class,
        "workers": outcome.plan.workers,
        "rate": outcome.plan.rate,
        "seed": outcome.plan.seed,
    }
    for side in outcome.sides:
        results[side.daemon.name], faults = _judge(side, outcome)
        failures += [f"{side.daemon.name}: {fault}" for fault in faults]
    results["failures"] = failures
    if file is not None:
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for failure in failures:
        print(f"FAILED: {failure}")
    total = sum((side.ledger.counts for side in outcome.sides), Counter())
    told = ", ".join(f"{total[name]} {name}" for name in _OUTCOMES if total[name])
    print(f"soak: {outcome.seconds / 60:.1f} minutes, {told}; {'FAILED' if failures else 'passed'}")
    return 1 if failures else 0


def _judge(side: Side, outcome: Outcome) -> tuple[dict[str, Any], list[str]]:
    ledger = side.ledger
    print(f"\n{side.daemon.name}: {_told_events(side)}")
    print(f"  {'requests':<34}" + "".join(f"{name:>21}" for name in _OUTCOMES))
    for kind, counts in sorted(ledger.kinds.items()):
        print(f"  {kind:<34}" + "".join(f"{counts[name]:>21}" for name in _OUTCOMES))
    print(f"  {'all':<34}" + "".join(f"{ledger.counts[name]:>21}" for name in _OUTCOMES))
    faults = [f"lost: {lost}" for lost in ledger.lost]
    if not ledger.counts["served"]:
        faults.append("nothing was served")
    trends, growing = _memory(side, outcome)
    faults += growing
    faults += _left(side)
    counts, unexplained = _lines(side)
    faults += [f"unexplained in the log: {line[:1500]}" for line in unexplained[:20]]
    if side.exit_code != 0:
        faults.append(f"exit code {side.exit_code} at the end")
    result = {
        "command": side.daemon.command,
        "reloads": side.reloads,
        "kills": len(ledger.kills),
        "certificate_rotations": side.rotations,
        "outcomes": dict(ledger.counts),
        "kinds": {kind: dict(counts) for kind, counts in sorted(ledger.kinds.items())},
        "memory": [
            {
                "pid": trend.pid,
                "minutes": round(trend.minutes, 1),
                "first_mib": round(trend.first, 2),
                "last_mib": round(trend.last, 2),
                "kib_per_minute": round(trend.slope, 1),
            }
            for trend in trends
        ],
        "log_lines": dict(counts),
        "samples": side.watch.table(),
    }
    return result, faults


def _told_events(side: Side) -> str:
    recycled = len(side.watch.samples) - 1
    return (
        f"{side.reloads} reloads, {len(side.ledger.kills)} kills, {side.rotations} certificates, "
        f"{recycled} workers seen"
    )


def _memory(side: Side, outcome: Outcome) -> tuple[list[Trend], list[str]]:
    warm_up = max(WARM_UP, WARM_UP_SHARE * outcome.plan.minutes * 60)
    trends, faults = [], []
    for pid in side.watch.samples:
        who = "supervisor" if pid == side.daemon.pid else "worker"
        trend = side.watch.trend(pid, warm_up)
        if trend is None or (side.changing and who == "worker"):
            continue  # it does not live long enough to tell
        trends.append(trend)
        print(f"  {who} {trend.line()}")
        if max(trend.slope * trend.minutes / 1024, trend.last - trend.first) > MOST_GROWTH:
            faults.append(f"memory grows: {who} {trend.line()}")
    workers = [pid for pid in side.watch.samples if pid != side.daemon.pid]
    if workers:
        most = [side.watch.most(pid) for pid in workers]
        print(
            f"  workers at most {max(usage.rss for usage in most) / MIB:.1f} MiB, "
            f"{max(usage.descriptors for usage in most)} descriptors, "
            f"{max(usage.threads for usage in most)} threads"
        )
    if not side.changing and not trends:
        print("  too short for a trend of memory")
    return trends, faults


def _left(side: Side) -> list[str]:
    faults = [f"left behind: {line}" for line in leftovers(side)]
    before = max(side.tasks_before.values(), default=0)
    for pid, count in side.tasks_after.items():
        if count > before:
            faults.append(f"left behind: process {pid}: {count} tasks, {before} before")
    print(
        f"  at the end: descriptors {[usage.descriptors for usage in side.after.values()]}, "
        f"tasks {list(side.tasks_after.values())} (before: "
        f"{[usage.descriptors for usage in side.before.values()]}, "
        f"{list(side.tasks_before.values())})"
    )
    return faults


def _lines(side: Side) -> tuple[Counter[str], list[str]]:
    allowed = [*log_lines.START, *log_lines.FAILURES, *log_lines.CERTIFICATES, *log_lines.PEERS]
    if side.changing:
        allowed += log_lines.RELOADS
    counts, unexplained = log_lines.explain(side.daemon.log, allowed)
    print("  log: " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    killed = counts["killed"]
    if killed > len(side.ledger.kills):
        unexplained.append(f"{killed} workers were killed, {len(side.ledger.kills)} by the soak")
    return counts, unexplained
