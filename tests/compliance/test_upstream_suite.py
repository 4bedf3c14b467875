"""The runner of the upstream tests by itself: its reasons, its record, its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from compliance.upstream import page, reasons, results, runner
from compliance.upstream.projects import PROJECTS, Project, Run
from compliance.upstream.reasons import Reason
from compliance.upstream.results import Outcomes

EXAMPLE = Project(
    name="example",
    title="Example",
    distribution="example",
    version="1.0",
    sha256="0" * 64,
    shim="example",
    tests=("tests",),
    runs=(Run("one", "asyncio", {}), Run("two", "trio", {})),
    left_out={"tests/t.py::test_left": "it would wait for ever"},
)
REASONS = [
    Reason(re.compile("test_inside"), "internals", "looks at a timer"),
    Reason(re.compile("test_now_and_then"), "choice", "cuts nothing", varies=True),
]


def seen(**outcomes: str) -> Outcomes:
    """Outcomes of a run: ``name="passed"``."""
    return {name: {"outcome": outcome, "message": name} for name, outcome in outcomes.items()}


def accepted(**outcomes: str) -> dict[str, object]:
    """The record of two runs with the same outcomes."""
    runs = {"one": seen(**outcomes), "two": seen(**outcomes)}
    record, unexplained = results.merge(EXAMPLE, runs, REASONS)
    assert unexplained == []
    return record


class TestRecord:
    def test_tests_are_listed_by_the_runs_they_pass_in(self) -> None:
        runs = {"one": seen(test_a="passed", test_b="passed"), "two": seen(test_b="passed")}
        record, unexplained = results.merge(EXAMPLE, runs, REASONS)
        assert unexplained == []
        assert record["passed"] == {"one": ["test_a"], "one two": ["test_b"]}
        assert results.expected(record, "two") == ["test_b"]
        assert record["left_out"] == EXAMPLE.left_out

    def test_a_failure_has_its_reason_and_its_runs(self) -> None:
        runs = {"one": seen(test_inside="failed"), "two": seen(test_inside="passed")}
        record, unexplained = results.merge(EXAMPLE, runs, REASONS)
        assert unexplained == []
        entry = record["failed"]["test_inside"]
        assert entry == {"kind": "internals", "reason": "looks at a timer", "runs": ["one"]}
        assert page.passing(record) == []

    def test_a_failure_without_a_reason_is_told(self) -> None:
        _, unexplained = results.merge(EXAMPLE, {"one": seen(test_a="failed")}, REASONS)
        assert unexplained == ["example one test_a: test_a"]

    def test_what_varies_is_never_expected_to_pass(self) -> None:
        record = accepted(test_now_and_then="passed")
        assert record["passed"] == {}
        for outcome in ("passed", "failed"):
            found = results.compare(record, EXAMPLE, "one", seen(test_now_and_then=outcome))
            assert (found.regressions, found.improvements) == ([], [])

    def test_it_survives_the_file(self, tmp_path: Path) -> None:
        record = {"example": accepted(test_a="passed", test_inside="failed", test_s="skipped")}
        results.store(record, tmp_path / "results.json")
        assert results.load(tmp_path / "results.json") == record
        assert results.load(tmp_path / "none.json") == {}


class TestCompare:
    RECORD = accepted(test_a="passed", test_inside="failed", test_s="skipped")

    def compare(self, **outcomes: str) -> tuple[list[str], list[str]]:
        found = results.compare(self.RECORD, EXAMPLE, "two", seen(**outcomes))
        return found.regressions, found.improvements

    def test_what_is_as_accepted_is_neither_worse_nor_better(self) -> None:
        assert self.compare(test_a="passed", test_inside="failed", test_s="skipped") == ([], [])

    def test_a_test_that_passed_and_fails_is_worse(self) -> None:
        worse, _ = self.compare(test_a="failed", test_inside="failed")
        assert worse == ["example two test_a: failed: test_a"]

    def test_a_test_that_passed_and_skips_itself_is_worse(self) -> None:
        worse, _ = self.compare(test_a="skipped")
        assert worse == ["example two test_a: skipped: test_a"]

    def test_a_test_that_is_gone_is_worse(self) -> None:
        worse, _ = self.compare(test_inside="failed")
        assert worse == ["example two test_a: was not run"]

    def test_a_new_failure_is_worse(self) -> None:
        worse, _ = self.compare(test_a="passed", test_new="failed")
        assert worse == ["example two test_new: failed: test_new"]

    def test_a_failure_that_passes_is_better(self) -> None:
        _, better = self.compare(test_a="passed", test_inside="passed")
        assert better == ["example two test_inside: passes now"]


class TestPage:
    def test_it_holds_the_tables_of_the_results(self) -> None:
        assert not page.outdated(results.load()), "run: python -m compliance.upstream --table"

    def test_counts_and_reasons_of_a_project(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(PROJECTS, "example", EXAMPLE)
        record = accepted(test_a="passed", test_inside="failed", test_s="skipped")
        table = page.markdown({"example": record})
        assert "| Project | Runs | Pass | internals | skipped | left out |" in table
        assert "| Example 1.0 | one, two | 1 | 1 | 1 | 1 |" in table
        assert "- internals: looks at a timer (`test_inside`)" in table
        assert "- not run: it would wait for ever (`test_left`)" in table

    def test_a_page_without_markers_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="markers"):
            page.put_into("a page", "a table")

    def test_every_kind_is_explained_on_it(self) -> None:
        text = page.PATH.read_text("utf-8").partition("## Results")[0]
        assert [kind for kind in reasons.KINDS if f"| {kind} |" not in text] == []


class TestReasons:
    def test_they_are_of_projects_that_are_run(self) -> None:
        assert set(reasons.load()) == set(PROJECTS)

    def test_an_unknown_kind_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "reasons.toml"
        path.write_text('[[example]]\ntests = "a"\nkind = "bad luck"\nreason = "b"\n', "utf-8")
        monkeypatch.setattr(reasons, "PATH", path)
        with pytest.raises(ValueError, match="bad luck"):
            reasons.load()

    @pytest.mark.parametrize("project", PROJECTS.values(), ids=lambda one: one.name)
    def test_each_holds_for_a_test_of_the_record(self, project: Project) -> None:
        failed = results.load()[project.name]["failed"]
        used = {entry["reason"] for entry in failed.values()}
        assert {reason.text for reason in reasons.load()[project.name]} == used

    @pytest.mark.parametrize("project", PROJECTS.values(), ids=lambda one: one.name)
    def test_the_record_is_of_the_pinned_release(self, project: Project) -> None:
        record = results.load()[project.name]
        assert record["version"] == project.version
        assert record["runs"] == [run.name for run in project.runs]


@pytest.mark.parametrize(
    "arguments",
    [["--only", "nothing"], ["--write", "--worker-class", "trio"], ["--check", "--write"]],
)
def test_a_wrong_command_line_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        runner.main(arguments)
    assert refused.value.code == 2
