"""setup(): handlers, levels, forms, colours, logging configurations, reopening."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tricorn import logs
from tricorn.config import Config
from tricorn.exceptions import ConfigError

error = logging.getLogger("tricorn.error")
access = logging.getLogger("tricorn.access")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    # pytest hangs its own handlers on loggers that do not propagate.
    error.propagate = access.propagate = True
    yield
    for logger in (error, access, logging.getLogger("tricorn")):
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
    logs.setup(Config(errorlog=None))
    error.propagate = access.propagate = True


def written(path: Path) -> list[str]:
    logs.shutdown()
    return path.read_text(encoding="utf-8").splitlines()


def test_text_lines_are_readable_and_cannot_be_forged(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path)))
    error.info("started")
    error.warning("peer said %s", "x\n2026-11-21 12:00:00.000 INFO  all is well\r\x1b[31m\x9b")
    first, second, third = written(path)
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
    assert re.fullmatch(stamp + " INFO  started", first)
    assert re.fullmatch(stamp + " WARNING peer said x", second)
    assert third == r"    2026-11-21 12:00:00.000 INFO  all is well\x0d\x1b[31m\x9b"


def test_a_traceback_follows_the_message_indented(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path)))
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        error.exception("failed")
    lines = written(path)
    assert lines[0].endswith("ERROR failed")
    assert lines[-2:] == ["    ValueError: first", "    second"]
    assert all(line.startswith("    ") for line in lines[1:])


def test_json_lines_carry_extra_fields_and_exceptions(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path), log_format="json"))
    cycle: list[Any] = []
    cycle.append(cycle)
    error.info("hello %s", "wörld\n\x7f", extra={"peer": "::1", "limit": 5, "level": "forged"})
    error.info("odd", extra={"cycle": cycle, "nan": float("nan"), "path": Path("a")})
    try:
        raise ValueError("boom")
    except ValueError:
        error.exception("failed")
    raw = written(path)
    assert all(line.isascii() and line.isprintable() for line in raw)
    first, second, third = map(json.loads, raw)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {
        "level": "INFO", "logger": "tricorn.error", "message": "hello wörld\n\x7f",
        "peer": "::1", "limit": 5,
    }  # fmt: skip
    assert second["cycle"] == "[[...]]"
    assert second["nan"] == "nan"
    assert third["exception"].endswith("ValueError: boom")


def test_rfc3339_is_utc_with_milliseconds() -> None:
    assert logs.rfc3339(0.0015) == "1970-01-01T00:00:00.001Z"
    assert logs.rfc3339(1_795_262_400.5) == "2026-11-21T12:00:00.500Z"


def test_a_record_that_cannot_be_formatted_is_named(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path)))
    error.info("%d", "not a number")
    (line,) = written(path)
    assert "test_log_setup.py" in line
    assert "TypeError" in line


def test_level_is_of_the_error_log_only(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path), accesslog=str(tmp_path / "a"), loglevel="ERROR"))
    error.warning("no")
    error.error("yes")
    access.info("line")
    assert len(written(path)) == 1
    assert written(tmp_path / "a") == ["line"]


def test_a_second_setup_leaves_one_handler_and_the_root_logger_alone(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    for name in ("one", "two", "two"):
        logs.setup(Config(errorlog=str(tmp_path / name), accesslog=str(tmp_path / "access")))
        assert len(error.handlers) == len(access.handlers) == 1
    error.info("hello")
    assert len(written(tmp_path / "two")) == 1
    assert written(tmp_path / "one") == []
    assert (list(root.handlers), root.level) == before
    assert not error.propagate
    assert not access.propagate


def test_files_no_longer_used_are_closed(tmp_path: Path) -> None:
    logs.setup(Config(errorlog=None))
    before = set(os.listdir("/dev/fd"))
    for number in range(5):
        logs.setup(Config(errorlog=str(tmp_path / str(number))))
        error.info("hello")
    logs.setup(Config(errorlog=None))
    assert set(os.listdir("/dev/fd")) == before


def test_no_log_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    logs.setup(Config(errorlog=None))
    error.critical("unheard")
    logs.shutdown()
    assert capfd.readouterr() == ("", "")


def test_dash_is_standard_error_and_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    logs.setup(Config(errorlog="-", accesslog="-"))
    error.info("to err")
    access.info("to out")
    logs.shutdown()
    out, err = capfd.readouterr()
    assert out == "to out\n"
    assert err.endswith("INFO  to err\n")


def test_handlers_of_others_stay_beside_ours(tmp_path: Path) -> None:
    mine = logging.NullHandler()
    error.addHandler(mine)
    logs.setup(Config(errorlog=str(tmp_path / "error.log")))
    error.info("hello")
    assert mine in error.handlers
    assert len(written(tmp_path / "error.log")) == 1


def test_a_failed_setup_keeps_the_former_handlers(tmp_path: Path) -> None:
    logs.setup(Config(errorlog=str(tmp_path / "error.log")))
    with pytest.raises(ConfigError, match=r"nowhere.*No such file"):
        logs.setup(Config(errorlog=str(tmp_path / "x"), accesslog=str(tmp_path / "nowhere/a")))
    with pytest.raises(ConfigError, match="logconfig_dict: "):
        logs.setup(Config(logconfig_dict={"version": 7}))
    error.info("still here")
    assert len(written(tmp_path / "error.log")) == 1


def test_an_unknown_level_is_named() -> None:
    class Odd:
        loglevel = "loud"

    with pytest.raises(ConfigError, match="loud"):
        logs.setup(Odd())  # type: ignore[arg-type]


def test_both_logs_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "all.log"
    logs.setup(Config(errorlog=str(path), accesslog=str(path)))
    error.info("one")
    access.info("two")
    assert [line[-3:] for line in written(path)] == ["one", "two"]


def test_reopen_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path)))
    error.info("before")
    error.handlers[0].flush()
    path.rename(tmp_path / "old")
    logs.reopen()
    error.handlers[0].flush()
    error.info("after")
    assert [line[-5:] for line in written(path)] == ["after"]
    assert len(written(tmp_path / "old")) == 1


@pytest.fixture
def all_enabled() -> Iterator[None]:
    every = [e for e in logging.root.manager.loggerDict.values() if isinstance(e, logging.Logger)]
    before = [logger for logger in every if not logger.disabled]
    yield
    for logger in before:
        logger.disabled = False


@pytest.mark.parametrize("extra", [{"disable_existing_loggers": False}, {}], ids=["told", ""])
@pytest.mark.usefixtures("all_enabled")
def test_an_application_that_configures_logging_does_not_silence_the_server(
    tmp_path: Path, extra: dict[str, Any]
) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(errorlog=str(path)))
    error.info("before")
    logging.config.dictConfig({"version": 1} | extra)
    logs.unsilence()
    error.info("after")
    assert len(written(path)) == 2
    logs.setup(Config(errorlog=None, accesslog=str(tmp_path / "access.log")))
    logging.config.dictConfig({"version": 1} | extra)
    logs.unsilence()
    access.info("too")
    assert written(tmp_path / "access.log") == ["too"]


@pytest.mark.usefixtures("all_enabled")
def test_an_application_may_silence_the_access_log(tmp_path: Path) -> None:
    logs.setup(Config(errorlog=str(tmp_path / "error.log"), accesslog=str(tmp_path / "access.log")))
    access.disabled = True
    logs.unsilence()
    assert access.disabled


@pytest.mark.usefixtures("all_enabled")
def test_what_the_operator_s_configuration_silences_stays_silent(tmp_path: Path) -> None:
    logs.setup(Config(errorlog=str(tmp_path / "error.log"), accesslog=str(tmp_path / "access.log")))
    logs.setup(Config(logconfig_dict={"version": 1, "disable_existing_loggers": True}))
    logs.unsilence()
    assert error.disabled
    assert access.disabled


@pytest.mark.parametrize(
    ("terminal", "choice", "environment", "coloured"),
    [
        (True, None, {}, True),
        (True, None, {"NO_COLOR": "1"}, False),
        (True, None, {"NO_COLOR": ""}, True),
        (True, None, {"TERM": "dumb"}, False),
        (True, False, {"FORCE_COLOR": "1"}, False),
        (True, True, {"NO_COLOR": "1"}, True),
        (False, None, {}, False),
        (False, None, {"FORCE_COLOR": "1"}, True),
        (False, None, {"FORCE_COLOR": "0"}, False),
        (False, None, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (False, True, {}, True),
    ],
)
def test_colours(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    choice: bool | None,
    environment: dict[str, str],
    coloured: bool,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    master, slave = os.openpty()
    try:
        path = os.ttyname(slave) if terminal else str(tmp_path / "error.log")
        logs.setup(Config(errorlog=path, use_colors=choice))
        error.warning("hello")
        logs.shutdown()
        line = os.read(master, 1000) if terminal else (tmp_path / "error.log").read_bytes()
        assert (b"\x1b[33mWARNING\x1b[0m hello" in line) is coloured
        assert (b"\x1b" in line) is coloured
        logs.setup(Config(errorlog=None))
    finally:
        os.close(slave)
        os.close(master)


def table(path: Path) -> dict[str, Any]:
    handler = {"class": "logging.FileHandler", "filename": str(path), "formatter": "f"}
    return {
        "version": 1,
        "formatters": {"f": {"format": "custom %(message)s"}},
        "handlers": {"h": handler},
        "loggers": {"tricorn.error": {"handlers": ["h"], "level": "INFO", "propagate": False}},
    }


INI = """
[loggers]
keys=root,error
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
handlers=
[logger_error]
qualname=tricorn.error
handlers=h
level=INFO
propagate=0
[handler_h]
class=FileHandler
args=(r"%(here)s/out.log",)
formatter=f
[formatter_f]
format=custom %(message)s
"""


def toml(value: dict[str, Any]) -> str:
    return "\n".join(f"{section} = {inline(content)}" for section, content in value.items())


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{k}" = {inline(v)}' for k, v in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "marked"])
@pytest.mark.parametrize("form", ["dict", "json:", "x.json", "toml:", "x.toml", "x.ini", "x.yaml"])
def test_a_logging_configuration_wins_for_its_loggers(tmp_path: Path, form: str, mark: str) -> None:
    if form == "x.yaml":
        pytest.importorskip("yaml", reason="PyYAML reads YAML configurations")
    file = tmp_path / (form if form.startswith("x.") else "plain")
    value = table(tmp_path / "out.log")
    text = toml(value) if "toml" in form else json.dumps(value)
    file.write_text(mark + (INI if form == "x.ini" else text), encoding="utf-8")
    name = str(file) if form.startswith("x.") else form + str(file)
    config = (
        Config(logconfig_dict=value, accesslog=str(tmp_path / "access.log"))
        if form == "dict"
        else Config(logconfig=name, accesslog=str(tmp_path / "access.log"))
    )
    before = list(logging.getLogger().handlers)
    try:
        logs.setup(config)
        error.info("hello")
        access.info("line")
        assert (tmp_path / "out.log").read_text() == "custom hello\n"
        assert written(tmp_path / "access.log") == ["line"]
    finally:
        for handler in error.handlers:
            handler.close()
        logging.getLogger().handlers[:] = before


@pytest.mark.parametrize("extra", [{}, {"disable_existing_loggers": True}], ids=["", "disabling"])
def test_a_logging_configuration_that_is_gone_leaves_nothing(
    tmp_path: Path, extra: dict[str, Any]
) -> None:
    """As behind a reload, in the supervisor: its handlers, filters and silence go with it."""
    out, path = tmp_path / "out.log", tmp_path / "error.log"
    given = table(out) | extra
    given["filters"] = {"no": {"()": "logging.Filter", "name": "other"}}
    given["loggers"]["tricorn"] = {"filters": ["no"], "handlers": ["h"]}
    quiet = table(out) | {"filters": given["filters"]}
    quiet["loggers"]["tricorn.error"]["filters"] = ["no"]
    logs.setup(Config(logconfig_dict=given, accesslog=None))
    error.info("one")
    logs.setup(Config(logconfig_dict=quiet))
    error.info("unheard")
    logs.setup(Config(errorlog=str(path), accesslog=str(tmp_path / "access.log")))
    error.info("two")
    access.info("three")
    assert len(written(path)) == 1
    assert written(tmp_path / "access.log") == ["three"]
    assert out.read_text() == "custom one\n"


def test_the_silence_of_a_logging_configuration_goes_with_it(tmp_path: Path) -> None:
    """Where it gives our loggers nothing but that, too; an application's own silence stays."""
    path = tmp_path / "error.log"
    silence: dict[str, Any] = {"version": 1, "disable_existing_loggers": True}
    other = table(tmp_path / "out.log")
    other["loggers"] = {"tricorn": {"handlers": ["h"]}}
    every = [e for e in logging.root.manager.loggerDict.values() if isinstance(e, logging.Logger)]
    before = [logger for logger in every if not logger.disabled]
    try:
        for following in (Config(errorlog=str(path)), Config(logconfig_dict=other)):
            logs.setup(Config(errorlog=str(path)))
            logs.setup(Config(logconfig_dict=silence))
            logs.setup(Config(logconfig_dict=silence))
            assert error.disabled
            with pytest.raises(ConfigError):
                logs.setup(Config(logconfig="absent.json"))
            assert error.disabled, "the former configuration does not stay"
            logs.setup(following)
            assert not error.disabled
            assert not access.disabled
        access.disabled = True
        logs.setup(Config(errorlog=str(path)))
        assert access.disabled
    finally:
        for logger in before:
            logger.disabled = False


