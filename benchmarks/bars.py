"""The bars: what must be reached in which table, and whether it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from .figures import Cell, Table, best, ratio
from .servers import Server

FAST = "tricorn-uvloop"
TRIO = "tricorn-trio"
PURE = "tricorn-pure-uvloop"
LOOPS = ("uvloop", "asyncio", "trio")


@dataclass(frozen=True)
class Verdict:
    """One judged bar.

    `met` is None where it could not be judged, `reached` the figure that was compared with
    `needed`; None where there is none. A `goal` is wished for and not asked for.
    """

    bar: str
    met: bool | None
    found: str
    reached: float | None = None
    needed: float | None = None
    goal: bool = False


class Bar(Protocol):
    """Something to be reached."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it needs, or how their names begin."""
        ...

    def sides(self, servers: Mapping[str, Server]) -> set[str]:
        """The names of the servers it needs."""
        ...

    def judge(self, tables: Mapping[str, Table], servers: Mapping[str, Server]) -> list[Verdict]:
        """Whether it was; nothing where its tables or servers were not run."""
        ...


@dataclass(frozen=True)
class AgainstPeer:
    """`own` is to reach `factor` times what `peer` does (for `at_most`: no more than it).

    `peer` is a server's name, or one of the words below: then it is the best of those that
    have a figure. One that failed might have been better, so that with it only a miss is sure.
    """

    table: str
    own: str
    peer: str
    factor: float
    at_most: bool = False
    goal: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it needs."""
        return (self.table,)

    def sides(self, servers: Mapping[str, Server]) -> set[str]:
        """Ours, and every peer that may be the best; nothing where there is no peer."""
        peers = {name for name in servers if self._is_peer(name, servers)}
        return {self.own, *peers} if peers else set()

    def judge(self, tables: Mapping[str, Table], servers: Mapping[str, Server]) -> list[Verdict]:
        """One verdict, if both sides were run."""
        table = tables.get(self.table)
        if table is None or self.own not in table.cells:
            return []
        asked = [name for name in table.cells if self._is_peer(name, servers)]
        if not asked:
            return []
        peer = best(table, asked) or asked[0]
        sign = "<=" if self.at_most else ">="
        word = "" if self.peer in servers else f" ({self.peer})"
        text = f"{self.table}: {self.own} {sign} {self.factor:g} x {peer}{word}"
        found = _compare(self, text, table.cells[self.own], table.cells[peer], (self.own, peer))
        failed = [name for name in asked if table.cells[name].problem is not None]
        if found.met and failed:
            words = f"{', '.join(failed)}: failed; {found.found} of the others"
            found = replace(found, met=None, found=words, reached=None)
        return [found]

    def _is_peer(self, name: str, servers: Mapping[str, Server]) -> bool:
        if self.peer not in (BEST, BEST_PYTHON):
            return name == self.peer
        server = servers.get(name)
        if server is None or server.kind != "peer":
            return False
        return server.python or self.peer == BEST


BEST = "best peer"
BEST_PYTHON = "best Python peer"


@dataclass(frozen=True)
class AgainstItself:
    """`own` in `table` is to reach `factor` times what it does in `other`."""

    table: str
    other: str
    own: str
    factor: float
    at_most: bool = False
    goal: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it needs."""
        return (self.table, self.other)

    def sides(self, servers: Mapping[str, Server]) -> set[str]:
        """Ours alone."""
        return {self.own}

    def judge(self, tables: Mapping[str, Table], servers: Mapping[str, Server]) -> list[Verdict]:
        """One verdict, if it is in both tables."""
        if self.table not in tables or self.other not in tables:
            return []
        one = tables[self.table].cells.get(self.own)
        other = tables[self.other].cells.get(self.own)
        if one is None or other is None:
            return []
        sign = "<=" if self.at_most else ">="
        text = f"{self.own}: {self.table} {sign} {self.factor:g} x {self.other}"
        return [_compare(self, text, one, other, (self.table, self.other))]


