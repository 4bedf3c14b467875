"""What becomes of a server's speed with more connections, more streams, more workers."""

from __future__ import annotations

from collections.abc import Sequence

from .figures import Table
from .load import H2Load, Load, Wrk
from .rounds import START_COST, TURN_COST, Entry, Plan, Shot, Workload, take_turns, turns_cost
from .servers import Running, Server

CONNECTIONS = (64, 1000)
STREAMS = (1, 10, 32, 100)


def _connections(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """Requests per second with few and with many connections, all of them in use."""

    def shot_of(connections: int) -> Shot:
        def shot(target: Running, seconds: int, rate: float | None) -> Load:
            return Wrk(connections).run(target.url("/"), seconds, plan.cores.load)

        return shot

    shots = [
        (Table(f"connections-{count}", "requests/s", True), shot_of(count)) for count in CONNECTIONS
    ]
    return take_turns(plan, servers, "http1", *shots)


def _streams(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """The server's processor time for a request, with more and more at a time.

    Time on the clock would not do: one at a time, most of it is the way to and fro.
    """

    def shot_of(streams: int) -> Shot:
        def shot(target: Running, seconds: int, rate: float | None) -> Load:
            most = target.server.most_streams
            return H2Load(1, streams).run(target.url("/"), seconds, plan.cores.load, rate, most)

        return shot

    shots = [
        (Table(f"streams-{count}", "us of processor/request", False), shot_of(count))
        for count in STREAMS
    ]
    tables = take_turns(plan, servers, "http2", *shots)
    for table in tables:
        for cell in table.cells.values():
            cell.notes["requests/s"] = cell.values
            cell.values = [1e6 * seconds for seconds in cell.notes.pop("cpu", [])]
    return tables


def _workers(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    """One worker and two, on both cores with the load."""
    both = Wrk(connections=64, threads=2)

    def shot(target: Running, seconds: int, rate: float | None) -> Load:
        return both.run(target.url("/"), seconds, plan.cores.both)

    counts = (1, 2)
    entries = [
        Entry(f"{server.name} x {count}", server, count) for server in servers for count in counts
    ]
    mixed = Table("workers", "requests/s", True)
    take_turns(plan, servers, "http1", (mixed, shot), entries=entries, cores=plan.cores.both)
    tables = []
    for count in counts:
        table = Table(f"workers-{count}", "requests/s", True)
        for server in servers:
            table.cells[server.name] = mixed.cells[f"{server.name} x {count}"]
        tables.append(table)
    return tables


def _workers_cost(plan: Plan, servers: int) -> float:
    return 2 * servers * (START_COST + 1 + TURN_COST + plan.rounds * (plan.seconds + TURN_COST))


WORKLOADS = (
    Workload(
        "connections",
        "small GET over HTTP/1.1, 64 connections and 1,000",
        ("http1",),
        "wrk",
        _connections,
        turns_cost(len(CONNECTIONS)),
        application=False,
    ),
    Workload(
        "streams",
        "processor time for a small GET over HTTP/2, 1 to 100 streams on one connection",
        ("http2",),
        "h2load",
        _streams,
        turns_cost(len(STREAMS)),
        application=False,
    ),
    Workload(
        "workers",
        "small GET over HTTP/1.1, one worker and two, on the load's two cores",
        ("http1",),
        "wrk",
        _workers,
        _workers_cost,
        only_own=True,
    ),
)
