"""Read h2spec's JUnit report and hold it against the bar."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from compliance.ratchet import Scale

# h2spec puts what it received into its report as it is.
_NO_XML = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f]")
SCALE = Scale(("passed", "skipped", "failed"))

BUILDS = {
    147: "commit af83a65f0b6273ef38bf778d400d98892e7653d8",
    146: "release 2.2.1 (one HPACK case fewer)",
}
"""Case counts of the h2spec builds this was measured with. Any other count is a broken run."""

INVALID_PREFACE = "http2/3.5/2"
"""On a cleartext port that also speaks HTTP/1.1 the bytes of this case are a malformed HTTP/1.1
request (RFC 9112 section 3), not an HTTP/2 preface, and 400 in HTTP/1.1 is the right answer.
h2spec takes only a GOAWAY or a close for a pass."""


class ReportError(Exception):
    """The report is missing, cut short or not h2spec's."""


@dataclass(frozen=True, slots=True)
class Report:
    """Outcome of each case by id, such as ``http2/5.1.2/1``; the text h2spec gave of failures."""

    results: dict[str, str]
    details: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many cases the build has."""
        return len(self.results)

    def count(self, outcome: str) -> int:
        """How many cases ended so: passed, skipped or failed."""
        return Counter(self.results.values())[outcome]

    def cases(self, outcome: str) -> list[str]:
        """The ids of the cases that ended so."""
        return [case for case, seen in self.results.items() if seen == outcome]

    def summary(self) -> str:
        """One line of counts."""
        counts = ", ".join(f"{self.count(outcome)} {outcome}" for outcome in SCALE.outcomes)
        return f"{self.total} cases: {counts}"


def parse_report(path: Path) -> Report:
    """Read a file written by ``h2spec --junit-report``. Raises ReportError."""
    try:
        root = ElementTree.fromstring(_NO_XML.sub(b" ", path.read_bytes()))
    except (OSError, ElementTree.ParseError) as error:
        raise ReportError(f"no readable h2spec report: {error}") from error
    results: dict[str, str] = {}
    details: dict[str, str] = {}
    for suite in root.iter("testsuite"):
        # h2spec writes no number into a case: it is its place within the section.
        for number, case in enumerate(suite.findall("testcase"), start=1):
            name = f"{suite.get('package')}/{number}"
            results[name] = _outcome(case)
            if results[name] == "failed":
                details[name] = _detail(case)
    if not results:
        raise ReportError("the h2spec report holds no cases")
    return Report(results, details)


def _outcome(case: ElementTree.Element) -> str:
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    return "passed" if case.find("skipped") is None else "skipped"


def _detail(case: ElementTree.Element) -> str:
    text = " ".join(" ".join(part.split()) for part in case.itertext() if part.strip())
    return f"{case.get('classname')}: {text}"


def waived(report: Report, *, tls: bool, answers_400: bool) -> frozenset[str]:
    """The failed cases that are right all the same; see INVALID_PREFACE."""
    if not tls and answers_400 and report.results.get(INVALID_PREFACE) == "failed":
        return frozenset({INVALID_PREFACE})
    return frozenset()


def shortfalls(report: Report, *, tls: bool, answers_400: bool) -> list[str]:
    """What keeps a run below the bar, one line each; empty when it is met.

    TLS: every case passes. Cleartext: likewise, save for INVALID_PREFACE where the server
    answered it with 400 as HTTP/1.1 (`answers_400`, which the caller found out by itself).
    """
    lines = []
    if report.total not in BUILDS:
        known = " or ".join(str(count) for count in sorted(BUILDS))
        lines.append(f"{report.total} cases in the report, expected {known}")
    excused = waived(report, tls=tls, answers_400=answers_400)
    for outcome in ("failed", "skipped"):
        lines += [
            f"{case} {outcome}: {report.details.get(case, '')}".rstrip(": ")
            for case in report.cases(outcome)
            if case not in excused
        ]
    return lines
