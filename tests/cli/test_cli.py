"""The command: what it prints, and the code it ends with."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import trustme
from cli_process import Run

import tricorn.exceptions
from helpers.codecs import python_path
from tricorn import compilation, logs
from tricorn.cli import main
from tricorn.config import OPTIONS, Config
from tricorn.config_values import flags_of
from tricorn.exceptions import BindError, LifespanError

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
APP = "async def app(scope, receive, send): ...\n"


@pytest.fixture
def shop(work: Path) -> Path:
    (work / "shop.py").write_text(APP)
    return work


def only_line(text: str) -> str:
    lines = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["--bnd", "x"], "unknown flag '--bnd'; did you mean '--bind'?"),
        (["--chek-config"], "unknown flag '--chek-config'; did you mean '--check-config'?"),
        (["--wrokers=3"], "unknown flag '--wrokers'; did you mean '--workers'?"),
        (["--keep-ali", "3"], "unknown flag '--keep-ali'; did you mean '--keep-alive'?"),
        # Out of habit: the nearest flag of ours is another thing.
        (["--timeout", "30"], "unknown flag '--timeout': Gunicorn's --timeout is "
                              "--worker-heartbeat-timeout here (for a worker that stands still, "
                              "not for a request: see response_timeout)"),
        (["--preload"], "unknown flag '--preload': Gunicorn's --preload: each worker imports the "
                        "application itself"),
        (["--loop=uvloop"], "unknown flag '--loop': Uvicorn's and Granian's --loop is "
                            "--worker-class here"),
        (["--no-access-log"], "unknown flag '--no-access-log': Uvicorn's and Granian's "
         "--no-access-log needs no flag here: it is so without --accesslog"),
        (["--no-proxy-headers"], "unknown flag '--no-proxy-headers': Uvicorn's "
         "--no-proxy-headers needs no flag here: it is so without --trusted-proxies"),
        (["--no-log"], "unknown flag '--no-log': Granian's --no-log is --errorlog none here"),
        (["--no-http1-keep-alive"], "unknown flag '--no-http1-keep-alive': Granian's "
         "--no-http1-keep-alive is --keep-alive-max-requests 1 here"),
        (["--no-metrics"], "unknown flag '--no-metrics': Granian's --no-metrics needs no "
         "flag here: it is so without --health-bind"),
        (["--no-ssl-client-verify"], "unknown flag '--no-ssl-client-verify': Granian's "
         "--no-ssl-client-verify needs no flag here: it is so without --verify-mode"),
        (["--proxy-headers"], "unknown flag '--proxy-headers': Uvicorn's and Daphne's "
                              "--proxy-headers is --trusted-proxies here"),
        (["--http", "1"], "unknown flag '--http': Uvicorn's --http is --http1-codec here (auto, "
                          "h11 and httptools); Granian's --http is --alpn-protocols and "
                          "--h2-prior-knowledge here (HTTP/1.1 cannot be turned off)"),
        (["--", "a:b", "--workers"], "flag '--workers' stands behind --, where there are none"),
        (["a:b", "c:d"], "unexpected argument 'c:d'; one APP is served"),
        (["--backlog"], "argument --backlog: expected one argument"),
        (["--backlog", "x"], "backlog: expected a whole number, at least 1, got 'x' "
                             "(flag --backlog)"),
        (["-b", "h:99999"], "bind: address 'h:99999': port '99999' is not a number from 0 to "
                            "65535 (flag -b)"),
        (["--host", "h", "--port", "x"], "bind: address 'h:x': port 'x' is not a number from 0 to "
                                         "65535 (flag --port)"),
        (["-b", "h:1", "-b", "h:1"], "bind: 'h:1' is there twice (bind: flag -b)"),
        (["-k", "trii"], "worker_class: expected one of auto, asyncio, uvloop, trio, got 'trii' "
                         "(flag -k); did you mean 'trio'?"),
        (["-c", "no.toml"], "cannot read no.toml: No such file or directory"),
        ([], "no application: give APP as module:attribute, or set application in the file"),
        (["--certfile", "c.pem", "--keyfile", "k.pem", "shop:app"],
         "certfile: cannot read 'c.pem': No such file or directory"),
        (["--access-logfile", "no/where.log", "shop:app"],
         "accesslog: there is no directory 'no' for 'no/where.log'"),
        (["-b", "unix:no/x.sock", "shop:app"],
         "bind: there is no directory 'no' for 'no/x.sock'"),
        (["--insecure-bind", "unix:no/x.sock", "shop:app"],
         "insecure_bind: there is no directory 'no' for 'no/x.sock'"),
        (["--health-bind", "unix:no/x.sock", "shop:app"],
         "health_bind: there is no directory 'no' for 'no/x.sock'"),
        (["--user", "no-such-user", "shop:app"], "user: there is no user 'no-such-user'"),
        (["--group", "no-such-group", "shop:app"], "group: there is no group 'no-such-group'"),
        (["--app-dir", "no", "shop:app"], "app_dir: 'no' is not a directory"),
        (["--log-config", "json:no.json", "shop:app"],
         "logconfig: cannot read 'no.json': No such file or directory"),
    ],
)  # fmt: skip
def test_configuration_errors_are_one_line_and_code_2(
    argv: list[str], line: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for extra in ([], ["--check-config"]):
        assert main([*argv, *extra]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert only_line(captured.err) == f"tricorn: error: {line}"


LOGGING = (
    "[loggers]\nkeys = root\n[handlers]\nkeys =\n[formatters]\nkeys =\n[logger_root]\nhandlers ="
)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("json:l", "{", "Expecting property name"),
        ("l.json", "[]", "does not hold a table"),
        ("toml:l", "a =", "Invalid value"),
        ("l.yaml", "a: [", "while parsing"),
        ("l.ini", "a = 1", "no section headers"),
        ("l.ini", "[loggers]\nkeys = root\n", "No section: 'handlers'"),
        ("l.ini", "[loggers]\n", "No option 'keys'"),
        ("json:l", "{}", ""),
        ("l.ini", LOGGING, ""),
    ],
)
def test_the_file_of_the_logging_configuration_is_read(
    name: str, text: str, fault: str, shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "yaml" in name:
        pytest.importorskip("yaml")
    (shop / name.rpartition(":")[2]).write_text(text)
    before = list(logging.getLogger().handlers)
    code = main(["--check-config", "--log-config", name, "shop:app"])
    assert logging.getLogger().handlers == before  # nothing is set up
    captured = capsys.readouterr()
    if not fault:
        assert (code, captured.err) == (0, "")
        return
    assert (code, captured.out) == (2, "")
    line = only_line(captured.err)
    assert line.startswith("tricorn: error: logconfig: ")
    assert fault in line


@pytest.mark.parametrize("wanted", [("--accesslog", "-"), ("--log-config", "json:l")])
def test_atoms_of_an_access_log_that_is_wanted(
    wanted: tuple[str, str], shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "l").write_text("{}")
    argv = ["--check-config", "--access-logformat", "%(zz)s", "shop:app"]
    assert main([*argv, *wanted]) == 2
    message = "tricorn: error: access_log_format: unknown atom '%(zz)s'"
    assert only_line(capsys.readouterr().err) == message
    assert main(argv) == 0


@pytest.mark.parametrize(
    ("argv", "environ", "code", "words"),
    [
        (["--backlog", "x"], {}, 2, "(flag --backlog)"),
        ([], {"TRICORN_BACKLOG": "x"}, 2, "(environment variable TRICORN_BACKLOG)"),
        ([], {"TRICORN_CONFIG": "bad.toml"}, 2, "(bad.toml)"),
        (["--check-config", "shpo:app"], {}, 4, "did you mean 'shop'?"),
        (["--check-config", "shop:ap"], {}, 4, "did you mean 'app'?"),
    ],
)
def test_no_traceback_from_the_process(
    argv: list[str], environ: dict[str, str], code: int, words: str, shop: Path, run: Run
) -> None:
    (shop / "bad.toml").write_text("backlog = 'x'")
    result = run(*argv, **environ)
    assert (result.returncode, result.stdout) == (code, "")
    assert only_line(result.stderr).startswith("tricorn: error: ")
    assert words in result.stderr


def test_the_applications_traceback_has_its_own_frames_only(work: Path, run: Run) -> None:
    (work / "shop.py").write_text("import helper\n" + APP)
    (work / "helper.py").write_text("def connect():\n    raise OSError('no database')\nconnect()\n")
    result = run("--check-config", "shop:app")
    assert (result.returncode, result.stdout) == (4, "")
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    frames = [line.split('"')[1] for line in lines if line.startswith("  File ")]
    assert [Path(frame).name for frame in frames] == ["shop.py", "helper.py", "helper.py"]
    assert lines[-2:] == [
        "OSError: no database",
        "tricorn: error: importing 'shop' failed: OSError: no database",
    ]


@pytest.mark.parametrize("words", [[], ["--workers", "0"], ["--check-config"]])
def test_a_working_directory_that_was_removed_is_told(tmp_path: Path, words: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        f"from tricorn.cli import main; sys.exit(main(['tricorn.demo:app', *{words!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "tricorn: error: the working directory does not exist any more; start from one that does"
    ]


def test_ctrl_c_is_quiet(work: Path, run: Run) -> None:
    (work / "shop.py").write_text("raise KeyboardInterrupt")
    result = run("--check-config", "shop:app")
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


class TestCheckConfig:
    def test_valid(self, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--check-config", "shop:app", "--insecure-bind", ":80"]) == 0
        assert capsys.readouterr() == (
            "tricorn: the configuration is valid: shop:app on 127.0.0.1:8000, :80\n",
            "",
        )

    def test_warnings_do_not_fail(self, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--check-config", "shop:app", "--statsd-host", "x:1"]) == 0
        line = only_line(capsys.readouterr().err)
        assert line.startswith("tricorn: warning: statsd_host has no effect: ")

    def test_the_file_may_name_the_application(self, shop: Path) -> None:
        (shop / "tricorn.toml").write_text('application = "shop:app"')
        assert main(["--check-config"]) == 0

    def test_key_and_certificate_must_match(
        self, shop: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ca = trustme.CA()
        one, other = ca.issue_cert("localhost"), ca.issue_cert("localhost")
        one.cert_chain_pems[0].write_to_path("cert.pem")
        one.private_key_pem.write_to_path("key.pem")
        other.private_key_pem.write_to_path("other.pem")
        argv = ["--check-config", "shop:app", "--certfile", "cert.pem", "--keyfile"]
        assert main([*argv, "key.pem"]) == 0
        capsys.readouterr()
        assert main([*argv, "other.pem"]) == 2
        only_line(capsys.readouterr().err)
        (shop / "empty.pem").write_text("")
        assert main([*argv, "empty.pem"]) == 2
        only_line(capsys.readouterr().err)


class TestPrintConfig:
    def test_toml(self, work: Path, run: Run) -> None:
        (work / "tricorn.toml").write_text("backlog = 1\nh2_max_pushes = 1\n")
        result = run("--print-config", "--backlog", "3", "shop:app", TRICORN_DEBUG="yes")
        assert (result.returncode, result.stderr) == (0, "")
        lines = result.stdout.splitlines()
        assert 'application = "shop:app"  # argument APP' in lines
        assert "backlog = 3  # flag --backlog" in lines
        assert "h2_max_pushes = 1  # tricorn.toml" in lines
        assert "debug = true  # environment variable TRICORN_DEBUG" in lines
        assert "keep_alive_timeout = 75.0  # default" in lines

    def test_json(self, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--print-config=json", "shop:app"]) == 0
        values = json.loads(capsys.readouterr().out)
        assert values.keys() == OPTIONS.keys()
        assert values["application"] == {"value": "shop:app", "source": "argument APP"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("--host 0.0.0.0 --port 80", ["0.0.0.0:80"]),
        ("--host ::1 --port 0", ["[::1]:0"]),
        ("--host [::1]", ["[::1]:8000"]),
        ("--port 81", ["127.0.0.1:81"]),
        ("--uds /run/x.sock --fd 3", ["unix:/run/x.sock", "fd://3"]),
        ("--port 81 -b :82", [":82", "127.0.0.1:81"]),
    ],
)
def test_addresses_spelled_as_uvicorn_does(
    work: Path, capsys: pytest.CaptureFixture[str], argv: str, expected: list[str]
) -> None:
    assert main([*argv.split(), "--print-config=json"]) == 0
    assert json.loads(capsys.readouterr().out)["bind"]["value"] == expected


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tricorn ")
    assert any(line.startswith("h2 4.") for line in lines)
    assert main(["--version=json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert versions["driver"] == compilation.driver()
    assert versions["codecs"]["http1"]["available"][-1] == "h11"
    assert versions["codecs"]["http2"]["in_use"].split()[0] in ("nghttp2", "h2")
    assert versions["libraries"]["anyio"]


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    words = capsys.readouterr().out.replace(",", " ").split()
    assert {flag for row in OPTIONS.values() for flag in flags_of(row)} <= set(words)


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Puts the loggers back as they were."""
    loggers = [logging.getLogger(name) for name in ("tricorn.error", "tricorn.access")]
    before = [(log.level, log.propagate, log.disabled, list(log.handlers)) for log in loggers]
    yield
    for log, (level, propagate, disabled, handlers) in zip(loggers, before, strict=True):
        log.setLevel(level)
        log.propagate, log.disabled = propagate, disabled
        log.handlers[:] = handlers


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(("flags", "code"), [([], 4), (["--backlog", "x"], 2)])
@pytest.mark.parametrize("standard_error", ["closed", "broken"])
def test_the_exit_code_is_the_same_where_nobody_reads_the_line(
    shop: Path, flags: list[str], code: int, workers: str, standard_error: str
) -> None:
    command = [sys.executable, "-m", "tricorn", "shop:ap", "--errorlog", "none", *flags]
    if standard_error == "closed":
        command = ["sh", "-c", 'exec "$0" "$@" 2>&-', *command]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [*command, "--workers", workers],
            env=os.environ | {"PYTHONPATH": python_path(SOURCE), "PYTHONUNBUFFERED": ""},
            stderr=writer,
            timeout=30,
        )
    finally:
        os.close(writer)
    assert done.returncode == code


