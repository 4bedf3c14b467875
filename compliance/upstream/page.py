"""The tables of the reference page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compliance.servers import ROOT
from compliance.upstream.projects import PROJECTS
from compliance.upstream.reasons import KINDS

PATH = ROOT / "docs" / "reference" / "upstream-tests.md"
BEGIN = "<!-- table -->\n"
END = "<!-- end of table -->\n"


def markdown(record: Mapping[str, Any]) -> str:
    """The counts of each project, then the reasons of what does not pass."""
    names = [name for name in PROJECTS if name in record]
    used = {entry["kind"] for name in names for entry in record[name]["failed"].values()}
    kinds = [kind for kind in KINDS if kind in used]
    lines = [
        f"| Project | Runs | Pass | {' | '.join(kinds)} | skipped | left out |",
        "|---|---|---|" + "---|" * (len(kinds) + 2),
    ]
    for name in names:
        data = record[name]
        count = Counter(entry["kind"] for entry in data["failed"].values())
        cells = [f"{PROJECTS[name].title} {data['version']}", ", ".join(data["runs"])]
        cells += [str(len(passing(data))), *(str(count[kind]) for kind in kinds)]
        cells += [str(len(data["skipped"])), str(len(data["left_out"]))]
        lines.append(f"| {' | '.join(cells)} |")
    for name in names:
        lines += ["", f"### {PROJECTS[name].title}: what does not pass", ""]
        lines += _reasons(record[name])
    return "\n".join(lines) + "\n"


def passing(data: Mapping[str, Any]) -> list[str]:
    """The tests that pass in every run that they are part of."""
    seen = {test for tests in data["passed"].values() for test in tests}
    return sorted(seen - set(data["failed"]))


def _reasons(data: Mapping[str, Any]) -> list[str]:
    """A line for each reason, with the tests it holds for."""
    groups: dict[tuple[str, str], list[str]] = {}
    for test, entry in data["failed"].items():
        groups.setdefault((entry["kind"], entry["reason"]), []).append(test)
    for kind, word in (("skipped", "skips itself"), ("left_out", "not run")):
        for test, reason in data[kind].items():
            groups.setdefault((word, _line(reason)), []).append(test)
    return [
        f"- {kind}: {reason} ({_names(tests)})" for (kind, reason), tests in sorted(groups.items())
    ] or ["Nothing."]


def _line(reason: str) -> str:
    return " ".join(reason.split()) or "expected to fail by the project itself"


def _names(tests: Iterable[str]) -> str:
    """Names of functions, and how many tests each is where it has parameters."""
    count = Counter(re.split(r"::|\.", test.partition("[")[0])[-1] for test in tests)
    return ", ".join(f"`{name}`" + (f" x {n}" if n > 1 else "") for name, n in count.items())


def put_into(page: str, table: str) -> str:
    """The page with a table between its markers. Raises ValueError where it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PATH.name} has no markers for its table")
    return f"{before}{begin}\n{table}\n{end}{after}"


def write(record: Mapping[str, Any], path: Path = PATH) -> None:
    """Put the tables of a record into the page."""
    path.write_text(put_into(path.read_text("utf-8"), markdown(record)), "utf-8")


def outdated(record: Mapping[str, Any], path: Path = PATH) -> bool:
    """Whether the page has other tables."""
    text = path.read_text("utf-8")
    return text != put_into(text, markdown(record))
