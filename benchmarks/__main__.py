"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from . import load, processes, report
from .report import Table
from .servers import ROOT, SERVERS, Server
from .workloads import WORKLOADS, Plan, Workload

RESULTS = ROOT / "benchmarks" / "results"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Tricorn and the installed peers side by side in one run.",
        epilog="Exit status: 0 done, 1 a bar was missed, 2 wrong usage.",
    )
    parser.add_argument("--servers", metavar="A,B", help="default: every installed one")
    parser.add_argument("--workloads", metavar="A,B", help="default: all")
    parser.add_argument("--rounds", type=_count, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=_count, default=3, help="per round; default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: by date in results/")
    parser.add_argument("--list", action="store_true", help="list servers and workloads")
    options = parser.parse_args(arguments)
    options.servers = _chosen(parser, options.servers, SERVERS)
    options.workloads = _chosen(parser, options.workloads, WORKLOADS)
    return options


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 100:
        raise argparse.ArgumentTypeError("from 1 to 100")
    return number


def _chosen(
    parser: argparse.ArgumentParser, text: str | None, known: dict[str, Any]
) -> list[str] | None:
    """The names in `text`, each known; None for no choice."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            parser.error(f"unknown: {name} (known: {', '.join(known)})")
    return names


def choose_servers(names: list[str] | None) -> list[Server]:
    """The servers to run. One that was named and cannot be run ends the command."""
    servers = []
    for server in SERVERS.values():
        if names is not None and server.name not in names:
            continue
        problem = server.missing()
        if problem is None:
            servers.append(server)
        elif names is not None:
            raise SystemExit(f"{server.name}: {problem}")
        else:
            print(f"{server.name} left out: {problem}", file=sys.stderr)
    return servers


def choose_workloads(names: list[str] | None) -> list[Workload]:
    """The workloads to run. One that was named and cannot be run ends the command."""
    workloads = []
    for workload in WORKLOADS.values():
        if names is not None and workload.name not in names:
            continue
        problem = load.missing(workload.generator) if workload.generator else None
        if problem is None:
            workloads.append(workload)
        elif names is not None:
            raise SystemExit(f"{workload.name}: {problem}")
        else:
            print(f"{workload.name} left out: {problem}", file=sys.stderr)
    return workloads


def describe_machine(plan: Plan, servers: Sequence[Server]) -> dict[str, Any]:
    """What a figure's reader must know about where it comes from."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": {"server": plan.cores.server, "load": plan.cores.load},
        "load_average_before": os.getloadavg()[0],
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "versions": {server.distribution: server.version() for server in servers},
    }


def list_all() -> None:
    """Print the servers and the workloads."""
    print("Servers")
    for server in SERVERS.values():
        problem = server.missing()
        state = f"({problem})" if problem else server.version()
        print(f"  {server.name:<18} {', '.join(sorted(server.wires)):<20} {state}")
    print("Workloads")
    for workload in WORKLOADS.values():
        print(f"  {workload.name:<18} {workload.about}")


def run(plan: Plan, servers: Sequence[Server], workloads: Sequence[Workload]) -> dict[str, Table]:
    """Run everything; the tables by name, printed as they are done."""
    tables: dict[str, Table] = {}
    for workload in workloads:
        able = [server for server in servers if server.wires.intersection(workload.wires)]
        if not able:
            plan.say(f"{workload.name}: no server here speaks {' or '.join(workload.wires)}")
            continue
        plan.say(f"{workload.name}: {workload.about}")
        for table in workload.run(plan, able):
            tables[table.name] = table
            print(report.render(table), end="\n\n", flush=True)
    return tables


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind on SIGTERM as on SIGINT, so that the servers are ended."""
    raise SystemExit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parse(arguments)
    if options.list:
        list_all()
        return 0
    signal.signal(signal.SIGTERM, _terminate)
    servers = choose_servers(options.servers)
    workloads = choose_workloads(options.workloads)
    cores = processes.choose_cores()
    if not cores.apart:
        print("Only one core: server and load share it; the ratios say little.", file=sys.stderr)
    os.sched_setaffinity(0, {cores.load})

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    plan = Plan(options.rounds, options.seconds, cores, say)
    meta = describe_machine(plan, servers)
    tables = run(plan, servers, workloads)
    verdicts = report.judge(tables)
    print(report.render_verdicts(verdicts))
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = options.json or RESULTS / f"{stamp}.json"
    report.write_json(path, report.as_json(meta, tables, verdicts))
    print(f"Written to {path}")
    return 1 if any(verdict.met is False for verdict in verdicts) else 0


if __name__ == "__main__":
    raise SystemExit(main())
