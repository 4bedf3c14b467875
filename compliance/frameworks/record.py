"""The cells of the table: read, compared, written, printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compliance.frameworks.catalogue import Framework
from compliance.frameworks.features import EXTRAS, FEATURES, asked_of
from compliance.frameworks.site import PROTOCOLS
from compliance.ratchet import Scale

SCALE = Scale(("yes", "no"))

SHOWN = {"asgi3": "ASGI", "wsgi": "WSGI"}
FIRST_OF_SECOND_TABLE = "preload"
"""One table of all columns is too wide for a page."""


@dataclass(slots=True)
class Record:
    """What was seen of one framework."""

    version: str = ""
    cells: dict[str, str] = field(default_factory=dict)
    """Outcome by ``worker_class protocol feature``; features without a cell were not asked."""

    def merge(self, run: Record) -> Record:
        """This record with the cells of a later, perhaps partial, run in it."""
        return Record(run.version, self.cells | run.cells)


def cell(worker_class: str, protocol: str, feature: str) -> str:
    """The name of a cell."""
    return f"{worker_class} {protocol} {feature}"


def expected_cells(framework: Framework) -> list[str]:
    """The cells of a whole run."""
    return [
        cell(worker_class, protocol, feature)
        for worker_class in framework.worker_classes
        for protocol in PROTOCOLS
        for feature in asked_of(framework)
    ]


def regressions(accepted: Record | None, run: Record, framework: Framework) -> list[str]:
    """Cells of `run` worse than accepted, one printable line each.

    A cell that was never recorded has to be ``yes``; one that was and is now declared absent, or
    whose worker class is no longer run, is worse as well.
    """
    before = {} if accepted is None else accepted.cells
    lines = SCALE.compare(before, run.cells).regressions
    wanted = set(expected_cells(framework))
    gone = sorted(name for name, seen in before.items() if seen == "yes" and name not in wanted)
    return [*lines, *(f"{name}: yes -> absent" for name in gone)]


def load(path: Path) -> dict[str, Record]:
    """Records by framework; none where the file does not exist."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    return {name: _from_json(entry) for name, entry in data.items()}


def store(path: Path, records: Mapping[str, Record]) -> None:
    """Write all records."""
    data = {name: _to_json(records[name]) for name in sorted(records)}
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _from_json(entry: Mapping[str, Mapping[str, str] | str]) -> Record:
    record = Record(str(entry["version"]))
    for outcome in ("yes", "no"):
        runs = entry.get(outcome, {})
        assert not isinstance(runs, str)
        for run, features in runs.items():
            record.cells |= {f"{run} {feature}": outcome for feature in features.split()}
    return record


def _to_json(record: Record) -> dict[str, object]:
    """One line for each worker class and protocol, the features that it holds in a row."""
    data: dict[str, object] = {"version": record.version}
    for outcome in ("yes", "no"):
        runs: dict[str, list[str]] = {}
        for name, seen in record.cells.items():
            run, _, feature = name.rpartition(" ")
            if seen == outcome:
                runs.setdefault(run, []).append(feature)
        if runs or outcome == "yes":
            order = [*EXTRAS, *FEATURES]
            data[outcome] = {
                run: " ".join(sorted(runs[run], key=order.index)) for run in sorted(runs)
            }
    return data


def state(framework: Framework, record: Record | None, feature: str) -> str:
    """``yes`` where it holds on every loop over both protocols, ``no``, or ``not run``."""
    cells = {} if record is None else record.cells
    outcomes = {
        cells.get(name, "not run")
        for name in expected_cells(framework)
        if name.endswith(f" {feature}")
    }
    if "no" in outcomes:
        return "no"
    return "yes" if outcomes == {"yes"} else "not run"


def markdown(frameworks: Sequence[Framework], records: Mapping[str, Record]) -> str:
    """The versions, the tables of features, and why some have none."""
    reasons: list[str] = []
    lines = ["| Framework | Version | Interface | Event loops |", "|---|---|---|---|"]
    for framework in frameworks:
        seen = records.get(framework.name)
        lines.append(
            f"| {framework.title} | {seen.version if seen else 'not run'} "
            f"| {SHOWN[framework.interface]} | {', '.join(framework.worker_classes)} |"
        )
    for title, features in _columns().items():
        rows = [one for one in frameworks if set(features) & set(asked_of(one))]
        if not rows:
            continue
        lines += ["", f"### {title}", "", f"| Framework | {' | '.join(features)} |"]
        lines.append("|---" * (len(features) + 1) + "|")
        for framework in rows:
            shown = [_shown(framework, records, feature, reasons) for feature in features]
            lines.append(f"| {framework.title} | {' | '.join(shown)} |")
    if reasons:
        lines += ["", "### Why there is none", ""]
        lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, start=1)]
    return "\n".join(lines) + "\n"


def _columns() -> dict[str, list[str]]:
    names = list(FEATURES)
    cut = names.index(FIRST_OF_SECOND_TABLE)
    return {
        "HTTP": names[:cut],
        "Pushes, WebSocket and the process": names[cut:],
        "Asked of some": list(EXTRAS),
    }


def _shown(
    framework: Framework, records: Mapping[str, Record], feature: str, reasons: list[str]
) -> str:
    if feature in framework.absent:
        reason = framework.absent[feature]
        if reason not in reasons:
            reasons.append(reason)
        return f"none ({reasons.index(reason) + 1})"
    if feature not in asked_of(framework):
        return ""
    return state(framework, records.get(framework.name), feature)


BEGIN = "<!-- table -->\n"
END = "<!-- end of table -->\n"


def put_into(page: str, table: str) -> str:
    """`page` with what stands between its two markers replaced. Raises ValueError."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers for the table")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
