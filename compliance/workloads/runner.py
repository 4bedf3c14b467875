"""Run what users run on Tricorn: big bodies, gRPC, MCP, GraphQL, server-sent events, Socket.IO.

Each workload is a folder below ``apps``, described as a framework of ``compliance.frameworks`` is,
and has a ``client.py`` made of ``checks``. The daemon and the client both run in the workload's
own environment.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compliance.frameworks import catalogue, daemon, environments
from compliance.frameworks.catalogue import CatalogueError, Framework
from compliance.frameworks.record import put_into
from compliance.servers import ROOT, WORKER_CLASSES, ServerError
from compliance.workloads import record
from compliance.workloads.checks import STOP
from compliance.workloads.record import Record

APPS = Path(__file__).with_name("apps")
RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "reference" / "workloads.md"

CLIENT_LIMIT = 480.0
"""Seconds for all checks of one client."""

STOP_LIMIT = daemon.GRACEFUL_TIMEOUT / 2
"""Seconds: a daemon that takes longer has waited for streams that should have ended."""

LOG_SHOWN = 1500

EXIT_FAILED = 1
EXIT_USAGE = 2


@dataclass(slots=True)
class Run:
    """One workload on one worker class."""

    workload: Framework
    worker_class: str
    seen: Record = field(default_factory=Record)
    lines: list[str] = field(default_factory=list)

    def enter(self, cell: str, why: str | None, figures: dict[str, float]) -> None:
        """Take an outcome of the client."""
        name = f"{self.worker_class} {cell}"
        bad = why is not None or self.seen.cells.get(name) == "no"
        self.seen.cells[name] = "no" if bad else "yes"
        self.seen.figures |= {f"{name}: {figure}": value for figure, value in figures.items()}
        if why is not None:
            self.lines.append(f"  NOT {cell}: {why}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where everything asked for passed, 1 where not, 2 on a wrong command line."""
    given = _parser().parse_args(arguments)
    try:
        every = catalogue.load(APPS)
        chosen = catalogue.choose(every, [name for name in given.only.split(",") if name])
    except CatalogueError as error:
        print(f"workloads: {error}", file=sys.stderr)
        return EXIT_USAGE
    if given.table:
        print(record.markdown(every, record.load(RESULTS)), end="")
        return 0
    worker_classes = WORKER_CLASSES if given.worker_class == "all" else (given.worker_class,)
    started = time.monotonic()
    runs = _run_all(chosen, worker_classes, given.venvs.resolve(), given.jobs)
    good = _judge(chosen, runs, worker_classes, check=given.check)
    if given.write:
        good &= _write(every, runs, force=given.force)
    seconds = time.monotonic() - started
    print(f"workloads: {'all passed' if good else 'FAILED'} in {seconds:.0f} s", flush=True)
    return 0 if good else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compliance.workloads", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="workloads, with commas")
    parser.add_argument("--worker-class", choices=(*WORKER_CLASSES, "all"), default="all")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=Path(tempfile.gettempdir()) / "tricorn-workloads",
        metavar="DIR",
        help="where the environments are kept; default: below the system's temporary directory",
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N")
    parser.add_argument("--check", action="store_true", help="hold it against results.json")
    parser.add_argument("--write", action="store_true", help="write results.json and the page")
    parser.add_argument("--force", action="store_true", help="let --write loosen it as well")
    parser.add_argument("--table", action="store_true", help="print the table of results.json")
    return parser


def _run_all(
    chosen: Sequence[Framework], worker_classes: Sequence[str], venvs: Path, jobs: int
) -> list[Run]:
    runs = [
        Run(workload, worker_class)
        for workload in chosen
        for worker_class in workload.worker_classes
        if worker_class in worker_classes
    ]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        made = dict(
            zip([one.name for one in chosen], pool.map(_prepared(venvs), chosen), strict=True)
        )
        list(pool.map(lambda run: _run(run, made[run.workload.name]), runs))
    return runs


def _prepared(venvs: Path) -> Callable[[Framework], environments.Environment | str]:
    def prepare(workload: Framework) -> environments.Environment | str:
        try:
            return environments.prepare(workload, venvs)
        except environments.InstallError as error:
            return str(error)

    return prepare


