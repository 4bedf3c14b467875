"""Accepted results kept in a file, which may only get better.

A record holds what is *not* perfect, one entry a case: ``{case id: outcome}``. A case that is not
in it is expected to be at its best outcome, so an empty record is the goal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Exceptions = dict[str, str]
"""Case id to outcome, best outcomes left out."""


class RatchetError(Exception):
    """An update would make the accepted results worse."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What an observed run did, beside the accepted record; every entry is one printable line."""

    regressions: list[str]
    improvements: list[str]


@dataclass(frozen=True, slots=True)
class Scale:
    """The outcomes of one suite, from best to worst."""

    outcomes: Sequence[str]

    def rank(self, outcome: str) -> int:
        """0 is best. An outcome the suite never named counts as worse than all of them."""
        return self.outcomes.index(outcome) if outcome in self.outcomes else len(self.outcomes)

    def exceptions(self, results: Mapping[str, str]) -> Exceptions:
        """The cases of a run that are not at the best outcome."""
        return {case: outcome for case, outcome in results.items() if self.rank(outcome) > 0}

    def compare(self, accepted: Mapping[str, str], results: Mapping[str, str]) -> Comparison:
        """Set a run beside the record. Cases that were not run are neither better nor worse."""
        best = self.outcomes[0]
        regressions: list[str] = []
        improvements: list[str] = []
        for case in sorted(results, key=case_key):
            before, now = accepted.get(case, best), results[case]
            if self.rank(now) > self.rank(before):
                regressions.append(f"{case}: {before} -> {now}")
            elif self.rank(now) < self.rank(before):
                improvements.append(f"{case}: {before} -> {now}")
        return Comparison(regressions, improvements)

    def tighten(
        self,
        accepted: Mapping[str, str] | None,
        results: Mapping[str, str],
        *,
        force: bool = False,
    ) -> Exceptions:
        """The record to write after a run.

        `accepted` is None where nothing was recorded before: the first record is what was seen.
        Cases that were not run keep their entry. Raises RatchetError where a case got worse,
        unless `force`.
        """
        if accepted is not None and not force:
            worse = self.compare(accepted, results).regressions
            if worse:
                raise RatchetError("the accepted results may only improve: " + "; ".join(worse))
        kept = {case: outcome for case, outcome in (accepted or {}).items() if case not in results}
        merged = kept | self.exceptions(results)
        return {case: merged[case] for case in sorted(merged, key=case_key)}


def case_key(case: str) -> tuple[tuple[int, int | str], ...]:
    """Sort ``http2/5.1.2/1`` and ``12.10.3`` the way people count: 2 before 10."""
    parts = case.replace("/", ".").split(".")
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)


class ResultsFile:
    """A JSON object of records by key, such as ``{"tls/trio": {"http2/3.5/2": "failed"}}``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Exceptions]:
        """All records. A file that does not exist holds none; a broken one raises ValueError."""
        if not self.path.exists():
            return {}
        data: dict[str, Exceptions] = json.loads(self.path.read_text(encoding="utf-8"))
        return data

    def accepted(self, key: str) -> Exceptions | None:
        """The record of one key, or None where nothing was ever recorded."""
        return self.load().get(key)

    def store(self, key: str, record: Exceptions) -> None:
        """Write one record, leaving the others alone."""
        data = self.load()
        data[key] = record
        text = json.dumps({name: data[name] for name in sorted(data)}, indent=2)
        self.path.write_text(text + "\n", encoding="utf-8")
