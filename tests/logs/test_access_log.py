"""The access log: atoms, escaping, JSON, forms of configuration."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tricorn import logs
from tricorn.access_log import AccessLog
from tricorn.config import Config
from tricorn.exceptions import ConfigError

access = logging.getLogger("tricorn.access")


def http_scope(*headers: tuple[bytes, bytes], **changes: Any) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "https",
        "path": "/changed/by/framework", "raw_path": b"/a%20b", "query_string": b"c=1&d",
        "headers": list(headers), "client": ("192.0.2.1", 5000), "server": ("::1", 443),
        "extensions": {"tls": {"tls_version": 772, "client_cert_name": None}},
    }  # fmt: skip
    return scope | changes


@dataclass
class Done:
    scope: dict[str, Any] = field(default_factory=http_scope)
    status: int | None = 200
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    bytes_sent: int = 12
    bytes_received: int = 7
    duration: float = 1.2345678
    stream_id: int = 3
    disconnected: bool = False
    close_code: int | None = None
    finished_at: float = 1_795_262_400.25


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    # pytest hangs its own handlers on loggers that do not propagate.
    access.propagate = True
    yield
    logs.setup(Config(errorlog=None))
    logging.getLogger("tricorn.error").propagate = access.propagate = True


def line(template: str, exchange: Done | None = None) -> str:
    return AccessLog(template, as_json=False).line(exchange or Done())


AGENT = (b"user-agent", b"curl/8")


@pytest.mark.parametrize(
    ("atom", "expected"),
    [
        ("h", "192.0.2.1"), ("l", "-"), ("u", "-"), ("r", "GET /a%20b HTTP/1.1"),
        ("R", "GET /a%20b?c=1&d HTTP/1.1"), ("s", "200"), ("st", "OK"), ("S", "https"),
        ("m", "GET"), ("U", "/a%20b"), ("Uq", "/a%20b?c=1&d"), ("q", "c=1&d"),
        ("H", "HTTP/1.1"), ("b", "12"), ("B", "12"), ("f", "-"), ("a", "curl/8"), ("T", "1"),
        ("D", "1234567"), ("M", "1234"), ("L", "1.234568"), ("p", "<PID>"),
        ("{User-Agent}i", "curl/8"), ("{absent}i", "-"), ("{Server}o", "tricorn"),
        ("{absent}o", "-"), ("{TRICORN_TEST}e", "va\\\"l"), ("{tricorn_test}e", "va\\\"l"),
        ("{TRICORN_ABSENT}e", "-"), ("{http_version}x", "1.1"), ("{client.1}x", "5000"),
        ("{client.9}x", "-"), ("{client.x}x", "-"), ("{extensions.tls.tls_version}x", "772"),
        ("{extensions.tls.client_cert_name}x", "-"), ("{path.deeper}x", "-"),
        ("{raw_path}x", "/a%20b"), ("{stream_id}x", "3"), ("{bytes_received}x", "7"),
        ("{close_code}x", "-"), ("{disconnected}x", "False"),
    ],
)  # fmt: skip
def test_atoms(monkeypatch: pytest.MonkeyPatch, atom: str, expected: str) -> None:
    monkeypatch.setenv("TRICORN_TEST", 'va"l')
    exchange = Done(http_scope(AGENT), response_headers=[(b"Server", b"tricorn")])
    # The tests' own names may not differ between the processes that run them.
    expected = expected.replace("PID", str(os.getpid()))
    assert line(f"<%({atom})s>", exchange) == f"<{expected}>"


def test_short_form_widths_and_percent_signs() -> None:
    assert line("100%% %(http_version)x [%(s)-5s] [%(m)5.2s]%%") == "100% 1.1 [200  ] [   GE]%"


@pytest.mark.parametrize(
    "template",
    ["%(zz)s", "%({a}q)s", "%(s)d", "%(h", "100%", "%s", "%({a}x)d", "%()s"],
)
def test_an_unknown_atom_is_named_at_creation(template: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(template.lstrip("10"))):
        AccessLog.create(Config(accesslog="-", access_log_format="ok " + template))


def test_time_is_local_and_follows_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST+5")
    time.tzset()
    try:
        log = AccessLog("%(t)s", as_json=False)
        assert log.line(Done()) == "[21/Nov/2026:07:00:00 -0500]"
        assert log.line(Done(finished_at=1_795_262_401.9)) == "[21/Nov/2026:07:00:01 -0500]"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("changes", "status", "phrase"),
    [
        ({"status": None, "disconnected": True}, "499", "Client Closed Request"),
        ({"status": 200, "disconnected": True}, "200", "OK"),
        ({"status": None}, "-", "-"),
        ({"status": 599}, "599", "-"),
    ],
)
def test_status_of_exchanges_that_ended_early(
    changes: dict[str, Any], status: str, phrase: str
) -> None:
    assert line("%(s)s|%(st)s", Done(**changes)) == f"{status}|{phrase}"


def test_no_body_is_a_dash_in_b_and_zero_in_capital_b() -> None:
    assert line("%(b)s %(B)s", Done(bytes_sent=0)) == "- 0"


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (b"Basic YWxpY2U6c2VjcmV0", "alice"),
        (b"bAsIc YWxpY2U6c2VjcmV0", "alice"),
        (b"Basic YSIKYjpj", 'a\\"\\x0ab'),
        (b"Basic !!!", "-"),
        (b"Basic YWxpY2U=", "-"),
        (b"Basic OnNlY3JldA==", "-"),
        (b"Bearer YWxpY2U6c2VjcmV0", "-"),
    ],
)
def test_user_of_basic_authorization(value: bytes, user: str) -> None:
    assert line("%(u)s", Done(http_scope((b"authorization", value)))) == user


def test_structured_fields_are_found_in_any_case() -> None:
    exchange = Done(http_scope((b"Referer", b"http://r/"), (b"USER-AGENT", b"curl/8")))
    found = json.loads(AccessLog("", as_json=True).line(exchange))
    assert (found["referer"], found["user_agent"]) == ("http://r/", "curl/8")


@pytest.mark.parametrize(("version", "method"), [("1.1", "GET"), ("2", "CONNECT")])
def test_a_websocket_has_the_method_of_its_wire(version: str, method: str) -> None:
    scope = http_scope(type="websocket", http_version=version)
    del scope["method"]
    assert line("%(r)s", Done(scope)) == f"{method} /a%20b HTTP/{version}"


@pytest.mark.parametrize("client", [None, ("", 0)])
def test_a_unix_socket_has_no_client_address(client: object) -> None:
    assert line("%(h)s", Done(http_scope(client=client))) == "-"


HOSTILE = bytes(range(256))
FIELDS = (
    "%(h)s %(u)s %(r)s %(R)s %(S)s %(m)s %(U)s %(Uq)s %(q)s %(H)s %(f)s %(a)s "
    "%({x-y}i)s %({x-z}o)s %({path}x)s %({raw_path}x)s"
)


def hostile() -> Done:
    text = HOSTILE.decode("latin-1") + "\u2028\u202e\U0001f984\ud800"
    return Done(
        http_scope(
            (b"user-agent", HOSTILE), (b"referer", HOSTILE), (b"x-y", HOSTILE),
            (b"authorization", b"Basic AAoiXH86eA=="),
            method=text, path=text, raw_path=HOSTILE, query_string=HOSTILE, scheme=text,
            http_version=text, client=(text, 1),
        ),
        response_headers=[(b"x-z", HOSTILE)],
    )  # fmt: skip


def test_no_field_lets_a_peer_write_outside_itself() -> None:
    text = line(FIELDS, hostile())
    assert text.isascii()
    assert text.isprintable()
    assert not re.search(r'(?<!\\)(\\\\)*"', text)
    assert line("%(a)s", hostile()).startswith(r"\x00\x01")
    assert r" !\"#" in line("%(a)s", hostile())
    assert r"[\\]" in line("%(a)s", hostile())
    assert line("%(a)s", hostile()).endswith(r"\xfe\xff")
    assert line("%({path}x)s", hostile()).endswith(r"\u2028\u202e\U0001f984\ud800")


def test_json_of_hostile_fields_is_one_ascii_line() -> None:
    text = AccessLog("", as_json=True).line(hostile())
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["path"] == HOSTILE.decode("latin-1")


def test_json_has_these_fields() -> None:
    headers = ((b"user-agent", "ü".encode()), (b"referer", b"https://a/"))
    exchange = Done(http_scope(*headers), close_code=1000, disconnected=True)
    assert json.loads(AccessLog("", as_json=True).line(exchange)) == {
        "time": "2026-11-21T12:00:00.250Z", "client": "192.0.2.1", "method": "GET",
        "path": "/a%20b", "query": "c=1&d", "http_version": "1.1", "status": 200,
        "bytes_sent": 12, "bytes_received": 7, "duration": 1.234568, "user_agent": "ü",
        "referer": "https://a/", "stream_id": 3, "scheme": "https", "type": "http",
        "close_code": 1000, "disconnected": True,
    }  # fmt: skip


def test_json_says_null_for_what_is_absent() -> None:
    entry = json.loads(AccessLog("", as_json=True).line(Done(http_scope(client=None), status=None)))
    absent = {name for name, value in entry.items() if value is None}
    assert absent == {"client", "status", "user_agent", "referer", "close_code"}


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_reach_the_file(tmp_path: Path, log_format: str) -> None:
    path = tmp_path / "access.log"
    config = Config(accesslog=str(path), errorlog=None, log_format=log_format)
    logs.setup(config)
    log = AccessLog.create(config)
    assert log is not None
    assert len(access.handlers) == 1
    log(Done(http_scope(AGENT)))
    logs.shutdown()
    (text,) = path.read_text().splitlines()
    if log_format == "json":
        assert json.loads(text)["status"] == 200
    else:
        tail = r'192\.0\.2\.1 - - \[.{26}\] "GET /a%20b HTTP/1\.1" 200 12 "-" "curl/8"'
        assert re.fullmatch(tail, text)


def test_off_is_none() -> None:
    config = Config(accesslog=None, errorlog=None)
    logs.setup(config)
    assert AccessLog.create(config) is None


class Records(logging.Handler):
    seen: list[logging.LogRecord]

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


def test_other_handlers_get_records_with_fields(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    config = Config(accesslog=str(path), errorlog=None)
    logs.setup(config)
    log = AccessLog.create(config)
    assert log is not None
    handler = Records()
    handler.seen = []
    access.addHandler(handler)
    try:
        log(Done(http_scope((b"user-agent", b"100%s"))))
    finally:
        access.removeHandler(handler)
    logs.shutdown()
    (record,) = handler.seen
    assert record.getMessage() == path.read_text().rstrip("\n")
    assert record.getMessage().endswith('"100%s"')
    assert vars(record)["status"] == 200
    assert vars(record)["user_agent"] == "100%s"


def test_a_logging_configuration_switches_it_on_for_its_handlers() -> None:
    null = {"class": "logging.NullHandler"}
    loud = {"class": "logging.StreamHandler"}
    for handler, on in ((null, False), (loud, True)):
        table = {"handlers": {"h": handler}, "loggers": {"tricorn.access": {"handlers": ["h"]}}}
        config = Config(logconfig_dict=table, errorlog=None)
        try:
            logs.setup(config)
            assert (AccessLog.create(config) is not None) is on
        finally:
            access.handlers.clear()


def test_a_scope_the_application_has_ruined_is_told_and_not_raised(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    config = Config(accesslog=str(tmp_path / "access.log"), errorlog=str(path))
    logs.setup(config)
    log = AccessLog.create(config)
    assert log is not None
    log(Done({}))
    logs.shutdown()
    assert "no access line could be made: KeyError" in path.read_text()
