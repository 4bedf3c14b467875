"""Compare what was observed with what a case allows."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compliance.http1.model import After, Case, Expect, OneOf
from compliance.http1.wire import Observation, Response


def problems(case: Case, got: Observation) -> list[str]:
    """Every way in which ``got`` breaks the case's expectation; empty if it holds."""
    expect = case.expect
    found: list[str] = []
    if got.malformed and not expect.binary_ok:
        found.append(f"the server sent {got.malformed}")
    if got.smuggled and expect.smuggled:
        found.append("the app ran the request hidden in the bytes")
    if not got.alive:
        found.append("the server did not answer a new connection afterwards")
    if not got.finals:
        if not (expect.silence_ok or (expect.binary_ok and got.malformed)):
            ending = "closed the connection" if got.eof else "kept silent"
            found.append(f"the server {ending} without a response")
        return found
    found += _statuses(expect, got)
    found += _first(expect, got.finals[0])
    found += _seen(expect, got.finals)
    if expect.interim is not None and tuple(got.interim) != expect.interim:
        found.append(f"interim responses {got.interim}, expected {list(expect.interim)}")
    if expect.tail is not None and got.finals[-1].status == 101 and got.tail != expect.tail:
        found.append(f"after the 101 came {got.tail[:60]!r}, expected {expect.tail!r}")
    found += _connection(after(expect, got), got)
    return found


def after(expect: Expect, got: Observation) -> After:
    """The state the connection must be in, given the last final response."""
    if not got.finals or got.finals[-1].status == 101:
        return "any"
    return expect.after_error if got.finals[-1].status >= 400 else expect.after_ok


def refused(expect: Expect, got: Observation) -> bool:
    """Whether the last response ended the exchange with an error, so that fewer may follow."""
    return bool(got.finals) and got.finals[-1].status >= 400


def _statuses(expect: Expect, got: Observation) -> list[str]:
    found = []
    for response, allowed in zip(got.finals, expect.statuses, strict=False):
        if response.status not in allowed:
            found.append(f"status {response.status}, allowed {_codes(allowed)}")
    # Another protocol's bytes may well be refused one piece after the other.
    if not expect.binary_ok:
        extra = got.finals[len(expect.statuses) :]
        found += [f"one response too many: {response.status_line}" for response in extra]
    missing = len(expect.statuses) - len(got.finals)
    if missing > 0 and not refused(expect, got):
        found.append(f"{missing} of {len(expect.statuses)} responses did not come")
    return found


def _codes(codes: frozenset[int]) -> str:
    if len(codes) > 12:
        return f"{min(codes)}..{max(codes)}"
    return " or ".join(str(code) for code in sorted(codes))


def _first(expect: Expect, response: Response) -> list[str]:
    found = []
    for key, pattern in expect.fields.items():
        status, _, name = key.rpartition("/")
        if status and int(status) != response.status:
            continue
        values = response.values(name)
        if pattern is None and values:
            found.append(f"field {name} must be absent, is {values[0]!r}")
        elif pattern is not None and not any(re.fullmatch(pattern, value) for value in values):
            found.append(f"field {name} is {values}, expected {pattern!r}")
    if expect.status_line and not re.fullmatch(expect.status_line, response.status_line):
        found.append(f"status line {response.status_line!r}, expected {expect.status_line!r}")
    if response.status >= 400:
        return found
    if expect.framing is not None and response.framing not in expect.framing:
        found.append(f"body delimited by {response.framing}, allowed {sorted(expect.framing)}")
    if expect.complete is not None and response.complete != expect.complete:
        found.append(f"the response is {'complete' if response.complete else 'cut short'}")
    if expect.body is not None and response.status == 200 and response.body != expect.body:
        found.append(f"content {response.body[:60]!r}, expected {expect.body[:60]!r}")
    return found


def _seen(expect: Expect, finals: list[Response]) -> list[str]:
    found = []
    for response, wanted in zip(finals, expect.seen, strict=False):
        if response.status != 200:
            continue
        report = response.json()
        for key, value in wanted.items():
            actual = _report_value(report, key)
            allowed = value.values if isinstance(value, OneOf) else (value,)
            if actual not in allowed:
                shown = " or ".join(repr(one)[:80] for one in allowed)
                found.append(f"the app saw {key} = {actual!r:.80}, expected {shown}")
    return found


def _report_value(report: Mapping[str, object], key: str) -> object:
    if not key.startswith("header:"):
        return report.get(key)
    headers = report.get("headers")
    if not isinstance(headers, list):
        return None
    name = key.removeprefix("header:")
    return [value for one, value in headers if one.lower() == name]


def _connection(state: After, got: Observation) -> list[str]:
    if state == "closed" and not got.ended:
        return ["the server left the connection open"]
    if state not in ("open", "sane"):
        return []
    probe = got.probe
    if probe is None:
        if state == "open" or not got.eof:
            return ["the next request on the connection was not answered"]
        return []
    if probe.status != 200 or probe.json().get("path") != "/probe":
        return [f"the next request on the connection was answered by {probe.status_line}"]
    return []
