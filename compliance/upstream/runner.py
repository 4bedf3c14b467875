"""Runs the tests, and compares what they did with `results.json` or writes it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from compliance.servers import ROOT
from compliance.upstream import environment, page, reasons, results
from compliance.upstream.projects import PROJECTS, Project, Run
from compliance.upstream.results import Outcomes

# Seconds for one test, and for one run of a project.
_TEST_LIMIT = 20
_RUN_LIMIT = 300
# pytest's exit code for an error of its own.
_INTERNAL_ERROR = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 all is well, 1 it is not, 2 wrong command line, 4 no tests to be had."""
    options = _parse(arguments)
    if options.table:
        page.write(results.load())
        return 0
    directory: Path = options.venvs.absolute()
    try:
        python = environment.python(directory)
        sources = {name: environment.source(PROJECTS[name], directory) for name in options.only}
    except environment.SetupFailed as exc:
        print(f"upstream: {exc}")
        return 4
    runs: dict[str, dict[str, Outcomes]] = {}
    for name in options.only:
        project = PROJECTS[name]
        for run in project.runs:
            if options.worker_class in ("all", run.worker):
                started = time.monotonic()
                outcomes = run_tests(project, run, python, sources[name])
                runs.setdefault(name, {})[run.name] = outcomes
                _say(project, run, outcomes, time.monotonic() - started)
    if options.write:
        bad = _write(runs)
    else:
        bad = _check(runs, python, sources) if options.check else _explain(runs)
    passed = sum(
        seen["outcome"] == "passed"
        for by_run in runs.values()
        for outcomes in by_run.values()
        for seen in outcomes.values()
    )
    told = f"FAILED, see {len(bad)} lines above" if bad else "no test worse than accepted"
    print(f"upstream: {passed} tests passed, {told}", flush=True)
    return 1 if bad else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m compliance.upstream", description=__doc__)
    parser.add_argument("--only", default=",".join(PROJECTS), help="projects, with commas between")
    parser.add_argument("--venvs", type=Path, default=environment.default_directory())
    parser.add_argument(
        "--worker-class", default="all", choices=("all", "asyncio", "uvloop", "trio")
    )
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--check", action="store_true", help="fail where a test got worse")
    task.add_argument("--write", action="store_true", help="write results.json and the page")
    task.add_argument(
        "--table", action="store_true", help="write the page from results.json, and run nothing"
    )
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    unknown = set(options.only) - set(PROJECTS)
    if unknown:
        parser.error(f"no project {sorted(unknown)[0]!r}; there are: {', '.join(PROJECTS)}")
    if options.write and options.worker_class != "all":
        parser.error("--write needs every worker class")
    return options


def run_tests(
    project: Project, run: Run, python: Path, source: Path, only: Sequence[str] = ()
) -> Outcomes:
    """Run a project's tests, or only some of them by id."""
    with tempfile.TemporaryDirectory(prefix="upstream-") as scratch:
        report = Path(scratch) / "report.json"
        command = [str(python), *_command(project, run, only)]
        # Not the checkout's `src`: the environment has Tricorn, as every user's has.
        env = {
            **os.environ,
            **run.env,
            "PYTHONPATH": os.pathsep.join([*_sources(project, Path(scratch)), str(ROOT)]),
            "UPSTREAM_REPORT": str(report),
            "TMPDIR": scratch,
        }
        code, output = _call(command, source / project.cwd, env)
        if code == _INTERNAL_ERROR:
            code, output = _call(command, source / project.cwd, env)
        if not report.exists():
            print(output[-4000:])
            return {"the run": {"outcome": "failed", "message": f"no report, exit code {code}"}}
        outcomes: Outcomes = json.loads(report.read_text("utf-8"))
        return outcomes


def _sources(project: Project, scratch: Path) -> list[str]:
    """Where Tricorn is to come from instead of the environment."""
    if not project.interpreted:
        return []
    # All but the compiled driver, whose modules, unlike the codecs, have no underscore in front.
    ignored = shutil.ignore_patterns("[a-z]*.so", "__pycache__")
    shutil.copytree(ROOT / "src", scratch / "src", ignore=ignored)
    return [str(scratch / "src")]


def _command(project: Project, run: Run, only: Sequence[str]) -> list[str]:
    tests = list(only or project.tests)
    if project.django:
        return ["-m", project.shim, *tests, *(() if only else run.arguments)]
    command = ["-m", "pytest", "-q", "--no-header", "--tb=short", "-o", "addopts="]
    command += ["-p", "no:cacheprovider", "-p", f"{project.shim}"]
    command += ["-p", "compliance.upstream.shims.report", *project.options]
    if "no:timeout" not in project.options:
        command += ["--timeout", str(_TEST_LIMIT)]
    command += [f"--deselect={test}" for test in project.left_out]
    return [*command, *run.arguments, *tests]


def _call(command: list[str], cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=_RUN_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return process.returncode, output.decode("utf-8", "replace")


def _say(project: Project, run: Run, outcomes: Outcomes, seconds: float) -> None:
    count = Counter(seen["outcome"] for seen in outcomes.values())
    told = ", ".join(f"{count[word]} {word}" for word in ("passed", "failed", "skipped"))
    print(f"{project.name} {project.version} {run.name}: {told} ({seconds:.0f} s)", flush=True)


def _check(
    runs: dict[str, dict[str, Outcomes]], python: Path, sources: dict[str, Path]
) -> list[str]:
    """Lines about what got worse; each such test has had a second try."""
    record = results.load()
    bad: list[str] = []
    for name, by_run in runs.items():
        project = PROJECTS[name]
        accepted = record.get(name, {})
        for run in (run for run in project.runs if run.name in by_run):
            outcomes = by_run[run.name]
            again = results.worse(accepted, run.name, outcomes)
            # Where tests were not even run, something is wrong that no second try mends.
            if again and set(again) <= set(outcomes):
                print(f"{name} {run.name}: {len(again)} once more", flush=True)
                outcomes |= run_tests(project, run, python, sources[name], again)
            comparison = results.compare(accepted, project, run.name, outcomes)
            bad += comparison.regressions
            for line in comparison.improvements:
                print(f"better: {line}")
    if page.outdated(record):
        bad.append(f"{page.PATH.name} does not agree with results.json: use --table")
    for line in bad:
        print(f"worse: {line}")
    return bad


def _explain(runs: dict[str, dict[str, Outcomes]]) -> list[str]:
    """Print every failure with its reason; lines about those without one."""
    known = reasons.load()
    bad: list[str] = []
    for name, by_run in runs.items():
        for run, outcomes in by_run.items():
            for test, seen in outcomes.items():
                if seen["outcome"] == "failed":
                    reason = reasons.find(known.get(name, []), test)
                    line = f"{name} {run} {test}"
                    if reason is not None:
                        print(f"{reason.kind}: {line}: {reason.text}")
                    else:
                        bad.append(f"{line}: {seen['message']}")
    for line in bad:
        print(f"no reason: {line}")
    return bad


def _write(runs: dict[str, dict[str, Outcomes]]) -> list[str]:
    """Write the record; lines about failures without a reason, with which nothing is written."""
    record = results.load()
    known = reasons.load()
    unexplained: list[str] = []
    for name, by_run in runs.items():
        record[name], lines = results.merge(PROJECTS[name], by_run, known.get(name, []))
        unexplained += lines
    for line in unexplained:
        print(f"no reason: {line}")
    if not unexplained:
        results.store(record)
        page.write(record)
    return unexplained
