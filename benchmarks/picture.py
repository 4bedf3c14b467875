"""The tables of a run as an SVG picture: for each workload, a bar for each server.

Drawn by hand, so that nothing has to be installed for it. Only the tables named here are
drawn: the rest is in the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from .figures import Cell, Table
from .report import from_json, ranked

TITLES: Mapping[str, str] = {
    "http1-small": "HTTP/1.1, GET 13 bytes",
    "http1-10k": "HTTP/1.1, GET 10 KiB",
    "http1-echo-10k": "HTTP/1.1, POST 10 KiB and back",
    "http1-wait": "HTTP/1.1, 10 ms wait, 256 connections",
    "tls-small": "HTTP/1.1 over TLS, GET 13 bytes",
    "tls-10k": "HTTP/1.1 over TLS, GET 10 KiB",
    "tls-echo-10k": "HTTP/1.1 over TLS, POST 10 KiB and back",
    "tls-wait": "HTTP/1.1 over TLS, 10 ms wait",
    "tls-handshakes": "TLS handshakes, one GET each",
    "http2-small": "HTTP/2, GET 13 bytes",
    "http2-10k": "HTTP/2, GET 10 KiB",
    "http2-echo-10k": "HTTP/2, POST 10 KiB and back",
    "http2-one-stream": "HTTP/2, one request at a time",
    "ws-32": "WebSocket echo, 32 bytes",
    "ws-4k": "WebSocket echo, 4 KiB",
    "ws-32-turns": "WebSocket echo, 32 bytes by turns",
    "ws-4k-turns": "WebSocket echo, 4 KiB by turns",
    "http1-download": "HTTP/1.1, 100 MB download",
    "http1-upload": "HTTP/1.1, 64 MB upload",
    "http2-download": "HTTP/2, 100 MB download",
    "http2-upload": "HTTP/2, 64 MB upload",
    "latency-http1-p99": "HTTP/1.1, 99th percentile of latency",
    "latency-http2-p99": "HTTP/2, 99th percentile of latency",
    "memory-at-start": "Memory at the start",
    "memory-idle-http1": "Memory of an idle HTTP/1.1 connection",
    "memory-idle-http1-tls": "The same over TLS",
    "memory-used-http1-tls": "The same over TLS, used before",
    "memory-idle-h2c": "Memory of an idle HTTP/2 connection",
    "start": "Time from command to first answer",
    "http2-stuck-cost": "HTTP/2, uploads beside a stuck stream",
    "overhead-http1": "HTTP/1.1, over the codec in memory",
    "overhead-http2": "HTTP/2, over the codec in memory",
    "overhead-websocket": "WebSocket, over the codec in memory",
}

COLUMNS = 2
PANEL_WIDTH = 460
NAME_WIDTH = 140
VALUE_WIDTH = 84
ROW = 17
BAR = 11
GAP = 28
MARGIN = 20
HEAD = 56
PANEL_HEAD = 34

STYLE = """
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #24292f; }
.title { font-size: 17px; font-weight: 600; }
.panel { font-size: 13px; font-weight: 600; }
.faint { fill: #656d76; }
.name { text-anchor: end; }
.own { fill: #0a7d64; }
.slow { fill: #7cc4b2; }
.peer { fill: #8c96a3; }
.ceiling { fill: #ffffff; stroke: #8c96a3; stroke-dasharray: 3 2; }
"""


@dataclass(frozen=True)
class Panel:
    """One table to draw."""

    title: str
    table: Table

    @property
    def rows(self) -> list[tuple[str, Cell]]:
        """What has a bar or failed; a server without a part has no row."""
        return [(name, cell) for name, cell in ranked(self.table) if cell.cannot is None]

    @property
    def height(self) -> int:
        """Pixels, head included."""
        return PANEL_HEAD + ROW * len(self.rows)


def colour(server: str) -> str:
    """The class of a server's bar: ours with the fastest codecs, with others, theirs, nginx."""
    if server.startswith(("tricorn-pure", "baseline")):
        return "slow"
    if server.startswith("tricorn"):
        return "own"
    return "ceiling" if server == "nginx" else "peer"


def short(value: float) -> str:
    """A figure with three digits or more."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(text)}</text>'


def draw_panel(panel: Panel, x: float, y: float) -> list[str]:
    """The elements of one table with its corner at `x`, `y`."""
    unit = panel.table.unit
    better = "" if panel.table.higher_is_better else ", less is better"
    parts = [
        _text(x, y + 12, panel.title, "panel"),
        _text(x, y + 27, f"{unit}{better}", "faint"),
    ]
    longest = max((cell.median or 0.0 for _, cell in panel.rows), default=0.0) or 1.0
    room = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH
    for number, (name, cell) in enumerate(panel.rows):
        top = y + PANEL_HEAD + ROW * number
        parts.append(_text(x + NAME_WIDTH - 6, top + BAR, name, "name"))
        if cell.median is None:
            parts.append(_text(x + NAME_WIDTH, top + BAR, "failed", "faint"))
            continue
        width = max(1.0, room * cell.median / longest)
        parts.append(
            f'<rect x="{x + NAME_WIDTH:g}" y="{top + 1:g}" width="{width:.1f}" height="{BAR}"'
            f' class="{colour(name)}"/>'
        )
        parts.append(_text(x + NAME_WIDTH + width + 5, top + BAR, short(cell.median)))
    return parts


def place(panels: list[Panel]) -> tuple[list[tuple[Panel, int, int]], int]:
    """Each panel with its corner, in rows of `COLUMNS`; and the height of them all."""
    placed = []
    top = HEAD
    for first in range(0, len(panels), COLUMNS):
        row = panels[first : first + COLUMNS]
        for column, panel in enumerate(row):
            placed.append((panel, MARGIN + column * (PANEL_WIDTH + GAP), top))
        top += max(panel.height for panel in row) + GAP
    return placed, top


def describe(meta: Mapping[str, Any]) -> str:
    """Where the figures come from, in one line."""
    quick = "quick run, " if meta.get("quick") else ""
    rounds = f"{meta['rounds']} x {meta['seconds']} s"
    # Name and version, without the date; a run of before the library was noted has none.
    openssl = " ".join(meta.get("openssl", "").split()[:2])
    versions = ", ".join(filter(None, (f"Python {meta['python']}", openssl)))
    return f"{meta['date'][:10]}, {versions}, {quick}{rounds}, one core each"


def draw(content: Mapping[str, Any]) -> str:
    """The picture of a run's JSON content."""
    tables = from_json(content)
    panels = [
        Panel(title, tables[name])
        for name, title in TITLES.items()
        if name in tables and any(cell.median for cell in tables[name].cells.values())
    ]
    placed, height = place(panels)
    width = 2 * MARGIN + COLUMNS * PANEL_WIDTH + (COLUMNS - 1) * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img">',
        "<title>Tricorn beside its peers</title>",
        f"<style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(MARGIN, 26, "Tricorn beside its peers", "title"),
        _text(MARGIN, 44, describe(content["meta"]), "faint"),
    ]
    for panel, x, y in placed:
        parts += draw_panel(panel, x, y)
    return "\n".join([*parts, "</svg>", ""])


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write the picture of a run's JSON content to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(content))
