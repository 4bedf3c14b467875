"""Cells, ratios, bars, and what is printed and written of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.bars import (
    BEST,
    BEST_PYTHON,
    AgainstItself,
    AgainstPeer,
    Ceiling,
    Complete,
    Verdict,
    judge,
    missed,
)
from benchmarks.figures import Cell, Ratio, Table, best, ratio
from benchmarks.fleet import SERVERS
from benchmarks.report import as_json, from_json, read_json, render, write_json

from benchmarks import bars


def table(name: str, higher: bool = True, **cells: Cell) -> dict[str, Table]:
    """One table; the underscores of the servers' names stand for dashes."""
    named = {server.replace("_", "-"): cell for server, cell in cells.items()}
    return {name: Table(name, "requests/s", higher, cells=named)}


def small(**cells: Cell) -> dict[str, Table]:
    return table("http1-small", **cells)


def only(bar: bars.Bar, tables: dict[str, Table]) -> Verdict:
    (verdict,) = bar.judge(tables, SERVERS)
    return verdict


GOOD = Cell([50.0])
FAILED = Cell([50.0], problem="7 of 9 requests: 7 failed")
CANNOT = Cell(cannot="does not speak HTTP/2 over TLS")


def test_median_is_of_the_rounds() -> None:
    assert Cell([30.0, 10.0, 20.0]).median == 20.0
    assert Cell([]).median is None


def test_a_problem_takes_the_figure_away() -> None:
    assert FAILED.median is None
    assert CANNOT.median is None


def test_ratio_is_of_the_medians_with_the_rounds_beside_it() -> None:
    found = ratio(Cell([200.0, 300.0, 60.0]), Cell([100.0, 100.0, 30.0]))
    assert found == Ratio(median=2.0, least=2.0, greatest=3.0)


def test_no_ratio_with_a_failed_side() -> None:
    assert ratio(GOOD, FAILED) is None
    assert ratio(FAILED, GOOD) is None
    assert ratio(GOOD, Cell([0.0])) is None


def test_best_looks_at_which_way_is_better() -> None:
    cells = {"slow": Cell([1.0]), "fast": Cell([9.0]), "failed": FAILED}
    more = Table("rate", "requests/s", True, cells=cells)
    less = Table("time", "ms", False, cells=cells)
    assert best(more, cells) == "fast"
    assert best(less, cells) == "slow"
    assert best(more, ["failed", "absent"]) is None


@pytest.mark.parametrize(("own", "met"), [(12.5, True), (13.0, True), (12.4, False)])
def test_bar_against_a_named_peer(own: float, met: bool) -> None:
    bar = AgainstPeer("http1-small", "tricorn-uvloop", "uvicorn-h11", 1.25)
    verdict = only(bar, small(tricorn_uvloop=Cell([own]), uvicorn_h11=Cell([10.0])))
    assert verdict.met is met
    assert verdict.reached == pytest.approx(own / 10)
    assert "1.25 x uvicorn-h11" in verdict.bar


@pytest.mark.parametrize(("own", "met"), [(13.0, True), (13.1, False)])
def test_bar_of_at_most(own: float, met: bool) -> None:
    bar = AgainstPeer("start", "tricorn-uvloop", "uvicorn-h11", 1.3, at_most=True)
    cells = table("start", False, tricorn_uvloop=Cell([own]), uvicorn_h11=Cell([10.0]))
    assert only(bar, cells).met is met


def test_best_peer_is_neither_ours_nor_nginx() -> None:
    tables = small(
        tricorn_uvloop=Cell([30.0]),
        tricorn_trio=Cell([99.0]),
        nginx=Cell([90.0]),
        granian=Cell([20.0]),
        uvicorn_h11=Cell([10.0]),
    )
    verdict = only(AgainstPeer("http1-small", "tricorn-uvloop", BEST, 1.4), tables)
    assert verdict.reached == 1.5
    assert "granian (best peer)" in verdict.bar
    verdict = only(AgainstPeer("http1-small", "tricorn-uvloop", BEST_PYTHON, 1.4), tables)
    assert verdict.reached == 3.0
    assert "uvicorn-h11" in verdict.bar


