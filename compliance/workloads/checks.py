"""What a workload's ``client.py`` is made of; it runs in the workload's own environment.

The client prints one JSON object a line, for the runner: ``plan`` (the cells that it will ask, by
protocol and name), ``outcome`` (of one cell), ``holding`` (the streams for ``stop`` are open: the
daemon may be stopped now). Only the standard library is imported here.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import threading
import time
import traceback
from collections.abc import Callable, Sequence
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

    def check(self, *protocols: str) -> Callable[[Check], Check]:
        """Decorator: ask this over `protocols`, else over all; its name is the function's."""

        def add(function: Check) -> Check:
            name = function.__name__.replace("_", "-")
            self._checks.append((name, function, protocols or self.protocols))
            return function

        return add

    def at_stop(self, function: StopCheck) -> StopCheck:
        """Decorator: what is open while the daemon is stopped."""
        self._stop = function
        return function

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
        plan += [f"{one} {STOP}" for one in self.protocols]
        _say(plan=plan)
        good = [
            _ask(name, check, targets[one]) for name, check, asked in self._checks for one in asked
        ]
        good += self._hold(list(targets.values()))
        return 0 if all(good) else 1

    def _hold(self, targets: list[Target]) -> list[bool]:
        stop = self._stop
        if stop is None:
            # Nothing is open; the runner still asks whether the daemon stops in order.
            _say(holding=True)
            for target in targets:
                _say(outcome=f"{target.protocol} {STOP}", why=None, seconds=0.0, figures={})
            return []
        opened = threading.Semaphore(0)

        def ask(target: Target) -> bool:
            try:
                return _ask(STOP, lambda one: stop(one, opened.release), target)
            finally:
                # One that failed before its stream was open must not keep the others waiting.
                opened.release()

        with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
            running = [pool.submit(ask, target) for target in targets]
            for _ in targets:
                opened.acquire()
            _say(holding=True)
            return [one.result() for one in running]


def expect(seen: object, wanted: object, what: str) -> None:
    """Raise Unmet where `seen` is not equal to `wanted`."""
    if seen != wanted:
        raise Unmet(f"{what}: {_short(seen)}, not {_short(wanted)}")


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
