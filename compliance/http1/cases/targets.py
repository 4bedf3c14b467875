"""Request targets: the four forms, percent-encoding, and bytes that do not belong there."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    ANY_4XX,
    BAD,
    HOST_LINE,
    MUST,
    NOTE,
    SHOULD,
    answered,
    either,
    head,
    refused,
    request,
    row,
)
from compliance.http1.model import Case, Expect, OneOf

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_BAD_TARGETS = (
    ("target-no-slash", b"echo", "origin form without its slash"),
    ("target-fragment", b"/echo#fragment", "a fragment"),
    ("target-utf8", "/\u00e9cho".encode(), "raw UTF-8"),
    ("target-high-byte", b"/ech\xff", "the byte 0xff"),
    ("target-query-only", b"?a=1", "a query without a path"),
    ("target-asterisk-get", b"*", "the asterisk form with GET"),
    ("target-asterisk-more", b"*/echo", "more than an asterisk"),
    ("target-authority-get", b"example.com:80", "the authority form with GET"),
    ("target-backslash-first", b"\\echo", "a backslash for the slash"),
)

_UNSAFE_TARGETS = (
    ("target-bad-percent", b"/echo%zz", "a percent sign without two digits"),
    ("target-cut-percent", b"/echo%4", "a cut percent code"),
    ("target-quote", b'/echo"', "a double quote"),
    ("target-angle", b"/echo<>", "angle brackets"),
    ("target-braces", b"/echo{}|^`", "braces, bar, caret and backquote"),
    ("target-backslash", b"/echo\\x", "a backslash"),
    ("target-encoded-nul", b"/echo%00", "an encoded NUL"),
    ("target-encoded-crlf", b"/echo%0d%0aX:1", "an encoded CRLF"),
    ("target-encoded-bad-utf8", b"/echo%ff%fe", "percent codes that are no UTF-8"),
    ("target-overlong-utf8", b"/echo%c0%af", "an overlong form of the slash"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(SHOULD, id, q.REQUEST_LINE, f"refused: {what}",
            head(b"GET " + target + b" HTTP/1.1", HOST_LINE), refused(BAD))
        for id, target, what in _BAD_TARGETS
    ]
    rows += [
        row(NOTE, id, q.REQUEST_LINE, f"served or refused, and nothing worse: {what}",
            request(target=target), Expect((frozenset({200, 400, 404}),), alive=True))
        for id, target, what in _UNSAFE_TARGETS
    ]
    return rows + _origin_form() + _absolute_form() + _other_forms()


def _origin_form() -> list[Case]:
    return [
        row(MUST, "target-root", q.INTERPRET, "the path may be a lone slash",
            request(target=b"/"), answered(path="/")),
        row(MUST, "target-query", q.INTERPRET, "the query reaches the app as it was sent",
            request(target=b"/echo?a=1&b=%20%41+c;d"),
            answered(path="/echo", query="a=1&b=%20%41+c;d")),
        row(MUST, "target-empty-query", q.INTERPRET, "an empty query is no part of the path",
            request(target=b"/echo?"), answered(path="/echo", query="")),
        row(MUST, "target-query-question-mark", q.INTERPRET, "a query may hold ? and /",
            request(target=b"/echo?a=/b?c"), answered(path="/echo", query="a=/b?c")),
        row(MUST, "target-percent-encoded", q.INTERPRET, "percent codes stand for their bytes",
            request(target=b"/%65cho/caf%C3%A9"), answered(path="/echo/caf\u00e9")),
        row(MUST, "target-percent-percent", q.INTERPRET, "%2525 is decoded once",
            request(target=b"/echo%2525"), answered(path="/echo%25")),
        row(NOTE, "target-raw-path", q.INTERPRET, "raw_path, where given, is the path as sent",
            request(target=b"/%65cho%2Fx?y"), answered(raw_path=OneOf(("/%65cho%2Fx", "")))),
        row(NOTE, "target-dot-segments", q.INTERPRET, "dot segments are left to the app",
            request(target=b"/a/../echo/./b"), either(path="/a/../echo/./b")),
        row(MUST, "target-two-slashes", q.INTERPRET, "//x is a path, not an authority",
            request(target=b"//example.org/echo"), answered(path="//example.org/echo")),
        row(MUST, "target-sub-delimiters", q.INTERPRET, "a path may hold sub-delimiters, : and @",
            request(target=b"/echo/!$&'()*+,;=:@-._~"), answered(path="/echo/!$&'()*+,;=:@-._~")),
        row(MUST, "target-url-in-path", q.INTERPRET, "a URL inside the path is part of the path",
            request(target=b"/echo/http://example.org/"),
            answered(path="/echo/http://example.org/")),
    ]


def _absolute_form() -> list[Case]:
    return [
        row(MUST, "target-absolute", q.ABSOLUTE_FORM, "the absolute form is served by its path",
            request(target=b"http://example.com/echo?a=1"), answered(path="/echo", query="a=1")),
        row(MUST, "target-absolute-upper-case", q.ABSOLUTE_FORM,
            "scheme and host of the absolute form compare without case",
            request(target=b"HTTP://EXAMPLE.com/echo"), answered(path="/echo")),
        row(MUST, "target-absolute-no-path", q.ABSOLUTE_FORM,
            "an absolute form without a path means /",
            request(target=b"http://example.com"), answered(path=OneOf(("/", "")))),
        row(MUST, "target-absolute-query-only", q.ABSOLUTE_FORM,
            "an absolute form with a query and no path",
            request(target=b"http://example.com?a=1"),
            answered(path=OneOf(("/", "")), query="a=1")),
        row(MUST, "target-absolute-host", q.ABSOLUTE_HOST,
            "the authority of an absolute form replaces Host",
            request(target=b"http://other.example:81/echo"),
            answered({"header:host": ["other.example:81"]}, path="/echo")),
        row(MUST, "target-absolute-host-missing", q.HOST,
            "an absolute form does not excuse a missing Host",
            head(b"GET http://example.com/echo HTTP/1.1"), refused(close=False)),
        row(MUST, "target-absolute-empty-host", q.EMPTY_HOST_URI,
            "an http URI with an empty host is refused",
            request(target=b"http:///echo"), refused(ANY_4XX, close=False)),
        row(SHOULD, "target-absolute-userinfo", q.USERINFO, "userinfo in the target is an error",
            request(target=b"http://user:pass@example.com/echo"), refused(ANY_4XX, close=False)),
        row(SHOULD, "target-absolute-bad-port", q.REQUEST_LINE, "a port that is no number",
            request(target=b"http://example.com:port/echo"), refused(ANY_4XX, close=False)),
        row(NOTE, "target-absolute-other-scheme", q.ABSOLUTE_FORM,
            "another scheme is refused, or served by its path",
            request(target=b"ftp://example.com/echo"),
            either(codes=ANY_4XX | {501}, path="/echo")),
        row(MUST, "target-absolute-1.0", q.ABSOLUTE_FORM, "the absolute form in HTTP/1.0",
            head(b"GET http://example.com/echo HTTP/1.0"), answered(path="/echo")),
    ]


def _other_forms() -> list[Case]:
    return [
        row(NOTE, "target-asterisk", q.ASTERISK, "OPTIONS * is answered for the server as a whole",
            request(method=b"OPTIONS", target=b"*"),
            Expect((frozenset({200, 204, 404, 405, 501}),), after_ok="sane")),
        row(MUST, "target-options-path", q.INTERPRET, "OPTIONS with a path goes to the app",
            request(method=b"OPTIONS"), answered(method="OPTIONS", path="/echo")),
    ]
