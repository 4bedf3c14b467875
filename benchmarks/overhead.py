"""What a server takes for a request, over what its codec takes for it in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence

from . import generator
from .figures import Cell, Table
from .load import H2Load, Load, LoadError, Wrk, run
from .rounds import Plan, Workload, take_turns, turns_cost
from .servers import Running, Server, Wire

FLOOR_SECONDS = 30.0
"""Longest time the codecs are driven in memory; it is a few."""

PURE = {"http1": "h11", "http2": "h2", "websocket": "wsproto"}

Floors = dict[str, dict[str, dict[str, float]]]
"""Microseconds by slot, codec and part (see ``floor.py``), the fastest codec of a slot first."""


def floors(core: int) -> Floors:
    """The codecs driven in memory in a process of its own. Raises `LoadError`."""
    output, _ = run([sys.executable, "-m", "benchmarks.floor"], FLOOR_SECONDS, core)
    try:
        found: Floors = json.loads(output)
    except ValueError as error:
        raise LoadError(f"the codecs in memory: {output}") from error
    return found


def codec_of(server: str, slot: str, found: Floors) -> str:
    """The codec one of our servers uses in a slot."""
    pure = "pure" in server or server.startswith("baseline")
    return PURE[slot] if pure else next(iter(found[slot]))


def _shots(plan: Plan) -> dict[str, tuple[Wire, Callable[[Running, int, float | None], Load]]]:
    core = plan.cores.load

    def http1(target: Running, seconds: int, rate: float | None) -> Load:
        return Wrk(64).run(target.url("/"), seconds, core)

    def http2(target: Running, seconds: int, rate: float | None) -> Load:
        return H2Load(8, 32).run(target.url("/"), seconds, core, rate)

    def websocket(target: Running, seconds: int, rate: float | None) -> Load:
        return generator.websocket(
            target.port, connections=8, depth=16, size=32, seconds=seconds, core=core
        )

    return {
        "http1": ("http1", http1),
        "http2": ("http2", http2),
        "websocket": ("websocket", websocket),
    }


def _run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """For each slot: the server's processor time, the codec's in memory, and the ratio."""
    found: Floors = {}
    problem = None
    try:
        found = floors(plan.cores.server)
    except LoadError as error:
        problem = str(error)
        plan.say(f"  {problem}")
    tables = []
    for slot, (wire, shot) in _shots(plan).items():
        spent = Table(f"processor-{slot}", "us/exchange", False, "the server, all in all")
        take_turns(plan, servers, wire, (spent, shot))
        for cell in spent.cells.values():
            cell.values = [1e6 * seconds for seconds in cell.notes.pop("cpu", [])]
        tables.append(spent)
        tables += ratios(slot, spent, found, problem)
    return tables


def ratios(slot: str, spent: Table, found: Floors, problem: str | None) -> list[Table]:
    """Tables of the parts in memory, and of the server's time over the codec's."""
    parts = sorted({part for costs in found.get(slot, {}).values() for part in costs})
    tables = [
        Table(f"in-memory-{slot}-{part}", "us/exchange", False, "no socket, no application")
        for part in parts
    ]
    ratios = Table(f"overhead-{slot}", "x codec", False, "the server's time over the codec's")
    for name, cell in spent.cells.items():
        ratios.cells[name] = Cell(problem=problem or cell.problem, cannot=cell.cannot)
        if problem is not None:
            continue
        costs = found[slot].get(codec_of(name, slot, found), {})
        for table, part in zip(tables, parts, strict=True):
            table.cells[name] = Cell([costs[part]] if part in costs else [])
        if "codec" in costs:
            ratios.cells[name].values = [value / costs["codec"] for value in cell.values]
    return [*tables, ratios]


def _cost(plan: Plan, servers: int) -> float:
    return 5.0 + 3 * turns_cost()(plan, servers)


WORKLOAD = Workload(
    "overhead",
    "processor time of an exchange, over that of the codec driven in memory",
    ("http1",),
    "h2load",
    _run,
    _cost,
    only_own=True,
)
