"""What a run found, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .bars import Verdict
from .figures import Cell, Table, ratio

REFERENCE = "tricorn-uvloop"

FIGURES = {"median", "rounds", "problem", "cannot", "ratio"}
"""What the JSON has of a cell; all else are its notes."""


def reference(table: Table) -> str | None:
    """The server the others are compared with: Tricorn on uvloop, else the first."""
    if REFERENCE in table.cells:
        return REFERENCE
    return next(iter(table.cells), None)


def ranked(table: Table) -> list[tuple[str, Cell]]:
    """The cells, best first; then the failed ones, then those that cannot."""
    sign = -1.0 if table.higher_is_better else 1.0
    return sorted(
        table.cells.items(),
        key=lambda item: (
            item[1].cannot is not None,
            item[1].median is None,
            sign * (item[1].median or 0.0),
        ),
    )


def render(table: Table) -> str:
    """The table as text."""
    base = reference(table)
    width = max([len(name) for name in table.cells] + [6])
    better = "more" if table.higher_is_better else "less"
    title = f"{table.name} ({table.unit}; {better} is better; x of {base})"
    lines = [f"{title}: {table.about}" if table.about else title]
    for name, cell in ranked(table):
        lines.append(f"  {name:<{width}}  {_row(cell, table, base)}")
    return "\n".join(lines)


def _row(cell: Cell, table: Table, base: str | None) -> str:
    if cell.cannot is not None:
        return f"no part: {cell.cannot}"
    if cell.median is None:
        return f"FAILED: {(cell.problem or 'no round').splitlines()[0]}"
    text = f"{cell.median:>11,.2f}"
    if len(cell.values) > 1:
        text += f"  ({min(cell.values):,.2f} .. {max(cell.values):,.2f})"
    found = ratio(cell, table.cells[base]) if base is not None else None
    if found is not None:
        text += f"  {found.median:.2f} x"
    for name in cell.notes:
        value = cell.noted(name)
        if value is not None:
            text += f"  {_note(name, value)}"
    if cell.load_bound:
        return f"{text}  (pace of the load?)"
    return f"{text}  (load busy too)" if cell.load_busy else text


def _note(name: str, value: float) -> str:
    if name.endswith("busy"):
        return f"{name} {value:.0%}"
    if name == "cpu":
        return f"cpu {1e6 * value:,.1f} us"
    if name in ("p50", "p99"):
        return f"{name} {1000 * value:.2f} ms"
    return f"{name} {value:,.2f}"


def as_json(
    meta: Mapping[str, Any], tables: Mapping[str, Table], verdicts: list[Verdict]
) -> dict[str, Any]:
    """The whole run in plain values."""
    return {
        "meta": dict(meta),
        "tables": {table.name: _table_json(table) for table in tables.values()},
        "bars": [
            {
                "bar": verdict.bar,
                "met": verdict.met,
                "found": verdict.found,
                "reached": verdict.reached,
                "needed": verdict.needed,
                "goal": verdict.goal,
            }
            for verdict in verdicts
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
            "cannot": cell.cannot,
            "ratio": found.median if found else None,
            **cell.notes,
        }
    return {
        "unit": table.unit,
        "about": table.about,
        "higher_is_better": table.higher_is_better,
        "ratio_to": base,
        "servers": servers,
    }


def from_json(content: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of a run that was written earlier."""
    tables = {}
    for name, table in content["tables"].items():
        cells = {
            server: Cell(
                list(found["rounds"]),
                found["problem"],
                found.get("cannot"),
                {key: list(found[key]) for key in found.keys() - FIGURES},
            )
            for server, found in table["servers"].items()
        }
        about = table.get("about", "")
        tables[name] = Table(name, table["unit"], table["higher_is_better"], about, cells)
    return tables


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` to `path`, making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The content of an earlier run."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
