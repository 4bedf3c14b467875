"""Expect: 100-continue."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import MUST, NOTE, OK, SHOULD, answered, head, request, row
from compliance.http1.model import AwaitReplies, Case, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_LENGTH = b"Content-Length: 5"
_CHUNKED = b"Transfer-Encoding: chunked"
_EXPECT = b"Expect: 100-continue"


def _asking(*lines: bytes, target: bytes = b"/echo") -> bytes:
    return request(*lines, target=target, method=b"POST")


def cases() -> list[Case]:
    """All rows of this chapter."""
    return _continued() + _not_continued() + _other()


def _continued() -> list[Case]:
    wanted = answered(body="hello", interim=(100,))
    return [
        row(MUST, "expect-continue", q.CONTINUE_OR_FINAL,
            "the 100 comes before the content, and the content is then read",
            (_asking(_LENGTH, _EXPECT), AwaitReplies(1), b"hello"), wanted),
        row(MUST, "expect-continue-chunked", q.CONTINUE_OR_FINAL, "the same with chunked content",
            (_asking(_CHUNKED, _EXPECT), AwaitReplies(1), b"5\r\nhello\r\n0\r\n\r\n"), wanted),
        row(MUST, "expect-case", q.CONTINUE_OR_FINAL, "the expectation compares without case",
            (_asking(_LENGTH, b"Expect: 100-Continue"), AwaitReplies(1), b"hello"), wanted),
        row(MUST, "expect-second-request", q.CONTINUE_OR_FINAL,
            "the second request of a connection gets its own 100",
            (request(), AwaitReplies(1), _asking(_LENGTH, _EXPECT), AwaitReplies(2), b"hello"),
            Expect((OK, OK), interim=(100,), after_ok="sane", seen=({}, {"body": "hello"}))),
        row(SHOULD, "expect-connection-persists", q.PERSISTENT,
            "the connection persists after an expectation",
            (_asking(_LENGTH, _EXPECT), AwaitReplies(1), b"hello"),
            Expect((OK,), after_ok="open")),
    ]


def _not_continued() -> list[Case]:
    return [
        row(MUST, "expect-1.0", q.CONTINUE_1_0, "HTTP/1.0 gets no 100",
            (head(b"POST /echo HTTP/1.0", b"Host: example.com", _LENGTH, _EXPECT), b"hello"),
            answered(body="hello", interim=())),
        row(MUST, "expect-absent", q.INTERPRET, "without Expect the content is read all the same",
            (_asking(_LENGTH), b"hello"), answered(body="hello")),
        row(NOTE, "expect-absent-no-100", q.CONTINUE_EITHER, "without Expect no 100 is sent",
            (_asking(_LENGTH), b"hello"), answered(body="hello", interim=())),
        row(NOTE, "expect-no-content", q.CONTINUE_OMIT, "a length of 0 needs no 100",
            _asking(b"Content-Length: 0", _EXPECT), answered(body_length=0, interim=())),
        row(NOTE, "expect-get", q.CONTINUE_OMIT, "a GET without content needs no 100",
            request(_EXPECT), answered(interim=())),
        row(NOTE, "expect-content-there", q.CONTINUE_OMIT,
            "no 100 where the content came with the head",
            _asking(_LENGTH, _EXPECT) + b"hello", answered(body="hello", interim=())),
        row(MUST, "expect-content-at-once", q.CONTINUE_EITHER,
            "content sent without waiting is read, 100 or not",
            _asking(_LENGTH, _EXPECT) + b"hello", answered(body="hello")),
        row(NOTE, "expect-refused", q.CONTINUE_EITHER,
            "no 100 where the app refuses without reading",
            (_asking(b"Content-Length: 1000000", _EXPECT, target=b"/refuse"), AwaitReplies(1)),
            Expect((frozenset({413}),), interim=())),
        row(NOTE, "expect-early", q.CONTINUE_EITHER, "no 100 where the app answers without reading",
            (_asking(_LENGTH, _EXPECT, target=b"/early"), AwaitReplies(1)),
            Expect((OK,), interim=())),
        row(SHOULD, "expect-early-close", q.EXPECT_CLOSE,
            "a final response before the content says close, or the content is still taken",
            (_asking(_LENGTH, _EXPECT, target=b"/early"), AwaitReplies(1), b"hello"),
            Expect((OK,), after_ok="sane")),
    ]


def _other() -> list[Case]:
    served = frozenset({200, 417})
    return [
        row(NOTE, "expect-unknown", q.EXPECT_OTHER, "an unknown expectation: 417, or ignored",
            _asking(_LENGTH, b"Expect: something") + b"hello",
            Expect((served,), seen=({"body": "hello"},))),
        row(NOTE, "expect-list", q.EXPECT_OTHER, "100-continue beside an unknown expectation",
            _asking(_LENGTH, b"Expect: 100-continue, something") + b"hello",
            Expect((served,), seen=({"body": "hello"},))),
        row(NOTE, "expect-empty", q.EXPECT_OTHER, "an empty Expect",
            _asking(_LENGTH, b"Expect:") + b"hello",
            Expect((served | {400},), seen=({"body": "hello"},))),
        row(MUST, "expect-final", q.CONTINUE_FINAL, "after a 100 comes a final response",
            (_asking(_LENGTH, _EXPECT, target=b"/status/404"), AwaitReplies(1), b"hello"),
            Expect((frozenset({404}),))),
    ]
