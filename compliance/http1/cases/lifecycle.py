"""Clients that stop in the middle: half-closed, gone, or speaking something else."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import MUST, NOTE, OK, chunked, post, request, row
from compliance.http1.model import ABORT, HALF_CLOSE, Case, Expect, Step

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_LENGTH = b"Content-Length: 10"
_CUT = frozenset({400, 408})


def cases() -> list[Case]:
    """All rows of this chapter."""
    return _half_closed() + _cut_short() + _gone() + _foreign()


def _half_closed() -> list[Case]:
    return [
        row(NOTE, "half-close-get", q.TEARDOWN, "a client that has finished sending is answered",
            (request(), HALF_CLOSE), Expect((OK,), alive=True)),
        row(NOTE, "half-close-post", q.TEARDOWN, "likewise after content",
            (post(b"hello"), HALF_CLOSE), Expect((OK,), seen=({"body": "hello"},), alive=True)),
        row(NOTE, "half-close-pipeline", q.TEARDOWN, "likewise after three requests",
            (request() * 3, HALF_CLOSE), Expect((OK,) * 3, alive=True)),
        row(NOTE, "half-close-big", q.TEARDOWN, "a large response still arrives whole",
            (request(target=b"/big"), HALF_CLOSE),
            Expect((OK,), body=b"x" * 262_144, alive=True)),
        row(NOTE, "half-close-ends", q.TEARDOWN, "the server then closes",
            (request(), HALF_CLOSE), Expect((OK,), after_ok="closed", alive=True)),
    ]


def _cut_short() -> list[Case]:
    incomplete = Expect((_CUT,), silence_ok=True, alive=True)
    rows: list[tuple[str, bytes, str]] = [
        ("cut-in-line", b"GET /ec", "in the request line"),
        ("cut-in-fields", b"GET /echo HTTP/1.1\r\nHost: exa", "in a field"),
        ("cut-before-empty-line", b"GET /echo HTTP/1.1\r\nHost: example.com\r\n",
         "before the empty line"),
    ]
    head_rows = [
        row(NOTE, id, q.INCOMPLETE, f"the end {what}: no harm done", (data, HALF_CLOSE), incomplete)
        for id, data, what in rows
    ]
    bodies: list[tuple[str, bytes, str]] = [
        ("cut-in-content", request(_LENGTH, method=b"POST") + b"hello", "in the content"),
        ("cut-before-content", request(_LENGTH, method=b"POST"), "before the content"),
        ("cut-in-chunk-size", chunked(b"5"), "in a chunk size"),
        ("cut-in-chunk", chunked(b"5\r\nhel"), "in a chunk"),
        ("cut-before-last-chunk", chunked(b"5\r\nhello\r\n"), "before the last chunk"),
        ("cut-in-last-chunk", chunked(b"5\r\nhello\r\n0\r\n"), "before the final CRLF"),
        ("cut-in-trailers", chunked(b"5\r\nhello\r\n0\r\nX-Te"), "in the trailers"),
    ]
    # Behind the last chunk's size the body itself is complete, so the rest is a matter of taste.
    ended = ("cut-in-last-chunk", "cut-in-trailers")
    return head_rows + [
        row(NOTE if id in ended else MUST, id,
            q.SHORT_BODY if "content" in id else q.INCOMPLETE_CHUNKED,
            f"the end {what}: the request is never taken as complete",
            (data, HALF_CLOSE), Expect((_CUT | {500},), silence_ok=True, alive=True))
        for id, data, what in bodies
    ]


def _gone() -> list[Case]:
    nothing = Expect((frozenset(range(200, 600)),), silence_ok=True, complete=None, alive=True)
    steps: list[tuple[str, tuple[Step, ...], str]] = [
        ("gone-at-once", (ABORT,), "before the first byte"),
        ("gone-in-line", (b"GET /ec", ABORT), "in the request line"),
        ("gone-in-content", (request(_LENGTH, method=b"POST") + b"hello", ABORT), "in the content"),
        ("gone-in-chunk", (chunked(b"5\r\nhel"), ABORT), "in a chunk"),
        ("gone-before-response", (request(target=b"/big"), ABORT), "before the response"),
        ("gone-with-pipeline", (request(target=b"/big") * 5, ABORT), "with requests waiting"),
        ("gone-in-expect",
         (request(_LENGTH, b"Expect: 100-continue", method=b"POST"), ABORT), "before the 100"),
    ]
    return [
        row(NOTE, id, q.INCOMPLETE, f"a client gone {what}: no harm done", send, nothing)
        for id, send, what in steps
    ]


def _foreign() -> list[Case]:
    other = Expect((frozenset(range(400, 600)),), silence_ok=True, binary_ok=True, alive=True)
    hello = bytes.fromhex("16030100750100007103035375626a656374") + bytes(100)
    return [
        row(NOTE, id, q.GRAMMAR, f"{what}: an error or no answer, and no harm", data, other)
        for id, data, what in (
            ("foreign-tls", hello, "a TLS hello"),
            ("foreign-ssh", b"SSH-2.0-OpenSSH_9.9\r\n", "an SSH greeting"),
            ("foreign-smtp", b"EHLO example.com\r\n\r\n", "SMTP"),
            ("foreign-proxy-v1", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + request(),
             "a PROXY line that was not asked for"),
            ("foreign-redis", b"*1\r\n$4\r\nPING\r\n", "Redis"),
            ("foreign-zeros", bytes(4_096), "4 KiB of zeros"),
            ("foreign-random", bytes(range(255, -1, -1)) * 8 + b"\r\n\r\n", "all bytes there are"),
            ("foreign-empty-lines", b"\r\n" * 1_000, "a thousand empty lines"),
        )
    ]
