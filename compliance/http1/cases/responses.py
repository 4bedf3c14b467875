"""Responses: status line, Date, delimiting, HEAD and the statuses without content."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    HOST_LINE,
    MUST,
    NOTE,
    OK,
    SHOULD,
    head,
    request,
    row,
)
from compliance.http1.model import Case, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_IMF_DATE = (
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
    r"\d{4} \d\d:\d\d:\d\d GMT"
)
_DATED = {"date": _IMF_DATE}
_DELIMITED = frozenset({"length", "chunked"})
_STREAMED = b"onetwothree"


def _get(target: bytes) -> bytes:
    return request(target=target)


def _head(target: bytes) -> bytes:
    return request(target=target, method=b"HEAD")


def cases() -> list[Case]:
    """All rows of this chapter."""
    return _shape() + _dates() + _head_rows() + _without_content() + _content() + _failures()


def _shape() -> list[Case]:
    return [
        row(MUST, "response-status-line", q.STATUS_LINE_SPACE,
            "the status line has a space before the reason phrase",
            _get(b"/status/200"), Expect((OK,), status_line=r"HTTP/1\.1 200 .*")),
        row(MUST, "response-status-unknown", q.STATUS_LINE_SPACE,
            "so it does for a status without a registered phrase",
            _get(b"/status/299"), Expect((frozenset({299}),), status_line=r"HTTP/1\.1 299 .*")),
        row(MUST, "response-status-599", q.STATUS_LINE_SPACE, "the same for a 5xx",
            _get(b"/status/599"), Expect((frozenset({599}),), status_line=r"HTTP/1\.1 599 .*")),
        row(MUST, "response-error-status-line", q.STATUS_LINE_SPACE,
            "and in a response of the server itself",
            request(b"Content-Length: x"),
            Expect((frozenset({400}),), status_line=r"HTTP/1\.1 400 .*")),
        row(MUST, "response-one-length", q.LENGTH_AND_CODING,
            "never both Content-Length and Transfer-Encoding",
            _get(b"/own-coding"), Expect((OK,), fields={"content-length": None})),
        row(SHOULD, "response-empty-delimited", q.DELIMITED,
            "an empty response is delimited by a length or a coding",
            _get(b"/status/200"), Expect((OK,), framing=_DELIMITED, after_ok="open", body=b"")),
        row(SHOULD, "response-streamed-delimited", q.DELIMITED,
            "so is a streamed one", _get(b"/chunked"),
            Expect((OK,), framing=_DELIMITED, after_ok="open")),
    ]


def _dates() -> list[Case]:
    return [
        row(MUST, "date-200", q.DATE, "a 200 has a Date",
            _get(b"/echo"), Expect((OK,), fields=_DATED)),
        row(MUST, "date-304", q.DATE, "a 304 has a Date",
            _get(b"/status/304"), Expect((frozenset({304}),), fields=_DATED)),
        row(MUST, "date-404", q.DATE, "a 404 of the app has a Date",
            _get(b"/status/404"), Expect((frozenset({404}),), fields=_DATED)),
        row(MUST, "date-400", q.DATE, "a 400 of the server itself has a Date",
            request(b"Content-Length: x"), Expect((frozenset({400}),), fields=_DATED)),
        row(NOTE, "date-500", q.ERROR_STATUS, "a 500 of the server itself has a Date",
            _get(b"/fail"), Expect((frozenset({500}),), fields=_DATED)),
    ]


def _head_rows() -> list[Case]:
    old = head(b"HEAD /chunked HTTP/1.0", HOST_LINE)
    return [
        row(MUST, "head-no-content", q.HEAD_NO_CONTENT, "no content, whatever the app sent",
            _head(b"/head"), Expect((OK,), head=(0,), after_ok="sane")),
        row(MUST, "head-streamed", q.HEAD_NO_CONTENT, "nor where the app streams",
            _head(b"/chunked"), Expect((OK,), head=(0,), after_ok="sane")),
        row(MUST, "head-own-coding", q.HEAD_NO_CONTENT, "nor where the app names a coding",
            _head(b"/own-coding"), Expect((OK,), head=(0,), after_ok="sane")),
        row(MUST, "head-big", q.HEAD_NO_CONTENT, "nor where it is large",
            _head(b"/big"), Expect((OK,), head=(0,), after_ok="sane")),
        row(MUST, "head-404", q.HEAD_NO_CONTENT, "nor in an error",
            _head(b"/status/404"),
            Expect((frozenset({404}),), head=(0,), after_error="sane")),
        row(SHOULD, "head-length", q.HEAD_SAME_FIELDS, "HEAD keeps the length that GET has",
            _head(b"/head"), Expect((OK,), head=(0,), fields={"content-length": "5"})),
        row(MUST, "head-1.0", q.CODING_TO_1_0, "HEAD of HTTP/1.0 gets no Transfer-Encoding",
            old, Expect((OK,), head=(0,), fields={"transfer-encoding": None})),
        row(SHOULD, "head-persists", q.PERSISTENT, "the connection persists after HEAD",
            _head(b"/head"), Expect((OK,), head=(0,), after_ok="open")),
    ]


def _without_content() -> list[Case]:
    rows = []
    for status in (204, 304):
        expect = Expect((frozenset({status}),), after_ok="sane")
        rows.append(row(MUST, f"status-{status}-no-content", q.NO_BODY,
                        f"a {status} ends with its head", _get(b"/status/%d" % status), expect))
        rows.append(row(SHOULD, f"status-{status}-persists", q.PERSISTENT,
                        f"the connection persists after a {status}",
                        _get(b"/status/%d" % status),
                        Expect((frozenset({status}),), after_ok="open")))
    return [
        *rows,
        row(MUST, "status-204-no-length", q.NO_LENGTH_204, "a 204 has no Content-Length",
            _get(b"/status/204"),
            Expect((frozenset({204}),), fields={"content-length": None})),
        row(MUST, "status-204-no-coding", q.NO_CODING_204, "a 204 has no Transfer-Encoding",
            _get(b"/status/204"),
            Expect((frozenset({204}),), fields={"transfer-encoding": None})),
        row(MUST, "status-304-no-wrong-length", q.LENGTH_304,
            "the server puts no length of its own on a 304",
            _get(b"/status/304"),
            Expect((frozenset({304}),), fields={"content-length": None})),
    ]


def _content() -> list[Case]:
    return [
        row(MUST, "content-streamed", q.PARSE_CHUNKED, "streamed content arrives, well formed",
            _get(b"/chunked"), Expect((OK,), body=_STREAMED, after_ok="sane")),
        row(MUST, "content-own-coding", q.CHUNKED_ONCE, "a coding the app names is not doubled",
            _get(b"/own-coding"), Expect((OK,), body=_STREAMED, after_ok="sane")),
        row(MUST, "content-big", q.INTERPRET, "256 KiB arrive whole",
            _get(b"/big"), Expect((OK,), body=b"x" * 262_144, after_ok="sane")),
        row(MUST, "content-streamed-1.0", q.CODING_TO_1_0, "no Transfer-Encoding for HTTP/1.0",
            head(b"GET /chunked HTTP/1.0", HOST_LINE),
            Expect((OK,), fields={"transfer-encoding": None}, body=_STREAMED,
                   after_ok="closed")),
        row(MUST, "content-own-coding-1.0", q.CODING_TO_1_0, "nor where the app names it",
            head(b"GET /own-coding HTTP/1.0", HOST_LINE),
            Expect((OK,), fields={"transfer-encoding": None}, body=_STREAMED,
                   after_ok="closed")),
        row(MUST, "content-injection", q.SENDER_GRAMMAR,
            "CRLF in a value that the app gives begins no new field",
            _get(b"/injection"),
            Expect((frozenset({200, 500}),), silence_ok=True, fields={"x-injected": None},
                   alive=True)),
        row(NOTE, "content-overrun", q.CORRECT_LENGTH,
            "content beyond the length that the app gave is not sent",
            _get(b"/overrun"),
            Expect((frozenset({200, 500}),), silence_ok=True, after_ok="sane", complete=None,
                   alive=True)),
        row(NOTE, "content-underrun", q.CORRECT_LENGTH,
            "content short of that length ends the connection",
            _get(b"/underrun"),
            Expect((frozenset({200, 500}),), silence_ok=True, after_ok="closed", complete=False,
                   alive=True)),
    ]


def _failures() -> list[Case]:
    return [
        row(NOTE, "app-fails", q.ERROR_STATUS, "an app that fails at once makes a 500",
            _get(b"/fail"), Expect((frozenset({500}),), alive=True)),
        row(NOTE, "app-silent", q.ERROR_STATUS, "an app that answers nothing makes a 500",
            _get(b"/silent"), Expect((frozenset({500}),), alive=True)),
        row(NOTE, "app-fails-late", q.INCOMPLETE_CHUNKED,
            "an app that fails in the middle leaves the response visibly incomplete",
            _get(b"/fail-late"),
            Expect((frozenset({200, 500}),), after_ok="closed", complete=False, alive=True)),
    ]
