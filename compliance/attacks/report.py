"""Tables of the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compliance.attacks.judge import Verdict
from compliance.attacks.model import ATTACKS, Attack
from compliance.attacks.runner import applies
from tricorn.config import OPTIONS

MEASURED = Path(__file__).with_name("measured.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "attacks.md"
MARK = "<!-- table -->"
PEERS = ("uvicorn", "hypercorn", "granian")
GROUPS = ("HTTP/2", "HTTP/1.1", "WebSocket", "TLS", "Connections")
_HELD = "held"
_WORDS = {
    "died": "died",
    "grew": "grew",
    "starved": "starved",
    "left": "left",
    "fault": "let in",
}
_Row = dict[str, Any]
_Measured = dict[str, dict[str, _Row]]


def row(verdict: Verdict) -> _Row:
    """What is kept of a verdict."""
    got = verdict.measured
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "complaints": sorted(verdict.complaints),
        "calm_ms": round(got.calm * 1000, 1),
        "attack_ms": round(got.under_attack * 1000, 1),
        "lost": got.lost,
        "growth_mib": round(got.growth / 2**20, 1),
        "calls": got.calls,
        "connections": got.report.connections,
        "settle_s": round(got.settle, 1),
    }


def load(path: Path = MEASURED) -> _Measured:
    """Figures by server and attack."""
    if not path.exists():
        return {}
    data: _Measured = json.loads(path.read_text(encoding="utf-8"))
    return data


def store(key: str, verdicts: Sequence[Verdict], path: Path = MEASURED) -> None:
    """Keep the figures of a run; attacks that were not run keep theirs."""
    data = load(path)
    rows = data.get(key, {}) | {verdict.attack.name: row(verdict) for verdict in verdicts}
    data[key] = {name: rows[name] for name in ATTACKS if name in rows}
    text = json.dumps({name: data[name] for name in sorted(data)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def tables(measured: _Measured, key: str = "tricorn/uvloop") -> str:
    """The tables of the documentation, in Markdown."""
    parts = [_when(measured, key), ""]
    for group in GROUPS:
        attacks = [attack for attack in ATTACKS.values() if attack.group == group]
        parts += [f"### {group}", "", _bounds(attacks), "", _results(attacks, measured, key), ""]
    return "\n".join(parts).rstrip()


def _when(measured: _Measured, key: str) -> str:
    """The days on which what the tables show was measured."""
    shown = [rows for name, rows in measured.items() if name == key or _server(name) in PEERS]
    days = sorted({row["date"] for rows in shown for row in rows.values()})
    if len(days) < 2:
        return f"Measured on {days[0]}." if days else "Nothing is measured yet."
    return (
        f"Measured from {days[0]} to {days[-1]}; the day of each figure is in"
        " `compliance/attacks/measured.json`."
    )


def _server(key: str) -> str:
    """The server that a key of the figures is of."""
    return key.partition("/")[0]


def write_page(path: Path = PAGE) -> None:
    """Put the tables behind the page's mark."""
    text = path.read_text(encoding="utf-8")
    head, mark, _ = text.partition(MARK)
    path.write_text(f"{head}{mark}\n\n{tables(load())}\n", encoding="utf-8")


def _bounds(attacks: Sequence[Attack]) -> str:
    lines = ["| Attack | What the peer does | Bounds | Known as |", "|---|---|---|---|"]
    for one in attacks:
        bounds = "<br>".join(_bound(name) for name in one.bounds)
        lines.append(f"| {one.name} | {one.what} | {bounds} | {one.source} |")
    return "\n".join(lines)


def _bound(name: str) -> str:
    if name.startswith("("):
        return name[1:-1]
    row = OPTIONS[name]
    default = row.default
    text = "off" if default is None else default
    if isinstance(default, int | float):
        text = f"{int(default):,}" if default == int(default) else f"{default:g}"
    unit = f" {row.unit}" if row.unit else ""
    reason = f" ({row.reason})" if row.reason else ""
    return f"`{name}` {text}{unit}{reason}"


def _results(attacks: Sequence[Attack], measured: _Measured, key: str) -> str:
    lines = [
        "| Attack | p99 calm | p99 attacked | Growth | Calls | Tricorn | "
        + " | ".join(peer.capitalize() for peer in PEERS)
        + " |",
        "|---|---|---|---|---|---|" + "---|" * len(PEERS),
    ]
    for one in attacks:
        ours = measured.get(key, {}).get(one.name)
        cells = [one.name, *_figures(ours)]
        peers = [_peer(measured, peer, one.name) for peer in PEERS]
        lines.append("| " + " | ".join([*cells, *peers]) + " |")
    return "\n".join(lines)


def _figures(row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return ["", "", "", "", "not run"]
    return [
        f"{row['calm_ms']:.0f} ms",
        f"{row['attack_ms']:.0f} ms",
        f"{row['growth_mib']:.0f} MiB",
        str(row["calls"]),
        ", ".join(row["complaints"]) or _HELD,
    ]


def _peer(measured: _Measured, peer: str, name: str) -> str:
    key = next((one for one in measured if _server(one) == peer), "")
    row = measured.get(key, {}).get(name)
    if row is None:
        return "not run" if applies(peer, ATTACKS[name]) else "not by default"
    words = []
    for complaint in row["complaints"]:
        text = _WORDS.get(complaint, complaint)
        if complaint == "grew":
            text += f" {row['growth_mib']:.0f} MiB"
        elif complaint == "starved":
            text += f" {row['lost']} lost" if row["lost"] else f" {row['attack_ms']:.0f} ms"
        words.append(text)
    return ", ".join(words) or _HELD
