"""Run Autobahn|Testsuite's fuzzing client against an echo server on every worker class."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from compliance.autobahn.report import (
    SCALE,
    Report,
    ReportError,
    announced_cases,
    parse_index,
    shortfalls,
)
from compliance.autobahn.wstest import (
    WstestMissing,
    default_directory,
    find_wstest,
    install,
)
from compliance.ratchet import RatchetError, ResultsFile
from compliance.servers import (
    SERVERS,
    WORKER_CLASSES,
    RunningServer,
    ServerError,
    running_server,
    server_command,
    tail,
)

APP = "compliance.autobahn.app:app"
RESULTS = Path(__file__).with_name("results.json")

CHUNKS: tuple[tuple[str, ...], ...] = (
    ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    *((f"13.{number}.*",) for number in range(1, 8)),
    *((f"12.{number}.*",) for number in range(1, 6)),
    ("9.*",),
)
"""The suite in parts of at most a minute or two, so that several wstest processes share the work:
one alone keeps one core busy and the server waiting. Short timing-sensitive cases come first,
the long compression ones next, and the last part is small."""

CHUNK_TIMEOUT = 1800.0

EXIT_FAILED = 1
EXIT_ABSENT = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One wstest process: some cases against one server."""

    worker: str
    server: RunningServer
    cases: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the bar is met, 1 when not, 4 when there is no CPython 2.7 or no wstest."""
    options = _parser().parse_args(arguments)
    try:
        if options.install is not None:
            print(f"autobahn: installed {install(Path(options.install))}")
            return 0
        wstest = find_wstest(options.wstest)
    except WstestMissing as error:
        print(f"autobahn: ABSENT: {error}, NOTHING WAS TESTED", flush=True)
        return EXIT_ABSENT
    except subprocess.SubprocessError as error:
        print(f"autobahn: the installation failed: {error}", flush=True)
        return EXIT_FAILED
    workers = WORKER_CLASSES if options.worker_class == "all" else (options.worker_class,)
    with tempfile.TemporaryDirectory(prefix="autobahn-") as name:
        try:
            reports = _run_all(wstest, options, workers, Path(name))
        except (ServerError, ReportError) as error:
            print(f"autobahn: {error}", flush=True)
            return EXIT_FAILED
    met = True
    for worker, report in reports.items():
        met &= _judge(report, options, worker)
    print("autobahn: " + ("bar met" if met else "BELOW THE BAR"), flush=True)
    return 0 if met else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compliance.autobahn", description=__doc__)
    parser.add_argument("--server", choices=SERVERS, default="tricorn")
    parser.add_argument("--worker-class", choices=(*WORKER_CLASSES, "all"), default="all")
    parser.add_argument("--cases", metavar="PATTERNS", help="such as 1.*,2.*; default: all")
    parser.add_argument(
        "--jobs",
        type=int,
        default=os.cpu_count() or 1,
        help="wstest processes at a time (default: one a core)",
    )
    parser.add_argument("--check", action="store_true", help="fail on anything below results.json")
    parser.add_argument("--update", action="store_true", help="tighten results.json")
    parser.add_argument("--force", action="store_true", help="let --update loosen it as well")
    parser.add_argument("--wstest", metavar="PROGRAM", help="default: $WSTEST, PATH, --install's")
    parser.add_argument(
        "--install",
        metavar="DIR",
        nargs="?",
        const=str(default_directory()),
        help="make a CPython 2.7 virtualenv with the suite in DIR, and do nothing else",
    )
    return parser


def _run_all(
    wstest: Path, options: argparse.Namespace, workers: Sequence[str], directory: Path
) -> dict[str, Report]:
    """Every part against every worker class. Raises ServerError, ReportError."""
    chunks = (tuple(options.cases.split(",")),) if options.cases else CHUNKS
    with ExitStack() as stack:
        servers: dict[str, RunningServer] = {}
        for worker in workers:
            command = partial(_command, options.server, worker)
            log = directory / f"{worker}.log"
            servers[worker] = stack.enter_context(running_server(command, log=log))
        jobs = [Job(worker, servers[worker], chunk) for chunk in chunks for worker in workers]
        reports = _run_jobs(wstest, jobs, options.jobs, directory)
        for worker, report in reports.items():
            if report.cases("FAILED") or report.cases("MISSING"):
                print(f"autobahn: end of {worker}'s log:\n{tail(servers[worker].log)}")
    return reports


def _command(server: str, worker: str, port: int) -> list[str]:
    return server_command(server, APP, port, worker_class=worker)


def _run_jobs(
    wstest: Path, jobs: Sequence[Job], parallel: int, directory: Path
) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    started = time.monotonic()
    with ThreadPoolExecutor(max(1, parallel)) as pool:
        futures = {
            pool.submit(_run_job, wstest, job, directory / f"part-{number}"): job
            for number, job in enumerate(jobs)
        }
        try:
            for future in as_completed(futures):
                job, report = futures[future], future.result()
                reports.setdefault(job.worker, Report()).add(report)
                at, cases = time.monotonic() - started, ",".join(job.cases)
                print(f"autobahn: {at:5.0f} s: {job.worker} {cases} {report.summary()}", flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return reports


def _run_job(wstest: Path, job: Job, directory: Path) -> Report:
    """Run one wstest process in a directory of its own. Raises ReportError."""
    directory.mkdir()
    spec = directory / "fuzzingclient.json"
    url = f"ws://{job.server.host}:{job.server.port}"
    content = {
        "outdir": str(directory / "reports"),
        "servers": [{"agent": job.worker, "url": url}],
        "cases": job.cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    spec.write_text(json.dumps(content), encoding="utf-8")
    try:
        done = subprocess.run(
            [str(wstest), "-m", "fuzzingclient", "-s", str(spec)],
            cwd=directory,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=CHUNK_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"{job.cases} did not end within {CHUNK_TIMEOUT:.0f} s") from error
    announced = announced_cases(done.stdout.decode(errors="replace"))
    return parse_index(directory / "reports" / "index.json", job.worker, announced)


def _judge(report: Report, options: argparse.Namespace, worker: str) -> bool:
    label = f"{options.server}/{worker}"
    print(f"autobahn: {label}: {report.summary()}")
    slowest = sorted(report.seconds.items(), key=lambda item: -item[1])[:3]
    total = sum(report.seconds.values())
    longest = ", ".join(f"{case} {seconds:.0f} s" for case, seconds in slowest)
    print(f"autobahn: {label}: {total:.0f} s in cases, longest {longest}")
    lines = shortfalls(report, full=options.cases is None)
    for line in lines:
        print(f"autobahn: {label}: {line}")
    met = not lines
    if options.server == "tricorn":
        met &= _ratchet(report, options, label, worker, met=met)
    sys.stdout.flush()
    return met


def _ratchet(
    report: Report, options: argparse.Namespace, label: str, key: str, *, met: bool
) -> bool:
    file = ResultsFile(RESULTS)
    accepted = file.accepted(key)
    held = True
    if options.check:
        comparison = SCALE.compare(accepted or {}, report.results)
        for line in comparison.regressions:
            print(f"autobahn: {label}: WORSE than results.json: {line}")
        for line in comparison.improvements:
            print(f"autobahn: {label}: better than results.json (run --update): {line}")
        held = not comparison.regressions
    if options.update and not met and not options.force:
        print(f"autobahn: {label}: below the bar, results.json left as it is", flush=True)
        return False
    if options.update:
        try:
            record = SCALE.tighten(accepted, report.results, force=options.force)
        except RatchetError as error:
            print(f"autobahn: {label}: {error}", file=sys.stderr)
            return False
        file.store(key, record)
    return held
