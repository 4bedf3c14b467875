"""``python -m compliance.restarts``: load, while workers and supervisors are replaced.

    python -m compliance.restarts                     everything, about two minutes
    python -m compliance.restarts --seconds 60 hup    one kind, longer
    python -m compliance.restarts --worker-class trio

Kinds: hup (reloads), usr2 (a new supervisor), recycle (max_requests), rotate (certificates),
kill (SIGKILL of a worker). The bar: no request fails; with kill only those that were on
connections of that worker. Exit code 1 where it is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from compliance.restarts import clients
from compliance.restarts.clients import Load, Tally
from compliance.servers import make_certificate, running_server, tail

# Seconds between two events of a run.
_PAUSE = 1.2
# Most connections of a load, and streams on each: what one killed worker can have held.
_HELD = {"wrk": 16, "http1 with pauses": 24, "http2 with pauses": 64}

_WRK = ("wrk", clients.wrk)
_H2LOAD1 = ("h2load http1", clients.h2load_http1)
_H2LOAD2 = ("h2load http2", clients.h2load_http2)
_PAUSED1 = ("http1 with pauses", clients.http1_with_pauses)
_PAUSED2 = ("http2 with pauses", clients.http2_with_pauses)
_TLS = ("wrk over tls", functools.partial(clients.wrk, scheme="https"))

_LOADS: dict[str, list[tuple[str, Load]]] = {
    "hup": [_WRK, _H2LOAD1, _H2LOAD2, _PAUSED1, _PAUSED2],
    "usr2": [_WRK, _H2LOAD1, _PAUSED1, _PAUSED2],
    "recycle": [_WRK, _H2LOAD1, _PAUSED1, _PAUSED2],
    "rotate": [_TLS],
    "kill": [_WRK, _PAUSED1, _PAUSED2],
}


@dataclass
class Site:
    """The daemon under load."""

    folder: Path
    port: int
    log: Path

    @property
    def supervisor(self) -> int:
        """Process id of the supervisor of now."""
        return int((self.folder / "pid").read_text())

    def workers(self) -> list[int]:
        """Process ids of its children, those that drain included."""
        pid = self.supervisor
        return [int(w) for w in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def said(self, text: str) -> int:
        """How often the log says so."""
        return self.log.read_text().count(text)


@contextlib.contextmanager
def _site(folder: Path, options: list[str]) -> Iterator[Site]:
    os.environ["RESTARTS_COUNTS"] = str(folder / "counts")

    def command(port: int) -> list[str]:
        where = ["--bind", f"127.0.0.1:{port}", "--pid-path", str(folder / "pid")]
        command = [sys.executable, "-m", "tricorn", *where, "--workers", "2", *options]
        return [*command, "compliance.restarts.app:app"]

    log = folder / "log"
    with running_server(command, log=log) as server:
        site = Site(folder, server.port, log)
        _until(lambda: site.said("2 workers ("), site, "workers did not start")
        try:
            yield site
        finally:
            pid = site.supervisor
            os.kill(pid, signal.SIGTERM)
            _until(lambda: not (folder / "pid").exists(), site, "the daemon did not stop")


def _until(condition: Callable[[], object], site: Site, what: str) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}\n{tail(site.log)}")
        time.sleep(0.05)


# Events: each does one thing and returns once it is over.


def _hup(site: Site) -> None:
    before = site.said("below supervisor")
    os.kill(site.supervisor, signal.SIGHUP)
    _until(lambda: site.said("below supervisor") > before, site, "no reload")


def _usr2(site: Site) -> None:
    before = site.supervisor
    os.kill(before, signal.SIGUSR2)
    _until(lambda: site.supervisor != before, site, "no new supervisor")
    _until(lambda: not _is_alive(before), site, "the old supervisor stays")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _recycle(site: Site) -> None:
    """The load does it."""


def _rotate(site: Site) -> None:
    fresh = Path(tempfile.mkdtemp(dir=site.folder))
    for path in make_certificate(fresh):
        shutil.copy(path, site.folder / path.name)
    _hup(site)


def _kill(site: Site) -> None:
    before = site.said("another one starts")
    os.kill(site.workers()[0], signal.SIGKILL)
    _until(lambda: site.said("another one starts") > before, site, "no replacement")


_EVENTS = {"hup": _hup, "usr2": _usr2, "recycle": _recycle, "rotate": _rotate, "kill": _kill}


def _options(kind: str, folder: Path) -> list[str]:
    if kind == "recycle":
        return ["--max-requests", "400", "--max-requests-jitter", "200"]
    if kind == "rotate":
        certificate, key = make_certificate(folder)
        return ["--certfile", str(certificate), "--keyfile", str(key)]
    return []


def _run(
    kind: str, name: str, load: Load, seconds: float, folder: Path, options: list[str]
) -> bool:
    """One kind of event under one load; whether the bar is met."""
    happened = 0
    tally = Tally()
    with _site(folder, options) as site:

        def go() -> None:
            nonlocal tally
            tally = load(site.port, seconds)

        thread = threading.Thread(target=go)
        thread.start()
        end = time.monotonic() + seconds - _PAUSE
        while time.monotonic() < end:
            thread.join(_PAUSE)
            _EVENTS[kind](site)
            happened += 1
        thread.join()
        replaced = site.said("is replaced: ")
    if kind == "recycle":
        happened = replaced
    allowed = happened * _HELD[name] if kind == "kill" else 0
    good = tally.failed <= allowed and tally.answered > 0 and happened > 0
    if name.startswith("h2load") and kind != "kill":
        counted = sum(map(int, (folder / "counts").read_text().split()))
        # What is still under way when the load ends is not counted by it.
        if not 0 <= counted - tally.answered <= 64:
            good = False
            tally.notes.append(f"{counted} answered by the application")
    bar = f" (at most {allowed})" if allowed else ""
    notes = f"  [{'; '.join(tally.notes)}]" if tally.notes else ""
    print(
        f"{'ok    ' if good else 'FAILED'} {kind:8} {happened:3}x  {name:18} "
        f"{tally.answered:8} answered  {tally.failed:4} failed{bar}{notes}",
        flush=True,
    )
    if not good:
        print(tail(folder / "log", 30))
    return good


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m compliance.restarts")
    parser.add_argument("kinds", nargs="*", choices=[[], *_LOADS], help="default: all")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run (default 4)")
    parser.add_argument("--worker-class", default="auto", help="event loop of the workers")
    arguments = parser.parse_args()
    good = True
    failed = 0
    for kind in arguments.kinds or _LOADS:
        for name, load in _LOADS[kind]:
            with tempfile.TemporaryDirectory() as folder:
                options = ["--worker-class", arguments.worker_class]
                options += _options(kind, Path(folder))
                good = _run(kind, name, load, arguments.seconds, Path(folder), options)
            failed += not good
    print(f"restarts: {'no request lost' if not failed else f'FAILED in {failed} runs'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