def _run(run: Run, environment: environments.Environment | str) -> None:
    started = time.monotonic()
    if isinstance(environment, str):
        run.seen.cells[f"{run.worker_class} - install"] = "no"
        run.lines.append(f"NOT INSTALLED: {environment}")
    else:
        run.seen.version = environment.version
        with tempfile.TemporaryDirectory(prefix="workloads-") as name:
            try:
                _serve(run, environment.python, Path(name))
            except ServerError as error:
                run.seen.cells[f"{run.worker_class} - start"] = "no"
                run.lines.append(str(error))
    cells = run.seen.cells.values()
    passed = sum(how == "yes" for how in cells)
    seconds = time.monotonic() - started
    about = f"{run.worker_class}: {passed} of {len(cells)}, {seconds:.1f} s"
    title = f"{run.workload.distribution} {run.seen.version}"
    for line in [f"{title}, {about}", *run.lines]:
        print(f"workloads: {run.workload.name}: {line}")
    sys.stdout.flush()


def _serve(run: Run, python: Path, directory: Path) -> None:
    certificate = daemon.make_certificate(directory)
    log = directory / "daemon.log"
    with daemon.running(run.workload, python, run.worker_class, certificate, log) as running:
        client = _client(run, python, running, certificate)
        # What hangs is ended from outside, so that reading its lines ends too.
        alarm = threading.Timer(CLIENT_LIMIT, client.kill)
        alarm.start()
        try:
            _follow(run, running, client)
        finally:
            alarm.cancel()
            client.kill()
            client.wait()
            assert client.stdout is not None
            client.stdout.close()


def _client(
    run: Run, python: Path, running: daemon.Daemon, certificate: daemon.Certificate
) -> subprocess.Popen[str]:
    command = [str(python), "client.py", "--authority", str(certificate.authority)]
    command += ["--http", str(running.ports["http"]), "--https", str(running.ports["https"])]
    command += ["--pid", str(running.process.pid)]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=run.workload.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _follow(run: Run, running: daemon.Daemon, client: subprocess.Popen[str]) -> None:
    assert client.stdout is not None
    plan: list[str] = []
    for text in client.stdout:
        line = json.loads(text)
        if "plan" in line:
            plan = line["plan"]
        elif "outcome" in line:
            cell, why = line["outcome"], line["why"]
            if not cell.endswith(f" {STOP}"):
                why = _with_log(why, running)
            run.enter(cell, why, line["figures"])
        else:
            _stop(run, running, [cell for cell in plan if cell.endswith(f" {STOP}")])
    for cell in plan:
        if f"{run.worker_class} {cell}" not in run.seen.cells:
            run.enter(cell, "the client ended before it", {})
    if not plan:
        run.seen.cells[f"{run.worker_class} - client"] = "no"


def _stop(run: Run, running: daemon.Daemon, cells: list[str]) -> None:
    started = time.monotonic()
    why = running.stop()
    seconds = time.monotonic() - started
    if why is None and seconds > STOP_LIMIT:
        why = f"it took {seconds:.1f} s to stop"
    why = _with_log(why, running)
    for cell in cells:
        run.enter(cell, why, {"s": round(seconds, 1)} if why is None else {})


def _with_log(why: str | None, running: daemon.Daemon) -> str | None:
    """What was wrong, with what the daemon logged; a fault in the log is wrong by itself."""
    news = running.news().strip()
    if why is None and not daemon.faults(news):
        return None
    return f"{why or 'a fault in the log'}\nin the log meanwhile:\n{news[-LOG_SHOWN:]}"


def _combined(runs: Sequence[Run]) -> dict[str, Record]:
    seen: dict[str, Record] = {}
    for run in runs:
        seen[run.workload.name] = seen.get(run.workload.name, Record()).merge(run.seen)
    return seen


def _judge(
    chosen: Sequence[Framework], runs: Sequence[Run], worker_classes: Sequence[str], *, check: bool
) -> bool:
    accepted = record.load(RESULTS) if check else {}
    seen = _combined(runs)
    good = bool(runs)
    for workload in chosen:
        before = accepted.get(workload.name, Record()).of(worker_classes)
        worse = record.regressions(before, seen.get(workload.name, Record()))
        for line in worse:
            print(f"workloads: {workload.name}: {'WORSE: ' if check else 'failed: '}{line}")
        good &= not worse
    return good


def _write(every: Sequence[Framework], runs: Sequence[Run], *, force: bool) -> bool:
    records = record.load(RESULTS)
    for name, seen in _combined(runs).items():
        accepted = records.get(name, Record())
        ran = [run.worker_class for run in runs if run.workload.name == name]
        worse = record.regressions(accepted.of(ran), seen)
        if worse and not force:
            print(f"workloads: not written, {name} is worse than accepted: {worse}")
            return False
        others = [one for one in WORKER_CLASSES if one not in ran]
        records[name] = accepted.of(others).merge(seen)
    records = {one.name: records[one.name] for one in every if one.name in records}
    record.store(RESULTS, records)
    table = record.markdown(every, records)
    PAGE.write_text(put_into(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    return True
