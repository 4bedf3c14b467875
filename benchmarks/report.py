"""Figures, ratios and bars: what a run found, as text and as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Cell:
    """What one server did in one table: a value per round, or the problem it had.

    A cell with a problem has no figure, whatever its other rounds gave. `notes` are
    further values by name, one per round (latencies in seconds).
    """

    values: list[float] = field(default_factory=list)
    problem: str | None = None
    notes: dict[str, list[float]] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        """The median of the rounds; None where there is no figure."""
        if self.problem is not None or not self.values:
            return None
        return statistics.median(self.values)


@dataclass
class Table:
    """One measured quantity for every server. `unit` is that of the cells' values."""

    name: str
    unit: str
    higher_is_better: bool
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two servers: the median, least and greatest over the rounds."""

    median: float
    least: float
    greatest: float


def ratio(of: Cell, to: Cell) -> Ratio | None:
    """`of` over `to`, round by round; None if either has no figure.

    The two of a round ran one after the other, so whatever else the machine did in that
    minute weighs on both; a ratio of two medians could compare a quiet minute with a busy
    one.
    """
    if of.median is None or to.median is None:
        return None
    pairs = [one / other for one, other in zip(of.values, to.values, strict=False) if other > 0]
    if not pairs:
        return None
    return Ratio(statistics.median(pairs), min(pairs), max(pairs))


@dataclass(frozen=True)
class FactorBar:
    """`server` is to reach `factor` times the value of `peer` in `table`."""

    table: str
    server: str
    peer: str
    factor: float


@dataclass(frozen=True)
class CeilingBar:
    """Servers whose names begin with `server` are to stay at or under `most` in the
    tables whose names begin with `table`."""

    table: str
    server: str
    most: float


@dataclass(frozen=True)
class Verdict:
    """One judged bar. `met` is None where it could not be judged."""

    bar: str
    met: bool | None
    found: str


FACTOR_BARS = (
    FactorBar("http1-small", "tricorn-uvloop", "uvicorn-h11", 1.2),
    FactorBar("http2-small", "tricorn-uvloop", "hypercorn-uvloop", 2.5),
    FactorBar("http1-small", "tricorn-trio", "hypercorn-trio", 3.0),
    FactorBar("http2-small", "tricorn-trio", "hypercorn-trio", 3.0),
)

CEILING_BARS = (CeilingBar("memory-growth-", "tricorn-", 4.0),)


def judge(tables: Mapping[str, Table]) -> list[Verdict]:
    """The bars whose both sides were run."""
    verdicts = []
    for bar in FACTOR_BARS:
        cells = tables[bar.table].cells if bar.table in tables else {}
        if bar.server in cells and bar.peer in cells:
            verdicts.append(_judge_factor(bar, cells[bar.server], cells[bar.peer]))
    for ceiling in CEILING_BARS:
        for table in tables.values():
            if table.name.startswith(ceiling.table):
                verdicts += _judge_ceiling(ceiling, table)
    return verdicts


def _judge_factor(bar: FactorBar, own: Cell, peer: Cell) -> Verdict:
    text = f"{bar.table}: {bar.server} >= {bar.factor} x {bar.peer}"
    if own.median is None:
        return Verdict(text, False, f"{bar.server} failed")
    found = ratio(own, peer)
    if found is None:
        return Verdict(text, None, f"{bar.peer} failed")
    spread = f"{found.median:.2f} x (rounds {found.least:.2f} .. {found.greatest:.2f})"
    return Verdict(text, found.median >= bar.factor, spread)


def _judge_ceiling(bar: CeilingBar, table: Table) -> list[Verdict]:
    verdicts = []
    for name, cell in table.cells.items():
        if name.startswith(bar.server):
            text = f"{table.name}: {name} <= {bar.most:g} {table.unit}"
            if cell.median is None:
                verdicts.append(Verdict(text, False, f"{name} failed"))
            else:
                met = max(cell.values) <= bar.most
                verdicts.append(Verdict(text, met, f"{max(cell.values):.2f} {table.unit}"))
    return verdicts


def reference(table: Table) -> str | None:
    """The server the others are compared with: Tricorn on uvloop, else the first."""
    if "tricorn-uvloop" in table.cells:
        return "tricorn-uvloop"
    return next(iter(table.cells), None)


def render(table: Table) -> str:
    """The table as text, best server first, failed ones last."""
    base = reference(table)
    sign = -1.0 if table.higher_is_better else 1.0
    ranked = sorted(
        table.cells.items(),
        key=lambda item: (item[1].median is None, sign * (item[1].median or 0.0)),
    )
    width = max([len(name) for name in table.cells] + [6])
    better = "more" if table.higher_is_better else "less"
    lines = [f"{table.name} ({table.unit}; {better} is better; x of {base})"]
    for name, cell in ranked:
        lines.append(f"  {name:<{width}}  {_row(cell, table, base)}")
    return "\n".join(lines)


def _row(cell: Cell, table: Table, base: str | None) -> str:
    if cell.median is None:
        return f"FAILED: {(cell.problem or 'no round').splitlines()[0]}"
    text = f"{cell.median:>11,.2f}"
    if len(cell.values) > 1:
        text += f"  ({min(cell.values):,.2f} .. {max(cell.values):,.2f})"
    found = ratio(cell, table.cells[base]) if base is not None else None
    if found is not None:
        text += f"  {found.median:.2f} x"
    for name, values in cell.notes.items():
        if values:
            text += f"  {name} {statistics.median(values) * 1000:.2f} ms"
    return text


def render_verdicts(verdicts: list[Verdict]) -> str:
    """The bars as text."""
    if not verdicts:
        return "Bars: none to judge in this run."
    words = {True: "met    ", False: "MISSED ", None: "unknown"}
    lines = [f"  {words[verdict.met]}  {verdict.bar}: {verdict.found}" for verdict in verdicts]
    return "\n".join(["Bars", *lines])


def as_json(
    meta: Mapping[str, Any], tables: Mapping[str, Table], verdicts: list[Verdict]
) -> dict[str, Any]:
    """The whole run in plain values."""
    return {
        "meta": dict(meta),
        "tables": {table.name: _table_json(table) for table in tables.values()},
        "bars": [
            {"bar": verdict.bar, "met": verdict.met, "found": verdict.found} for verdict in verdicts
        ],
    }


def _table_json(table: Table) -> dict[str, Any]:
    base = reference(table)
    servers = {}
    for name, cell in table.cells.items():
        found = ratio(cell, table.cells[base]) if base is not None else None
        servers[name] = {
            "median": cell.median,
            "rounds": cell.values,
            "problem": cell.problem,
            "ratio": found.median if found else None,
            **{f"{note} (s)": values for note, values in cell.notes.items()},
        }
    return {
        "unit": table.unit,
        "higher_is_better": table.higher_is_better,
        "ratio_to": base,
        "servers": servers,
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path`, making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
