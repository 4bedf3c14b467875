"""How servers take turns: all of a workload are up at once, and each has one turn per round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from . import processes
from .clients import ClientError
from .figures import Cell, Table
from .load import Load, LoadError
from .servers import Interface, Running, Server, ServerError, Wire, certificate_for, running

WARM_UP_SECONDS = 1

FAILURES = (ServerError, LoadError, ClientError, OSError)
"""What ends one server's part in a table; everything else ends the run."""

START_COST = 1.5
"""Seconds that starting and ending one server takes, for the estimate."""

TURN_COST = 0.4
"""Seconds between two turns, for the estimate."""


@dataclass(frozen=True)
class Plan:
    """How long and where. `rounds` of `seconds` each; `say` prints progress.

    `quick` makes what is not measured in rounds smaller.
    """

    rounds: int
    seconds: int
    cores: processes.Cores
    say: Callable[[str], None]
    quick: bool = False


@dataclass(frozen=True)
class Workload:
    """A name for ``--workloads``, what it needs, and how it is run.

    `application`: a server of files has no part in it. `only_own`: neither have the peers.
    `cost` estimates the seconds it takes for a number of servers.
    """

    name: str
    about: str
    wires: tuple[Wire, ...]
    generator: str | None
    run: Callable[[Plan, Sequence[Server]], list[Table]]
    cost: Callable[[Plan, int], float]
    application: bool = True
    only_own: bool = False
    interface: Interface = "asgi"

    def takes(self, server: Server) -> bool:
        """Whether `server` belongs in its tables at all."""
        if self.only_own and server.kind != "own":
            return False
        if server.interface == "static":
            return self.interface == "asgi" and not self.application
        return server.interface == self.interface


Shot = Callable[[Running, int, float | None], Load]
"""One round of load against one server: seconds, and the rate the first round found."""


@dataclass(frozen=True)
class Entry:
    """One server of a workload, under a name of its own where it has a part twice."""

    name: str
    server: Server
    workers: int = 1


def turns_cost(shots: int = 1) -> Callable[[Plan, int], float]:
    """What `take_turns` with so many shots costs."""

    def cost(plan: Plan, servers: int) -> float:
        turn = plan.seconds + TURN_COST
        return servers * (START_COST + shots * (plan.rounds * turn + WARM_UP_SECONDS + TURN_COST))

    return cost


@contextmanager
def together(
    plan: Plan, entries: Iterable[Entry], wire: Wire, cells: dict[str, Cell], cores: str
) -> Iterator[dict[str, Running]]:
    """Those of `entries` that come up, all at once; the others get a cell with the reason."""
    with ExitStack() as stack:
        certificate = stack.enter_context(certificate_for(wire))
        up: dict[str, Running] = {}
        for entry in entries:
            cell = cells.setdefault(entry.name, Cell())
            cell.cannot = entry.server.cannot((wire,), application=False)
            if cell.cannot is not None:
                continue
            try:
                context = running(entry.server, cores, wire, certificate, entry.workers)
                up[entry.name] = stack.enter_context(context)
            except ServerError as error:
                cell.problem = str(error)
                plan.say(f"  {error}")
        yield up


def take_turns(
    plan: Plan,
    servers: Sequence[Server],
    wire: Wire,
    *shots: tuple[Table, Shot],
    entries: Sequence[Entry] = (),
    cores: str | None = None,
) -> list[Table]:
    """Rounds of load: in each, every server has its turn at each shot.

    The first round is not counted. `entries` in place of `servers` for names of their own.
    """
    tables = [table for table, _ in shots]
    taking = entries or [Entry(server.name, server) for server in servers]
    first = tables[0].cells
    rates: dict[tuple[str, str], float] = {}
    pinned = cores or str(plan.cores.server)
    with together(plan, taking, wire, first, pinned) as up:
        for table in tables[1:]:
            for name, cell in first.items():
                table.cells[name] = Cell(problem=cell.problem, cannot=cell.cannot)
        for number in range(plan.rounds + 1):
            for name, target in up.items():
                for table, shot in shots:
                    key = (table.name, name)
                    rate = rates.get(key)
                    found = _turn(plan, table, name, target, shot, rate, number)
                    if found is not None:
                        rates.setdefault(key, found.requests_per_second)
    return tables


def _turn(
    plan: Plan,
    table: Table,
    name: str,
    target: Running,
    shot: Shot,
    rate: float | None,
    number: int,
) -> Load | None:
    """One server's turn at one shot; None where there was none, or it failed."""
    cell = table.cells[name]
    if not cell.running:
        return None
    found = None
    ticks, began = processes.cpu_ticks(target.pid), time.monotonic()
    try:
        found = shot(target, plan.seconds if number else WARM_UP_SECONDS, rate)
    except LoadError as error:
        cell.problem = str(error)
    else:
        cell.problem = found.problem
        used = (processes.cpu_ticks(target.pid) - ticks) / processes.TICKS_PER_SECOND
        if number and cell.problem is None:
            keep(cell, found, used, time.monotonic() - began)
    plan.say(f"  {table.name} round {number} {name}: {last(cell)}")
    processes.settle(target.pid)
    return found if cell.problem is None else None


def keep(cell: Cell, found: Load, used: float, elapsed: float) -> None:
    """Add a round that took `elapsed` seconds, `used` of them the server's processor's."""
    cell.values.append(found.requests_per_second)
    cell.note("p50", found.latency_median)
    cell.note("p99", found.latency_99)
    cell.note("load busy", found.busy)
    cell.note("server busy", used / elapsed)
    if found.requests:
        cell.note("cpu", used / found.requests)


def last(cell: Cell) -> str:
    """A cell's newest round in words."""
    if cell.cannot is not None:
        return cell.cannot
    if cell.problem is not None:
        return cell.problem
    return f"{cell.values[-1]:,.2f}" if cell.values else "warm"


def alone(
    plan: Plan, server: Server, table: Table, wire: Wire, measure: Callable[[Running], float]
) -> None:
    """One figure from a server started for it."""
    cell = table.cells.setdefault(server.name, Cell())
    cell.cannot = server.cannot((wire,), application=False)
    if cell.cannot is None:
        try:
            with (
                certificate_for(wire) as certificate,
                running(server, str(plan.cores.server), wire, certificate) as target,
            ):
                cell.values.append(measure(target))
        except FAILURES as error:
            cell.problem = f"{type(error).__name__}: {error}"
    plan.say(f"  {table.name} {server.name}: {last(cell)}")