def _compare(
    bar: AgainstPeer | AgainstItself, text: str, one: Cell, other: Cell, names: tuple[str, str]
) -> Verdict:
    """The verdict on `one` over `other`: a side of ours that failed has missed it.

    Where the load set the pace of either, what they did in a second of their processors is
    compared. Elsewhere that ratio is shown: on a machine with other work it is the steadier.
    """
    own_fails = one.median is None or (isinstance(bar, AgainstItself) and other.median is None)
    found = ratio(one, other)
    if own_fails or found is None:
        name, cell = (names[0], one) if one.median is None else (names[1], other)
        met = False if own_fails else None
        return Verdict(text, met, f"{name}: {_why(cell)}", None, bar.factor, bar.goal)
    spent = ratio(one.by_processor, other.by_processor)
    words = str(found)
    if spent is not None:
        words += f"; by processor time {spent.median:.2f} x"
        if one.load_bound or other.load_bound:
            words += ", which counts: the load set the pace"
            found = spent
    met = found.median <= bar.factor if bar.at_most else found.median >= bar.factor
    return Verdict(text, met, words, found.median, bar.factor, bar.goal)


def _why(cell: Cell) -> str:
    if cell.cannot is not None:
        return cell.cannot
    return "failed" if cell.problem is not None else "no figure"


@dataclass(frozen=True)
class Ceiling:
    """Servers whose names begin with `own` stay at or under `most` in every round of the
    tables whose names begin with `table`."""

    table: str
    own: str
    most: float

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it needs."""
        return (self.table,)

    def sides(self, servers: Mapping[str, Server]) -> set[str]:
        """Those of ours it is for."""
        return {name for name in servers if name.startswith(self.own)}

    def judge(self, tables: Mapping[str, Table], servers: Mapping[str, Server]) -> list[Verdict]:
        """One verdict for each cell."""
        verdicts = []
        for table in tables.values():
            if not table.name.startswith(self.table):
                continue
            for name, cell in table.cells.items():
                if name.startswith(self.own):
                    verdicts.append(self._verdict(table, name, cell))
        return verdicts

    def _verdict(self, table: Table, name: str, cell: Cell) -> Verdict:
        text = f"{table.name}: {name} <= {self.most:g} {table.unit}"
        if cell.median is None:
            return Verdict(text, False, f"{name}: {_why(cell)}", None, self.most)
        most = max(cell.values)
        return Verdict(text, most <= self.most, f"{most:.2f} {table.unit}", most, self.most)


@dataclass(frozen=True)
class Complete:
    """Servers whose names begin with `own` get through `table` without a failed request."""

    table: str
    own: str

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables it needs."""
        return (self.table,)

    def sides(self, servers: Mapping[str, Server]) -> set[str]:
        """Those of ours it is for."""
        return {name for name in servers if name.startswith(self.own)}

    def judge(self, tables: Mapping[str, Table], servers: Mapping[str, Server]) -> list[Verdict]:
        """One verdict for each cell."""
        table = tables.get(self.table)
        if table is None:
            return []
        return [
            Verdict(
                f"{self.table}: {name} without a failed request",
                cell.median is not None,
                "none failed" if cell.median is not None else (cell.problem or _why(cell)),
            )
            for name, cell in table.cells.items()
            if name.startswith(self.own)
        ]


def _against_the_best() -> list[Bar]:
    """The compiled codecs on uvloop."""
    factors = {
        "http1-small": 1.4,
        "http1-10k": 1.25,
        "http1-echo-10k": 1.25,
        "tls-small": 1.25,
        "tls-10k": 1.25,
        "tls-echo-10k": 1.25,
        "http1-wait": 1.1,
        "tls-wait": 1.1,
        "http2-10k": 1.1,
        "http2-echo-10k": 1.1,
        "http2-one-stream": 1.1,
        "ws-32": 1.25,
        "ws-4k": 1.25,
        "ws-32-turns": 1.25,
        "ws-4k-turns": 1.25,
        "http1-download": 1.0,
        "http1-upload": 1.0,
        "http2-download": 1.0,
        "http2-upload": 1.0,
    }
    found: list[Bar] = [AgainstPeer(table, FAST, BEST, factor) for table, factor in factors.items()]
    found += [
        AgainstPeer("http2-small", FAST, "granian", 1.2),
        AgainstPeer("http2-small", FAST, "hypercorn-uvloop", 25.0),
        AgainstPeer("tls-handshakes", FAST, BEST_PYTHON, 1.0),
    ]
    return found


