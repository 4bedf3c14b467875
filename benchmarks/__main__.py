"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import resource
import signal
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from . import bars, checkout, page, picture, processes, report
from .figures import Cell, Table
from .fleet import SERVERS, baseline
from .rounds import Plan, Workload
from .servers import ROOT, Server
from .workloads import WORKLOADS, missing

RESULTS = ROOT / "benchmarks" / "results"
MOST_FILES = 16_384
"""Open files asked of the system: a thousand connections need as many."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        allow_abbrev=False,
        description="Measure Tricorn and the installed peers side by side in one run.",
        epilog="Exit status: 0 done, 1 a bar was missed and --check given, 2 wrong usage.",
    )
    parser.add_argument("--servers", metavar="A,B", help="default: every installed one")
    parser.add_argument("--workloads", metavar="A,B", help="default: all")
    parser.add_argument("--rounds", type=_count, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=_count, default=3, help="per round; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one round of one second, to try it")
    parser.add_argument("--bars", action="store_true", help="only what the bars need")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar was missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="default: by date in results/")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the tables")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the figures in a page")
    parser.add_argument(
        "--baseline", type=Path, metavar="DIR", help="another checkout of Tricorn to compare with"
    )
    parser.add_argument("--redraw", type=Path, metavar="FILE", help="an earlier JSON, no new run")
    parser.add_argument("--list", action="store_true", help="list servers and workloads")
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds = options.seconds = 1
    if options.baseline is not None:
        if not (options.baseline / "src" / "tricorn").is_dir():
            parser.error(f"{options.baseline}: no checkout of Tricorn")
        SERVERS.update({server.name: server for server in baseline(options.baseline)})
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


def choose_servers(names: list[str] | None) -> tuple[list[Server], dict[str, str]]:
    """The servers to run, and why others are not. One that was named must be there."""
    servers, absent = [], {}
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
            absent[server.name] = problem
    return servers, absent


def choose_workloads(names: list[str] | None) -> list[Workload]:
    """The workloads to run. One that was named and cannot be run ends the command."""
    workloads = []
    for workload in WORKLOADS.values():
        if names is not None and workload.name not in names:
            continue
        problem = missing(workload)
        if problem is None:
            workloads.append(workload)
        elif names is not None:
            raise SystemExit(f"{workload.name}: {problem}")
        else:
            print(f"{workload.name} left out: {problem}", file=sys.stderr)
    return workloads


def able(
    workload: Workload, servers: Iterable[Server], *, only_bars: bool = False
) -> tuple[list[Server], dict[str, str]]:
    """The servers with a part in `workload`, and why others of its kind have none.

    `only_bars`: none but those that a bar of the workload needs.
    """
    found, reasons = [], {}
    wanted = bars.wanted(workload.name, SERVERS)
    for server in servers:
        if not workload.takes(server) or (only_bars and server.name not in wanted):
            continue
        reason = server.cannot(workload.wires, application=workload.application)
        if reason is None:
            found.append(server)
        else:
            reasons[server.name] = reason
    return found, reasons


Parts = list[tuple[Workload, list[Server], dict[str, str]]]
"""The workloads, each with the servers that take part and why others cannot."""


def share_out(
    servers: Sequence[Server], workloads: Sequence[Workload], *, only_bars: bool
) -> Parts:
    """Who takes part in what; workloads without anyone are left out."""
    parts = [(workload, *able(workload, servers, only_bars=only_bars)) for workload in workloads]
    return [part for part in parts if part[1]]


def estimate(plan: Plan, parts: Parts) -> float:
    """Seconds the run will take, roughly."""
    return sum(workload.cost(plan, len(taking)) for workload, taking, _ in parts)


def describe_machine(
    plan: Plan, servers: Sequence[Server], absent: dict[str, str], older: Path | None = None
) -> dict[str, Any]:
    """What a figure's reader must know about where it comes from; `older` is the baseline."""
    import ssl

    from tricorn import compilation
    from tricorn.codecs import choice

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "python_build": " ".join([*platform.python_build(), platform.python_compiler()]),
        "openssl": ssl.OPENSSL_VERSION,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": {"server": plan.cores.server, "load": plan.cores.load},
        "load_average_before": os.getloadavg()[0],
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "quick": plan.quick,
        "versions": {server.distribution: server.version() for server in servers},
        "codecs": choice.available(),
        "driver": compilation.driver(),
        "commit": checkout.commit(ROOT),
        "baseline_commit": older and checkout.commit(older),
        "absent": absent,
    }


def list_all() -> None:
    """Print the servers and the workloads."""
    print("Servers")
    for server in SERVERS.values():
        problem = server.missing()
        state = f"({problem})" if problem else server.version()
        spoken = server.interface if server.interface != "asgi" else ""
        wires = ", ".join([*sorted(server.wires), *filter(None, [spoken])])
        print(f"  {server.name:<21} {wires:<42} {state}")
    print("Workloads")
    for workload in WORKLOADS.values():
        print(f"  {workload.name:<18} {workload.about}")


def run(plan: Plan, parts: Parts) -> dict[str, Table]:
    """Run everything; the tables by name, printed as they are done."""
    tables: dict[str, Table] = {}
    for workload, taking, reasons in parts:
        plan.say(f"{workload.name}: {workload.about}")
        for table in workload.run(plan, taking):
            for name, reason in reasons.items():
                table.cells.setdefault(name, Cell(cannot=reason))
            tables[table.name] = table
            print(report.render(table), end="\n\n", flush=True)
    return tables


def publish(options: argparse.Namespace, content: dict[str, Any]) -> None:
    """Write the picture and the page, where they are asked for."""
    if options.svg is not None:
        picture.write(options.svg, content)
        print(f"Drawn in {options.svg}")
    if options.markdown is not None:
        page.update(options.markdown, content)
        print(f"Figures put in {options.markdown}")


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind on SIGTERM as on SIGINT, so that the servers are ended."""
    raise SystemExit(128 + number)


def prepare() -> processes.Cores:
    """Signals, open files and cores of this process and so of its children."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    cores = processes.choose_cores()
    if not cores.apart:
        print("Only one core: server and load share it; the ratios say little.", file=sys.stderr)
    os.sched_setaffinity(0, {cores.load})
    return cores


def compile_sources(checkouts: Iterable[Path]) -> None:
    """Write the bytecode of ours, as pip does for what it installs: the peers have theirs."""
    for tree in checkouts:
        compileall.compile_dir(tree / "src" / "tricorn", quiet=1)


def say(text: str) -> None:
    """Print progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parse(arguments)
    if options.list:
        list_all()
        return 0
    if options.redraw is not None:
        publish(options, report.read_json(options.redraw))
        return 0
    servers, absent = choose_servers(options.servers)
    workloads = choose_workloads(options.workloads)
    compile_sources([ROOT] if options.baseline is None else [ROOT, options.baseline])
    plan = Plan(options.rounds, options.seconds, prepare(), say, options.quick)
    parts = share_out(servers, workloads, only_bars=options.bars)
    say(f"About {estimate(plan, parts) / 60:.0f} minutes for {len(parts)} workloads")
    meta = describe_machine(plan, servers, absent, options.baseline)
    tables = run(plan, parts)
    verdicts = bars.judge(tables, SERVERS)
    print(bars.render(verdicts))
    content = report.as_json(meta, tables, verdicts)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = options.json or RESULTS / f"{stamp}.local.json"
    report.write_json(path, content)
    print(f"Written to {path}")
    publish(options, content)
    return 1 if options.check and bars.missed(verdicts) else 0


if __name__ == "__main__":
    raise SystemExit(main())
