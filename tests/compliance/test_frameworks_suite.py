"""The runner of the framework suite by itself: its catalogue, its record, its table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from compliance.frameworks import catalogue, daemon, record, runner
from compliance.frameworks.catalogue import CatalogueError, Framework
from compliance.frameworks.features import EXTRAS, FEATURES, STOP, asked_of
from compliance.frameworks.record import Record
from compliance.frameworks.site import Unmet, expect

EXAMPLE = Framework(
    name="example",
    folder=Path("apps/example"),
    title="Example",
    interface="asgi3",
    worker_classes=("asyncio", "trio"),
    distribution="example",
    absent={"push": "Example has no push.", "range": "Example has no ranges."},
)


def whole(framework: Framework, **worse: str) -> Record:
    """A record in which all passed, but for features given with another outcome."""
    names = record.expected_cells(framework)
    return Record("1.0", {name: worse.get(name.rpartition(" ")[2], "yes") for name in names})


def make_folder(apps: Path, toml: str, requirements: str = "example>=1,<2\n") -> Path:
    folder = apps / "example"
    folder.mkdir()
    (folder / "app.py").write_text("", encoding="utf-8")
    (folder / "requirements.txt").write_text(requirements, encoding="utf-8")
    (folder / "framework.toml").write_text(toml, encoding="utf-8")
    return folder


class TestCatalogue:
    TOML = 'title = "Example"\ninterface = "asgi3"\nworker_classes = ["asyncio", "trio"]\n'

    def test_a_folder_is_read(self, tmp_path: Path) -> None:
        make_folder(tmp_path, f'{self.TOML}denial_status = 403\n[absent]\npush = "None."\n')
        (found,) = catalogue.load(tmp_path)
        assert (found.name, found.title, found.distribution) == ("example", "Example", "example")
        assert found.worker_classes == ("asyncio", "trio")
        assert found.denial_status == 403
        assert found.absent == {"push": "None."}

    def test_wsgi_lacks_what_pep_3333_lacks(self, tmp_path: Path) -> None:
        make_folder(tmp_path, self.TOML.replace("asgi3", "wsgi"))
        (found,) = catalogue.load(tmp_path)
        assert found.absent == catalogue.NOT_IN_WSGI
        assert "websocket" not in asked_of(found)

    @pytest.mark.parametrize(
        "toml",
        [
            "title =",
            'title = "Example"\ninterface = "asgi3"\n',
            TOML.replace("asgi3", "asgi9"),
            TOML.replace('"trio"', '"curio"'),
            TOML + "colour = 1\n",
            TOML + 'options = "--debug"\n',
        ],
    )
    def test_a_wrong_file_is_refused(self, tmp_path: Path, toml: str) -> None:
        make_folder(tmp_path, toml)
        with pytest.raises(CatalogueError, match="example"):
            catalogue.load(tmp_path)

    def test_a_folder_without_an_application_is_refused(self, tmp_path: Path) -> None:
        (make_folder(tmp_path, self.TOML) / "app.py").unlink()
        with pytest.raises(CatalogueError, match=r"no app\.py"):
            catalogue.load(tmp_path)

    def test_an_unknown_name_is_told_with_the_known_ones(self) -> None:
        with pytest.raises(CatalogueError, match="no framework nothing; there are example"):
            catalogue.choose([EXAMPLE], ["nothing"])

    @pytest.mark.parametrize("framework", catalogue.load(), ids=lambda one: one.name)
    def test_what_is_said_of_a_framework_is_about_features_that_exist(
        self, framework: Framework
    ) -> None:
        assert set(framework.absent) <= set(FEATURES)
        assert set(framework.extra) <= set(EXTRAS)
        assert all(reason.endswith(".") for reason in framework.absent.values())


class TestRecord:
    def test_every_cell_of_a_framework_is_expected(self) -> None:
        cells = record.expected_cells(EXAMPLE)
        assert len(cells) == len(set(cells)) == 2 * 2 * (len(FEATURES) - 2)
        assert "trio h2 websocket" in cells
        assert not any(name.endswith((" push", " form")) for name in cells)

    def test_an_extra_feature_is_asked_of_those_who_name_it(self) -> None:
        assert "trio h2 form" in record.expected_cells(replace(EXAMPLE, extra=("form",)))

    def test_stop_comes_last_and_error_before_it(self) -> None:
        assert list(FEATURES)[-2:] == ["error", STOP]

    def test_it_survives_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "results.json"
        seen = {"example": whole(EXAMPLE, sse="no"), "bare": Record("2.0")}
        record.store(path, seen)
        assert record.load(path) == {name: seen[name] for name in sorted(seen)}

    def test_without_a_file_there_is_none(self, tmp_path: Path) -> None:
        assert record.load(tmp_path / "results.json") == {}

    def test_a_later_run_replaces_the_cells_it_ran(self) -> None:
        run = Record("1.1", {"trio h2 sse": "yes"})
        merged = whole(EXAMPLE, sse="no").merge(run)
        assert merged.version == "1.1"
        assert merged.cells["trio h2 sse"] == "yes"
        assert merged.cells["trio http/1.1 sse"] == "no"


class TestRegressions:
    def test_what_is_as_accepted_is_none(self) -> None:
        accepted = whole(EXAMPLE, sse="no")
        assert record.regressions(accepted, accepted, EXAMPLE) == []

    def test_a_cell_that_passed_and_fails_is_one(self) -> None:
        run = Record("1.0", {"trio h2 sse": "no"})
        assert record.regressions(whole(EXAMPLE), run, EXAMPLE) == ["trio h2 sse: yes -> no"]

    def test_a_cell_never_recorded_has_to_pass(self) -> None:
        run = Record("1.0", {"trio h2 sse": "no", "trio h2 echo": "yes"})
        assert record.regressions(None, run, EXAMPLE) == ["trio h2 sse: yes -> no"]

    def test_declaring_a_feature_absent_is_one(self) -> None:
        accepted = whole(EXAMPLE)
        poorer = replace(EXAMPLE, absent={**EXAMPLE.absent, "sse": "No longer."})
        lines = record.regressions(accepted, whole(poorer), poorer)
        assert "trio h2 sse: yes -> absent" in lines
        assert len(lines) == 4

    def test_dropping_a_worker_class_is_one(self) -> None:
        poorer = replace(EXAMPLE, worker_classes=("asyncio",))
        lines = record.regressions(whole(EXAMPLE), whole(poorer), poorer)
        assert all(line.startswith("trio ") for line in lines)
        assert lines

    def test_without_check_every_failure_fails_the_run(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = tmp_path / "results.json"
        record.store(path, {"example": whole(EXAMPLE, sse="no")})
        monkeypatch.setattr(runner, "RESULTS", path)
        runs = [(EXAMPLE, whole(EXAMPLE, sse="no"))]
        assert runner._judge(runs, check=True)
        assert not runner._judge(runs, check=False)
        assert "example: failed: trio h2 sse" in capsys.readouterr().out


class TestWrite:
    @pytest.fixture(autouse=True)
    def files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        page = tmp_path / "page.md"
        page.write_text(f"before\n\n{record.BEGIN}{record.END}after\n", encoding="utf-8")
        monkeypatch.setattr(runner, "PAGE", page)
        monkeypatch.setattr(runner, "RESULTS", tmp_path / "results.json")
        return page

    def test_the_results_and_the_page_are_written(self, files: Path) -> None:
        assert runner._write([EXAMPLE], [(EXAMPLE, whole(EXAMPLE))], force=False)
        assert record.load(runner.RESULTS) == {"example": whole(EXAMPLE)}
        text = files.read_text(encoding="utf-8")
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "| Example | 1.0 | ASGI | asyncio, trio |" in text

    def test_it_is_not_loosened_unless_forced(self) -> None:
        record.store(runner.RESULTS, {"example": whole(EXAMPLE)})
        runs = [(EXAMPLE, whole(EXAMPLE, sse="no"))]
        assert not runner._write([EXAMPLE], runs, force=False)
        assert record.load(runner.RESULTS) == {"example": whole(EXAMPLE)}
        assert runner._write([EXAMPLE], runs, force=True)
        assert record.load(runner.RESULTS) == {"example": whole(EXAMPLE, sse="no")}

    def test_a_first_record_with_failures_is_not_written_unless_forced(self) -> None:
        runs = [(EXAMPLE, whole(EXAMPLE, sse="no"))]
        assert not runner._write([EXAMPLE], runs, force=False)
        assert record.load(runner.RESULTS) == {}

    def test_cells_that_are_no_longer_asked_are_dropped(self) -> None:
        accepted = whole(EXAMPLE)
        accepted.cells["trio h2 range"] = "no"
        record.store(runner.RESULTS, {"example": accepted})
        assert runner._write([EXAMPLE], [(EXAMPLE, Record("1.0"))], force=False)
        assert record.load(runner.RESULTS) == {"example": whole(EXAMPLE)}

    def test_a_page_without_markers_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="markers"):
            record.put_into("a page", "a table")


class TestTable:
    def cells(self, seen: Record | None, title: str) -> dict[str, str]:
        """The row of Example below a heading, by column."""
        text = record.markdown([EXAMPLE], {} if seen is None else {"example": seen})
        rows = text.split(f"### {title}\n\n")[1].splitlines()
        names, row = (
            [word.strip() for word in line.strip("|").split("|")] for line in (rows[0], rows[2])
        )
        return dict(zip(names, row, strict=True))

    def test_yes_is_every_loop_over_both_protocols(self) -> None:
        seen = whole(EXAMPLE)
        assert self.cells(seen, "HTTP")["sse"] == "yes"
        seen.cells["trio h2 sse"] = "no"
        assert self.cells(seen, "HTTP")["sse"] == "no"
        del seen.cells["trio h2 sse"]
        assert self.cells(seen, "HTTP")["sse"] == "not run"
        assert self.cells(None, "HTTP")["sse"] == "not run"

    def test_absent_features_are_numbered_with_their_reasons(self) -> None:
        seen = whole(EXAMPLE)
        assert self.cells(seen, "HTTP")["range"] == "none (1)"
        assert self.cells(seen, "Pushes, WebSocket and the process")["push"] == "none (2)"
        text = record.markdown([EXAMPLE], {"example": seen})
        assert text.endswith("1. Example has no ranges.\n2. Example has no push.\n")

    def test_extras_have_a_table_of_those_who_have_them(self) -> None:
        assert "Asked of some" not in record.markdown([EXAMPLE], {})
        richer = replace(EXAMPLE, extra=("form",))
        text = record.markdown([EXAMPLE, richer], {"example": whole(richer)})
        assert text.split("### Asked of some")[1].count("| Example | yes |") == 1

    def test_the_page_holds_the_table_of_the_results(self) -> None:
        page = runner.PAGE.read_text(encoding="utf-8")
        table = record.markdown(catalogue.load(), record.load(runner.RESULTS))
        assert page == record.put_into(page, table), "run: python -m compliance.frameworks --write"

    def test_every_column_is_explained_on_the_page(self) -> None:
        page = runner.PAGE.read_text(encoding="utf-8").partition("## Results")[0]
        rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
        explained = {name.strip() for row in rows for name in row.split(",")}
        assert {*FEATURES, *EXTRAS} <= explained


class TestDaemon:
    @pytest.mark.parametrize(
        "line",
        [
            "Traceback (most recent call last):",
            "2026-01-01 12:00:00.000 ERROR application failed: GET / HTTP/1.1",
            "ERROR:asyncio:Task exception was never retrieved",
            "RuntimeWarning: coroutine 'app' was never awaited",
        ],
    )
    def test_lines_of_faults_are_found(self, line: str) -> None:
        assert daemon.faults(f"INFO  serving\n{line}\n") == [line]

    def test_other_lines_are_none(self) -> None:
        assert daemon.faults("INFO  no errors so far\nWARNING slow\n") == []


def test_expect_tells_what_was_seen_shortened() -> None:
    with pytest.raises(Unmet, match=r"status: 404, not 200"):
        expect(404, 200, "status")
    with pytest.raises(Unmet, match=r"\.\.\. \(1002 characters\)"):
        expect("x" * 1000, "", "body")


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--features", "nothing"]])
def test_unknown_names_are_a_wrong_command_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.main(arguments) == runner.EXIT_USAGE == 2
    assert "there are" in capsys.readouterr().err
