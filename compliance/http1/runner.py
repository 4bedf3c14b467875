"""Play cases against a server, several at a time, and judge them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from compliance.http1.check import after, problems, refused
from compliance.http1.model import Case, Expect, HalfClose
from compliance.http1.wire import Client, Observation

REPLY_TIMEOUT = 2.0
"""Seconds a response, a close or a step may take before the case goes on without it."""

QUIET = 0.25
"""Seconds without anything new after which no further response is expected."""

SILENCE = 0.7
"""Seconds to wait where the server may rightly say nothing at all."""

CONCURRENCY = 24


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server under test listens."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one case: ``problems`` is empty if it passed."""

    case: Case
    problems: tuple[str, ...]
    got: str
    skipped: bool = False

    @property
    def passed(self) -> bool:
        return not self.problems


def insecure_context() -> ssl.SSLContext:
    """A client context for the test certificate, offering HTTP/1.1 only."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


async def run_cases(target: Target, cases: Sequence[Case]) -> list[Verdict]:
    """Run all cases with bounded concurrency; verdicts come in the order of the cases."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(case: Case) -> Verdict:
        async with gate:
            return await run_case(target, case)

    return list(await asyncio.gather(*(one(case) for case in cases)))


async def run_case(target: Target, case: Case) -> Verdict:
    """Run one case on its own connection."""
    if target.tls is not None and any(isinstance(step, HalfClose) for step in case.send):
        return Verdict(case, (), "skipped: TLS has no half-close", skipped=True)
    try:
        if case.expect.smuggled:
            await _ask(target, f"/forget?case={case.id}")
        got = await _observe(target, case)
    except OSError as error:
        return Verdict(case, (f"the connection failed: {error}",), "nothing")
    return Verdict(case, tuple(problems(case, got)), describe(got))


async def _observe(target: Target, case: Case) -> Observation:
    expect = case.expect
    client = await Client.connect(target.host, target.port, target.tls, expect.head)
    try:
        await client.run(case.send, REPLY_TIMEOUT)
        await _await_replies(client, expect)
        await _follow_up(client, case)
    finally:
        await client.close()
    got = client.seen
    if expect.smuggled:
        report = await _ask(target, f"/seen?case={case.id}")
        got.smuggled = report.get("smuggled") is not False
        got.alive = bool(report)
    elif expect.alive:
        got.alive = bool(await _ask(target, "/alive"))
    return got


async def _await_replies(client: Client, expect: Expect) -> None:
    got = client.seen
    count = len(expect.statuses)

    def enough() -> bool:
        return len(got.finals) >= count or refused(expect, got)

    await client.wait(enough, SILENCE if expect.silence_ok else REPLY_TIMEOUT)
    if expect.tail and got.finals and got.finals[-1].status == 101:
        tail = expect.tail
        await client.wait(lambda: len(got.tail) >= len(tail), REPLY_TIMEOUT)


async def _follow_up(client: Client, case: Case) -> None:
    """Find out in which state the connection is left."""
    got = client.seen
    state = after(case.expect, got)
    finals = len(got.finals)
    if case.expect.smuggled or state in ("closed", "any"):
        # Any response too many comes before the end, or before the quiet that follows it.
        wait = REPLY_TIMEOUT if state == "closed" else QUIET
        await client.wait(lambda: got.ended, wait)
    if state in ("open", "sane") and not got.ended and finals == len(got.finals):
        got.probed = True
        probe = b"GET /probe HTTP/1.1\r\nHost: example.com\r\n\r\n"
        await client.run((probe,), REPLY_TIMEOUT)
        await client.wait(lambda: len(got.finals) > finals, REPLY_TIMEOUT)
        if len(got.finals) > finals:
            got.probe = got.finals.pop(finals)


async def _ask(target: Target, path: str) -> dict[str, object]:
    """One plain request on a new connection; empty if no 200 came."""
    with contextlib.suppress(OSError):
        client = await Client.connect(target.host, target.port, target.tls)
        request = f"GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
        try:
            await client.run((request.encode(),), REPLY_TIMEOUT)
            await client.wait(lambda: bool(client.seen.finals), REPLY_TIMEOUT)
        finally:
            await client.close()
        if client.seen.finals and client.seen.finals[0].status == 200:
            return client.seen.finals[0].json() or {"ok": True}
    return {}


def describe(got: Observation) -> str:
    """What came back, in one line."""
    parts = [str(code) for code in got.interim]
    for response in got.finals:
        part = response.status_line
        if not response.complete:
            part += " (cut short)"
        parts.append(part)
    if got.malformed:
        parts.append(got.malformed)
    if got.probe is not None:
        parts.append(f"next request: {got.probe.status}")
    parts.append("closed" if got.eof else "left open")
    return "; ".join(parts)