@pytest.mark.usefixtures("own_logging")
class TestRun:
    @pytest.fixture
    def calls(self, shop: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, Config]]:
        """The calls of ``tricorn.server.run``, which is another floor's affair."""
        calls: list[tuple[object, Config]] = []
        server = ModuleType("tricorn.server")
        server.run = lambda app, config: calls.append((app, config))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tricorn.server", server)
        return calls

    def test_runs_the_application_with_the_configuration(
        self, calls: list[tuple[object, Config]], shop: Path
    ) -> None:
        argv = ["shop:app", "-b", ":0", "--errorlog", "error.log", "--workers", "0", "-D"]
        assert main(argv) == 0
        ((app, config),) = calls
        assert app is sys.modules["shop"].app
        assert config == Config(
            application="shop:app", bind=(":0",), errorlog="error.log", workers=0, daemon=True
        )
        logs.shutdown()
        line = only_line((shop / "error.log").read_text())
        assert "daemon has no effect: " in line

    @pytest.mark.parametrize(
        ("error", "code"),
        [(BindError("in use"), 5), (LifespanError("no"), 3), (KeyboardInterrupt(), 130)],
    )
    def test_exit_codes(
        self,
        error: BaseException,
        code: int,
        calls: list[tuple[object, Config]],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(app: object, config: Config) -> None:
            raise error

        sys.modules["tricorn.server"].run = fail  # type: ignore[attr-defined]
        assert main(["shop:app", "--errorlog", "none", "--workers", "0"]) == code
        expected = "" if code == 130 else f"tricorn: error: {error}\n"
        assert capsys.readouterr().err == expected

    def test_a_failing_import_does_not_reach_the_server(
        self, calls: list[tuple[object, Config]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["shop:ap", "--errorlog", "none", "--workers", "0"]) == 4
        assert calls == []
        only_line(capsys.readouterr().err)
