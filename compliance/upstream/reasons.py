"""Why a test does not pass: `reasons.toml`, read."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("reasons.toml")
KINDS = {
    "internals": "looks inside the upstream's own classes, or for its log lines or its name",
    "wire": "asks what cannot be asked over a real connection, or of a real client",
    "choice": "Tricorn does it another way, for the reason given",
    "absent": "is about an option that Tricorn does not have",
    "fault": "a fault of Tricorn's",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Holds for the tests in whose id `pattern` is found.

    `kind` is one of `KINDS`, `text` one line. With `varies` it is a matter of timing whether the
    test passes: it counts as one that does not.
    """

    pattern: re.Pattern[str]
    kind: str
    text: str
    varies: bool = False


def load() -> dict[str, list[Reason]]:
    """Reasons by project. Raises ValueError for an unknown kind."""
    data = tomllib.loads(PATH.read_text("utf-8"))
    reasons: dict[str, list[Reason]] = {}
    for project, entries in data.items():
        for entry in entries:
            if entry["kind"] not in KINDS:
                raise ValueError(f"{PATH.name}: unknown kind {entry['kind']!r}")
            pattern = re.compile(entry["tests"])
            reason = Reason(pattern, entry["kind"], entry["reason"], entry.get("varies", False))
            reasons.setdefault(project, []).append(reason)
    return reasons


def find(reasons: list[Reason], test: str) -> Reason | None:
    """The first reason that holds for a test."""
    return next((reason for reason in reasons if reason.pattern.search(test)), None)