def _against_named() -> list[Bar]:
    """trio, the pure codecs, memory and start."""
    small = ("http1-small", "http2-small")
    found: list[Bar] = [AgainstPeer(table, TRIO, "hypercorn-trio", 8.0) for table in small]
    found += [
        AgainstPeer("http1-small", PURE, "uvicorn-h11", 1.25),
        AgainstPeer("http2-small", PURE, "hypercorn-uvloop", 3.0),
    ]
    for table in (
        "memory-at-start",
        "memory-idle-http1",
        "memory-idle-http1-tls",
        "memory-used-http1-tls",
        "start",
    ):
        found.append(AgainstPeer(table, FAST, "uvicorn-httptools", 1.3, at_most=True))
    found += [AgainstPeer(table, FAST, "nginx", 0.5, goal=True) for table in small]
    return found


def _growth() -> list[Bar]:
    """What must not come with more of something."""
    found: list[Bar] = []
    for loop in LOOPS:
        own = f"tricorn-{loop}"
        found.append(AgainstItself("connections-1000", "connections-64", own, 0.85))
        for streams in (10, 32, 100):
            name = f"streams-{streams}"
            found.append(AgainstItself(name, "streams-1", own, 1.15, at_most=True))
        found.append(AgainstItself("streams-100", "streams-10", own, 1.15, at_most=True))
        found.append(AgainstItself("workers-2", "workers-1", own, 1.0))
    found.append(Complete("http2-long", "tricorn-"))
    found.append(Ceiling("memory-growth-", "tricorn-", 4.0))
    return found


BASELINE_TABLES = (
    "http1-small",
    "http1-10k",
    "http1-echo-10k",
    "http2-small",
    "http2-10k",
    "http2-one-stream",
)

BASELINE_FACTOR = 0.97
"""The pure codecs against an older Tricorn: as fast, as far as a few rounds can tell."""


def _against_baseline() -> list[Bar]:
    """The pure codecs against Tricorn of another checkout, where one is given."""
    return [
        AgainstPeer(table, f"tricorn-pure-{loop}", f"baseline-{loop}", BASELINE_FACTOR)
        for table in BASELINE_TABLES
        for loop in LOOPS
    ]


BARS: tuple[Bar, ...] = (
    *_against_the_best(),
    *_against_named(),
    *_growth(),
    *_against_baseline(),
)


EVERY_PEER = ("http1-small", "tls-small", "http2-small")
"""The workloads that the README shows a column of: no peer is left out of them."""


def wanted(workload: str, servers: Mapping[str, Server]) -> set[str]:
    """The servers that the bars need in the tables that begin with the name of `workload`."""
    found: set[str] = set()
    if workload in EVERY_PEER:
        found |= {name for name, server in servers.items() if server.kind == "peer"}
    for bar in BARS:
        if any(table.startswith(workload) for table in bar.tables):
            found |= bar.sides(servers)
    return found


def judge(tables: Mapping[str, Table], servers: Mapping[str, Server]) -> list[Verdict]:
    """The bars whose tables and servers were run, in the order of the table."""
    return [verdict for bar in BARS for verdict in bar.judge(tables, servers)]


def missed(verdicts: list[Verdict]) -> bool:
    """Whether a bar that is no mere goal was missed."""
    return any(verdict.met is False and not verdict.goal for verdict in verdicts)


def render(verdicts: list[Verdict]) -> str:
    """The bars as text."""
    if not verdicts:
        return "Bars: none to judge in this run."
    lines = ["Bars"]
    for verdict in verdicts:
        word = {True: "met", False: "MISSED", None: "unknown"}[verdict.met]
        if verdict.goal and verdict.met is False:
            word = "goal"
        lines.append(f"  {word:<7}  {verdict.bar}: {verdict.found}")
    counts = [sum(verdict.met is state for verdict in verdicts) for state in (True, False, None)]
    lines.append(f"  {counts[0]} met, {counts[1]} missed, {counts[2]} not to be judged")
    return "\n".join(lines)
