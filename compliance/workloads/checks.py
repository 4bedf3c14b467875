"""What a workload's ``client.py`` is made of; it runs in the workload's own environment.

The client prints one JSON object a line, for the runner: ``plan`` (the cells that it will ask, by
protocol and name), ``outcome`` (of one cell), ``holding`` (the streams for ``stop`` are open: the
daemon may be stopped now). Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds that one step of a client may take."""

SCHEMES = {"http/1.1": "http", "h2c": "http", "h2": "https"}
"""By protocol: HTTP/1.1 and HTTP/2 with prior knowledge in cleartext, HTTP/2 over TLS by ALPN."""

STOP = "stop"


class Unmet(Exception):
    """Something did not do what it should; the text says what was seen."""


@dataclass(slots=True)
class Target:
    """The daemon over one protocol."""

    protocol: str
    port: int
    authority: Path
    """PEM file of the certificate authority."""
    pid: int
    """Of the daemon."""
    figures: dict[str, float] = field(default_factory=dict)
    """What a check measured, for the record: by name, the unit in the name."""

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return SCHEMES[self.protocol]

    @property
    def is_http2(self) -> bool:
        """HTTP/2, with or without TLS."""
        return self.protocol != "http/1.1"

    def url(self, path: str = "") -> str:
        """An absolute URL."""
        return f"{self.scheme}://localhost:{self.port}{path}"


Check = Callable[[Target], None]
StopCheck = Callable[[Target, Callable[[], None]], None]
"""Opens a stream, calls its argument once it is open, and waits for the end that a stopping server
makes; raises where that end is not in order."""


class Suite:
    """The checks of one workload, over protocols."""

    def __init__(self, *protocols: str) -> None:
        self.protocols = protocols
        self._checks: list[tuple[str, Check, Sequence[str]]] = []
        self._stop: StopCheck | None = None
        self._stop_protocols: Sequence[str] = protocols

    def check(self, *protocols: str) -> Callable[[Check], Check]:
        """Decorator: ask this over `protocols`, else over all; its name is the function's."""

        def add(function: Check) -> Check:
            name = function.__name__.replace("_", "-")
            self._checks.append((name, function, protocols or self.protocols))
            return function

        return add

    def at_stop(self, *protocols: str) -> Callable[[StopCheck], StopCheck]:
        """Decorator: what is open, over `protocols` or over all, while the daemon is stopped."""

        def add(function: StopCheck) -> StopCheck:
            self._stop = function
            self._stop_protocols = protocols or self.protocols
            return function

        return add

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Run all checks against the daemon that the command line names. 0 if all passed."""
        parser = argparse.ArgumentParser()
        parser.add_argument("--http", type=int, required=True)
        parser.add_argument("--https", type=int, required=True)
        parser.add_argument("--authority", type=Path, required=True)
        parser.add_argument("--pid", type=int, required=True)
        given = parser.parse_args(arguments)
        targets = {
            name: Target(name, getattr(given, SCHEMES[name]), given.authority, given.pid)
            for name in self.protocols
        }
        plan = [f"{one} {name}" for name, _, asked in self._checks for one in asked]
        plan += [f"{one} {STOP}" for one in self._stop_protocols]
        _say(plan=plan)
        good = [
            _ask(name, check, targets[one]) for name, check, asked in self._checks for one in asked
        ]
        good += self._hold([targets[one] for one in self._stop_protocols])
        return 0 if all(good) else 1

    def _hold(self, targets: list[Target]) -> list[bool]:
        stop = self._stop
        if stop is None:
            # Nothing is open; the runner still asks whether the daemon stops in order.
            _say(holding=True)
            for target in targets:
                _say(outcome=f"{target.protocol} {STOP}", why=None, seconds=0.0, figures={})
            return []

        def ask(target: Target, opened: threading.Event) -> bool:
            try:
                return _ask(STOP, lambda one: stop(one, opened.set), target)
            finally:
                # One that failed before its stream was open must not keep the others waiting.
                opened.set()

        with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
            events = [threading.Event() for _ in targets]
            running = [pool.submit(ask, *pair) for pair in zip(targets, events, strict=True)]
            for event in events:
                event.wait()
            _say(holding=True)
            return [one.result() for one in running]


def expect(seen: object, wanted: object, what: str) -> None:
    """Raise Unmet where `seen` is not equal to `wanted`."""
    if seen != wanted:
        raise Unmet(f"{what}: {_short(seen)}, not {_short(wanted)}")


CURL_PROTOCOL = {
    "http/1.1": "--http1.1",
    "h2c": "--http2-prior-knowledge",
    "h2": "--http2",
}


TRANSFER = 300.0
"""Seconds for a whole response: a gibibyte, on a machine that has other work too."""


def curl(target: Target, path: str, *options: str, codes: Sequence[int] = (0,)) -> str:
    """What curl writes. Raises Unmet unless its exit code is one of `codes`."""
    command = _curl(target, TRANSFER, path, *options)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=TRANSFER + PATIENCE, check=False
    )
    if done.returncode not in codes:
        raise Unmet(f"curl: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def stream(target: Target, path: str, *options: str) -> Iterator[Iterator[str]]:
    """The lines that curl reads of a response; raises Unmet where it does not end in order.

    curl, because what h2, and so httpx, reads after the GOAWAY of a stopping server is lost to it.
    """
    command = [*_curl(target, PATIENCE, path, *options), "--no-buffer"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout)
            yield lines
            rest = "".join(lines)
            code = process.wait(PATIENCE)
        finally:
            process.kill()
    if code:
        raise Unmet(f"curl: exit code {code}: {rest[-300:]}")


def _curl(target: Target, limit: float, path: str, *options: str) -> list[str]:
    command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(target.authority)]
    command += [CURL_PROTOCOL[target.protocol], "--max-time", str(limit)]
    return [*command, *options, target.url(path)]


def until(condition: Callable[[], bool], complaint: str) -> None:
    """Ask `condition` until it holds. Raises Unmet with `complaint` after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Unmet(complaint)
        # The daemon can only be asked again.
        time.sleep(0.02)


def _ask(name: str, check: Check, target: Target) -> bool:
    target.figures.clear()
    why: str | None = None
    started = time.monotonic()
    try:
        check(target)
    except Unmet as error:
        why = str(error)
    except BaseException as error:
        # Whatever a client raises is an answer about the server, and the others are still asked.
        why = "".join(traceback.format_exception(error)[-6:])[-2000:]
        if isinstance(error, KeyboardInterrupt):
            raise
    seconds = round(time.monotonic() - started, 2)
    cell = f"{target.protocol} {name}"
    _say(outcome=cell, why=why, seconds=seconds, figures=dict(target.figures))
    return why is None


_output = threading.Lock()


def _say(**line: Any) -> None:
    with _output:
        print(json.dumps(line), flush=True)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
