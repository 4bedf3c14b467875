"""What a flag of another server is here, for who types it out of habit."""

from __future__ import annotations

from collections.abc import Iterable

from tricorn.config import OPTIONS
from tricorn.migrate import PEERS
from tricorn.migrate.table import Row


def elsewhere(flag: str) -> str:
    """``"Gunicorn's --timeout is --worker-heartbeat-timeout here"``; empty if nobody has it."""
    found: dict[str, list[tuple[str, Row]]] = {}
    for peer in PEERS.values():
        for row in peer.rows:
            if flag in (*row.flags, *row.off):
                ours = " and ".join(OPTIONS[name].flag for name in row.to)
                found.setdefault(ours or row.note, []).append((f"{peer.title}'s", row))
    return "; ".join(_said(flag, rows) for rows in found.values())


def _said(flag: str, found: list[tuple[str, Row]]) -> str:
    whose = _listed(title for title, _ in found)
    row = found[0][1]
    notes = {row.note for _, row in found}
    note = notes.pop().replace("`", "") if len(notes) == 1 else ""
    if not row.to:
        return f"{whose} {flag}: {note}"
    if flag in row.off:
        return f"{whose} {flag} {_turned_off(row)}"
    ours = _listed(OPTIONS[name].flag for name in row.to)
    return f"{whose} {flag} is {ours} here" + (f" ({note})" if note else "")


def _turned_off(row: Row) -> str:
    """What says here that the row's switch is off: a value, or no flag at all."""
    options = row.taken(False).options if row.convert else dict.fromkeys(row.to)
    flags = _listed(OPTIONS[name].flag for name in options)
    if all(value in (None, "CERT_NONE") and not OPTIONS[name].default
           for name, value in options.items()):  # fmt: skip
        return f"needs no flag here: it is so without {flags}"
    said = [f"{OPTIONS[name].flag} {value or 'none'}" for name, value in options.items()]
    return f"is {_listed(said)} here"


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last
