"""The soak's judges: what is lost, what is excused, which line is explained, what grows."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from compliance.soak import app as soak_app  # noqa: E402
from compliance.soak import log_lines, traffic  # noqa: E402
from compliance.soak.daemon import Daemon, Usage  # noqa: E402
from compliance.soak.ledger import Ledger, Origin, Restarted, Wrong  # noqa: E402
from compliance.soak.run import ACTORS, leftovers  # noqa: E402
from compliance.soak.watch import MIB, Watch  # noqa: E402


def attempt(ledger: Ledger, error: Exception | None, worker: int | None = None) -> bool:
    async def request() -> None:
        if error is not None:
            raise error

    return asyncio.run(ledger.attempt("request", Origin(worker), request))


def test_what_is_served_lost_and_told_to_come_again() -> None:
    ledger = Ledger("a")
    assert attempt(ledger, None)
    assert not attempt(ledger, Wrong("status 500"))
    assert not attempt(ledger, ConnectionResetError())
    assert not attempt(ledger, Restarted())
    assert ledger.counts == {"served": 1, "LOST": 2, "told to come again": 1}
    assert "status 500" in ledger.lost[0]


@pytest.mark.parametrize(
    ("killed", "ago", "worker", "outcome"),
    [
        (7, 0.0, 7, "excused"),
        (7, 0.0, None, "excused"),  # a connection that has not said whose it is
        (7, 0.0, 8, "LOST"),
        (7, 60.0, 7, "LOST"),
    ],
)
def test_only_what_was_in_flight_on_a_killed_worker_is_excused(
    killed: int, ago: float, worker: int | None, outcome: str
) -> None:
    ledger = Ledger("a")
    ledger.kills.append((time.monotonic() - ago, killed))
    attempt(ledger, ConnectionResetError(), worker)
    assert ledger.counts == {outcome: 1}


LOG = """\
2026-11-21 16:38:45.553 INFO  Tricorn 0.1.0 on uvloop 0.23.0 with h11 0.16.0
2026-11-21 16:38:45.663 ERROR application failed: GET /fail HTTP/1.1 from 127.0.0.1:52994
    Traceback (most recent call last):
      File "app.py", line 117, in _fail
    compliance.soak.app.Intended: before the response
2026-11-21 16:38:45.664 INFO  refused WebSocket: Invalid opcode 0x3 from 127.0.0.1
"""


def explained(tmp_path: Path, text: str) -> tuple[dict[str, int], list[str]]:
    path = tmp_path / "log"
    path.write_text(text)
    allowed = [*log_lines.START, *log_lines.FAILURES, *log_lines.PEERS]
    return log_lines.explain(path, allowed)


def test_lines_are_explained(tmp_path: Path) -> None:
    counts, unexplained = explained(tmp_path, LOG)
    assert counts == {"version": 1, "handler failed": 1, "peer": 1}
    assert not unexplained


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-21 16:38:45.663 ERROR internal error; closing the connection",
        "socket.send() raised exception.",
        "2026-11-21 16:38:45.663 ERROR application failed: GET /small HTTP/1.1 from 127.0.0.1:5\n"
        "    compliance.soak.app.Intended: no",
        "2026-11-21 16:38:45.663 ERROR application failed: GET /fail HTTP/1.1 from 127.0.0.1:5\n"
        "    ValueError: another failure",
        "2026-11-21 16:38:45.663 INFO  SIGHUP: worker 5 starts with it",
        "Traceback (most recent call last):",
    ],
)
def test_a_line_that_nothing_explains_is_told_whole(tmp_path: Path, line: str) -> None:
    _, unexplained = explained(tmp_path, LOG + line + "\n" + LOG)
    assert unexplained == [line]


class OneProcess:
    """A daemon of which only the number is asked."""

    pid = 1


def watch_of(sizes: list[float]) -> Watch:
    watch = Watch(OneProcess())  # type: ignore[arg-type]
    watch.samples[1] = [
        (at * 5.0, Usage(1, at * 5.0, int(size * MIB), 10, 1)) for at, size in enumerate(sizes)
    ]
    return watch


def test_growth_is_told_from_a_warm_up() -> None:
    flat = watch_of([10 + n / 10 for n in range(20)] + [12.0] * 100).trend(1, 100)
    assert flat is not None
    assert abs(flat.slope) < 1
    grows = watch_of([12 + n / 60 for n in range(120)]).trend(1, 100)
    assert grows is not None
    assert grows.slope == pytest.approx(1024 * 12 / 60, rel=0.05)
    assert watch_of([12.0] * 10).trend(1, 40) is None


def test_every_actor_has_its_say_in_the_application() -> None:
    assert len(ACTORS) >= 7
    assert {"/upload", "/download", "/events", "/fail", "/push"} <= soak_app._PATHS.keys()
    assert traffic.client_context("h2").check_hostname is False
    assert callable(leftovers)


def test_a_certificate_counts_for_a_while_behind_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *args, **named: None)
    daemon = Daemon("a", tmp_path, [])
    import ssl

    def leaf() -> bytes:
        return ssl.PEM_cert_to_DER_cert(daemon.certificate.read_text())

    first = leaf()
    daemon.rotate()
    second = leaf()
    assert first != second
    assert daemon.is_current(first)
    assert daemon.is_current(second)
    later = time.monotonic() + 60
    monkeypatch.setattr("compliance.soak.daemon.time.monotonic", lambda: later)
    assert not daemon.is_current(first)
    assert daemon.is_current(second)
