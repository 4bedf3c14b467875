"""The compliance runners' own reading and judging, on small recorded samples."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from compliance.autobahn import report as autobahn  # noqa: E402
from compliance.autobahn import runner as autobahn_runner  # noqa: E402
from compliance.autobahn import wstest  # noqa: E402
from compliance.h2spec import report as h2spec  # noqa: E402
from compliance.h2spec import runner as h2spec_runner  # noqa: E402
from compliance.ratchet import RatchetError, ResultsFile, Scale, case_key  # noqa: E402
from compliance.servers import (  # noqa: E402
    HOST,
    RunningServer,
    ServerError,
    make_certificate,
    running_server,
)

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="3.5. HTTP/2 Connection Preface" package="http2/3.5" id="3.5"
             tests="2" skipped="0" failures="0" errors="1">
    <testcase package="http2/3.5" classname="Sends client connection preface" time="0.0004">
    </testcase>
    <testcase package="http2/3.5" classname="Sends invalid connection preface" time="0.0012">
      <error>GOAWAY Frame (Error Code: PROTOCOL_ERROR)
Connection closed
Error: unexpected EOF</error>
    </testcase>
  </testsuite>
  <testsuite name="6.9.2. Initial Flow-Control Window Size" package="http2/6.9.2" id="6.9.2"
             tests="2" skipped="1" failures="1" errors="0">
    <testcase package="http2/6.9.2" classname="Changes the window size" time="0.1">
      <skipped></skipped>
    </testcase>
    <testcase package="http2/6.9.2" classname="Sends too large a window" time="0.1">
      <failure>GOAWAY Frame
Timeout</failure>
    </testcase>
  </testsuite>
</testsuites>
"""


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT, encoding="utf-8")
    return path


def full_h2spec(total: int, outcomes: dict[str, str] | None = None) -> h2spec.Report:
    """A report of `total` cases, http2/3.5/2 among them, all passed but for `outcomes`."""
    names = [h2spec.INVALID_PREFACE, *(f"generic/1/{n}" for n in range(1, total))]
    results = dict.fromkeys(names, "passed")
    return h2spec.Report(results | (outcomes or {}))


def full_autobahn(**outcomes: str) -> autobahn.Report:
    names = [f"1.1.{number}" for number in range(1, autobahn.ALL_CASES + 1)]
    return autobahn.Report(dict.fromkeys(names, "OK") | outcomes)


class TestH2specReport:
    def test_errors_failures_and_skips_are_told_from_passes(self, junit: Path) -> None:
        report = h2spec.parse_report(junit)
        assert report.results == {
            "http2/3.5/1": "passed",
            "http2/3.5/2": "failed",
            "http2/6.9.2/1": "skipped",
            "http2/6.9.2/2": "failed",
        }
        assert report.summary() == "4 cases: 1 passed, 1 skipped, 2 failed"
        assert report.details["http2/6.9.2/2"] == "Sends too large a window: GOAWAY Frame Timeout"

    @pytest.mark.parametrize("content", ["", "<testsuites>", "<testsuites></testsuites>"])
    def test_an_unfinished_report_is_an_error(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "junit.xml"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(h2spec.ReportError):
            h2spec.parse_report(path)

    def test_what_h2spec_received_may_be_no_xml(self, junit: Path) -> None:
        junit.write_bytes(junit.read_bytes().replace(b"GOAWAY", b"PING h2spec\0\0"))
        assert "PING h2spec Frame" in h2spec.parse_report(junit).details["http2/6.9.2/2"]

    def test_a_missing_report_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(h2spec.ReportError):
            h2spec.parse_report(tmp_path / "junit.xml")

    @pytest.mark.parametrize("total", sorted(h2spec.BUILDS))
    @pytest.mark.parametrize("tls", [True, False])
    def test_all_passed_meets_the_bar(self, total: int, tls: bool) -> None:
        assert h2spec.shortfalls(full_h2spec(total), tls=tls, answers_400=False) == []

    def test_a_report_cut_short_is_below_the_bar(self) -> None:
        lines = h2spec.shortfalls(full_h2spec(120), tls=True, answers_400=False)
        assert lines == ["120 cases in the report, expected 146 or 147"]

    @pytest.mark.parametrize(
        ("tls", "answers_400", "met"),
        [(False, True, True), (False, False, False), (True, True, False), (True, False, False)],
    )
    def test_the_invalid_preface_is_excused_only_in_cleartext_with_a_400(
        self, tls: bool, answers_400: bool, met: bool
    ) -> None:
        report = full_h2spec(147, {h2spec.INVALID_PREFACE: "failed"})
        assert (h2spec.shortfalls(report, tls=tls, answers_400=answers_400) == []) is met

    @pytest.mark.parametrize("outcome", ["failed", "skipped"])
    def test_no_other_case_is_excused(self, outcome: str) -> None:
        report = full_h2spec(147, {"generic/1/1": outcome})
        lines = h2spec.shortfalls(report, tls=False, answers_400=True)
        assert lines == [f"generic/1/1 {outcome}"]


class TestH2specRunner:
    def test_without_h2spec_the_exit_code_says_absent(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert h2spec_runner.main(["--h2spec", "no-such-h2spec"]) == h2spec_runner.EXIT_ABSENT == 3
        assert "ABSENT" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", True),
            (b"HTTP/1.1 200 OK\r\n\r\n", False),
            (b"", False),
        ],
    )
    def test_the_preface_probe_reads_the_status_line(self, answer: bytes, expected: bool) -> None:
        with socket.create_server((HOST, 0)) as listener:

            def serve() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            server = RunningServer(HOST, listener.getsockname()[1], 0, Path())
            assert h2spec_runner.answers_with_400(server) is expected
            thread.join()


