"""``python -m compliance.soak``: an hour of mixed traffic, and what came of it.

Two daemons get the same traffic. One lives through kills, reloads and recycling, and must not
lose a request. The other is left alone but for its certificates; its workers live as long as
the soak, and must not grow.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from compliance.servers import WORKER_CLASSES, ServerError
from compliance.soak.report import finish
from compliance.soak.run import Plan, soak


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m compliance.soak", description=__doc__)
    made.add_argument("--minutes", type=float, default=60.0, help="default: %(default)s")
    made.add_argument("--worker-class", choices=WORKER_CLASSES, default="uvloop")
    made.add_argument("--workers", type=int, default=2, help="of each daemon")
    made.add_argument(
        "--rate", type=float, default=1.0, help="1: some 100 requests a second for each daemon"
    )
    made.add_argument("--seed", type=int, default=1, help="of chance")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    made.add_argument("--logs", type=Path, metavar="DIRECTORY", help="keep the daemons' logs here")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 if every bar is met, 1 if not, 2 for a usage error."""
    made = parser()
    options = made.parse_args(arguments)
    if options.minutes <= 0 or options.workers < 1 or options.rate <= 0:
        made.error("--minutes, --workers and --rate must be more than nothing")
    # Of our own peers, who write to connections that their server has just lost.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    plan = Plan(options.minutes, options.worker_class, options.workers, options.rate, options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.logs or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            outcome = asyncio.run(soak(plan, directory))
        except ServerError as error:
            print(error, file=sys.stderr)
            return 1
        return finish(outcome, options.json)


if __name__ == "__main__":
    sys.exit(main())
