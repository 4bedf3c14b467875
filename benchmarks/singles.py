"""Workloads that are not requests per second: memory, time to the first answer, a stuck stream."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from . import memory, processes, stuck
from .figures import Cell, Table
from .rounds import FAILURES, START_COST, Entry, Plan, Workload, alone, last, together
from .servers import Running, Server, Wire, running

MEMORY_WIRES: tuple[Wire, ...] = ("http1", "h2c")

IDLE: tuple[tuple[Wire, bool], ...] = (
    *((wire, False) for wire in MEMORY_WIRES),
    ("http1-tls", False),
    ("http1-tls", True),
)
"""Connections that wait, and whether large bodies went over them before."""

START_PAUSE = 0.002
"""Seconds between two tries to be the first to be answered."""

START_ROUNDS = 5
"""Starts of each server, at least: it is over in a second, and the disk has its moods."""

_UNITS = {"growth": "MiB/connection", "idle": "KiB/connection", "start": "MiB"}


def _growth(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """Growth per transfer. One round: size does not depend on luck."""
    tables = []
    for wire in MEMORY_WIRES:
        for case in memory.CASES:
            table = Table(f"memory-growth-{wire}-{case.name}", _UNITS["growth"], False)
            tables.append(table)
            for server in servers:
                measure = partial(memory.growth, wire=wire, case=case)
                alone(plan, server, table, wire, measure)
    return tables


def _idle(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """Size at the start, and of connections that wait."""
    tables = []
    for wire, used in IDLE:
        table = Table(f"memory-{'used' if used else 'idle'}-{wire}", _UNITS["idle"], False)
        tables.append(table)
        for server in servers:
            size = partial(memory.per_idle_connection, wire=wire, used=used)
            alone(plan, server, table, wire, size)
    once = "what processes share counted once"
    for table, measure in (
        (Table("memory-at-start", _UNITS["start"], False, "processes added up"), memory.at_start),
        (
            Table("memory-at-start-shared-once", _UNITS["start"], False, once),
            memory.at_start_shared_once,
        ),
    ):
        tables.append(table)
        for server in servers:
            alone(plan, server, table, "http1", measure)
    return tables


def first_answer(server: Server, cores: str) -> float:
    """Seconds from the command to the first answer. Raises `ServerError`."""
    with running(server, cores, "http1", None, pause=START_PAUSE) as target:
        return target.took


def _start(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """Time from the command to the first answer, by turns. The first round is not counted."""
    table = Table("start", "ms", False, "time from the command to the first answer")
    table.cells.update({server.name: Cell() for server in servers})
    for number in range(_start_rounds(plan) + 1):
        for server in servers:
            cell = table.cells[server.name]
            if not cell.running:
                continue
            try:
                took = first_answer(server, str(plan.cores.server))
            except FAILURES as error:
                cell.problem = str(error)
            else:
                if number:
                    cell.values.append(1000 * took)
            plan.say(f"  {table.name} {server.name}: {last(cell)}")
    return [table]


def _start_rounds(plan: Plan) -> int:
    return 2 if plan.quick else max(START_ROUNDS, plan.rounds)


def _stuck(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """The uploads without and with the stuck stream, by turns."""
    free = Table("http2-uploads", "seconds", False, "64 uploads of 512 KiB on one connection")
    beside = Table("http2-uploads-beside-stuck", "seconds", False, "beside a stream nobody reads")
    cost = Table("http2-stuck-cost", "x without", False, "the one over the other")
    entries = [Entry(server.name, server) for server in servers]
    with together(plan, entries, "http2", free.cells, str(plan.cores.server)) as up:
        for name, cell in free.cells.items():
            beside.cells[name] = Cell(problem=cell.problem, cannot=cell.cannot)
        for number in range(plan.rounds + 1):
            for name, target in up.items():
                for table in (free, beside):
                    _upload_round(plan, table, name, target, counted=number > 0)
    for name, cell in beside.cells.items():
        other = free.cells[name]
        cost.cells[name] = Cell(problem=other.problem or cell.problem, cannot=cell.cannot)
        cost.cells[name].values += [
            stuck_time / time for stuck_time, time in zip(cell.values, other.values, strict=False)
        ]
    return [free, beside, cost]


def _upload_round(plan: Plan, table: Table, name: str, target: Running, *, counted: bool) -> None:
    cell = table.cells[name]
    if not cell.running:
        return
    try:
        took = stuck.uploads(target, stuck=table.name == "http2-uploads-beside-stuck")
    except FAILURES as error:
        cell.problem = f"{type(error).__name__}: {error}"
    else:
        if counted:
            cell.values.append(took)
    plan.say(f"  {table.name} {name}: {last(cell)}")
    processes.settle(target.pid)


def _growth_cost(plan: Plan, servers: int) -> float:
    return servers * len(MEMORY_WIRES) * len(memory.CASES) * (START_COST + 3.0)


def _idle_cost(plan: Plan, servers: int) -> float:
    return servers * (2 + len(IDLE)) * (START_COST + 1.5)


def _start_cost(plan: Plan, servers: int) -> float:
    return servers * (_start_rounds(plan) + 1) * START_COST


def _stuck_cost(plan: Plan, servers: int) -> float:
    return servers * (START_COST + 2.0 * 2 * (plan.rounds + 1))


WORKLOADS = (
    Workload(
        "start",
        "time from the command to the first answer",
        ("http1",),
        None,
        _start,
        _start_cost,
    ),
    Workload(
        "memory",
        "resident size at the start, and of idle connections",
        (*MEMORY_WIRES, "http1-tls"),
        None,
        _idle,
        _idle_cost,
    ),
    Workload(
        "memory-growth",
        "growth in transfers that slow peers and slow applications hold up",
        MEMORY_WIRES,
        None,
        _growth,
        _growth_cost,
    ),
    Workload(
        "http2-stuck-upload",
        "64 uploads on one connection beside a stream nobody reads",
        ("http2",),
        None,
        _stuck,
        _stuck_cost,
    ),
)
