"""``python -m compliance.http1``: run the cases and judge the result; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from compliance.http1.cases import all_cases
from compliance.http1.launch import SERVERS, command, configuration
from compliance.http1.model import Case, Level
from compliance.http1.report import (
    SCALE,
    explain,
    failing,
    outcomes,
    summary,
    write_json,
)
from compliance.http1.runner import Target, Verdict, insecure_context, run_cases
from compliance.ratchet import RatchetError, ResultsFile
from compliance.servers import (
    WORKER_CLASSES,
    ServerError,
    make_certificate,
    running_server,
)

RESULTS = Path(__file__).with_name("results.json")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m compliance.http1", description=__doc__)
    made.add_argument("--host", default="127.0.0.1", help="where a running server listens")
    made.add_argument("--port", type=int, help="its port; it must run compliance.http1.app:app")
    made.add_argument("--server", choices=SERVERS, help="start this server and end it again")
    made.add_argument("--worker-class", choices=WORKER_CLASSES, help="its event loop")
    made.add_argument("--codec", metavar="NAME", help="its http1_codec, where it is Tricorn")
    made.add_argument("--tls", action="store_true", help="speak TLS, with any certificate")
    made.add_argument("--name", help="key of the accepted results, if not the server's")
    made.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ID",
        help="run these cases only (repeatable; an ending * takes all that begin so)",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write every verdict to FILE")
    made.add_argument("--list", action="store_true", help="print the cases and stop")
    made.add_argument("--verbose", action="store_true", help="explain SHOULD rows and notes too")
    made.add_argument(
        "--check", action="store_true", help="fail where a case is worse than the accepted results"
    )
    made.add_argument("--update", action="store_true", help="tighten the accepted results")
    made.add_argument("--force", action="store_true", help="let --update loosen them")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 if everything asked for holds, 1 if not, 2 for a usage error."""
    made = parser()
    options = made.parse_args(arguments)
    if options.list:
        print("\n".join(_listed(case) for case in all_cases()))
        return 0
    cases = [case for case in all_cases() if _chosen(case.id, options.only)]
    if not cases:
        made.error("no case has that id")
    if (options.port is None) == (options.server is None):
        made.error("give either --port or --server")
    started = time.monotonic()
    try:
        verdicts = _run(options, cases)
    except (ServerError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    name = options.name or (
        configuration(options.server, options.worker_class, options.tls)
        if options.server
        else f"{options.host}:{options.port}"
    )
    _print(verdicts, options.verbose)
    print(f"{name}: {summary(verdicts)} in {time.monotonic() - started:.1f} s")
    if options.json:
        write_json(options.json, name, verdicts)
    return _judge(options, name, verdicts)


def _listed(case: Case) -> str:
    return f"{case.id:<34} {case.level.value:<6} {case.section:<18} {case.rule}"


def _chosen(id: str, only: list[str]) -> bool:
    return not only or any(
        id.startswith(one[:-1]) if one.endswith("*") else id == one for one in only
    )


def _run(options: argparse.Namespace, cases: list[Case]) -> list[Verdict]:
    tls = insecure_context() if options.tls else None
    if options.server is None:
        return asyncio.run(run_cases(Target(options.host, options.port, tls), cases))
    with tempfile.TemporaryDirectory() as directory:
        certificate = make_certificate(Path(directory)) if options.tls else None

        def line(port: int) -> list[str]:
            return command(options.server, port, options.worker_class, certificate, options.codec)

        with running_server(line, log=Path(directory) / "server.log") as server:
            return asyncio.run(run_cases(Target(server.host, server.port, tls), cases))


def _print(verdicts: list[Verdict], verbose: bool) -> None:
    levels = list(Level) if verbose else [Level.MUST]
    for level in levels:
        for verdict in failing(verdicts, level):
            print(explain(verdict))


def _judge(options: argparse.Namespace, name: str, verdicts: list[Verdict]) -> int:
    results = outcomes(verdicts)
    file = ResultsFile(RESULTS)
    accepted = file.accepted(name)
    if options.update:
        try:
            file.store(name, SCALE.tighten(accepted, results, force=options.force))
        except RatchetError as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    must = failing(verdicts, Level.MUST)
    if not options.check:
        return 1 if must else 0
    compared = SCALE.compare(accepted or {}, results)
    for line in compared.regressions:
        print(f"worse than accepted: {line}")
    for line in compared.improvements:
        print(f"better than accepted: {line}")
    if compared.improvements:
        print("the accepted results can be tightened: run again with --update")
    # Peers are measured with their faults; Tricorn has none to accept at this level.
    broken = bool(must) and name.partition("/")[0] == "tricorn"
    return 1 if compared.regressions or broken else 0


if __name__ == "__main__":
    sys.exit(main())
