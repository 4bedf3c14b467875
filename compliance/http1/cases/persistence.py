"""Keep-alive, close, and pipelining."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    BAD,
    HIDDEN,
    HOST_LINE,
    MUST,
    NOTE,
    OK,
    SHOULD,
    answered,
    chunked,
    head,
    hidden,
    post,
    request,
    row,
)
from compliance.http1.model import AwaitReplies, Case, Dribble, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_CLOSED = Expect((OK,), after_ok="closed")
# Data after the request that says close is the client's own violation, so a 400 will do.
_CLOSED_OR_BAD = Expect((OK | BAD,), after_ok="closed", after_error="closed")
_OPEN = Expect((OK,), after_ok="open")
_OLD = b"GET /echo HTTP/1.0"

_CLOSE_FORMS = (
    ("close-plain", (b"Connection: close",), "close"),
    ("close-upper-case", (b"Connection: CLOSE",), "close in upper case"),
    ("close-mixed-case", (b"connection: Close",), "close in mixed case"),
    ("close-in-list", (b"Connection: foo, close",), "close in a list"),
    ("close-before-keep-alive", (b"Connection: close, keep-alive",), "close beside keep-alive"),
    ("close-after-keep-alive", (b"Connection: keep-alive, close",), "close after keep-alive"),
    ("close-empty-elements", (b"Connection: ,, close ,",), "close among empty elements"),
    ("close-second-line", (b"Connection: foo", b"Connection: close"), "close in a second line"),
    ("close-no-spaces", (b"Connection: foo,close,bar",), "close in a list without spaces"),
    ("close-tab", (b"Connection: foo,\tclose",), "close after a tab"),
)

_NOT_CLOSE = (
    ("keep-close-prefix", b"Connection: closed", "'closed' is not close"),
    ("keep-close-suffix", b"Connection: x-close", "'x-close' is not close"),
    ("keep-unknown-option", b"Connection: foo", "an unknown option"),
    ("keep-explicit", b"Connection: keep-alive", "an explicit keep-alive"),
    ("keep-proxy-connection", b"Proxy-Connection: close", "Proxy-Connection means nothing"),
    ("keep-empty", b"Connection:", "an empty Connection field"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(MUST, id, q.CLOSE_AFTER, f"closed after the response: {what}",
            request(*lines), _CLOSED)
        for id, lines, what in _CLOSE_FORMS
    ]
    rows += [
        row(SHOULD, id, q.PERSISTENT, f"left open: {what}", request(line), _OPEN)
        for id, line, what in _NOT_CLOSE
    ]
    return rows + _close() + _old() + _persist() + _pipelining()


def _close() -> list[Case]:
    return [
        row(SHOULD, "close-announced", q.CLOSE_SAYS_CLOSE, "the last response says close",
            request(b"Connection: close"),
            Expect((OK,), fields={"connection": "(?i)(.*, *)?close"})),
        row(MUST, "close-no-further-request", q.CLOSE_NO_MORE, "a request after close does not run",
            request(b"Connection: close") + request() + HIDDEN,
            hidden(_CLOSED_OR_BAD)),
        row(NOTE, "close-answered-all-the-same", q.CLOSE_AFTER,
            "bytes after the request that says close do not cost it its response",
            request(b"Connection: close") + request(), _CLOSED),
        row(MUST, "close-after-content", q.CLOSE_AFTER, "close with content: answered, then closed",
            post(b"hello", b"Connection: close"),
            Expect((OK,), after_ok="closed", seen=({"body": "hello"},))),
        row(MUST, "close-by-app", q.CLOSE_SENT, "a close that the app sends is kept to",
            request(target=b"/close"), _CLOSED),
        row(MUST, "close-by-app-no-further-request", q.CLOSE_NO_MORE,
            "after a close that the app sends, nothing more runs",
            request(target=b"/close") + HIDDEN, hidden(_CLOSED_OR_BAD)),
        row(MUST, "close-large-response", q.CLOSE_AFTER, "a large response arrives whole first",
            request(b"Connection: close", target=b"/big"),
            Expect((OK,), after_ok="closed", body=b"x" * 262_144)),
        row(NOTE, "close-unread-content-response", q.TEARDOWN,
            "a response before the content is read is not lost to a reset",
            request(b"Content-Length: 1000000", b"Connection: close", method=b"POST",
                    target=b"/early") + b"x" * 400_000, _CLOSED),
        row(MUST, "close-chunked-response", q.CLOSE_AFTER, "a streamed one arrives whole first",
            request(b"Connection: close", target=b"/chunked"),
            Expect((OK,), after_ok="closed", body=b"onetwothree")),
    ]


def _old() -> list[Case]:
    old_post = head(b"POST /echo HTTP/1.0", HOST_LINE, b"Content-Length: 5")
    return [
        row(MUST, "old-closes", q.PERSIST_RULES, "HTTP/1.0 without keep-alive is closed",
            head(_OLD, HOST_LINE), _CLOSED),
        row(MUST, "old-close", q.CLOSE_AFTER, "HTTP/1.0 with close is closed",
            head(_OLD, HOST_LINE, b"Connection: close"), _CLOSED),
        row(MUST, "old-no-further-request", q.PERSIST_RULES,
            "a second request on an HTTP/1.0 connection does not run",
            head(_OLD, HOST_LINE) + HIDDEN, hidden(_CLOSED_OR_BAD)),
        row(NOTE, "old-keep-alive", q.PERSIST_RULES, "HTTP/1.0 with keep-alive may be left open",
            head(_OLD, HOST_LINE, b"Connection: keep-alive"), _OPEN),
        row(NOTE, "old-keep-alive-said", q.PERSIST_RULES,
            "a connection left open for HTTP/1.0 is announced by keep-alive",
            head(_OLD, HOST_LINE, b"Connection: Keep-Alive"),
            Expect((OK,), fields={"connection": "(?i)(.*, *)?keep-alive"})),
        row(MUST, "old-post", q.INTERPRET, "content in HTTP/1.0 is read",
            old_post + b"hello", answered(body="hello")),
        row(MUST, "old-no-length-no-content", q.INTERPRET, "without a length there is no content",
            head(b"POST /echo HTTP/1.0", HOST_LINE), answered(body_length=0)),
        row(MUST, "old-keep-alive-streamed", q.CODING_TO_1_0,
            "a streamed response to HTTP/1.0 is ended by the close, keep-alive or not",
            head(b"GET /chunked HTTP/1.0", HOST_LINE, b"Connection: keep-alive"),
            Expect((OK,), after_ok="closed", framing=frozenset({"close", "length"}),
                   body=b"onetwothree")),
    ]


def _persist() -> list[Case]:
    return [
        row(SHOULD, "keep-default", q.PERSISTENT, "HTTP/1.1 connections persist",
            request(), _OPEN),
        row(SHOULD, "keep-after-content", q.PERSISTENT, "also after content was read",
            post(b"hello"), _OPEN),
        row(SHOULD, "keep-after-chunked", q.PERSISTENT, "also after chunked content",
            chunked(b"5\r\nhello\r\n0\r\n\r\n"), _OPEN),
        row(SHOULD, "keep-after-chunked-response", q.PERSISTENT, "also after a chunked response",
            request(target=b"/chunked"), _OPEN),
        row(MUST, "keep-unread-content", q.READ_OR_CLOSE,
            "content that the app left unread is read away, or the connection closed",
            post(b"x" * 1_000, target=b"/early"), Expect((OK,), after_ok="sane")),
        row(MUST, "keep-unread-large-content", q.READ_OR_CLOSE, "the same with 400,000 bytes",
            post(b"x" * 400_000, target=b"/early"), Expect((OK,), after_ok="sane")),
        row(MUST, "keep-unread-chunked", q.READ_OR_CLOSE, "the same with chunked content",
            chunked(b"5\r\nhello\r\n0\r\n\r\n", target=b"/early"), Expect((OK,), after_ok="sane")),
        row(SHOULD, "keep-twenty-requests", q.PERSISTENT, "twenty requests, one after the other",
            tuple(step for n in range(20) for step in (request(), AwaitReplies(n + 1))),
            Expect((OK,) * 20, after_ok="open")),
    ]


def _pipelining() -> list[Case]:
    def paths(*names: str) -> tuple[dict[str, object], ...]:
        return tuple({"path": name} for name in names)

    a, b, c = (request(target=b"/" + name) for name in (b"a", b"b", b"c"))
    three = Expect((OK,) * 3, after_ok="sane", seen=paths("/a", "/b", "/c"))
    bodies = post(b"one") + post(b"two") + chunked(b"5\r\nthree\r\n0\r\n\r\n")
    in_bodies = Expect((OK,) * 3, after_ok="sane",
                       seen=({"body": "one"}, {"body": "two"}, {"body": "three"}))
    return [
        row(MUST, "pipeline-three", q.PIPELINE_ORDER, "three requests in one write, in order",
            a + b + c, three),
        row(MUST, "pipeline-bodies", q.PIPELINE_ORDER, "three requests with content", bodies,
            in_bodies),
        row(MUST, "pipeline-byte-by-byte", q.PIPELINE_ORDER, "two requests byte by byte",
            (Dribble(post(b"one") + b),),
            Expect((OK, OK), after_ok="sane", seen=({"body": "one"}, {"path": "/b"}))),
        row(MUST, "pipeline-odd-cuts", q.PIPELINE_ORDER, "three requests in pieces of 7 bytes",
            (Dribble(bodies, 7),), in_bodies),
        row(MUST, "pipeline-mixed", q.PIPELINE_ORDER, "a slow, a large and a small response",
            request(target=b"/chunked") + request(target=b"/big") + c,
            Expect((OK,) * 3, after_ok="sane", seen=({}, {}, {"path": "/c"}))),
        row(MUST, "pipeline-head", q.PIPELINE_ORDER, "HEAD between two GET",
            a + request(target=b"/head", method=b"HEAD") + c,
            Expect((OK,) * 3, after_ok="sane", head=(1,), seen=({"path": "/a"}, {}, {}))),
        row(MUST, "pipeline-204", q.PIPELINE_ORDER, "a 204 between two GET",
            a + request(target=b"/status/204") + c,
            Expect((OK, frozenset({204}), OK), after_ok="sane")),
        row(MUST, "pipeline-fifty", q.PIPELINE_ORDER, "fifty requests in one write, in order",
            b"".join(request(target=b"/%d" % n) for n in range(50)),
            Expect((OK,) * 50, after_ok="sane", seen=paths(*(f"/{n}" for n in range(50))))),
        row(MUST, "pipeline-close-in-the-middle", q.CLOSE_NO_MORE,
            "nothing runs after the request that says close",
            a + request(b"Connection: close", target=b"/b") + HIDDEN,
            hidden(Expect((OK, OK | BAD), after_ok="closed", after_error="closed",
                          seen=paths("/a", "/b")))),
        row(SHOULD, "pipeline-bad-second", q.GRAMMAR, "the first is served, the second refused",
            a + request(b"X(Test): a"),
            Expect((OK, frozenset({400})), after_error="closed", seen=paths("/a"))),
        row(MUST, "pipeline-unread-content", q.READ_OR_CLOSE,
            "a request after content that was not read is served as itself, or not at all",
            (post(b"x" * 2_000, target=b"/early"), AwaitReplies(1)),
            Expect((OK,), after_ok="sane")),
        row(SHOULD, "pipeline-cut-head", q.PERSISTENT, "the second head arrives in two parts",
            (a + b[:20], AwaitReplies(1), b[20:]),
            Expect((OK, OK), after_ok="sane", seen=paths("/a", "/b"))),
        row(MUST, "split-head-byte-by-byte", q.INTERPRET, "a head byte by byte",
            (Dribble(request(b"X-Test: a")),), answered({"header:x-test": ["a"]})),
        row(MUST, "split-chunked-byte-by-byte", q.PARSE_CHUNKED, "chunked content byte by byte",
            (Dribble(chunked(b"5;a=b\r\nhello\r\n3\r\nbye\r\n0\r\nX-T: a\r\n\r\n")),),
            answered(body="hellobye")),
    ]
