"""Run real applications of many frameworks on Tricorn and ask the same features of all."""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance.frameworks import catalogue, daemon, environments, record
from compliance.frameworks.catalogue import CatalogueError, Framework
from compliance.frameworks.features import ERROR_TEXT, EXTRAS, FEATURES, STOP, Feature, asked_of
from compliance.frameworks.record import Record, cell
from compliance.frameworks.site import PROTOCOLS, Site, Unmet
from compliance.servers import ROOT, WORKER_CLASSES, ServerError

RESULTS = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "reference" / "frameworks.md"
LOG_SETTLES = 0.3
"""Seconds given to a traceback to be in the log; some frameworks log none of theirs."""

LOG_SHOWN = 1500
"""Characters of a log beside a failure."""

Runs = Sequence[tuple[Framework, Record]]

EXIT_FAILED = 1
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What is run of each framework."""

    venvs: Path
    worker_classes: Sequence[str]
    protocols: Sequence[str]
    features: Sequence[str]
    install_only: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 where everything asked for passed, 1 where not, 2 on a wrong command line."""
    given = _parser().parse_args(arguments)
    try:
        every = catalogue.load()
        chosen = catalogue.choose(every, _names(given.only))
        options = _options(given)
    except CatalogueError as error:
        print(f"frameworks: {error}", file=sys.stderr)
        return EXIT_USAGE
    if given.table:
        print(record.markdown(every, record.load(RESULTS)), end="")
        return 0
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        runs = list(zip(chosen, pool.map(lambda one: _run(one, options), chosen), strict=True))
    good = _judge(runs, check=given.check)
    if given.write and not options.install_only:
        good &= _write(every, runs, force=given.force)
    seconds = time.monotonic() - started
    print(f"frameworks: {'all passed' if good else 'FAILED'} in {seconds:.0f} s", flush=True)
    return 0 if good else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compliance.frameworks", description=__doc__)
    parser.add_argument("--only", default="", metavar="NAMES", help="frameworks, with commas")
    parser.add_argument("--worker-class", choices=(*WORKER_CLASSES, "all"), default="all")
    parser.add_argument("--protocol", choices=(*PROTOCOLS, "all"), default="all")
    parser.add_argument("--features", default="", metavar="NAMES", help="features, with commas")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=Path(tempfile.gettempdir()) / "tricorn-frameworks",
        metavar="DIR",
        help="where the environments are kept; default: below the system's temporary directory",
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N")
    parser.add_argument("--install-only", action="store_true", help="only make the environments")
    parser.add_argument("--check", action="store_true", help="hold it against results.json")
    parser.add_argument("--write", action="store_true", help="write results.json and the page")
    parser.add_argument("--force", action="store_true", help="let --write loosen it as well")
    parser.add_argument("--table", action="store_true", help="print the table of results.json")
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _options(given: argparse.Namespace) -> Options:
    features = _names(given.features)
    known = [*EXTRAS, *FEATURES]
    unknown = [name for name in features if name not in known]
    if unknown:
        raise CatalogueError(f"no feature {', '.join(unknown)}; there are {', '.join(known)}")
    return Options(
        venvs=given.venvs.resolve(),
        worker_classes=WORKER_CLASSES if given.worker_class == "all" else [given.worker_class],
        protocols=PROTOCOLS if given.protocol == "all" else [given.protocol],
        features=features or known,
        install_only=given.install_only,
    )


def _run(framework: Framework, options: Options) -> Record:
    """Everything of one framework; its lines are printed together at the end."""
    lines: list[str] = []
    seen = Record()
    started = time.monotonic()
    try:
        environment = environments.prepare(framework, options.venvs)
        seen.version = environment.version
        lines.append(
            f"{framework.title} {seen.version}, {time.monotonic() - started:.0f} s to install"
        )
        for worker_class in framework.worker_classes:
            if worker_class in options.worker_classes and not options.install_only:
                _run_daemon(framework, environment.python, worker_class, options, seen, lines)
    except environments.InstallError as error:
        lines.append(f"NOT INSTALLED: {error}")
        if not options.install_only:
            wanted = record.expected_cells(framework)
            seen.cells = dict.fromkeys(wanted, "no")
        else:
            seen.cells = {"install": "no"}
    for line in lines:
        print(f"frameworks: {framework.name}: {line}")
    sys.stdout.flush()
    return seen


