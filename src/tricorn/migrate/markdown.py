"""The options of another server as a table of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tricorn.config import OPTIONS
from tricorn.config_docs import default_text
from tricorn.migrate.table import Peer, Row, Shape

START = "<!-- table -->"
END = "<!-- /table -->"


def table(peer: Peer) -> str:
    """A row for each option of the peer, in Markdown."""
    lines = [
        f"| {peer.title} {peer.release} | Default | Tricorn | Default | Remarks |",
        "|---|---|---|---|---|",
    ]
    lines += [_line(peer, row) for row in peer.rows]
    return "\n".join(lines) + "\n"


def _line(peer: Peer, row: Row) -> str:
    names = [f"`{flag}`" for flag in (*row.flags, *row.off)]
    if row is peer.rows[0]:
        names = ["APP"]
    elif row.name in ("config", "version"):
        pass
    elif peer.read_file or (peer.prefix and not _is_named_by(row)):
        names.insert(0, f"`{row.name}`")  # the key of the file, or the rest of the variable
    options = [f"`{name}`" for name in row.to]
    notes = [row.note] if row.note else []
    inert = [OPTIONS[name].inert for name in row.to if OPTIONS[name].inert]
    notes += [f"no effect: {reason}" for reason in inert]
    default = "" if row.unset == {} and row.joint and row.default is None else _default(row)
    ours = ", ".join(_ours(name) for name in row.to)
    cells = (", ".join(names), default, ", ".join(options) or "none", ours, "; ".join(notes))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _is_named_by(row: Row) -> bool:
    return any(flag.lstrip("-").replace("-", "_") == row.name for flag in row.flags)


def _default(row: Row) -> str:
    return _text(row.default, row.shape)


def _text(value: Any, shape: Shape) -> str:
    if value is None or value == () or isinstance(value, Mapping):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return f"`{value}`" if value != "" else ""


def _ours(name: str) -> str:
    default = OPTIONS[name].default
    if default is None:
        return "not set"
    return f"`{default_text(OPTIONS[name])}`"
