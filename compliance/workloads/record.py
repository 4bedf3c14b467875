"""What was seen of the workloads: kept, compared, printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compliance.frameworks.catalogue import Framework
from compliance.ratchet import Scale

SCALE = Scale(("yes", "no"))


@dataclass(slots=True)
class Record:
    """One workload. A cell is named ``worker_class protocol check``."""

    version: str = ""
    """Of the package that the table names."""
    cells: dict[str, str] = field(default_factory=dict)
    """``yes`` or ``no`` by cell."""
    figures: dict[str, float] = field(default_factory=dict)
    """What was measured, by cell and name of the figure."""

    def merge(self, run: Record) -> Record:
        """This record with the cells of a later, perhaps partial, run in it."""
        return Record(run.version, self.cells | run.cells, self.figures | run.figures)

    def of(self, worker_classes: Sequence[str]) -> Record:
        """Only the cells of these worker classes."""
        return Record(
            self.version,
            {cell: how for cell, how in self.cells.items() if cell.split()[0] in worker_classes},
            {cell: how for cell, how in self.figures.items() if cell.split()[0] in worker_classes},
        )


def regressions(accepted: Record, run: Record) -> list[str]:
    """Cells of `run` worse than accepted, one printable line each.

    A cell that was never recorded has to be ``yes``; one that was and is no longer asked is worse.
    """
    worse = SCALE.compare(accepted.cells, run.cells).regressions
    gone = [cell for cell, how in accepted.cells.items() if how == "yes" and cell not in run.cells]
    return [*worse, *(f"{cell}: yes -> not asked" for cell in sorted(gone))]


def load(path: Path) -> dict[str, Record]:
    """Records by workload; none where the file does not exist."""
    if not path.exists():
        return {}
    data = json.loads(path.read_text(encoding="utf-8"))
    records = {}
    for name, entry in data.items():
        record = Record(entry["version"], figures=dict(entry.get("figures", {})))
        for outcome in ("yes", "no"):
            for run, checks in entry.get(outcome, {}).items():
                record.cells |= {f"{run} {check}": outcome for check in checks.split()}
        records[name] = record
    return records


def store(path: Path, records: Mapping[str, Record]) -> None:
    """Write all records, the checks of one worker class and protocol in a row."""
    data: dict[str, dict[str, object]] = {}
    for name, record in sorted(records.items()):
        entry: dict[str, object] = {"version": record.version}
        for outcome in ("yes", "no"):
            runs: dict[str, list[str]] = {}
            for cell, how in sorted(record.cells.items()):
                run, _, check = cell.rpartition(" ")
                if how == outcome:
                    runs.setdefault(run, []).append(check)
            if runs:
                entry[outcome] = {run: " ".join(checks) for run, checks in runs.items()}
        if record.figures:
            entry["figures"] = dict(sorted(record.figures.items()))
        data[name] = entry
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def markdown(workloads: Sequence[Framework], records: Mapping[str, Record]) -> str:
    """What was run, a table for each workload, and the figures."""
    lines = ["| Workload | With | Version | Event loops |", "|---|---|---|---|"]
    for workload in workloads:
        version = records[workload.name].version if workload.name in records else "not run"
        loops = ", ".join(workload.worker_classes)
        lines.append(f"| {workload.title} | {workload.distribution} | {version} | {loops} |")
    for workload in workloads:
        if workload.name in records:
            lines += ["", f"### {workload.title}", "", *_table(workload, records[workload.name])]
    return "\n".join(lines) + "\n"


def _table(workload: Framework, record: Record) -> list[str]:
    protocols: list[str] = []
    checks: list[str] = []
    for cell in sorted(record.cells):
        _, protocol, check = cell.split()
        if protocol not in protocols:
            protocols.append(protocol)
        if check not in checks:
            checks.append(check)
    protocols.sort(key=("http/1.1", "h2c", "h2").index)
    shown = {"http/1.1": "HTTP/1.1", "h2c": "HTTP/2 in cleartext", "h2": "HTTP/2 over TLS"}
    lines = [f"| Check | {' | '.join(shown[one] for one in protocols)} |"]
    lines.append("|---" * (len(protocols) + 1) + "|")
    for check in sorted(checks, key=lambda one: (one == "stop", one)):
        row = [_cell(workload, record, protocol, check) for protocol in protocols]
        lines.append(f"| {check} | {' | '.join(row)} |")
    return lines


def _cell(workload: Framework, record: Record, protocol: str, check: str) -> str:
    """``yes`` where it holds on every loop, with the worst of what was measured."""
    name = f"{protocol} {check}"
    suffix = f" {name}"
    seen = {cell: how for cell, how in record.cells.items() if cell.endswith(suffix)}
    if not seen:
        return ""
    figures: dict[str, list[float]] = {}
    for key, value in record.figures.items():
        cell, _, figure = key.partition(": ")
        if cell.endswith(suffix):
            figures.setdefault(figure, []).append(value)
    told = "".join(f", at most {max(values):g} {figure}" for figure, values in figures.items())
    if "no" in seen.values():
        return f"no{told}"
    ran = all(f"{loop} {name}" in seen for loop in workload.worker_classes)
    return f"yes{told}" if ran else "not run"