class TestUpdate:
    """--update never turns a run below the bar into the accepted one."""

    OPTIONS = argparse.Namespace(server="tricorn", cases=None, check=False, update=True)

    def judge(
        self, suite: str, bad: bool, force: bool, path: Path, patch: pytest.MonkeyPatch
    ) -> bool:
        options = argparse.Namespace(**vars(self.OPTIONS), force=force)
        if suite == "h2spec":
            patch.setattr(h2spec_runner, "RESULTS", path)
            failed = {"generic/1/1": "failed"} if bad else {}
            report = full_h2spec(147, failed)
            return h2spec_runner._judge(report, options, "label", "tls/trio", False)
        patch.setattr(autobahn_runner, "RESULTS", path)
        frames = full_autobahn(**{"1.1.1": "FAILED" if bad else "NON-STRICT"})
        return autobahn_runner._judge(frames, options, "trio")

    @pytest.mark.parametrize("suite", ["h2spec", "autobahn"])
    def test_a_first_run_below_the_bar_is_not_recorded(
        self, suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "results.json"
        assert not self.judge(suite, True, False, path, monkeypatch)
        assert not path.exists()

    @pytest.mark.parametrize("suite", ["h2spec", "autobahn"])
    def test_force_records_it_and_the_bar_still_fails_the_run(
        self, suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "results.json"
        assert not self.judge(suite, True, True, path, monkeypatch)
        assert path.exists()

    @pytest.mark.parametrize("suite", ["h2spec", "autobahn"])
    def test_a_first_run_that_meets_the_bar_is_recorded(
        self, suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "results.json"
        assert self.judge(suite, False, False, path, monkeypatch)
        assert path.exists()


class TestAutobahnReport:
    OUTPUT = (
        "Autobahn Fuzzing WebSocket Client\n"
        "Ok, will run 4 test cases against 1 servers\n"
        "Cases = ['1.1.1', '3.2', '7.1.6', '9.1.6']\n"
        "Servers = [u'ws://127.0.0.1:9001']\n"
    )

    def index(self, tmp_path: Path) -> Path:
        path = tmp_path / "index.json"
        entry = {"behavior": "OK", "behaviorClose": "OK", "duration": 1500, "remoteCloseCode": 1000}
        informational = {"behavior": "INFORMATIONAL", "behaviorClose": "INFORMATIONAL"}
        entries = {
            "1.1.1": entry,
            "3.2": entry | {"behavior": "NON-STRICT"},
            "7.1.6": entry | informational,
        }
        path.write_text(json.dumps({"tricorn": entries}), encoding="utf-8")
        return path

    def test_cases_announced_but_not_reported_are_missing(self, tmp_path: Path) -> None:
        cases = autobahn.announced_cases(self.OUTPUT)
        report = autobahn.parse_index(self.index(tmp_path), "tricorn", cases)
        assert report.results == {
            "1.1.1": "OK",
            "3.2": "NON-STRICT",
            "7.1.6": "INFORMATIONAL",
            "9.1.6": "MISSING",
        }
        assert report.seconds["1.1.1"] == 1.5

    def test_without_an_index_every_case_is_missing(self, tmp_path: Path) -> None:
        report = autobahn.parse_index(tmp_path / "index.json", "tricorn", ["1.1.1", "1.1.2"])
        assert report.cases("MISSING") == ["1.1.1", "1.1.2"]

    def test_output_that_names_no_cases_is_an_error(self) -> None:
        with pytest.raises(autobahn.ReportError):
            autobahn.announced_cases("ImportError: No module named twisted")

    @pytest.mark.parametrize("content", ["{", "[]"])
    def test_an_unreadable_index_is_an_error(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "index.json"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(autobahn.ReportError):
            autobahn.parse_index(path, "tricorn", ["1.1.1"])

    @pytest.mark.parametrize(
        ("behavior", "close", "expected"),
        [
            ("OK", "OK", "OK"),
            ("INFORMATIONAL", "INFORMATIONAL", "INFORMATIONAL"),
            ("NON-STRICT", "OK", "NON-STRICT"),
            ("UNIMPLEMENTED", "OK", "UNIMPLEMENTED"),
            ("UNIMPLEMENTED", "UNCLEAN", "UNIMPLEMENTED"),
            ("FAILED", "OK", "FAILED"),
            ("OK", "UNCLEAN", "FAILED"),
            ("OK", "WRONG CODE", "FAILED"),
            ("OK", "FAILED BY CLIENT", "FAILED"),
            ("NON-STRICT", "UNCLEAN", "FAILED"),
            ("something new", "OK", "FAILED"),
        ],
    )
    def test_the_worse_of_messages_and_close_counts(
        self, behavior: str, close: str, expected: str
    ) -> None:
        assert autobahn.outcome({"behavior": behavior, "behaviorClose": close}) == expected

    def test_all_517_at_most_two_non_strict_meets_the_bar(self) -> None:
        report = full_autobahn(**{"1.1.3": "NON-STRICT", "1.1.4": "NON-STRICT"})
        assert autobahn.shortfalls(report, full=True) == []

    def test_three_non_strict_are_below_the_bar(self) -> None:
        report = full_autobahn(**{f"1.1.{number}": "NON-STRICT" for number in (3, 4, 5)})
        assert autobahn.shortfalls(report, full=True) == [
            "NON-STRICT, 2 allowed: 1.1.3 1.1.4 1.1.5"
        ]

    @pytest.mark.parametrize("bad", ["FAILED", "UNIMPLEMENTED", "MISSING"])
    def test_one_bad_case_is_below_the_bar(self, bad: str) -> None:
        report = full_autobahn(**{"1.1.7": bad})
        assert autobahn.shortfalls(report, full=True) == [f"{bad}: 1.1.7"]

    def test_a_full_run_has_every_case_and_a_partial_one_some(self) -> None:
        report = autobahn.Report({"1.1.1": "OK"})
        assert autobahn.shortfalls(report, full=True) == ["1 cases, expected 517"]
        assert autobahn.shortfalls(report, full=False) == []
        assert autobahn.shortfalls(autobahn.Report(), full=False) == ["no case was run"]

    def test_the_parts_cover_every_group_once(self) -> None:
        patterns = [pattern for chunk in autobahn_runner.CHUNKS for pattern in chunk]
        assert len(patterns) == len(set(patterns))
        groups = {int(pattern.split(".")[0]) for pattern in patterns}
        assert groups == {1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13}


class TestWstest:
    def test_a_program_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(wstest.WstestMissing, match="nowhere"):
            wstest.find_wstest(str(tmp_path / "nowhere"))

    def test_without_wstest_the_exit_code_says_absent(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = autobahn_runner.main(["--wstest", str(tmp_path / "nowhere")])
        assert code == autobahn_runner.EXIT_ABSENT == 4
        assert "ABSENT" in capsys.readouterr().out

    def test_without_cpython_2_nothing_is_installed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A shim that only complains, as pyenv puts on PATH, and a CPython 3 under the name.
        shim = tmp_path / "python2.7"
        shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n", encoding="utf-8")
        shim.chmod(0o755)
        (tmp_path / "python2").symlink_to(sys.executable)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        assert autobahn_runner.main(["--install", str(tmp_path / "venv")]) == 4
        assert not (tmp_path / "venv").exists()

    def test_the_pinned_suite_is_the_one_the_bar_was_set_with(self) -> None:
        pins = wstest.REQUIREMENTS.read_text(encoding="utf-8").splitlines()
        assert {"autobahntestsuite==25.10.1", "autobahn==0.10.9"} <= set(pins)


class TestRatchet:
    SCALE = Scale(("passed", "skipped", "failed"))

    def test_cases_sort_as_people_count(self) -> None:
        cases = ["12.10.1", "12.2.1", "9.1.1", "http2/5.1/2", "http2/10.1/1"]
        assert sorted(cases, key=case_key) == [
            "9.1.1",
            "12.2.1",
            "12.10.1",
            "http2/5.1/2",
            "http2/10.1/1",
        ]

    def test_worse_is_a_regression_and_better_an_improvement(self) -> None:
        accepted = {"a": "failed", "b": "skipped"}
        seen = {"a": "passed", "b": "failed", "c": "skipped", "d": "passed"}
        comparison = self.SCALE.compare(accepted, seen)
        assert comparison.regressions == ["b: skipped -> failed", "c: passed -> skipped"]
        assert comparison.improvements == ["a: failed -> passed"]

    def test_an_outcome_never_heard_of_is_the_worst(self) -> None:
        assert self.SCALE.compare({"a": "failed"}, {"a": "exploded"}).regressions

    def test_the_first_record_is_what_was_seen(self) -> None:
        assert self.SCALE.tighten(None, {"a": "failed", "b": "passed"}) == {"a": "failed"}

    def test_tightening_drops_what_got_better_and_keeps_what_was_not_run(self) -> None:
        accepted = {"a": "failed", "b": "failed", "c": "failed"}
        seen = {"a": "passed", "b": "skipped"}
        assert self.SCALE.tighten(accepted, seen) == {"b": "skipped", "c": "failed"}

    def test_loosening_is_refused_unless_forced(self) -> None:
        with pytest.raises(RatchetError, match="a: passed -> failed"):
            self.SCALE.tighten({}, {"a": "failed"})
        assert self.SCALE.tighten({}, {"a": "failed"}, force=True) == {"a": "failed"}

    def test_records_of_other_keys_are_left_alone(self, tmp_path: Path) -> None:
        file = ResultsFile(tmp_path / "results.json")
        assert file.accepted("tls/trio") is None
        file.store("tls/trio", {"http2/3.5/2": "failed"})
        file.store("cleartext/trio", {})
        assert file.load() == {"cleartext/trio": {}, "tls/trio": {"http2/3.5/2": "failed"}}


class TestServers:
    def test_a_process_that_ends_at_once_is_an_error_with_its_log(self, tmp_path: Path) -> None:
        def command(port: int) -> list[str]:
            return [sys.executable, "-c", "raise SystemExit('cannot serve')"]

        with (
            pytest.raises(ServerError, match="cannot serve"),
            running_server(command, log=tmp_path / "log"),
        ):
            pytest.fail("the block must not run")

    def test_the_process_is_gone_after_the_block(self, tmp_path: Path) -> None:
        def command(port: int) -> list[str]:
            return [sys.executable, "-m", "http.server", str(port), "--bind", HOST]

        with running_server(command, log=tmp_path / "log") as server:
            socket.create_connection((server.host, server.port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((server.host, server.port), timeout=5)

    def test_a_certificate_and_its_key_load_together(self, tmp_path: Path) -> None:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*make_certificate(tmp_path))
