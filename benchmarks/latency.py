"""Latency at a fixed rate that every server can keep: half the best of the slowest peer.

At its own best rate every server is a queue, and its latency is the length of that queue.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import generator, processes
from .figures import Cell, Table
from .load import H2Load, Load, LoadError, Wrk
from .rounds import START_COST, TURN_COST, Entry, Plan, Workload, last, together
from .servers import Running, Server, Wire

CONNECTIONS = 64
H2_CONNECTIONS = 8
H2_STREAMS = 32
SHARE = 0.5
CALIBRATION_SECONDS = 1

Calibrate = Callable[[Running], Load]
Measure = Callable[[Running, int, float], Load]


def _measure(
    plan: Plan,
    servers: Sequence[Server],
    name: str,
    wire: Wire,
    calibrate: Calibrate,
    measure: Measure,
) -> list[Table]:
    """Find the rate, then take turns at it."""
    half = Table(f"{name}-p50", "ms", False)
    tail = Table(f"{name}-p99", "ms", False)
    entries = [Entry(server.name, server) for server in servers]
    with together(plan, entries, wire, half.cells, str(plan.cores.server)) as up:
        rates = _calibrate(plan, half, up, calibrate)
        kinds = {server.name: server.kind for server in servers}
        slowest = [rate for at, rate in rates.items() if kinds[at] == "peer"] or [*rates.values()]
        tail.cells.update(
            {at: Cell(problem=cell.problem, cannot=cell.cannot) for at, cell in half.cells.items()}
        )
        if slowest:
            rate = max(1.0, round(SHARE * min(slowest)))
            half.about = tail.about = f"at {rate:,.0f} requests/s"
            plan.say(f"  {name}: {half.about}")
            for number in range(plan.rounds):
                for at, target in up.items():
                    _turn(plan, number, half.cells[at], tail.cells[at], target, rate, measure)
                    plan.say(f"  {name} round {number + 1} {at}: {last(half.cells[at])}")
                    processes.settle(target.pid)
    return [half, tail]


def _calibrate(
    plan: Plan, table: Table, up: dict[str, Running], calibrate: Calibrate
) -> dict[str, float]:
    """The rate of each server at its best; those that fail get the problem."""
    rates = {}
    for name, target in up.items():
        try:
            found = calibrate(target)
        except LoadError as error:
            table.cells[name].problem = str(error)
            continue
        table.cells[name].problem = found.problem
        if found.problem is None:
            rates[name] = found.requests_per_second
        plan.say(f"  {table.name} best of {name}: {found.requests_per_second:,.0f} requests/s")
        processes.settle(target.pid)
    return rates


def _turn(
    plan: Plan,
    number: int,
    half: Cell,
    tail: Cell,
    target: Running,
    rate: float,
    measure: Measure,
) -> None:
    if not half.running:
        return
    try:
        found = measure(target, plan.seconds, rate)
    except LoadError as error:
        half.problem = tail.problem = str(error)
        return
    half.problem = tail.problem = found.problem
    if found.latency_median is not None and found.latency_99 is not None:
        half.values.append(1000 * found.latency_median)
        tail.values.append(1000 * found.latency_99)


def _http1(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    core = plan.cores.load

    def calibrate(target: Running) -> Load:
        return Wrk(CONNECTIONS).run(target.url("/"), CALIBRATION_SECONDS, core)

    def measure(target: Running, seconds: int, rate: float) -> Load:
        return generator.fixed_rate(
            target.port, connections=CONNECTIONS, rate=int(rate), seconds=seconds, core=core
        )

    return _measure(plan, servers, "latency-http1", "http1", calibrate, measure)


def _http2(plan: Plan, servers: Sequence[Server]) -> list[Table]:
    core = plan.cores.load
    h2load = H2Load(H2_CONNECTIONS, H2_STREAMS)
    with tempfile.TemporaryDirectory(prefix="tricorn-benchmarks-") as folder:
        log = Path(folder) / "requests.log"

        def calibrate(target: Running) -> Load:
            most = target.server.most_streams
            return h2load.run(target.url("/"), CALIBRATION_SECONDS, core, None, most)

        def measure(target: Running, seconds: int, rate: float) -> Load:
            return h2load.fixed_rate(target.url("/"), rate, seconds, core, log)

        return _measure(plan, servers, "latency-http2", "http2", calibrate, measure)


def _cost(plan: Plan, servers: int) -> float:
    turns = plan.rounds * (plan.seconds + TURN_COST)
    return servers * (START_COST + CALIBRATION_SECONDS + TURN_COST + turns)


WORKLOADS = (
    Workload(
        "latency-http1",
        "p50 and p99 of a small GET at half the slowest peer's best, 64 connections",
        ("http1",),
        "cc",
        _http1,
        _cost,
        application=False,
    ),
    Workload(
        "latency-http2",
        "p50 and p99 of a small GET over TLS at half the slowest peer's best, 8 connections",
        ("http2",),
        "h2load",
        _http2,
        _cost,
        application=False,
    ),
)
