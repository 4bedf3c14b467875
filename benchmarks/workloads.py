"""What is measured, and in which order the servers take turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from . import load, memory, processes, stuck
from .clients import ClientError
from .load import Load, LoadError
from .report import Cell, Table
from .servers import Certificate, Running, Server, ServerError, Wire, certificates, running

WARM_UP_SECONDS = 1

FAILURES = (ServerError, LoadError, ClientError, OSError)
"""What ends one server's part in a table; everything else ends the run."""


@dataclass(frozen=True)
class Plan:
    """How long and where. `rounds` of `seconds` each; `say` prints progress."""

    rounds: int
    seconds: int
    cores: processes.Cores
    say: Callable[[str], None]


@dataclass(frozen=True)
class Workload:
    """A name for ``--workloads``, what it needs, and how it is run."""

    name: str
    about: str
    wires: tuple[Wire, ...]
    generator: str | None
    run: Callable[[Plan, Sequence[Server]], list[Table]]


Shot = Callable[[Running, int, float | None], Load]
"""One round of load against one server: seconds, and the rate the first round found."""


@contextmanager
def _certificate(wire: Wire) -> Iterator[Certificate | None]:
    if wire != "h2-tls":
        yield None
        return
    with certificates() as issued:
        yield issued


@contextmanager
def _together(
    plan: Plan, servers: Iterable[Server], wire: Wire, cells: dict[str, Cell]
) -> Iterator[dict[str, Running]]:
    """Those of `servers` that come up, all at once; the others get a cell with the problem."""
    with ExitStack() as stack:
        certificate = stack.enter_context(_certificate(wire))
        up: dict[str, Running] = {}
        for server in servers:
            cells[server.name] = Cell()
            try:
                context = running(server, plan.cores.server, certificate)
                up[server.name] = stack.enter_context(context)
            except ServerError as error:
                cells[server.name].problem = str(error)
                plan.say(f"  {error}")
        yield up


def _load(plan: Plan, servers: Sequence[Server], table: Table, wire: Wire, shot: Shot) -> Table:
    """Rounds of load: in each, every server has its turn. The first round is not counted."""
    rates: dict[str, float] = {}
    with _together(plan, servers, wire, table.cells) as up:
        for number in range(plan.rounds + 1):
            for name, target in up.items():
                cell = table.cells[name]
                if cell.problem is not None:
                    continue
                try:
                    seconds = plan.seconds if number else WARM_UP_SECONDS
                    found = shot(target, seconds, rates.get(name))
                except LoadError as error:
                    cell.problem = str(error)
                else:
                    cell.problem = found.problem
                    rates.setdefault(name, found.requests_per_second)
                    if number:
                        _keep(cell, found)
                plan.say(f"  {table.name} round {number} {name}: {_last(cell)}")
                processes.settle(target.pid)
    return table


def _keep(cell: Cell, found: Load) -> None:
    cell.values.append(found.requests_per_second)
    for note, value in (("p50", found.latency_median), ("p99", found.latency_99)):
        if value is not None:
            cell.notes.setdefault(note, []).append(value)


def _last(cell: Cell) -> str:
    if cell.problem is not None:
        return cell.problem
    return f"{cell.values[-1]:,.2f}" if cell.values else "warm"


def _http1(
    name: str, about: str, path: str, post: int = 0, wire: Literal["http1", "wsgi"] = "http1"
) -> Workload:
    """HTTP/1.1 in the clear by wrk: 64 connections, kept alive."""

    def run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
        with tempfile.TemporaryDirectory(prefix="tricorn-benchmarks-") as folder:
            script = load.post_script(Path(folder), post) if post else None

            def shot(target: Running, seconds: int, rate: float | None) -> Load:
                return load.run_wrk(
                    target.url(path),
                    connections=64,
                    seconds=seconds,
                    core=plan.cores.load,
                    script=script,
                )

            table = Table(name, "requests/s", higher_is_better=True)
            return [_load(plan, servers, table, wire, shot)]

    return Workload(name, about, (wire,), "wrk", run)


def _http2(name: str, about: str, path: str, connections: int, streams: int) -> Workload:
    """HTTP/2 over TLS by h2load: `connections` with `streams` requests at a time each."""

    def run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
        def shot(target: Running, seconds: int, rate: float | None) -> Load:
            return load.run_h2load(
                target.url(path),
                connections=connections,
                streams=streams,
                seconds=seconds,
                rate=rate,
                core=plan.cores.load,
            )

        table = Table(name, "requests/s", higher_is_better=True)
        return [_load(plan, servers, table, "h2-tls", shot)]

    return Workload(name, about, ("h2-tls",), "h2load", run)


