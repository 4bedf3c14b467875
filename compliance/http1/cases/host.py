"""Host: exactly one, with a value that is an authority."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    BAD,
    MUST,
    NOTE,
    SHOULD,
    answered,
    either,
    head,
    refused,
    row,
)
from compliance.http1.model import Case

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_LINE = b"GET /echo HTTP/1.1"
_OLD_LINE = b"GET /echo HTTP/1.0"

_INVALID = (
    ("host-space", b"exa mple.com", "a space"),
    ("host-tab", b"exa\tmple.com", "a tab"),
    ("host-path", b"example.com/path", "a path"),
    ("host-query", b"example.com?x", "a query"),
    ("host-fragment", b"example.com#x", "a fragment"),
    ("host-userinfo", b"user@example.com", "userinfo"),
    ("host-userinfo-password", b"user:pass@example.com", "userinfo with a password"),
    ("host-port-name", b"example.com:http", "a port that is no number"),
    ("host-port-negative", b"example.com:-80", "a negative port"),
    ("host-two-ports", b"example.com:80:80", "two ports"),
    ("host-list", b"example.com, example.org", "a list"),
    ("host-url", b"http://example.com", "a URL"),
    ("host-angle", b"<example.com>", "angle brackets"),
    ("host-backslash", b"example.com\\x", "a backslash"),
    ("host-quote", b'"example.com"', "quotes"),
    ("host-ipv6-bare", b"::1", "IPv6 without brackets"),
    ("host-ipv6-open", b"[::1", "an open bracket"),
    ("host-ipv6-garbage", b"[zz]", "brackets around no address"),
    ("host-ipv6-suffix", b"[::1]x", "text after the bracket"),
    ("host-non-ascii", b"ex\xc3\xa4mple.com", "bytes above 0x7f"),
    ("host-bad-percent", b"example%zz.com", "a bad percent code"),
    ("host-control", b"example\x01.com", "a control byte"),
    ("host-delete", b"example\x7f.com", "DEL"),
    ("host-nul", b"example\x00.com", "NUL"),
    ("host-port-only-space", b"example.com: 80", "a space before the port"),
)

_VALID = (
    ("host-port", b"example.com:8080"),
    ("host-empty-port", b"example.com:"),
    ("host-ipv4", b"127.0.0.1:8080"),
    ("host-ipv6", b"[::1]:8080"),
    ("host-ipv6-plain", b"[2001:db8::1]"),
    ("host-trailing-dot", b"example.com."),
    ("host-upper-case", b"EXAMPLE.COM"),
    ("host-underscore", b"my_service.internal"),
)

_UNUSUAL = (
    ("host-empty", b"", "an empty value, which only a target without authority calls for"),
    ("host-percent", b"%65xample.com", "a percent code, which the grammar allows"),
    ("host-big-port", b"example.com:99999", "a port above 65535, which the grammar allows"),
    ("host-sub-delimiters", b"a,b;c=d", "sub-delimiters, which the grammar allows"),
    ("host-ipvfuture", b"[v1.a:b]", "an address form of the future"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(MUST, id, q.HOST, f"Host with {what} is refused",
            head(_LINE, b"Host: " + value), refused(BAD, close=False))
        for id, value, what in _INVALID
    ]
    rows += [
        row(MUST, id, q.INTERPRET, "a valid Host is accepted and passed on",
            head(_LINE, b"Host: " + value), answered({"header:host": [value.decode()]}))
        for id, value in _VALID
    ]
    rows += [
        row(NOTE, id, q.HOST, f"served or refused: {what}",
            head(_LINE, b"Host: " + value), either({"header:host": [value.decode()]}))
        for id, value, what in _UNUSUAL
    ]
    return rows + _count()


def _count() -> list[Case]:
    host = b"Host: example.com"
    other = b"Host: example.org"
    refusal = refused(BAD, close=False)
    return [
        row(MUST, "host-missing", q.HOST, "HTTP/1.1 without Host is refused",
            head(_LINE), refusal),
        row(MUST, "host-missing-other-fields", q.HOST, "other fields do not stand in for Host",
            head(_LINE, b"X-Forwarded-Host: example.com"), refusal),
        row(MUST, "host-two", q.HOST, "two different Host lines are refused",
            head(_LINE, host, other), refusal),
        row(MUST, "host-two-equal", q.HOST, "two equal Host lines are refused",
            head(_LINE, host, host), refusal),
        row(MUST, "host-two-apart", q.HOST, "two Host lines in different case are refused",
            head(_LINE, host, b"X-Test: 1", b"hOsT: example.org"), refusal),
        row(MUST, "host-two-1.0", q.HOST, "two Host lines are refused in HTTP/1.0 as well",
            head(_OLD_LINE, host, other), refusal),
        row(MUST, "host-two-absolute", q.HOST, "two Host lines are refused with an absolute form",
            head(b"GET http://example.com/echo HTTP/1.1", host, other), refusal),
        row(MUST, "host-invalid-1.0", q.HOST, "an invalid Host is refused in HTTP/1.0 as well",
            head(_OLD_LINE, b"Host: exa mple.com"), refusal),
        row(MUST, "host-invalid-absolute", q.HOST,
            "an invalid Host is refused with an absolute form as well",
            head(b"GET http://example.com/echo HTTP/1.1", b"Host: exa mple.com"), refusal),
        row(MUST, "host-missing-1.0", q.INTERPRET, "HTTP/1.0 needs no Host",
            head(_OLD_LINE), answered(path="/echo")),
        row(MUST, "host-name-case", q.INTERPRET, "the name Host compares without case",
            head(_LINE, b"HOST: example.com"), answered({"header:host": ["example.com"]})),
        row(MUST, "host-last", q.INTERPRET, "Host may stand after other fields",
            head(_LINE, b"X-Test: 1", host), answered({"header:host": ["example.com"]})),
        row(MUST, "host-whitespace-around", q.OWS, "whitespace around the value is no part of it",
            head(_LINE, b"Host: \t example.com \t"), answered({"header:host": ["example.com"]})),
        row(SHOULD, "host-missing-1.2", q.HIGHER_MINOR, "HTTP/1.2, taken as 1.1, needs Host too",
            head(b"GET /echo HTTP/1.2"), refused(frozenset({400, 505}), close=False)),
    ]
