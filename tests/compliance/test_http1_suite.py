"""The table of HTTP/1.1 conformance cases is sound, and its judge judges as it should."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from compliance.http1.cases import all_cases, quotes  # noqa: E402
from compliance.http1.check import problems  # noqa: E402
from compliance.http1.model import (  # noqa: E402
    AwaitReplies,
    Case,
    Dribble,
    Expect,
    Level,
    OneOf,
    Quote,
)
from compliance.http1.report import SCALE, outcome  # noqa: E402
from compliance.http1.runner import Verdict  # noqa: E402
from compliance.http1.wire import (  # noqa: E402
    Malformed,
    Observation,
    Response,
    parse_head,
    read_body,
)

CASES = all_cases()
QUOTE = Quote("RFC 9112 2.2", "the server SHOULD respond")
OK = frozenset({200})

# One value for every expression that a row may use for a field or a status line.
VALUES = (
    "Sat, 21 Nov 2026 09:00:00 GMT",
    "5",
    "close",
    "keep-alive",
    "Upgrade",
    "websocket",
    "superchat",
    "13",
    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
)


def status_line(expect: Expect, status: int) -> str:
    line = f"HTTP/1.1 {status} Phrase"
    assert expect.status_line is None or re.fullmatch(expect.status_line, line)
    return line


def best_response(expect: Expect, index: int) -> Response:
    """A response that satisfies the expectation of this index."""
    allowed = expect.statuses[index]
    status = 200 if 200 in allowed else min(allowed)
    response = Response(status, status_line(expect, status), [])
    if index == 0:
        response.complete = expect.complete is not False
        response.framing = min(expect.framing) if expect.framing else "length"
        response.body = expect.body or b""
        for key, pattern in expect.fields.items():
            if pattern is not None:
                value = next(one for one in VALUES if re.fullmatch(pattern, one))
                response.fields.append((key.rpartition("/")[2], value))
    if index < len(expect.seen) and expect.seen[index]:
        response.body = json.dumps(report(expect.seen[index])).encode()
    return response


def report(seen: Mapping[str, Any]) -> dict[str, object]:
    made: dict[str, object] = {}
    headers: list[list[object]] = []
    for key, value in seen.items():
        wanted: Any = value.values[0] if isinstance(value, OneOf) else value
        if key.startswith("header:"):
            headers += [[key.removeprefix("header:"), one] for one in wanted]
        else:
            made[key] = wanted
    return {**made, "headers": headers}


def best_observation(case: Case) -> Observation:
    """What a perfect server does with this case."""
    expect = case.expect
    got = Observation(interim=list(expect.interim or ()), eof=True, tail=expect.tail or b"")
    got.finals = [best_response(expect, index) for index in range(len(expect.statuses))]
    last = got.finals[-1]
    state = expect.after_error if last.status >= 400 else expect.after_ok
    if state in ("open", "sane"):
        got.probe = Response(200, "HTTP/1.1 200 OK", [], "length", b'{"path": "/probe"}')
    return got


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 230
    assert Counter(case.level for case in CASES)[Level.MUST] >= 150


def test_ids_are_unique() -> None:
    assert [id for id, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_rows_are_complete() -> None:
    assert [case.id for case in CASES if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", case.id)] == []
    section = re.compile(r"RFC (9110|9112|9113|6455) \d+(\.\d+)*")
    assert [case.id for case in CASES if not section.fullmatch(case.section)] == []
    assert [case.id for case in CASES if not case.rule or "\n" in case.rule] == []
    assert [case.id for case in CASES if not case.send] == []
    assert [case.id for case in CASES if not case.expect.statuses] == []
    assert [case.id for case in CASES if not all(case.expect.statuses)] == []


def test_levels_are_those_of_the_sentences() -> None:
    words = {
        Level.MUST: re.compile(r"\bMUST\b"),
        Level.SHOULD: re.compile(r"\bSHOULD\b|\bRECOMMENDED\b|\bought\b"),
        Level.NOTE: re.compile(""),
    }
    # These state what a message means, which RFC 9110 2.4 makes binding.
    definitions = (quotes.NO_BODY, quotes.PERSIST_RULES, quotes.INCOMPLETE_CHUNKED)
    wrong = [
        case.id
        for case in CASES
        if case.quote not in definitions and not words[case.level].search(case.quote.text)
    ]
    assert wrong == []


def test_expectations_can_be_met() -> None:
    found = {case.id: problems(case, best_observation(case)) for case in CASES}
    assert {id: what for id, what in found.items() if what} == {}


def test_expectations_can_be_missed() -> None:
    missed = []
    for case in CASES:
        got = best_observation(case)
        got.finals.append(Response(200, "HTTP/1.1 200 OK", []))
        got.alive = not case.expect.binary_ok
        if not problems(case, got):
            missed.append(case.id)
    assert missed == []


def test_steps_can_be_played() -> None:
    for case in CASES:
        for step in case.send:
            if isinstance(step, AwaitReplies):
                interim = len(case.expect.interim or (100,))
                assert step.count <= len(case.expect.statuses) + interim, case.id
            if isinstance(step, Dribble):
                assert step.size > 0, case.id
            if isinstance(step, bytes):
                assert b"@ID@" not in step, case.id


def judged(expect: Expect, got: Observation) -> list[str]:
    return problems(Case("judged", Level.MUST, QUOTE, "rule", (b"",), expect), got)


def response(status: int = 200, body: bytes = b"", **fields: str) -> Response:
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Response(status, f"HTTP/1.1 {status} Phrase", named, "length", body)


PROBE = response(body=b'{"path": "/probe"}')

WRONG: tuple[tuple[str, Expect, Observation], ...] = (
    ("allowed", Expect((OK,)), Observation(finals=[response(400)])),
    ("without a response", Expect((OK,)), Observation(eof=True)),
    ("did not come", Expect((OK, OK)), Observation(finals=[response()])),
    ("too many", Expect((OK,)), Observation(finals=[response(), response()])),
    ("malformed", Expect((OK,)), Observation(finals=[response()], malformed="malformed bytes")),
    ("hidden", Expect((OK,), smuggled=True), Observation(finals=[response()], smuggled=True)),
    ("new connection", Expect((OK,)), Observation(finals=[response()], alive=False)),
    (
        "left the connection open",
        Expect((OK,), after_ok="closed"),
        Observation(finals=[response()]),
    ),
    ("not answered", Expect((OK,), after_ok="open"), Observation(finals=[response()], eof=True)),
    ("not answered", Expect((OK,), after_ok="sane"), Observation(finals=[response()])),
    (
        "answered by",
        Expect((OK,), after_ok="sane"),
        Observation(finals=[response()], probe=response(400)),
    ),
    (
        "must be absent",
        Expect((OK,), fields={"x-test": None}),
        Observation(finals=[response(x_test="a")]),
    ),
    ("expected", Expect((OK,), fields={"x-test": "b"}), Observation(finals=[response(x_test="a")])),
    ("interim", Expect((OK,), interim=()), Observation(interim=[100], finals=[response()])),
    ("cut short", Expect((OK,)), Observation(finals=[replace(response(), complete=False)])),
    ("delimited", Expect((OK,), framing=frozenset({"chunked"})), Observation(finals=[response()])),
    ("content", Expect((OK,), body=b"a"), Observation(finals=[response(body=b"b")])),
    (
        "the app saw",
        Expect((OK,), seen=({"path": "/a"},)),
        Observation(finals=[response(body=b'{"path": "/b"}')]),
    ),
    (
        "the app saw",
        Expect((OK,), seen=({"header:x": ["1"]},)),
        Observation(finals=[response(body=b'{"headers": [["x", "2"]]}')]),
    ),
    (
        "after the 101",
        Expect((frozenset({101}),), tail=b"hi"),
        Observation(finals=[response(101)], tail=b"ho"),
    ),
)


@pytest.mark.parametrize(("said", "expect", "got"), WRONG)
def test_judge_names_what_is_wrong(said: str, expect: Expect, got: Observation) -> None:
    found = judged(expect, got)
    assert len(found) == 1
    assert said in found[0]


RIGHT: tuple[tuple[Expect, Observation], ...] = (
    (Expect((OK,)), Observation(finals=[response()])),
    (Expect((OK,), silence_ok=True), Observation()),
    (Expect((OK,), silence_ok=True), Observation(eof=True)),
    (Expect((OK,), after_ok="sane"), Observation(finals=[response()], eof=True)),
    (Expect((OK,), after_ok="open"), Observation(finals=[response()], probe=PROBE)),
    (Expect((OK | {400},), seen=({"path": "/a"},)), Observation(finals=[response(400)])),
    (Expect((OK | {400}, OK), after_ok="open"), Observation(finals=[response(400)])),
    (Expect((frozenset({400}),), fields={"426/upgrade": "x"}), Observation(finals=[response(400)])),
    (Expect((OK,), binary_ok=True), Observation(malformed="another protocol")),
)


@pytest.mark.parametrize(("expect", "got"), RIGHT)
def test_judge_passes_what_is_right(expect: Expect, got: Observation) -> None:
    assert judged(expect, got) == []


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Test : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Test: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Test: a\nb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Test\r\n\r\n",
    ],
)
def test_malformed_heads_are_found(head: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(head)


async def _body(head: bytes, rest: bytes, is_head: bool) -> tuple[Response, bytes]:
    reader = asyncio.StreamReader()
    reader.feed_data(rest)
    reader.feed_eof()
    parsed = parse_head(head)
    await read_body(reader, parsed, is_head)
    return parsed, await reader.read()


@pytest.mark.parametrize(
    ("fields", "rest", "is_head", "framing", "body", "complete", "left"),
    [
        (b"Content-Length: 2\r\n", b"hiX", False, "length", b"hi", True, b"X"),
        (b"Content-Length: 5\r\n", b"hi", False, "length", b"hi", False, b""),
        (b"Content-Length: 5\r\n", b"X", True, "none", b"", True, b"X"),
        (
            b"Transfer-Encoding: chunked\r\n",
            b"2\r\nhi\r\n0\r\n\r\nX",
            False,
            "chunked",
            b"hi",
            True,
            b"X",
        ),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhi\r\n", False, "chunked", b"hi", False, b""),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nh", False, "chunked", b"h", False, b""),
        (b"", b"hi", False, "close", b"hi", True, b""),
    ],
)
def test_bodies_are_delimited(
    fields: bytes,
    rest: bytes,
    is_head: bool,
    framing: str,
    body: bytes,
    complete: bool,
    left: bytes,
) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n"
    parsed, remaining = asyncio.run(_body(head, rest, is_head))
    assert (parsed.framing, parsed.body, parsed.complete) == (framing, body, complete)
    assert remaining == left


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"hi"),
        (b"Content-Length: +2\r\n", b"hi"),
        (b"Content-Length: 2\r\nContent-Length: 2\r\n", b"hi"),
        (b"Transfer-Encoding: gzip\r\n", b"hi"),
        (b"Transfer-Encoding: chunked\r\n", b"0x2\r\nhi\r\n0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhiXX0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\n", b"0\r\nbad line\r\n\r\n"),
    ],
)
def test_malformed_bodies_are_found(fields: bytes, rest: bytes) -> None:
    with pytest.raises(Malformed):
        asyncio.run(_body(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n", rest, False))


@pytest.mark.parametrize("level", list(Level))
def test_outcomes_are_on_the_scale(level: Level) -> None:
    case = replace(CASES[0], level=level)
    assert SCALE.rank(outcome(Verdict(case, (), ""))) == 0
    assert 0 < SCALE.rank(outcome(Verdict(case, ("wrong",), ""))) < len(SCALE.outcomes)
