"""Run h2spec against a server on every worker class, over TLS and in cleartext."""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from compliance.h2spec.report import (
    BUILDS,
    SCALE,
    Report,
    ReportError,
    parse_report,
    shortfalls,
    waived,
)
from compliance.ratchet import RatchetError, ResultsFile
from compliance.servers import (
    SERVERS,
    WORKER_CLASSES,
    RunningServer,
    ServerError,
    make_certificate,
    running_server,
    server_command,
    tail,
)

APP = "compliance.h2spec.app:app"
RESULTS = Path(__file__).with_name("results.json")
RUN_TIMEOUT = 300.0
PROBE_TIMEOUT = 5.0
LINES_SHOWN = 25

EXIT_FAILED = 1
EXIT_ABSENT = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when the bar is met, 1 when not, 3 when there is no h2spec to run."""
    options = _parser().parse_args(arguments)
    program = shutil.which(options.h2spec)
    if program is None:
        print(f"h2spec: ABSENT: no {options.h2spec!r} on PATH, NOTHING WAS TESTED", flush=True)
        return EXIT_ABSENT
    workers = WORKER_CLASSES if options.worker_class == "all" else (options.worker_class,)
    modes = {"tls": [True], "cleartext": [False], "both": [True, False]}[options.mode]
    met = True
    for worker in workers:
        for tls in modes:
            met &= _run_one(program, options, worker, tls=tls)
    print("h2spec: " + ("bar met" if met else "BELOW THE BAR"), flush=True)
    return 0 if met else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m compliance.h2spec", description=__doc__)
    parser.add_argument("--server", choices=SERVERS, default="tricorn")
    parser.add_argument("--worker-class", choices=(*WORKER_CLASSES, "all"), default="all")
    mode = parser.add_mutually_exclusive_group()
    for name in ("tls", "cleartext", "both"):
        mode.add_argument(f"--{name}", dest="mode", action="store_const", const=name)
    parser.set_defaults(mode="both")
    parser.add_argument("--check", action="store_true", help="fail on anything below results.json")
    parser.add_argument("--update", action="store_true", help="tighten results.json")
    parser.add_argument("--force", action="store_true", help="let --update loosen it as well")
    parser.add_argument("--h2spec", default="h2spec", metavar="PROGRAM")
    parser.add_argument("--timeout", type=int, default=2, help="h2spec's own, seconds a wait")
    return parser


def _run_one(program: str, options: argparse.Namespace, worker: str, *, tls: bool) -> bool:
    label = f"{options.server}/{worker}/{'tls' if tls else 'cleartext'}"
    with tempfile.TemporaryDirectory(prefix="h2spec-") as name:
        directory = Path(name)
        certificate = make_certificate(directory) if tls else None

        def command(port: int) -> list[str]:
            return server_command(
                options.server, APP, port, worker_class=worker, certificate=certificate
            )

        log = directory / "server.log"
        try:
            with running_server(command, log=log) as server:
                report = _h2spec(program, server, directory, tls=tls, timeout=options.timeout)
                answers_400 = not tls and answers_with_400(server)
        except ServerError as error:
            print(f"h2spec: {label}: {error}", flush=True)
            return False
        except ReportError as error:
            print(f"h2spec: {label}: {error}\nend of the server's log:\n{tail(log)}", flush=True)
            return False
        key = f"{'tls' if tls else 'cleartext'}/{worker}"
        met = _judge(report, options, label, key, answers_400)
        if not met:
            print(f"h2spec: {label}: end of the server's log:\n{tail(log)}", flush=True)
    return met


def _h2spec(
    program: str, server: RunningServer, directory: Path, *, tls: bool, timeout: int
) -> Report:
    """Run every case, the strict ones too. Raises ReportError where no report comes of it."""
    path = directory / "junit.xml"
    command = [program, "--strict", "-h", server.host, "-p", str(server.port)]
    command += ["-o", str(timeout), "-j", str(path)]
    if tls:
        command += ["-t", "-k"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=RUN_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"h2spec did not end within {RUN_TIMEOUT:.0f} s") from error
    if not path.exists():
        output = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise ReportError(f"h2spec wrote no report, exit code {done.returncode}:\n{output}")
    return parse_report(path)


def answers_with_400(server: RunningServer) -> bool:
    """Whether the bytes of http2/3.5/2 are answered with 400 as HTTP/1.1."""
    answer = b""
    with socket.create_connection((server.host, server.port), timeout=PROBE_TIMEOUT) as sock:
        try:
            sock.sendall(b"INVALID CONNECTION PREFACE\r\n\r\n")
            while len(answer) < 12 and (data := sock.recv(4096)):
                answer += data
        except OSError:
            pass
    return answer.startswith(b"HTTP/1.1 400")


def _judge(
    report: Report, options: argparse.Namespace, label: str, key: str, answers_400: bool
) -> bool:
    tls = key.startswith("tls/")
    lines = shortfalls(report, tls=tls, answers_400=answers_400)
    build = BUILDS.get(report.total, "unknown build")
    print(f"h2spec: {label}: {report.summary()} [{build}]")
    for case in sorted(waived(report, tls=tls, answers_400=answers_400)):
        print(f"h2spec: {label}: {case} answered with 400 as HTTP/1.1, which is right")
    for line in lines[:LINES_SHOWN]:
        print(f"h2spec: {label}: {line}")
    if len(lines) > LINES_SHOWN:
        print(f"h2spec: {label}: and {len(lines) - LINES_SHOWN} more")
    met = not lines
    if options.server == "tricorn":
        met &= _ratchet(report, options, label, key, met=met)
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
            print(f"h2spec: {label}: WORSE than results.json: {line}")
        for line in comparison.improvements:
            print(f"h2spec: {label}: better than results.json (run --update): {line}")
        held = not comparison.regressions
    if options.update and not met and not options.force:
        print(f"h2spec: {label}: below the bar, results.json left as it is", flush=True)
        return False
    if options.update:
        try:
            record = SCALE.tighten(accepted, report.results, force=options.force)
        except RatchetError as error:
            print(f"h2spec: {label}: {error}", file=sys.stderr)
            return False
        file.store(key, record)
    return held
