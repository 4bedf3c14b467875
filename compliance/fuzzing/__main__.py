"""``python -m compliance.fuzzing``: fuzz every target for a while; see compliance/README.md."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance.fuzzing.seeds import CORPUS, CRASHES, SEEDS, file_name

ABSENT = 3
ROOT = Path(__file__).resolve().parents[2]
# The corpus of all targets together (bytes).
MOST_CORPUS = 200_000
# libFuzzer: one input takes at most so many seconds, the process so many MiB.
_INPUT_SECONDS = 20
_MEMORY = 1024
# New inputs of a target that one run adds to the corpus.
_MOST_KEPT = 80
# Below this something is wrong with the run, however slow the machine.
_LEAST_RUNS = 50
# Below these edges a target is blind, since atheris follows Python only: they lie between what is
# seen with a compiled driver and with one that is interpreted.
_LEAST_EDGES = {
    "http1": 250,
    "http2": 1100,
    "websocket": 300,
    "forwarded": 130,
    "proxy_protocol": 60,
    "asgi": 2300,
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of one target gave."""

    target: str
    runs: int
    edges: int
    new: int
    memory: int  # MiB
    seconds: float
    crashes: tuple[Path, ...]
    failure: str = ""

    def line(self) -> str:
        """One row of the summary."""
        word = f"{len(self.crashes)} FOUND" if self.crashes else self.failure or "ok"
        return (
            f"{self.target:<16}{self.runs:>9} runs {self.edges:>6} edges {self.new:>5} new "
            f"{self.memory:>4} MiB {self.seconds:>6.0f} s  {word}"
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m compliance.fuzzing", description=__doc__)
    made.add_argument(
        "--target", action="append", choices=list(SEEDS), help="fuzz this one (repeatable)"
    )
    made.add_argument(
        "--seconds", type=int, default=10, help="for each target (default: %(default)s)"
    )
    made.add_argument(
        "--check", action="store_true", help="fail for a finding (else it is only told)"
    )
    made.add_argument("--keep", action="store_true", help="add to the corpus what reached new code")
    made.add_argument("--seed", type=int, default=0, help="of libFuzzer; 0: another each time")
    made.add_argument(
        "--replay", action="append", type=Path, metavar="FILE",
        help="run this input of --target and show what it raises (repeatable)",
    )  # fmt: skip
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0: nothing found, 1: something was, 2: usage, 3: no atheris here."""
    made = parser()
    options = made.parse_args(arguments)
    targets: list[str] = options.target or list(SEEDS)
    if options.replay:
        if len(targets) != 1:
            made.error("--replay needs one --target")
        return _replay(targets[0], options.replay)
    if importlib.util.find_spec("atheris") is None:
        print("fuzzing: atheris is not installed: pip install -e '.[fuzz]'", file=sys.stderr)
        return ABSENT
    results = [_fuzz(target, options) for target in targets]
    for result in results:
        print(result.line())
    found = [path for result in results for path in result.crashes]
    for path in found:
        print(f"found: {path} (run it with --target {path.parent.name} --replay {path})")
    runs = sum(result.runs for result in results)
    print(f"fuzzing: {runs} runs of {len(targets)} targets, {len(found)} findings")
    broken = found or any(result.failure for result in results)
    return 1 if options.check and broken else 0


def _replay(target: str, paths: Iterable[Path]) -> int:
    from compliance.fuzzing.targets import TARGETS

    for path in paths:
        TARGETS[target].check(path.read_bytes())
        print(f"{path}: ok")
    return 0


def _fuzz(target: str, options: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory() as directory:
        new, crashes = Path(directory, "new"), Path(directory, "crashes")
        new.mkdir()
        crashes.mkdir()
        started = time.monotonic()
        process = _engine(_command(target, options, new, crashes))
        seconds = time.monotonic() - started
        output = process.stdout.decode("utf-8", "replace")
        if options.keep:
            _grow(target, new, Path(directory, "merged"), crashes)
        kept = tuple(_kept(path, CRASHES / target) for path in sorted(crashes.iterdir()))
        runs = _number(r"executed_units: (\d+)", output)
        edges = _number(r"cov: (\d+)", output)
        failure = ""
        if process.returncode or runs < _LEAST_RUNS:
            failure = f"FAILED (exit code {process.returncode})"
        elif edges < _LEAST_EDGES[target]:
            failure = "FAILED: too few edges; is the driver compiled?"
        if kept or failure:
            print(_told(output))
        return Result(
            target,
            runs,
            edges,
            _number(r"new_units_added: *(\d+)", output),
            _number(r"peak_rss_mb: *(\d+)", output),
            seconds,
            kept,
            failure,
        )


def _engine(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """Run atheris in a process of its own."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": _path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def _command(target: str, options: argparse.Namespace, new: Path, crashes: Path) -> list[str]:
    command = [sys.executable, "-m", "compliance.fuzzing.engine", target]
    command += [
        f"-max_total_time={options.seconds}",
        f"-timeout={_INPUT_SECONDS}",
        f"-rss_limit_mb={_MEMORY}",
        f"-seed={options.seed}",
        _artifacts(crashes),
        "-print_final_stats=1",
        str(new),
        str(CORPUS / target),
    ]
    return command


def _artifacts(folder: Path) -> str:
    """Have libFuzzer leave what it finds there, and not in the checkout."""
    return f"-artifact_prefix={folder}{os.sep}"


def _path() -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(ROOT), *([inherited] if inherited else [str(ROOT / "src")])])


def _number(pattern: str, output: str) -> int:
    """The last one that is told."""
    found = re.findall(pattern, output)
    return int(found[-1]) if found else 0


def _told(output: str) -> str:
    """The Python traceback of a finding, else the end of the output."""
    start = output.find("=== Uncaught Python exception")
    end = output.find("SUMMARY:", start)
    return output[start:end] if start >= 0 else output[-3000:]


def _kept(path: Path, folder: Path) -> Path:
    """A finding, filed among those that the tests replay."""
    data = path.read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{path.name.partition('-')[0]}-{file_name(data)}"
    kept.write_bytes(data)
    return kept


def _grow(target: str, new: Path, merged: Path, crashes: Path) -> None:
    """Add those new inputs that reach what the corpus does not, the short ones first.

    Each target has its share of the room.
    """
    corpus = CORPUS / target
    merged.mkdir()
    known = {file_name(path.read_bytes()) for path in corpus.iterdir()}
    for path in corpus.iterdir():
        (merged / path.name).write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "compliance.fuzzing.engine", target]
    _engine([*command, "-merge=1", _artifacts(crashes), str(merged), str(new)])
    room = MOST_CORPUS // len(SEEDS) - sum(path.stat().st_size for path in corpus.iterdir())
    # A merge gives the short ones first, and of what reaches the same keeps the first only.
    fresh = [path.read_bytes() for path in merged.iterdir() if path.name not in known]
    for data in sorted(fresh, key=len)[:_MOST_KEPT]:
        if len(data) <= room and file_name(data) not in known:
            (corpus / file_name(data)).write_bytes(data)
            room -= len(data)


if __name__ == "__main__":
    sys.exit(main())
