"""Which lines a daemon under soak may log, and how often."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ([A-Z]+) +(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Allowed:
    """A line that is explained. ``within`` must stand in the lines below it, if given."""

    name: str
    pattern: str
    within: str | None = None


START = (
    Allowed("version", r"Tricorn \S+ on .* with .*"),
    Allowed("address", r"https?://\S+ speaks .*"),
    Allowed("hint", r"open \S+ in a browser.*"),
    Allowed("workers", r"\d+ workers? \([\d, ]+\) below supervisor \d+"),
    Allowed("stop", r"SIGTERM: finishing what is in flight.*"),
)
FAILURES = (
    Allowed(
        "handler failed", r"application failed: (GET|POST) /fail(-late)? .*", "soak.app.Intended"
    ),
    Allowed("handler gave up", r"application returned without a whole response: GET /nothing .*"),
)
CERTIFICATES = (Allowed("certificates", r"certificates loaded anew: .*"),)
RELOADS = (
    Allowed("reload", r"SIGHUP: worker \d+ starts with it"),
    Allowed("recycled", r"worker \d+ is replaced: .*max_requests.*"),
    Allowed("killed", r"worker \d+ was killed by SIGKILL, by somebody else; .*another one starts"),
)
#: What is told of peers that misbehave; each kind at most once in peer_log_interval. Codecs have
#: words of their own.
_FAULTS = (
    "connection closed inside a request head",
    "connection closed inside a body",
    "control character in the request head",
    r"malformed request line b'GET /\\x00 HTTP/1\.1'",
    "cleartext HTTP at an address that speaks TLS",
    "invalid preface: no SETTINGS",
    "WebSocket: (Invalid opcode 0x3|reserved opcode)",
)
PEERS = (
    Allowed(
        "peer",
        rf"refused ({'|'.join(_FAULTS)}) from 127\.0\.0\.1( \(\d+ more like this suppressed\))?",
    ),
)


def records(text: str) -> Iterator[str]:
    """The records of a log, those of several lines whole."""
    record: list[str] = []
    for line in text.splitlines():
        if (record and line.startswith((" ", "\t"))) or (record and not line):
            record.append(line)
            continue
        if record:
            yield "\n".join(record)
        record = [line]
    if record:
        yield "\n".join(record)


def explain(log: Path, allowed: Sequence[Allowed]) -> tuple[Counter[str], list[str]]:
    """How often each allowed line came, and the records that none explains."""
    counts: Counter[str] = Counter()
    unexplained = []
    for record in records(log.read_text(encoding="utf-8", errors="replace")):
        name = _explained(record, allowed)
        if name is None:
            unexplained.append(record)
        else:
            counts[name] += 1
    return counts, unexplained


def _explained(record: str, allowed: Sequence[Allowed]) -> str | None:
    match = _RECORD.fullmatch(record)
    if match is None:
        return None
    text, _, below = match[2].partition("\n")
    for line in allowed:
        if not re.fullmatch(line.pattern, text):
            continue
        if below == "" if line.within is None else line.within in below:
            return line.name
    return None
