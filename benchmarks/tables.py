"""The tables of figures in README.md and the documentation, made from the runs that they name:

    python -m benchmarks.tables                # after a change of how they look
    python -m benchmarks.tables FILE.json      # of a new run in results/

A table stands below a line such as ``<!-- table: servers, 2026-11-23-full.json -->``. Where that
names two runs, the second is the one to compare with. A new run takes the place of the first one
where it has what the table is of; tables that compare older runs stay as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bars import BARS, BEST, BEST_PYTHON, FAST, PURE, TRIO, AgainstItself, AgainstPeer
from .figures import Cell, Table, best, ratio
from .fleet import SERVERS
from .report import from_json, read_json
from .servers import ROOT
from .workloads import WORKLOADS

PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "explanation" / "performance.md",
    ROOT / "docs" / "how-to" / "wsgi.md",
)
RESULTS = ROOT / "benchmarks" / "results"
MARK = re.compile(r"^<!-- table: (\w+), (.+) -->\n\n(?:\|.*\n)*\n?", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One run: its tables, and what it was taken with."""

    tables: Mapping[str, Table]
    python: str
    openssl: str

    @property
    def about(self) -> str:
        """The two versions."""
        return ", ".join(filter(None, (f"Python {self.python}", self.openssl)))

    def cell(self, table: str, server: str) -> Cell:
        """What a server did; an empty cell where it was not run."""
        found = self.tables.get(table)
        return found.cells.get(server, Cell()) if found is not None else Cell()

    def ratio(self, table: str, of: str, to: str) -> str:
        """The ratio of two servers' medians."""
        return _ratio(self.cell(table, of), self.cell(table, to))


def read(name: str) -> Run:
    """A run of results/ by its file's name."""
    content: dict[str, Any] = read_json(RESULTS / name)
    meta = content["meta"]
    openssl = " ".join(meta.get("openssl", "").split()[:2])  # without its date
    return Run(from_json(content), meta["python"], openssl)


def _ratio(of: Cell, to: Cell) -> str:
    found = ratio(of, to)
    if found is None:
        return "-"
    return f"{found.median:.2f}" if found.median < 10 else f"{found.median:.1f}"


