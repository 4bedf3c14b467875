"""The runner of the workloads by itself: its clients' output, its record, its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from compliance.frameworks import catalogue
from compliance.frameworks.catalogue import Framework
from compliance.frameworks.record import BEGIN, END, put_into
from compliance.workloads import record, runner
from compliance.workloads.checks import STOP, Suite, Target, Unmet, expect
from compliance.workloads.record import Record

EXAMPLE = Framework(
    name="example",
    folder=Path("apps/example"),
    title="Example",
    interface="asgi3",
    worker_classes=("asyncio", "trio"),
    distribution="example",
)


def whole() -> Record:
    """A record in which all passed."""
    cells = [
        f"{loop} {protocol} echo" for loop in ("asyncio", "trio") for protocol in ("h2c", "h2")
    ]
    cells += ["asyncio h2 stop", "trio h2 stop"]
    figures = {"asyncio h2 stop: s": 0.5, "trio h2 stop: s": 0.25}
    return Record("1.0", dict.fromkeys(cells, "yes"), figures)


class TestClients:
    def said(self, suite: Suite, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict]]:
        code = suite.main(["--http", "1", "--https", "2", "--authority", "ca.pem", "--pid", "3"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    def test_checks_are_asked_over_their_protocols(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        suite = Suite("http/1.1", "h2")

        @suite.check()
        def both(target: Target) -> None:
            target.figures["port"] = target.port

        @suite.check("h2")
        def only_one(target: Target) -> None:
            expect(target.url("/x"), "https://localhost:2/x", "url")

        code, lines = self.said(suite, capsys)
        assert code == 0
        plan = ["http/1.1 both", "h2 both", "h2 only-one"]
        stops = ["http/1.1 stop", "h2 stop"]
        assert lines[0] == {"plan": plan + stops}
        outcomes = [line["outcome"] for line in lines if "outcome" in line]
        assert outcomes == plan + stops
        assert [line["figures"] for line in lines[1:3]] == [{"port": 1}, {"port": 2}]
        assert lines.index({"holding": True}) == 4

    def test_what_a_check_raises_is_told_and_the_others_are_asked(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        suite = Suite("h2")

        @suite.check()
        def unmet(target: Target) -> None:
            expect(404, 200, "status")

        @suite.check()
        def broken(target: Target) -> None:
            raise OSError("no route")

        @suite.check()
        def good(target: Target) -> None:
            pass

        code, lines = self.said(suite, capsys)
        assert code == 1
        told = {line["outcome"]: line["why"] for line in lines if "outcome" in line}
        assert told["h2 unmet"] == "status: 404, not 200"
        assert "OSError: no route" in told["h2 broken"]
        assert told["h2 good"] is None

    @pytest.mark.parametrize("early", [False, True])
    def test_streams_are_open_when_the_daemon_may_be_stopped(
        self, capsys: pytest.CaptureFixture[str], early: bool
    ) -> None:
        """A check that fails before its stream is open does not keep the others waiting."""
        suite = Suite("h2c", "h2")

        @suite.at_stop()
        def stop(target: Target, opened: Callable[[], None]) -> None:
            if early and target.protocol == "h2":
                raise Unmet("not opened")
            opened()

        code, lines = self.said(suite, capsys)
        assert code == (1 if early else 0)
        assert {"holding": True} in lines
        told = {line["outcome"]: line["why"] for line in lines if "outcome" in line}
        assert told == {"h2c stop": None, "h2 stop": "not opened" if early else None}


class TestRecord:
    def test_it_survives_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "results.json"
        seen = whole()
        seen.cells["trio h2 echo"] = "no"
        record.store(path, {"example": seen})
        assert record.load(path) == {"example": seen}

    def test_without_a_file_there_is_none(self, tmp_path: Path) -> None:
        assert record.load(tmp_path / "results.json") == {}

    def test_what_is_as_accepted_is_no_regression(self) -> None:
        assert record.regressions(whole(), whole()) == []

    def test_a_cell_that_fails_is_one_be_it_recorded_or_not(self) -> None:
        run = whole()
        run.cells |= {"trio h2 echo": "no", "trio h2 new": "no"}
        lines = ["trio h2 echo: yes -> no", "trio h2 new: yes -> no"]
        assert record.regressions(whole(), run) == lines

    def test_a_cell_that_is_no_longer_asked_is_one(self) -> None:
        run = whole()
        del run.cells["trio h2 echo"]
        assert record.regressions(whole(), run) == ["trio h2 echo: yes -> not asked"]

    def test_only_the_worker_classes_that_ran_are_compared(self) -> None:
        run = whole().of(["trio"])
        assert set(run.cells) == {"trio h2c echo", "trio h2 echo", "trio h2 stop"}
        assert run.figures == {"trio h2 stop: s": 0.25}
        assert record.regressions(whole().of(["trio"]), run) == []


class TestWrite:
    @pytest.fixture(autouse=True)
    def page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        page = tmp_path / "page.md"
        page.write_text(f"before\n\n{BEGIN}{END}after\n", encoding="utf-8")
        monkeypatch.setattr(runner, "PAGE", page)
        monkeypatch.setattr(runner, "RESULTS", tmp_path / "results.json")
        return page

    def run(self, worker_class: str, **worse: str) -> runner.Run:
        seen = whole().of([worker_class])
        seen.cells |= {cell: how for cell, how in worse.items() if cell in seen.cells}
        return runner.Run(EXAMPLE, worker_class, seen)

    def test_the_results_and_the_page_are_written(self, page: Path) -> None:
        runs = [self.run("asyncio"), self.run("trio")]
        assert runner._write([EXAMPLE], runs, force=False)
        assert record.load(runner.RESULTS) == {"example": whole()}
        assert "| Example | example | 1.0 | asyncio, trio |" in page.read_text(encoding="utf-8")

    def test_it_is_not_loosened_unless_forced(self) -> None:
        record.store(runner.RESULTS, {"example": whole()})
        runs = [self.run("trio", **{"trio h2 echo": "no"})]
        assert not runner._write([EXAMPLE], runs, force=False)
        assert record.load(runner.RESULTS) == {"example": whole()}
        assert runner._write([EXAMPLE], runs, force=True)
        found = record.load(runner.RESULTS)["example"].cells
        assert [cell for cell, how in found.items() if how == "no"] == ["trio h2 echo"]

    def test_a_run_is_judged_as_a_whole(self, capsys: pytest.CaptureFixture[str]) -> None:
        record.store(runner.RESULTS, {"example": whole()})
        good = [self.run("asyncio"), self.run("trio")]
        assert runner._judge([EXAMPLE], good, ["asyncio", "trio"], check=True)
        assert not runner._judge([EXAMPLE], good[:1], ["asyncio", "trio"], check=True)
        assert "example: WORSE: trio h2 echo: yes -> not asked" in capsys.readouterr().out
        assert not runner._judge([EXAMPLE], [], ["uvloop"], check=True)


class TestTable:
    def rows(self, seen: Record) -> dict[str, list[str]]:
        text = record.markdown([EXAMPLE], {"example": seen}).split("### Example\n\n")[1]
        cells = [[one.strip() for one in line.split("|")[1:-1]] for line in text.splitlines()]
        return {row[0]: row[1:] for row in cells}

    def test_yes_is_every_loop(self) -> None:
        seen = whole()
        rows = self.rows(seen)
        assert list(rows) == ["Check", "---", "echo", STOP]
        assert rows["Check"] == ["HTTP/2 in cleartext", "HTTP/2 over TLS"]
        assert rows["echo"] == ["yes", "yes"]
        seen.cells["trio h2 echo"] = "no"
        assert self.rows(seen)["echo"] == ["yes", "no"]
        del seen.cells["trio h2 echo"]
        assert self.rows(seen)["echo"] == ["yes", "not run"]

    def test_the_worst_figure_is_shown(self) -> None:
        assert self.rows(whole())[STOP] == ["", "yes, at most 0.5 s"]

    def test_the_page_holds_the_table_of_the_results(self) -> None:
        page = runner.PAGE.read_text(encoding="utf-8")
        table = record.markdown(catalogue.load(runner.APPS), record.load(runner.RESULTS))
        assert page == put_into(page, table), "run: python -m compliance.workloads --write"

    def test_every_workload_has_accepted_results(self) -> None:
        accepted = record.load(runner.RESULTS)
        for workload in catalogue.load(runner.APPS):
            loops = {cell.split()[0] for cell in accepted[workload.name].cells}
            assert loops == set(workload.worker_classes), workload.name


def test_unknown_names_are_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--only", "nothing"]) == runner.EXIT_USAGE == 2
    assert "there are" in capsys.readouterr().err
