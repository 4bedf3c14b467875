"""``python -m compliance.attacks``: attack a server and judge how it held; see README.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from compliance.attacks import cases as cases
from compliance.attacks import report
from compliance.attacks.judge import SCALE, Verdict
from compliance.attacks.launch import SERVERS
from compliance.attacks.model import ATTACKS, Attack
from compliance.attacks.runner import ATTEMPTS, SECONDS, Plan, applies, run
from compliance.ratchet import RatchetError, ResultsFile
from compliance.servers import WORKER_CLASSES, ServerError

RESULTS = Path(__file__).with_name("results.json")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m compliance.attacks", description=__doc__)
    made.add_argument("--server", choices=SERVERS, default="tricorn", help="what is attacked")
    made.add_argument(
        "--worker-class", choices=("all", *WORKER_CLASSES), default="uvloop", help="its event loop"
    )
    made.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="run these attacks only (repeatable; an ending * takes all that begin so)",
    )
    made.add_argument("--subset", action="store_true", help="run one attack of each kind only")
    made.add_argument(
        "--seconds", type=float, default=SECONDS, help="length of an attack (default: %(default)s)"
    )
    made.add_argument(
        "--attempts",
        type=int,
        default=ATTEMPTS,
        help="runs of an attack whose only fault is a slow neighbour (default: %(default)s)",
    )
    made.add_argument(
        "--logs", type=Path, metavar="DIR", help="keep the logs of servers that did not hold"
    )
    made.add_argument("--list", action="store_true", help="print the attacks and stop")
    made.add_argument("--table", action="store_true", help="print the tables and stop")
    made.add_argument(
        "--check", action="store_true", help="fail where an attack is worse than in results.json"
    )
    made.add_argument(
        "--write", action="store_true", help="write results.json, figures and documentation"
    )
    made.add_argument("--force", action="store_true", help="let --write loosen results.json")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 if everything asked for holds, 1 if not, 2 for a usage error."""
    made = parser()
    options = made.parse_args(arguments)
    if options.list:
        print("\n".join(f"{one.name:<28} {one.group:<12} {one.what}" for one in ATTACKS.values()))
        return 0
    if options.table:
        print(report.tables(report.load()))
        return 0
    chosen = [one for one in ATTACKS.values() if _chosen(one, options)]
    if not chosen:
        made.error("no attack has that name")
    code = 0
    for worker_class in _worker_classes(options.server, options.worker_class):
        code |= _run(options, worker_class, chosen)
    if options.write:
        report.write_page()
    return code


def _chosen(attack: Attack, options: argparse.Namespace) -> bool:
    if not applies(options.server, attack) or (options.subset and not attack.subset):
        return False
    return not options.only or any(
        attack.name.startswith(one[:-1]) if one.endswith("*") else attack.name == one
        for one in options.only
    )


def _worker_classes(server: str, asked: str) -> list[str]:
    if asked != "all":
        return [asked]
    return [one for one in WORKER_CLASSES if one != "trio" or server in ("tricorn", "hypercorn")]


def _run(options: argparse.Namespace, worker_class: str, chosen: Sequence[Attack]) -> int:
    key = f"{options.server}/{worker_class}"
    print(f"-- {key}: {len(chosen)} attacks", flush=True)
    plan = Plan(
        options.server,
        worker_class,
        chosen,
        options.seconds,
        options.attempts,
        lambda text: print(text, flush=True),
        options.logs,
    )
    try:
        verdicts = run(plan)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    held = sum(verdict.outcome == "held" for verdict in verdicts)
    print(f"{key}: {held} of {len(verdicts)} attacks held off", flush=True)
    return _judge(options, key, verdicts)


def _judge(options: argparse.Namespace, key: str, verdicts: Sequence[Verdict]) -> int:
    results = {verdict.attack.name: verdict.outcome for verdict in verdicts}
    file = ResultsFile(RESULTS)
    accepted = file.accepted(key)
    if options.write:
        try:
            file.store(key, SCALE.tighten(accepted, results, force=options.force))
        except RatchetError as error:
            print(error, file=sys.stderr)
            return 1
        report.store(key, verdicts)
        return 0
    if not options.check:
        return int(any(outcome != "held" for outcome in results.values()))
    compared = SCALE.compare(accepted or {}, results)
    for line in compared.regressions:
        print(f"worse than accepted: {line}")
    for line in compared.improvements:
        print(f"better than accepted: {line}")
    return int(bool(compared.regressions))


if __name__ == "__main__":
    sys.exit(main())
