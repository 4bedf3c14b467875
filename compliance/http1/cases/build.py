"""Short ways to write a row: requests as bytes, and the expectations most rows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from compliance.http1.model import After, Case, Expect, Level, Quote, Step

MUST, SHOULD, NOTE = Level.MUST, Level.SHOULD, Level.NOTE

CRLF = b"\r\n"
HOST_LINE = b"Host: example.com"
CHUNKED_LINE = b"Transfer-Encoding: chunked"
HIDDEN = b"GET /smuggled?case=@ID@ HTTP/1.1\r\nHost: example.com\r\n\r\n"
"""The request a smuggling case hides; ``row`` puts the case's id in."""

OK = frozenset({200})
BAD = frozenset({400})
ANY_4XX = frozenset(range(400, 500))
ANY_ERROR = frozenset(range(400, 600))
BAD_OR_UNKNOWN = frozenset({400, 501})
BAD_VERSION = frozenset({400, 505})
ANY_STATUS = frozenset(range(200, 600))


def row(
    level: Level,
    id: str,
    quote: Quote,
    rule: str,
    send: bytes | tuple[Step, ...],
    expect: Expect,
) -> Case:
    """One case; a single write may be given as plain bytes."""
    steps = (send,) if isinstance(send, bytes) else send
    named = tuple(
        step.replace(b"@ID@", id.encode()) if isinstance(step, bytes) else step for step in steps
    )
    return Case(id, level, quote, rule, named, expect)


def filled(id: str, size: int = 0) -> bytes:
    """The hidden request of this case, filled up to ``size`` bytes."""
    return HIDDEN.replace(b"@ID@", id.encode()).ljust(size, b"X")


def request(*lines: bytes, target: bytes = b"/echo", method: bytes = b"GET") -> bytes:
    """A request with a Host field and the given further field lines."""
    return head(method + b" " + target + b" HTTP/1.1", HOST_LINE, *lines)


def head(*lines: bytes) -> bytes:
    """A request head of exactly these lines."""
    return CRLF.join(lines) + CRLF + CRLF


def post(body: bytes, *lines: bytes, target: bytes = b"/echo") -> bytes:
    """A POST with a Content-Length that fits."""
    length = b"Content-Length: %d" % len(body)
    return request(length, *lines, target=target, method=b"POST") + body


def chunked(wire: bytes, *lines: bytes, target: bytes = b"/echo") -> bytes:
    """A chunked POST whose body is exactly ``wire``."""
    return request(CHUNKED_LINE, *lines, target=target, method=b"POST") + wire


def answered(
    report: Mapping[str, object] | None = None,
    *,
    after: After = "sane",
    interim: tuple[int, ...] | None = None,
    **seen: object,
) -> Expect:
    """The request is served; ``report`` and the keywords are what the app must have seen of it."""
    wanted = {**(report or {}), **seen}
    return Expect((OK,), after_ok=after, interim=interim, seen=(wanted,) if wanted else ())


def refused(codes: frozenset[int] = BAD, *, close: bool = True, silence_ok: bool = False) -> Expect:
    """The request is answered with one of these errors and, unless said otherwise, a close."""
    after: After = "closed" if close else "any"
    return Expect((codes,), after_error=after, silence_ok=silence_ok)


def either(
    report: Mapping[str, object] | None = None,
    *,
    codes: frozenset[int] = BAD,
    silence_ok: bool = False,
    **seen: object,
) -> Expect:
    """The request is refused with one of the codes, or served as ``answered`` says."""
    expect = answered({**(report or {}), **seen})
    return replace(expect, statuses=(OK | codes,), silence_ok=silence_ok)


def hidden(expect: Expect) -> Expect:
    """The same, and the request hidden in the bytes never reaches the app."""
    return replace(expect, smuggled=True)


def broken_body() -> Expect:
    """The body cannot be decoded: an error or no response, and in no case a 200."""
    return Expect((frozenset({400, 500}),), silence_ok=True, after_error="closed")
