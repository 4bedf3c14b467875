"""The accepted results: which tests pass, and why each of the others does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compliance.upstream.projects import Project
from compliance.upstream.reasons import Reason, find

PATH = Path(__file__).with_name("results.json")

Outcomes = dict[str, dict[str, str]]
"""Test id to ``{"outcome": passed | failed | skipped, "message": str}``: one run."""


@dataclass
class Comparison:
    """A run beside the record; every entry is a printable line."""

    regressions: list[str] = field(default_factory=list)
    improvements: list[str] = field(default_factory=list)


def load(path: Path = PATH) -> dict[str, Any]:
    """The record: project to its version, runs, passed, failed, skipped and left out tests.

    ``passed`` is by the names of runs, with spaces between: the tests that pass in all of these.
    """
    if not path.exists():
        return {}
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data


def store(data: Mapping[str, Any], path: Path = PATH) -> None:
    """Write the record."""
    text = json.dumps({name: data[name] for name in sorted(data)}, indent=1)
    path.write_text(text + "\n", "utf-8")


def expected(record: Mapping[str, Any], run: str) -> list[str]:
    """The tests that have passed in a run."""
    passed: Mapping[str, Sequence[str]] = record.get("passed", {})
    return [test for runs, tests in passed.items() if run in runs.split() for test in tests]


def accepted(record: Mapping[str, Any], run: str) -> set[str]:
    """The tests that may fail in a run."""
    return {test for test, entry in record.get("failed", {}).items() if run in entry["runs"]}


def worse(record: Mapping[str, Any], run: str, outcomes: Outcomes) -> list[str]:
    """Ids of the tests that got worse: failed, or no longer passed, without being accepted."""
    failed = {test for test, seen in outcomes.items() if seen["outcome"] == "failed"}
    passed = {test for test, seen in outcomes.items() if seen["outcome"] == "passed"}
    lost = set(expected(record, run)) - passed
    return sorted((failed | lost) - accepted(record, run))


def compare(
    record: Mapping[str, Any], project: Project, run: str, outcomes: Outcomes
) -> Comparison:
    """What got worse or better in one run. A test that no longer runs has got worse."""
    comparison = Comparison()
    for test in worse(record, run, outcomes):
        seen = outcomes.get(test)
        told = f"{seen['outcome']}: {seen['message']}" if seen else "was not run"
        comparison.regressions.append(f"{project.name} {run} {test}: {told}")
    varying = {test for test, entry in record.get("failed", {}).items() if entry.get("varies")}
    for test in sorted(accepted(record, run) - varying):
        if outcomes.get(test, {}).get("outcome") == "passed":
            comparison.improvements.append(f"{project.name} {run} {test}: passes now")
    return comparison


def merge(
    project: Project, runs: Mapping[str, Outcomes], reasons: list[Reason]
) -> tuple[dict[str, Any], list[str]]:
    """The record of a project after all its runs, and the failures that nothing explains."""
    failed: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    passed: dict[str, list[str]] = {}
    unexplained = []
    for run, outcomes in runs.items():
        for test, seen in outcomes.items():
            reason = find(reasons, test)
            if seen["outcome"] == "skipped":
                skipped[test] = seen["message"]
            elif seen["outcome"] == "passed" and not (reason and reason.varies):
                passed.setdefault(test, []).append(run)
            elif reason is None:
                unexplained.append(f"{project.name} {run} {test}: {seen['message']}")
            else:
                entry: dict[str, Any] = {"kind": reason.kind, "reason": reason.text, "runs": []}
                if reason.varies:
                    entry["varies"] = True
                failed.setdefault(test, entry)["runs"].append(run)
    by_runs: dict[str, list[str]] = {}
    for test in sorted(passed):
        by_runs.setdefault(" ".join(passed[test]), []).append(test)
    record = {
        "version": project.version,
        "runs": list(runs),
        "passed": by_runs,
        "failed": {test: failed[test] for test in sorted(failed)},
        "skipped": {test: skipped[test] for test in sorted(skipped)},
        "left_out": dict(project.left_out),
    }
    return record, unexplained
