"""The attack suite itself: its bytes, its judgement, and a few attacks on a real daemon."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import hpack
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from compliance.attacks import cases as cases  # noqa: E402
from compliance.attacks import frames, report  # noqa: E402
from compliance.attacks.judge import SCALE, Measured, judge  # noqa: E402
from compliance.attacks.model import ATTACKS, Attack, Report, Stage  # noqa: E402
from compliance.attacks.neighbour import Sample, Samples  # noqa: E402
from compliance.attacks.observe import Stats, noise  # noqa: E402
from compliance.attacks.runner import Plan, run  # noqa: E402

from tricorn.config_options import Options  # noqa: E402

OPTIONS = {option.name for option in dataclasses.fields(Options)}
BASE = Stats(100, 5, 10, 3, 0, 0, 0, 0)


@pytest.fixture
def attack() -> Attack:
    return ATTACKS["h2-rapid-reset"]


def measured(**changes: object) -> Measured:
    """An attack that was held off, but for the changes."""
    seen = Report(connections=2, right=2, answers=Counter({"GOAWAY ENHANCE_YOUR_CALM": 2}))
    values = {
        "report": seen,
        "calm": 0.004,
        "under_attack": 0.02,
        "samples": 200,
        "base": BASE,
        "after": dataclasses.replace(BASE, calls=300),
        **changes,
    }
    return Measured(**values)  # type: ignore[arg-type]


class TestTheAttacks:
    @pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
    def test_what_bounds_them_are_options(self, attack: Attack) -> None:
        assert attack.bounds
        for name in attack.bounds:
            assert name in OPTIONS or (name.startswith("(") and name.endswith(")")), name
        assert set(attack.options) <= OPTIONS

    def test_every_kind_is_there_and_in_the_subset(self) -> None:
        assert {attack.group for attack in ATTACKS.values()} == set(report.GROUPS)
        subset = {attack.group for attack in ATTACKS.values() if attack.subset}
        assert subset == set(report.GROUPS)

    def test_the_field_sections_are_well_formed(self) -> None:
        fields = hpack.Decoder().decode(frames.websocket_request(b"/ws"), raw=True)
        assert fields == [
            (b":method", b"CONNECT"),
            (b":scheme", b"http"),
            (b":path", b"/ws"),
            (b":authority", b"localhost"),
            (b":protocol", b"websocket"),
            (b"sec-websocket-version", b"13"),
        ]

    def test_a_long_literal(self) -> None:
        decoder = hpack.Decoder()
        assert decoder.decode(frames.literal(b"x", b"y" * 4000), raw=True) == [(b"x", b"y" * 4000)]

    @pytest.mark.parametrize(("value", "prefix", "wire"), [
        (10, 5, b"\x0a"), (1337, 5, b"\x1f\x9a\x0a"), (42, 8, b"\x2a"),
    ])  # fmt: skip
    def test_rfc7541_appendix_c_1(self, value: int, prefix: int, wire: bytes) -> None:
        assert frames.integer(value, prefix) == wire

    def test_readers(self) -> None:
        answers: Counter[str] = Counter()
        goaway = frames.frame(frames.GOAWAY, 0, 0, frames.word(0) + frames.word(11))
        reader = frames.HTTP2Reader(answers)
        for byte in frames.settings() + goaway:
            reader.feed(bytes([byte]))
        frames.HTTP1Reader(answers).feed(b"HTTP/1.1 200 OK\r\n\r\nokHTTP/1.1 431 Too\r\n")
        socket = frames.WebSocketReader(answers)
        socket.feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88")
        socket.feed(b"\x02\x03\xf1")
        words = ["GOAWAY ENHANCE_YOUR_CALM", "200", "431", "101", "close 1009"]
        assert answers == Counter(words)


class TestTheJudge:
    def test_held(self, attack: Attack) -> None:
        assert judge(attack, measured(), strict=True).outcome == "held"

    @pytest.mark.parametrize(
        ("changes", "outcome"),
        [
            ({"after": None}, "died"),
            ({"after": dataclasses.replace(BASE, pid=101)}, "died"),
            ({"after": dataclasses.replace(BASE, tasks=6)}, "left"),
            ({"after": dataclasses.replace(BASE, descriptors=11)}, "left"),
            ({"after": dataclasses.replace(BASE, smuggled=1)}, "fault"),
            ({"after": dataclasses.replace(BASE, calls=10_000)}, "calls"),
            ({"under_attack": 0.101}, "starved"),
            ({"lost": 1}, "starved"),
            ({"growth": 65 * 2**20}, "grew"),
            ({"exit_code": 1}, "stop"),
            ({"log": "Traceback (most recent call last):"}, "noisy"),
            ({"report": Report(connections=2, answers=Counter(["closed"]))}, "answer"),
            ({"report": Report(connections=2, right=1)}, "answer"),
            ({"report": Report()}, "answer"),
            ({"report": Report(connections=1, right=1, faults=["split"])}, "fault"),
        ],
    )
    def test_faults(self, attack: Attack, changes: dict[str, object], outcome: str) -> None:
        assert judge(attack, measured(**changes), strict=True).outcome == outcome

    def test_a_slow_calm_raises_the_bar(self, attack: Attack) -> None:
        assert judge(attack, measured(calm=0.03, under_attack=0.149), strict=True).outcome == "held"

    @pytest.mark.parametrize(("slow", "outcome"), [(1, "held"), (2, "starved")])
    def test_one_slow_request_in_a_hundred_is_no_starving(
        self, attack: Attack, slow: int, outcome: str
    ) -> None:
        samples = Samples([Sample(n, 0.2 if n < slow else 0.01) for n in range(100)])
        p99 = samples.percentile(0.99)
        assert judge(attack, measured(under_attack=p99), strict=True).outcome == outcome

    def test_the_attacks_own_end_is_no_fault_of_the_server(self, attack: Attack) -> None:
        seen = Report(connections=3, right=2, cut_short=1)
        assert judge(attack, measured(report=seen), strict=True).outcome == "held"

    def test_peers_have_words_of_their_own(self, attack: Attack) -> None:
        seen = Report(connections=2, answers=Counter(["closed"]))
        verdict = judge(attack, measured(report=seen, log="Traceback", exit_code=-15), strict=False)
        assert verdict.outcome == "held"

    def test_the_worst_counts(self, attack: Attack) -> None:
        verdict = judge(attack, measured(under_attack=1.0, growth=2**30), strict=True)
        assert set(verdict.complaints) == {"starved", "grew"}
        assert verdict.outcome == "grew"
        assert SCALE.rank("grew") > SCALE.rank("starved")

    def test_percentiles(self) -> None:
        samples = Samples([Sample(float(n), n / 100) for n in range(1, 101)])
        assert samples.percentile(0.99) == 0.99
        assert samples.between(1.0, 51.0).percentile(0.99) == 0.5
        assert Samples([Sample(0.0, None)]).percentile(0.99) == 5.0
        assert Samples([Sample(0.0, None)]).lost == 1


class TestTheLog:
    START = "2026-11-21 12:00:00.123 "

    def test_lines_of_peers(self) -> None:
        assert noise(f"{self.START}INFO  refused this from 127.0.0.1\n", ()) == []

    def test_what_is_due_may_come_once_and_once_with_a_count(self) -> None:
        line = f"{self.START}ERROR cannot accept: Too many open files\n    Traceback of it\n"
        assert noise(line * 2, ("cannot accept",)) == []
        assert len(noise(line * 3, ("cannot accept",))) == 2
        assert len(noise(line, ())) == 2

    def test_what_is_no_line_of_ours(self) -> None:
        assert noise("SSL connection is closed\n", ()) == ["SSL connection is closed"]

    def test_too_many(self) -> None:
        assert noise(f"{self.START}INFO  x\n" * 61, ()) == ["61 lines"]


def test_the_page_holds_the_tables_of_the_last_run() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert page.endswith(f"{report.MARK}\n\n{report.tables(report.load())}\n")
    for name in ATTACKS:
        assert f"| {name} |" in page


def test_the_page_says_when_and_what_was_not_run(attack: Attack) -> None:
    row = report.row(judge(attack, measured(), strict=True))
    later = row | {"date": "2099-01-02"}
    assert datetime.now(UTC).date() - date.fromisoformat(row["date"]) < timedelta(days=2)
    ours, other = {"tricorn/uvloop": {attack.name: row}}, {"tricorn/trio": {attack.name: later}}
    assert report.tables({}).startswith("Nothing is measured yet.\n")
    assert report.tables(ours | other).startswith(f"Measured on {row['date']}.\n")
    text = report.tables(ours | {"granian/uvloop": {attack.name: later}})
    assert text.startswith(f"Measured from {row['date']} to 2099-01-02; ")
    figures = f"| {attack.name} | 4 ms | 20 ms | 0 MiB | {row['calls']} | held"
    assert f"{figures} | not by default | not run | held |" in text


# Threads of other tests may be there; what is forked does not touch what they hold.
_FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.mark.long
@_FORKS
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc")
def test_a_daemon_holds_off_three_of_them() -> None:
    """Half a second each; figures of a neighbour are no matter here, as the machine is busy."""
    names = ("h2-rapid-reset", "h1-smuggling", "ws-giant-frame")
    told: list[str] = []
    chosen = [dataclasses.replace(ATTACKS[name], delay=5.0) for name in names]
    plan = Plan("tricorn", "asyncio", chosen, seconds=0.5, attempts=1, progress=told.append)
    verdicts = run(plan)
    assert [verdict.outcome for verdict in verdicts] == ["held"] * 3, "\n".join(told)


@_FORKS
def test_an_attacker_that_fails_is_told() -> None:
    """A broken attack must not count as one that was held off."""

    def broken(stage: Stage) -> None:
        raise RuntimeError("no bytes")

    attack = dataclasses.replace(ATTACKS["h2-ping-unread"], run=broken, delay=5.0)
    plan = Plan("tricorn", "asyncio", [attack], 0.2, 1, lambda _: None)
    (verdict,) = run(plan)
    assert verdict.outcome == "fault"
