"""The figures of a run as Markdown, between two marks of a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .figures import Table
from .picture import TITLES, describe, short
from .report import from_json

BEGIN = "<!-- figures -->"
END = "<!-- /figures -->"

IDLE_LOAD = 0.7
"""Load average above which the machine had other work when the run began."""

BUSY = (
    "**The machine had other work when the run began, or just before: rounds that lie far apart "
    "say little of who is faster.**"
)

MARK = r"\*"
LOAD_BUSY = f"{MARK} The load was at its limit: the server may be faster."

WORDS = {True: "met", False: "missed", None: "not judged"}


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bars(content: Mapping[str, Any]) -> list[str]:
    lines = [_row(["Bar", "Reached", ""]), "|---|---|---|"]
    for bar in content["bars"]:
        word = WORDS[bar["met"]]
        if bar["goal"] and bar["met"] is False:
            word = "a goal, not yet"
        reached = f"{bar['reached']:.2f}" if bar["reached"] is not None else bar["found"]
        lines.append(_row([bar["bar"], str(reached).splitlines()[0], word]))
    return lines


def _tables(tables: Mapping[str, Table]) -> list[str]:
    """A row for each server, a column for each of the tables that are drawn."""
    lines: list[str] = []
    for name, title in TITLES.items():
        if name not in tables:
            continue
        table = tables[name]
        ranked = sorted(
            ((server, cell) for server, cell in table.cells.items() if cell.median is not None),
            key=lambda item: item[1].median or 0.0,
            reverse=table.higher_is_better,
        )
        figures = ", ".join(
            f"{server} {short(cell.median or 0.0)}{MARK if cell.load_busy else ''}"
            for server, cell in ranked
        )
        failed = [server for server, cell in table.cells.items() if cell.problem is not None]
        if failed:
            figures += f"; failed: {', '.join(failed)}"
        lines.append(_row([f"{title} ({table.unit})", figures]))
    head = [_row(["Workload", "Medians, the best first"]), "|---|---|"]
    return [*head, *lines, *(["", LOAD_BUSY] if any(MARK in line for line in lines) else [])]


def figures(content: Mapping[str, Any]) -> str:
    """The part of the page between the marks."""
    meta = content["meta"]
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    codecs = ", ".join(f"{slot} {names[0]}" for slot, names in meta["codecs"].items())
    absent = "; ".join(f"{name}: {why}" for name, why in meta["absent"].items())
    # Runs of before these were noted have neither; nor has one outside of a git checkout a commit.
    driver = f", driver {meta['driver']}" if meta.get("driver") else ""
    commit = f" Commit {meta['commit']}." if meta.get("commit") else ""
    lines = [
        BEGIN,
        f"Taken on {describe(meta)}. Fastest codecs: {codecs}{driver}.{commit}",
        "",
        f"Versions: {versions}.",
        "",
        *([f"Left out: {absent}.", ""] if absent else []),
        *([BUSY, ""] if meta.get("load_average_before", 0.0) > IDLE_LOAD else []),
        *_tables(from_json(content)),
        "",
        *_bars(content),
        END,
    ]
    return "\n".join(lines)


def update(path: Path, content: Mapping[str, Any]) -> None:
    """Put the figures between the marks of the page. Raises ValueError where there are none."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path}: the marks {BEGIN} and {END} are missing")
    path.write_text(before + figures(content) + after)