def test_best_peer_has_a_figure() -> None:
    tables = small(tricorn_uvloop=Cell([30.0]), granian=CANNOT, uvicorn_h11=Cell([10.0]))
    verdict = only(AgainstPeer("http1-small", "tricorn-uvloop", BEST, 1.4), tables)
    assert (verdict.met, verdict.reached) == (True, 3.0)


@pytest.mark.parametrize(("own", "met"), [(30.0, None), (13.0, False)])
def test_a_peer_that_failed_makes_no_bar_easier(own: float, met: bool | None) -> None:
    tables = small(tricorn_uvloop=Cell([own]), granian=FAILED, uvicorn_h11=Cell([10.0]))
    verdict = only(AgainstPeer("http1-small", "tricorn-uvloop", BEST, 1.4), tables)
    assert verdict.met is met
    assert verdict.found.startswith("granian: failed; 3.00 x" if met is None else "1.30 x")
    assert (verdict.reached is None) == (met is None)


@pytest.mark.parametrize("peer", ["granian", BEST])
def test_our_failure_misses_the_bar_and_theirs_leaves_it_open(peer: str) -> None:
    bar = AgainstPeer("http1-small", "tricorn-uvloop", peer, 1.4)
    assert only(bar, small(tricorn_uvloop=FAILED, granian=GOOD)).met is False
    assert only(bar, small(tricorn_uvloop=CANNOT, granian=GOOD)).met is False
    theirs = only(bar, small(tricorn_uvloop=GOOD, granian=FAILED))
    assert (theirs.met, theirs.found) == (None, "granian: failed")
    cannot = only(bar, small(tricorn_uvloop=GOOD, granian=CANNOT))
    assert (cannot.met, cannot.found) == (None, "granian: does not speak HTTP/2 over TLS")


def test_bars_are_judged_only_where_both_sides_were_run() -> None:
    assert judge(small(tricorn_uvloop=Cell([1.0])), SERVERS) == []
    assert judge(small(granian=Cell([1.0])), SERVERS) == []
    assert judge({}, SERVERS) == []


def paced(rate: float, load: float, server: float, cpu: float) -> Cell:
    notes = {"load busy": [load], "server busy": [server], "cpu": [cpu]}
    return Cell([rate], notes=notes)


def test_where_the_load_set_the_pace_processor_time_is_compared() -> None:
    bar = AgainstPeer("http1-small", "tricorn-uvloop", "granian", 1.4)
    ours, theirs = paced(100.0, 0.99, 0.5, 1e-5), paced(100.0, 0.99, 1.0, 2e-5)
    verdict = only(bar, small(tricorn_uvloop=ours, granian=theirs))
    assert (verdict.met, verdict.reached) == (True, pytest.approx(2.0))
    assert "the load set the pace" in verdict.found
    ours, theirs = paced(100.0, 0.6, 1.0, 1e-5), paced(100.0, 0.6, 1.0, 2e-5)
    verdict = only(bar, small(tricorn_uvloop=ours, granian=theirs))
    assert (verdict.met, verdict.reached) == (False, pytest.approx(1.0))
    assert "by processor time 2.00 x" in verdict.found


def test_bar_between_two_tables_of_one_server() -> None:
    bar = AgainstItself("connections-1000", "connections-64", "tricorn-trio", 0.85)
    tables = table("connections-64", tricorn_trio=Cell([100.0]))
    assert bar.judge(tables, SERVERS) == []
    for rate, met in ((85.0, True), (84.0, False)):
        tables |= table("connections-1000", tricorn_trio=Cell([rate]))
        assert only(bar, tables).met is met
    tables |= table("connections-64", tricorn_trio=FAILED)
    assert only(bar, tables).met is False


def test_ceiling_is_for_every_round_of_ours_alone() -> None:
    name = "memory-growth-h2c-download-slow-peer"
    tables = table(
        name,
        False,
        tricorn_uvloop=Cell([4.0]),
        tricorn_trio=Cell([1.0, 1.0, 4.1]),
        tricorn_asyncio=Cell([], problem="stalled"),
        hypercorn_uvloop=Cell([10.4]),
    )
    verdicts = Ceiling("memory-growth-", "tricorn-", 4.0).judge(tables, SERVERS)
    assert [verdict.met for verdict in verdicts] == [True, False, False]
    assert all(name in verdict.bar for verdict in verdicts)