def _alone(plan: Plan, server: Server, table: Table, measure: Callable[[Running], float]) -> None:
    """One figure from a server started for it."""
    cell = table.cells.setdefault(server.name, Cell())
    try:
        with running(server, plan.cores.server, None) as target:
            cell.values.append(measure(target))
    except FAILURES as error:
        cell.problem = f"{type(error).__name__}: {error}"
    plan.say(f"  {table.name} {server.name}: {_last(cell)}")


MEMORY_WIRES: tuple[Wire, ...] = ("http1", "h2c")


def _memory(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """Growth per transfer, then the idle sizes. One round: size does not depend on luck."""
    tables = []
    for wire in MEMORY_WIRES:
        able = [server for server in servers if wire in server.wires]
        for case in memory.CASES:
            table = Table(f"memory-growth-{wire}-{case.name}", "MiB/connection", False)
            tables.append(table)
            for server in able:
                _alone(plan, server, table, partial(memory.growth, wire=wire, case=case))
        table = Table(f"memory-idle-{wire}", "KiB/connection", False)
        tables.append(table)
        for server in able:
            _alone(plan, server, table, partial(memory.per_idle_connection, wire=wire))
    table = Table("memory-at-start", "MiB", False)
    for server in servers:
        _alone(plan, server, table, memory.at_start)
    return [*tables, table]


def _stuck(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """The uploads without and with the stuck stream, by turns."""
    free = Table("h2-uploads", "seconds", False)
    beside = Table("h2-stuck-upload", "seconds", False)
    cost = Table("h2-stuck-upload-cost", "x without", False)
    with _together(plan, servers, "h2c", beside.cells) as up:
        free.cells.update({name: Cell(problem=cell.problem) for name, cell in beside.cells.items()})
        for number in range(plan.rounds + 1):
            for name, target in up.items():
                for table in (free, beside):
                    _upload_round(plan, table, name, target, counted=number > 0)
    for name, cell in beside.cells.items():
        other = free.cells[name]
        cost.cells[name] = Cell(problem=other.problem or cell.problem)
        cost.cells[name].values += [
            stuck_time / time for stuck_time, time in zip(cell.values, other.values, strict=False)
        ]
    return [free, beside, cost]


def _upload_round(plan: Plan, table: Table, name: str, target: Running, *, counted: bool) -> None:
    cell = table.cells[name]
    if cell.problem is not None:
        return
    try:
        took = stuck.uploads(target.port, stuck=table.name == "h2-stuck-upload")
    except FAILURES as error:
        cell.problem = f"{type(error).__name__}: {error}"
    else:
        if counted:
            cell.values.append(took)
    plan.say(f"  {table.name} {name}: {_last(cell)}")
    processes.settle(target.pid)


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        _http1("http1-small", "GET of 13 bytes, 64 connections", "/"),
        _http1("http1-10k", "GET of 10 KiB, 64 connections", "/10k"),
        _http1("http1-echo-10k", "POST of 10 KiB and back, 64 connections", "/echo", 10_240),
        _http2("http2-small", "GET of 13 bytes over TLS, 8 connections x 32 streams", "/", 8, 32),
        _http2("http2-10k", "GET of 10 KiB over TLS, 8 connections x 32 streams", "/10k", 8, 32),
        _http2("http2-one-stream", "GET of 13 bytes over TLS, one at a time", "/", 1, 1),
        _http1("wsgi-small", "GET of 13 bytes by WSGI, 64 connections", "/", 0, "wsgi"),
        _http1("wsgi-10k", "GET of 10 KiB by WSGI, 64 connections", "/10k", 0, "wsgi"),
        _http1(
            "wsgi-echo-10k",
            "POST of 10 KiB and back by WSGI, 64 connections",
            "/echo",
            10_240,
            "wsgi",
        ),
        Workload(
            "memory",
            "growth in transfers slow peers and slow applications hold up; idle sizes",
            MEMORY_WIRES,
            None,
            _memory,
        ),
        Workload(
            "h2-stuck-upload",
            "64 uploads on one connection beside a stream nobody reads",
            ("h2c",),
            None,
            _stuck,
        ),
    )
}
