"""Read what wstest wrote and hold it against the bar."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compliance.ratchet import Scale

SCALE = Scale(("OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED", "MISSING"))

ALL_CASES = 517
"""Cases of autobahntestsuite 25.10.1 in groups 1-7, 9, 10, 12 and 13 (there is no 8 nor 11)."""

NON_STRICT_ALLOWED = 2

FAILED_CLOSES = frozenset({"FAILED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"})
"""Closing behaviours that make a case fail whatever its messages did."""

_CASES_LINE = re.compile(r"^Cases = (\[.*\])$", re.MULTILINE)


class ReportError(Exception):
    """wstest did not say which cases it runs, or wrote something unreadable."""


@dataclass(slots=True)
class Report:
    """Outcome of each case by id, such as ``12.5.18``, and how long it took in seconds."""

    results: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: Report) -> None:
        """Take in the cases of another part of the run."""
        self.results |= other.results
        self.seconds |= other.seconds

    def cases(self, outcome: str) -> list[str]:
        """The ids of the cases that ended so."""
        return [case for case, seen in self.results.items() if seen == outcome]

    def summary(self) -> str:
        """One line of counts."""
        counts = Counter(self.results.values())
        parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in SCALE.outcomes)
        return f"{len(self.results)} cases: {parts}"


def announced_cases(output: str) -> list[str]:
    """The cases wstest said it would run. Raises ReportError where its output has no such line."""
    found = _CASES_LINE.search(output)
    if found is None:
        raise ReportError(f"wstest named no cases:\n{output[-2000:]}")
    cases: list[str] = [str(case) for case in ast.literal_eval(found[1])]
    return cases


def parse_index(path: Path, agent: str, announced: Iterable[str]) -> Report:
    """Read ``index.json``. Cases announced but not in it count as MISSING. Raises ReportError."""
    entries: Mapping[str, Mapping[str, object]] = {}
    if path.exists():
        try:
            entries = json.loads(path.read_text(encoding="utf-8")).get(agent, {})
        except (ValueError, AttributeError) as error:
            raise ReportError(f"unreadable {path.name}: {error}") from error
    report = Report()
    for case in announced:
        entry = entries.get(case)
        report.results[case] = "MISSING" if entry is None else outcome(entry)
        if entry is not None:
            report.seconds[case] = float(str(entry.get("duration", 0))) / 1000
    return report


def outcome(entry: Mapping[str, object]) -> str:
    """One word for a case: the worse of what its messages and its close did."""
    behavior, close = str(entry.get("behavior")), str(entry.get("behaviorClose"))
    if close in FAILED_CLOSES and behavior != "UNIMPLEMENTED":
        return "FAILED"
    return behavior if behavior in SCALE.outcomes else "FAILED"


def shortfalls(report: Report, *, full: bool) -> list[str]:
    """What keeps a run below the bar, one line each; empty when it is met.

    None failed, unimplemented or missing, at most NON_STRICT_ALLOWED non-strict, and in a `full`
    run all of ALL_CASES.
    """
    lines = []
    if full and len(report.results) != ALL_CASES:
        lines.append(f"{len(report.results)} cases, expected {ALL_CASES}")
    if not report.results:
        lines.append("no case was run")
    lines += [
        f"{bad}: {' '.join(report.cases(bad))}"
        for bad in ("UNIMPLEMENTED", "FAILED", "MISSING")
        if report.cases(bad)
    ]
    non_strict = report.cases("NON-STRICT")
    if len(non_strict) > NON_STRICT_ALLOWED:
        lines.append(f"NON-STRICT, {NON_STRICT_ALLOWED} allowed: {' '.join(non_strict)}")
    return lines