def test_complete_is_missed_by_any_failed_request() -> None:
    tables = table("http2-long", tricorn_uvloop=GOOD, tricorn_trio=FAILED, granian=FAILED)
    verdicts = Complete("http2-long", "tricorn-").judge(tables, SERVERS)
    assert [verdict.met for verdict in verdicts] == [True, False]


def test_a_missed_goal_is_no_missed_bar() -> None:
    tables = small(tricorn_uvloop=Cell([1.0]), nginx=Cell([10.0]))
    verdicts = judge(tables, SERVERS)
    assert [(verdict.met, verdict.goal) for verdict in verdicts] == [(False, True)]
    assert not missed(verdicts)
    assert "goal" in bars.render(verdicts)
    assert missed([Verdict("a bar", False, "0.9 x")])
    assert not missed([Verdict("a bar", None, "granian: failed")])


def test_every_bar_names_a_server_and_a_peer_there_is() -> None:
    for bar in bars.BARS:
        if isinstance(bar, AgainstPeer) and not bar.peer.startswith("baseline-"):
            assert bar.own in SERVERS
            assert bar.peer in SERVERS or bar.peer in (BEST, BEST_PYTHON)


def test_a_failed_run_is_shown_as_such_and_behind_the_others() -> None:
    failed = Cell([99_999.0], problem="3 of 9 requests: 3 failed\nand more")
    tables = small(
        daphne=CANNOT, granian=failed, uvicorn_h11=Cell([5.0]), tricorn_uvloop=Cell([20.0, 10.0])
    )
    lines = render(tables["http1-small"]).splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert names == ["tricorn-uvloop", "uvicorn-h11", "granian", "daphne"]
    assert "15.00  (10.00 .. 20.00)  1.00 x" in lines[1]
    assert lines[3].endswith("FAILED: 3 of 9 requests: 3 failed")
    assert lines[4].endswith("no part: does not speak HTTP/2 over TLS")
    assert "99,999" not in lines[3]


def test_a_load_that_may_have_set_the_pace_is_marked() -> None:
    tables = small(
        granian=paced(100.0, 0.99, 0.5, 1e-5),
        nginx=paced(90.0, 0.95, 0.97, 1e-5),
        daphne=paced(10.0, 0.3, 1.0, 1e-4),
    )
    lines = render(tables["http1-small"]).splitlines()[1:]
    marks = {line.split()[0]: line.rpartition("  ")[2] for line in lines if line.endswith(")")}
    assert marks == {"granian": "(pace of the load?)", "nginx": "(load busy too)"}


def test_less_is_first_where_less_is_better() -> None:
    cells = {"a": Cell([70.0]), "b": Cell([30.0])}
    lines = render(Table("memory-at-start", "MiB", False, cells=cells)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["b", "a"]


def test_json_has_every_round_and_the_problem_and_comes_back(tmp_path: Path) -> None:
    bad = Cell([7.0], problem="stalled")
    tables = small(
        tricorn_uvloop=Cell([24.0, 36.0], notes={"load busy": [0.5, 0.6], "cpu": [1e-5, 2e-5]}),
        uvicorn_h11=Cell([10.0, 10.0]),
        tricorn_trio=bad,
        daphne=CANNOT,
    )
    path = tmp_path / "results" / "run.json"
    verdicts = judge(tables, SERVERS)
    write_json(path, as_json({"rounds": 2}, tables, verdicts))
    content = json.loads(path.read_text())
    servers = content["tables"]["http1-small"]["servers"]
    assert content["meta"] == {"rounds": 2}
    assert servers["tricorn-uvloop"]["rounds"] == [24.0, 36.0]
    assert servers["tricorn-uvloop"]["median"] == 30.0
    assert servers["uvicorn-h11"]["ratio"] == pytest.approx(10 / 30)
    assert servers["tricorn-trio"]["median"] is None
    assert servers["tricorn-trio"]["problem"] == "stalled"
    assert servers["daphne"]["cannot"] == CANNOT.cannot
    assert content["bars"][0]["reached"] == pytest.approx(3.0)
    assert from_json(read_json(path)) == tables