def test_a_logger_that_the_next_configuration_does_not_name_is_ours_again(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    logs.setup(Config(logconfig_dict=table(tmp_path / "out.log")))
    other = table(tmp_path / "other.log")
    other["loggers"]["tricorn.access"] = other["loggers"].pop("tricorn.error")
    logs.setup(Config(logconfig_dict=other, errorlog=str(path)))
    error.info("once")
    assert len(written(path)) == 1
    assert (tmp_path / "out.log").read_text() == ""
    logs.setup(Config(errorlog=None))


UVICORNS = "uvicorn.logging.AccessFormatter"
UVICORNS_INI = f"""
[loggers]
keys=root,access
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
level=INFO
handlers=
[logger_access]
qualname=tricorn.access
handlers=h
[handler_h]
class=StreamHandler
formatter=f
[formatter_f]
class={UVICORNS}
format=%(client_addr)s
"""


def of_uvicorns(logger: str, key: str = "()", **words: object) -> dict[str, Any]:
    """A configuration as Uvicorn has it, with a logger renamed and others that have ``words``."""
    plain = {"handlers": ["plain"], **words}
    return {
        "version": 1,
        "formatters": {"f": {key: UVICORNS}, "plain": {"format": "%(message)s"}},
        "handlers": {
            "h": {"class": "logging.StreamHandler", "formatter": "f"},
            "plain": {"class": "logging.StreamHandler", "formatter": "plain"},
        },
        "loggers": {"tricorn.access": plain, "tricorn.error": plain, logger: {"handlers": ["h"]}},
    }


@pytest.mark.parametrize(
    "value",
    [
        of_uvicorns("tricorn.access"), of_uvicorns("tricorn.error", "class"),
        of_uvicorns("tricorn"), of_uvicorns(""), of_uvicorns("root"), UVICORNS_INI,
        {**of_uvicorns("x"), "root": {"handlers": ["h"]}},
    ],
)  # fmt: skip
def test_a_formatter_of_other_records_is_refused(tmp_path: Path, value: Any) -> None:
    """It raises for each of ours, which the standard library prints as a traceback."""
    file = tmp_path / ("x.ini" if isinstance(value, str) else "x.json")
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    given = [Config(logconfig=str(file), accesslog="-")]
    if not isinstance(value, str):
        given.append(Config(logconfig_dict=value, accesslog="-"))
    for config in given:
        for use in logs.setup, Config.check:
            with pytest.raises(
                ConfigError, match=r'logconfig(_dict)?: formatter .*"%\(message\)s"'
            ):
                use(config)


@pytest.mark.parametrize(
    ("value", "seen_before", "fault"),
    [
        ({"version": 2}, True, "Unsupported version: 2"),
        ({"handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}}}, True, "'f'"),
        ({"loggers": {"tricorn.access": {"handlers": ["absent"]}}}, True, "'absent'"),
        ({"root": {"handlers": ["absent"]}}, True, "'absent'"),
        ({"handlers": {"h": {"class": "absent.Handler"}}}, False, "'h': .* module named 'absent'"),
        ({"loggers": {"tricorn.error": {"level": "LOUD"}}}, False, "Unknown level: 'LOUD'"),
        (
            {"handlers": {"h": {"class": "logging.FileHandler", "filename": "/absent/log"}}},
            False,
            "'h': .*No such file or directory: '/absent/log'",
        ),
    ],
)
def test_what_is_wrong_in_a_logging_configuration_is_said(
    value: Any, seen_before: bool, fault: str
) -> None:
    """Not only where: dictConfig keeps the reason in the cause of what it raises."""
    config = Config(logconfig_dict=value)
    with pytest.raises(ConfigError, match=f"^logconfig_dict: .*{fault}") as found:
        logs.setup(config)
    assert "\n" not in str(found.value)
    if seen_before:
        with pytest.raises(ConfigError, match=f"^logconfig_dict: .*{fault}"):
            config.check()
    else:  # it takes making the handlers, which open their files
        config.check()


@pytest.mark.parametrize(
    "value", [of_uvicorns("uvicorn.access"), of_uvicorns("tricorn", propagate=False)]
)
def test_a_formatter_of_others_is_theirs(tmp_path: Path, value: Any) -> None:
    (tmp_path / "x.json").write_text(json.dumps(value))
    Config(logconfig=str(tmp_path / "x.json"), accesslog="-").check()


@pytest.mark.parametrize("name", ["absent.json", "json:absent", "absent.toml", "absent.ini"])
def test_a_logging_configuration_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"logconfig: .*absent"):
        logs.setup(Config(logconfig=name))


def test_a_logging_configuration_may_refer_to_itself() -> None:
    """``cfg://`` (logging.config, access to internal objects)."""
    table = {
        "shared": ["h"],
        "handlers": {"h": {"class": "logging.NullHandler"}},
        "loggers": {"tricorn.access": {"handlers": "cfg://shared"}},
    }
    config = Config(logconfig_dict=table)
    config.check()
    logs.setup(config)
    assert [type(handler) for handler in access.handlers] == [logging.NullHandler]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="what stands for a full disk")
@pytest.mark.parametrize("stuck", [False, True])
def test_lines_that_are_lost_at_the_end_are_told(tmp_path: Path, stuck: bool) -> None:
    """Nothing flows again by which they would be."""
    target, log = tmp_path / "access.log", tmp_path / "error.log"
    reader = -1
    if stuck:
        os.mkfifo(target)
        reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    else:
        target.symlink_to("/dev/full")
    logs.setup(Config(accesslog=str(target), errorlog=str(log)))
    try:
        for _ in range(3):
            access.info("x" * 70_000 if stuck else "x")
        logs.shutdown(2.0)
    finally:
        if stuck:
            os.close(reader)
    assert "lines of the log" in log.read_text()
    assert ("No space left on device" in log.read_text()) is not stuck


def test_a_closed_standard_error_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    logs.setup(Config(errorlog=None))
    with pytest.raises(ConfigError, match="stderr is closed"):
        logs.setup(Config())