def _goal(table: str, own: str, peer: str) -> str:
    """What the bar of the two is; `peer` is another table where a server is its own."""
    for bar in BARS:
        if isinstance(bar, AgainstPeer | AgainstItself):
            against = bar.peer if isinstance(bar, AgainstPeer) else bar.other
            if (bar.table, bar.own, against) == (table, own, peer):
                return f"{bar.factor:g}"
    return ""


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head,)] + [
        "|" + "---|" * len(head),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


COLUMNS = {
    "http1-small": "HTTP/1.1 requests/s",
    "tls-small": "HTTP/1.1 over TLS",
    "http2-small": "HTTP/2 over TLS",
}
NAMES = {
    FAST: "Tricorn, uvloop",
    TRIO: "Tricorn, trio",
    PURE: "Tricorn with h11 and h2, uvloop",
    "granian": "Granian",
    "uvicorn-httptools": "Uvicorn, httptools, uvloop",
    "uvicorn-zttp": "Uvicorn, zttp, uvloop",
    "gunicorn-asgi": "Gunicorn, its ASGI worker, uvloop",
    "uvicorn-h11": "Uvicorn, h11, uvloop",
    "daphne": "Daphne",
    "hypercorn-uvloop": "Hypercorn, uvloop",
    "hypercorn-trio": "Hypercorn, trio",
    "anycorn-asyncio": "Anycorn, asyncio",
    "anycorn-trio": "Anycorn, trio",
}


def _rate(run: Run, table: str, server: str) -> str:
    cell = run.cell(table, server)
    if cell.median is not None:
        return f"{cell.median:,.0f}"
    if cell.problem is not None:
        return "failed"
    return "-" if SERVERS[server].cannot(WORKLOADS[table].wires, application=False) else "not run"


def servers(run: Run, other: Run | None = None) -> list[str]:
    """The small GET by server; "-" where one does not speak the protocol."""
    rows = [
        [title, *(_rate(run, table, server) for table in COLUMNS)]
        for server, title in NAMES.items()
    ]
    return _lines(["Server, one core", *COLUMNS.values()], rows)


TITLES = {
    "http1-small": "HTTP/1.1, 13 bytes",
    "http1-10k": "HTTP/1.1, 10 KiB",
    "http1-echo-10k": "HTTP/1.1, 10 KiB and back",
    "http1-wait": "HTTP/1.1, application that waits 10 ms",
    "tls-small": "TLS, 13 bytes",
    "tls-10k": "TLS, 10 KiB",
    "tls-echo-10k": "TLS, 10 KiB and back",
    "tls-wait": "TLS, application that waits 10 ms",
    "tls-handshakes": "TLS handshakes",
    "http2-small": "HTTP/2, 13 bytes",
    "http2-10k": "HTTP/2, 10 KiB",
    "http2-echo-10k": "HTTP/2, 10 KiB and back",
    "http2-one-stream": "HTTP/2, one stream at a time",
    "ws-32": "WebSocket, 32 bytes",
    "ws-4k": "WebSocket, 4 KiB",
    "ws-32-turns": "WebSocket, 32 bytes, one at a time",
    "ws-4k-turns": "WebSocket, 4 KiB, one at a time",
    "http1-download": "HTTP/1.1, 100 MB down",
    "http1-upload": "HTTP/1.1, 64 MB up",
    "http2-download": "HTTP/2, 100 MB down",
    "http2-upload": "HTTP/2, 64 MB up",
}


def _peers(table: str) -> list[str]:
    """Those that Tricorn is compared with: in Python alone where the bar says so."""
    python = bool(_goal(table, FAST, BEST_PYTHON))
    return [
        name
        for name, server in SERVERS.items()
        if server.kind == "peer" and (server.python or not python)
    ]


def _best(run: Run, table: str) -> str:
    found = run.tables.get(table)
    return (found and best(found, _peers(table))) or ""


def workloads(run: Run, other: Run | None = None) -> list[str]:
    """Tricorn beside the best peer of each workload."""
    rows = []
    for table, title in TITLES.items():
        if table not in run.tables:
            continue
        unit = " MB/s" if run.tables[table].unit == "MB/s" else "/s"
        name = _best(run, table)
        own, peer = run.cell(table, FAST), run.cell(table, name)
        goals = (_goal(table, FAST, word) for word in (BEST, BEST_PYTHON, "granian"))
        rows.append(
            [
                title,
                f"{own.median:,.0f}{unit}" if own.median is not None else "failed",
                f"{name.partition('-')[0].capitalize()} {peer.median or 0:,.0f}{unit}",
                _ratio(own, peer),
                _ratio(own.by_processor, peer.by_processor),
                other.ratio(table, FAST, _best(other, table)) if other else "",
                next(filter(None, goals), ""),
            ]
        )
    head = ["Workload", "Tricorn, uvloop", "the best peer", "ratio", "by processor time"]
    return _lines([*head, other.about if other else "", "goal"], rows)


HTTPTOOLS, H11, HYPERCORN = "uvicorn-httptools", "uvicorn-h11", "hypercorn-uvloop"
SMALL = ("http1-small", "http2-small")
Pair = tuple[str, str, str]
"""A table, and the two servers that are compared in it."""

RATIOS: Sequence[tuple[str, Sequence[Pair]]] = (
    ("nginx's answer, HTTP/1.1 and HTTP/2", [(table, FAST, "nginx") for table in SMALL]),
    ("HTTP/2 on uvloop to Hypercorn", [("http2-small", FAST, HYPERCORN)]),
    (
        "trio to Hypercorn on trio, HTTP/1.1 and HTTP/2",
        [(table, TRIO, "hypercorn-trio") for table in SMALL],
    ),
    (
        "h11 to Uvicorn with h11; h2 to Hypercorn",
        [("http1-small", PURE, H11), ("http2-small", PURE, HYPERCORN)],
    ),
    ("command to first answer, to Uvicorn", [("start", FAST, HTTPTOOLS)]),
    (
        "memory at start, supervisor and worker added up, to Uvicorn",
        [("memory-at-start", FAST, HTTPTOOLS)],
    ),
    ("what they share counted once", [("memory-at-start-shared-once", FAST, HTTPTOOLS)]),
    ("per idle HTTP/1.1 connection, to Uvicorn", [("memory-idle-http1", FAST, HTTPTOOLS)]),
    ("the same over TLS", [("memory-idle-http1-tls", FAST, HTTPTOOLS)]),
    (
        "the same over TLS, when 1 MB has gone each way",
        [("memory-used-http1-tls", FAST, HTTPTOOLS)],
    ),
)

Growth = tuple[str, str, Sequence[str]]
"""A table, the one it is compared with, and the servers."""

THEMSELVES: Sequence[tuple[str, Growth]] = (
    (
        "1,000 connections to 64, each with a request under way: uvloop, asyncio, trio",
        ("connections-1000", "connections-64", (FAST, "tricorn-asyncio", TRIO)),
    ),
    (
        "processor time a request at 100 streams to that at 10",
        ("streams-100", "streams-10", (FAST,)),
    ),
    (
        "two workers to one, with the load on the same two cores",
        ("workers-2", "workers-1", (FAST,)),
    ),
)


def _once(words: Sequence[str]) -> str:
    """The words, or the one that they all are."""
    return words[0] if len(set(words)) == 1 else ", ".join(words)


def ratios(run: Run, other: Run | None = None) -> list[str]:
    """Ratios between servers, and of one to itself."""
    runs = [run, *([other] if other else [])]
    rows = []
    for title, pairs in RATIOS:
        figures = [", ".join(one.ratio(*pair) for pair in pairs) for one in runs]
        rows.append([title, *figures, _once([_goal(*pair) for pair in pairs])])
    for title, (table, base, names) in THEMSELVES:
        figures = [
            ", ".join(_ratio(one.cell(table, name), one.cell(base, name)) for name in names)
            for one in runs
        ]
        rows.append([title, *figures, _once([_goal(table, name, base) for name in names])])
    return _lines(["Ratio of the same run", *(one.about for one in runs), "goal"], rows)


CASES = {
    f"memory-growth-{wire}-{way}-{slow}": f"{words} {way}, slow {who}"
    for wire, words in (("http1", "HTTP/1.1"), ("h2c", "HTTP/2"))
    for slow, who in (("slow-peer", "peer"), ("slow-app", "application"))
    for way in ("upload", "download")
}
IDLE = {
    "memory-idle-http1": "idle HTTP/1.1 connection",
    "memory-idle-http1-tls": "the same over TLS",
    "memory-used-http1-tls": "the same over TLS, when 1 MB has gone each way",
    "memory-idle-h2c": "idle HTTP/2 connection",
}


def memory(run: Run, other: Run | None = None) -> list[str]:
    """Growth in slow transfers, and what a connection that waits takes."""

    def figures(one: Run, table: str, unit: str, digits: int) -> list[str]:
        medians = [one.cell(table, name).median for name in (FAST, TRIO)]
        return ["-" if found is None else f"{found:.{digits}f} {unit}" for found in medians]

    rows = [[title, *figures(run, table, "MiB", 2)] for table, title in CASES.items()]
    for table, title in IDLE.items():
        # What a TLS session takes is the library's doing.
        for one in [run, *([other] if other and "tls" in table else [])]:
            library = f", {one.openssl}" if "tls" in table else ""
            rows.append([f"{title}{library}", *figures(one, table, "KiB", 1)])
    return _lines(["", "Tricorn, uvloop", "Tricorn, trio"], rows)


WSGI = {
    "wsgi-small": "GET of 13 bytes",
    "wsgi-10k": "GET of 10 KiB",
    "wsgi-echo-10k": "POST of 10 KiB and back",
}
WSGI_PEERS = {
    "gunicorn-gthread": "Gunicorn, gthread",
    "waitress": "Waitress",
    "granian-wsgi": "Granian, WSGI",
}


def wsgi(run: Run, other: Run | None = None) -> list[str]:
    """Tricorn to servers of WSGI: the ratio, and the least and the greatest of a round."""

    def figure(table: str, peer: str) -> str:
        found = ratio(run.cell(table, "tricorn-wsgi-uvloop"), run.cell(table, peer))
        if found is None:
            return "-"
        return f"{found.median:.2f} ({found.least:.2f} to {found.greatest:.2f})"

    rows = [[title, *(figure(table, peer) for table in WSGI)] for peer, title in WSGI_PEERS.items()]
    return _lines(["Tricorn to", *WSGI.values()], rows)


BUILDS = ("http1-small", "tls-small", "tls-10k", "http2-download")


def builds(*runs: Run) -> list[str]:
    """Tricorn to Granian in runs with several builds of Python and OpenSSL."""
    rows = [
        [
            TITLES[table],
            *(
                _ratio(run.cell(table, FAST).by_processor, run.cell(table, "granian").by_processor)
                for run in runs
            ),
        ]
        for table in BUILDS
    ]
    return _lines(["Tricorn to Granian, by processor time", *(run.about for run in runs)], rows)


MAKERS: Mapping[str, tuple[str | None, Callable[..., list[str]]]] = {
    "servers": ("http2-small", servers),
    "workloads": ("http2-small", workloads),
    "ratios": ("connections-1000", ratios),
    "memory": ("memory-idle-http1", memory),
    "wsgi": ("wsgi-small", wsgi),
    "builds": (None, builds),
}
"""What makes a table of runs; and that of a run's tables which a newer one must have to take its
place, None where it does not."""


def renew(text: str, newest: str | None = None) -> str:
    """The page with its tables made anew; of the run `newest` in place of that which they name."""

    def table(found: re.Match[str]) -> str:
        kind, names = found[1], found[2].split(", ")
        needed, maker = MAKERS[kind]
        if newest is not None and needed in read(newest).tables:
            names[0] = newest
        lines = maker(*map(read, names))
        return "\n".join([f"<!-- table: {', '.join([kind, *names])} -->", "", *lines, "", ""])

    return MARK.sub(table, text)


def main(arguments: Sequence[str]) -> int:
    """Run the command; its exit status."""
    if len(arguments) > 1 or (arguments and not (RESULTS / Path(arguments[0]).name).is_file()):
        print("usage: python -m benchmarks.tables [FILE.json], a run in results/", file=sys.stderr)
        return 2
    newest = Path(arguments[0]).name if arguments else None
    for page in PAGES:
        page.write_text(renew(page.read_text(encoding="utf-8"), newest), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