def _run_daemon(
    framework: Framework,
    python: Path,
    worker_class: str,
    options: Options,
    seen: Record,
    lines: list[str],
) -> None:
    started = time.monotonic()
    failures: dict[str, str] = {}
    asked = [
        cell(worker_class, protocol, feature)
        for protocol in options.protocols
        for feature in asked_of(framework)
        if feature in options.features
    ]
    with tempfile.TemporaryDirectory(prefix="frameworks-") as name:
        certificate = daemon.make_certificate(Path(name))
        log = Path(name) / "daemon.log"
        try:
            with daemon.running(framework, python, worker_class, certificate, log) as running:
                _ask(framework, running, worker_class, certificate.authority, options, failures)
        except ServerError as error:
            failures = dict.fromkeys(asked, "the daemon did not start")
            lines.append(f"{worker_class}: {error}")
    seen.cells |= {one: "no" if one in failures else "yes" for one in asked}
    seconds = time.monotonic() - started
    lines.append(f"{worker_class}: {len(asked) - len(failures)} of {len(asked)}, {seconds:.1f} s")
    for why in dict.fromkeys(failures.values()):
        alike = [one for one, seen_why in failures.items() if seen_why == why]
        lines.append(f"  NOT {', '.join(alike)}: {why}")


def _ask(
    framework: Framework,
    running: daemon.Daemon,
    worker_class: str,
    authority: Path,
    options: Options,
    failures: dict[str, str],
) -> None:
    sites = [Site(framework, running, name, authority) for name in options.protocols]
    try:
        _expect_quiet(running)
    except Unmet as error:
        failures.update({cell(worker_class, site.protocol, STOP): str(error) for site in sites})
    for name, feature in asked_of(framework).items():
        for site in sites:
            if feature is not None and name in options.features:
                why = _why_not(feature, site)
                if why is not None:
                    failures[cell(worker_class, site.protocol, name)] = why
    # Idle connections stay open meanwhile: they must not keep the daemon from ending.
    why = running.stop() or _complaints(running)
    for site in sites:
        site.close()
        if why is not None and STOP in options.features:
            failures[cell(worker_class, site.protocol, STOP)] = why


def _why_not(feature: Feature, site: Site) -> str | None:
    """What was wrong with a feature, or with the daemon's log while it was asked."""
    running = site.daemon
    try:
        feature(site)
        if feature is FEATURES["error"]:
            running.wait_for(ERROR_TEXT, LOG_SETTLES)
            running.news()
        else:
            _expect_quiet(running)
    except Unmet as error:
        return f"{error}{_logged(running)}"
    except Exception as error:
        # Whatever a client raises is an answer about the server, and the others are still asked.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return f"{type(error).__name__}: {error} ({where}){_logged(running)}"
    return None


def _expect_quiet(running: daemon.Daemon) -> None:
    why = _complaints(running)
    if why is not None:
        raise Unmet(why)


def _complaints(running: daemon.Daemon) -> str | None:
    text = running.news()
    return f"in the log:\n{text[-LOG_SHOWN:]}" if daemon.faults(text) else None


def _logged(running: daemon.Daemon) -> str:
    # Else a late traceback would be held against the next feature.
    running.wait_for("Traceback", LOG_SETTLES)
    text = running.news().strip()
    return f"\nin the log meanwhile:\n{text[-LOG_SHOWN:]}" if text else ""


def _judge(runs: Runs, *, check: bool) -> bool:
    accepted = record.load(RESULTS) if check else {}
    good = True
    for framework, seen in runs:
        if check:
            worse = record.regressions(accepted.get(framework.name), seen, framework)
        else:
            worse = [one for one, outcome in seen.cells.items() if outcome != "yes"]
        for line in worse:
            print(f"frameworks: {framework.name}: {'WORSE: ' if check else 'failed: '}{line}")
        good &= not worse
    return good


def _write(every: Sequence[Framework], runs: Runs, *, force: bool) -> bool:
    records = record.load(RESULTS)
    for framework, seen in runs:
        accepted = records.get(framework.name)
        worse = record.regressions(accepted, seen, framework)
        if worse and not force:
            print(f"frameworks: not written, {framework.name} is worse than accepted: {worse}")
            return False
        wanted = set(record.expected_cells(framework))
        merged = (accepted or Record()).merge(seen)
        merged.cells = {one: how for one, how in merged.cells.items() if one in wanted}
        records[framework.name] = merged
    record.store(RESULTS, records)
    table = record.markdown(every, records)
    PAGE.write_text(record.put_into(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")
    return True
