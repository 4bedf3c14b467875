"""Request line: grammar, versions, methods."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    ANY_ERROR,
    BAD,
    BAD_OR_UNKNOWN,
    BAD_VERSION,
    CRLF,
    HOST_LINE,
    MUST,
    NOTE,
    OK,
    SHOULD,
    answered,
    either,
    head,
    post,
    refused,
    request,
    row,
)
from compliance.http1.model import Case, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_SERVED_OR_UNKNOWN = Expect((frozenset({200, 405, 501}),), after_ok="sane")

_BAD_LINES = (
    ("line-no-version", b"GET /echo", "the version is missing and fields follow"),
    ("line-no-target", b"GET HTTP/1.1", "the target is missing"),
    ("line-empty-target", b"GET  HTTP/1.1", "the target is empty"),
    ("line-only-method", b"GET", "only a method"),
    ("line-four-words", b"GET /echo extra HTTP/1.1", "a space inside the target"),
    ("line-trailing-word", b"GET /echo HTTP/1.1 extra", "a word after the version"),
    ("line-garbage", b"\x80\x81\x82 \xff\xfe", "bytes that are no request line"),
    ("line-nul", b"GET /ec\x00ho HTTP/1.1", "NUL in the target"),
    ("line-control-in-target", b"GET /ec\x01ho HTTP/1.1", "a control byte in the target"),
    ("line-delete-in-target", b"GET /ec\x7fho HTTP/1.1", "DEL in the target"),
    ("line-tab-in-target", b"GET /ec\tho HTTP/1.1", "a tab in the target"),
    ("line-colon-first", b": GET /echo HTTP/1.1", "a colon before the method"),
)

_LENIENT_LINES = (
    ("line-two-spaces", b"GET  /echo HTTP/1.1", "two spaces before the target"),
    ("line-two-spaces-version", b"GET /echo  HTTP/1.1", "two spaces before the version"),
    ("line-tab-separator", b"GET\t/echo\tHTTP/1.1", "tabs for spaces"),
    ("line-trailing-space", b"GET /echo HTTP/1.1 ", "a space after the version"),
    ("line-leading-space", b" GET /echo HTTP/1.1", "a space before the method"),
    ("line-vertical-tab", b"GET\x0b/echo HTTP/1.1", "a vertical tab for a space"),
)

_BAD_VERSIONS = (
    ("version-lower-case", b"http/1.1", "the name in lower case"),
    ("version-other-name", b"HTTPS/1.1", "another protocol's name"),
    ("version-no-minor", b"HTTP/1", "no minor version"),
    ("version-empty-minor", b"HTTP/1.", "an empty minor version"),
    ("version-empty-major", b"HTTP/.1", "an empty major version"),
    ("version-no-dot", b"HTTP/11", "no dot"),
    ("version-two-digit-minor", b"HTTP/1.10", "a minor version of two digits"),
    ("version-leading-zero", b"HTTP/01.1", "a leading zero"),
    ("version-plus", b"HTTP/+1.1", "a sign"),
    ("version-letter", b"HTTP/1.x", "a letter for the minor version"),
    ("version-suffix", b"HTTP/1.1a", "a letter after the version"),
    ("version-space-inside", b"HTTP /1.1", "a space before the slash"),
    ("version-comma", b"HTTP/1,1", "a comma for the dot"),
    ("version-garbage", b"abc", "no version at all in its place"),
)

_BAD_METHODS = (
    ("method-parenthesis", b"GE(T"),
    ("method-colon", b"GET:"),
    ("method-at", b"GET@"),
    ("method-quoted", b'"GET"'),
    ("method-slash", b"GET/"),
    ("method-nul", b"GE\x00T"),
    ("method-control", b"GE\x1bT"),
    ("method-non-ascii", b"G\xc3\x89T"),
    ("method-brace", b"{GET}"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(SHOULD, id, q.REQUEST_LINE, f"refused: {what}", head(line, HOST_LINE), refused())
        for id, line, what in _BAD_LINES
    ]
    rows += [
        row(NOTE, id, q.LENIENT_LINE, f"served or, better, refused: {what}",
            head(line, HOST_LINE), either(path="/echo", method="GET"))
        for id, line, what in _LENIENT_LINES
    ]
    return rows + _versions() + _methods() + _empty_lines() + _lengths()


def _versions() -> list[Case]:
    rows = [
        row(SHOULD, id, q.REQUEST_LINE,
            f"refused: a version with {what}", head(b"GET /echo " + version, HOST_LINE),
            refused(BAD_VERSION))
        for id, version, what in _BAD_VERSIONS
    ]
    return [
        *rows,
        row(MUST, "version-1.1", q.INTERPRET, "HTTP/1.1 is served",
            request(), answered(method="GET", path="/echo", http_version="1.1")),
        row(MUST, "version-1.0", q.INTERPRET, "HTTP/1.0 is served",
            head(b"GET /echo HTTP/1.0", HOST_LINE), answered(path="/echo")),
        row(NOTE, "version-1.0-for-the-app", q.INTERPRET, "the app is told 1.0, as ASGI has it",
            head(b"GET /echo HTTP/1.0", HOST_LINE), answered(http_version="1.0")),
        row(SHOULD, "version-1.2", q.HIGHER_MINOR, "HTTP/1.2 is served as HTTP/1.1",
            head(b"GET /echo HTTP/1.2", HOST_LINE), answered(path="/echo")),
        row(SHOULD, "version-1.9", q.HIGHER_MINOR, "HTTP/1.9 is served as HTTP/1.1",
            head(b"GET /echo HTTP/1.9", HOST_LINE), answered(path="/echo")),
        row(SHOULD, "version-of-response-to-1.0", q.RESPONSE_VERSION,
            "the response to HTTP/1.0 names the server's own version, 1.1",
            head(b"GET /echo HTTP/1.0", HOST_LINE),
            Expect((OK,), status_line=r"HTTP/1\.1 200 .*")),
        row(NOTE, "version-2.0", q.UNSUPPORTED_VERSION, "HTTP/2.0 in HTTP/1 syntax is refused",
            head(b"GET /echo HTTP/2.0", HOST_LINE), refused(BAD_VERSION)),
        row(NOTE, "version-3.0", q.UNSUPPORTED_VERSION, "HTTP/3.0 in HTTP/1 syntax is refused",
            head(b"GET /echo HTTP/3.0", HOST_LINE), refused(BAD_VERSION)),
        row(NOTE, "version-0.9-named", q.UNSUPPORTED_VERSION, "HTTP/0.9 by name is refused",
            head(b"GET /echo HTTP/0.9", HOST_LINE), refused(BAD_VERSION)),
        row(SHOULD, "version-0.9-simple", q.REQUEST_LINE,
            "a simple request of HTTP/0.9 is refused, or simply not answered",
            b"GET /echo\r\n", refused(BAD_VERSION, silence_ok=True)),
    ]


def _methods() -> list[Case]:
    rows = [
        row(SHOULD, id, q.REQUEST_LINE, f"refused: the method {method!r} is no token",
            head(method + b" /echo HTTP/1.1", HOST_LINE), refused(BAD_OR_UNKNOWN))
        for id, method in _BAD_METHODS
    ]
    rows += [
        row(MUST, f"method-{name.lower()}", q.INTERPRET, f"{name} is served",
            request(b"Content-Length: 0", method=name.encode()), answered(method=name))
        for name in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")
    ]
    return [
        *rows,
        row(SHOULD, "method-unknown", q.UNKNOWN_METHOD,
            "an unknown method goes to the app, or is answered 501 (405)",
            request(method=b"BREW"), _SERVED_OR_UNKNOWN),
        row(SHOULD, "method-all-token-characters", q.UNKNOWN_METHOD,
            "every token character may stand in a method",
            request(method=b"M!#$%&'*+-.^_`|~0aZ"), _SERVED_OR_UNKNOWN),
        row(SHOULD, "method-long", q.LONG_METHOD, "a method of 200 bytes: served or 501",
            request(method=b"M" * 200), _SERVED_OR_UNKNOWN),
        row(SHOULD, "method-very-long", q.LONG_METHOD, "a method of 20,000 bytes: served or 501",
            request(method=b"M" * 20_000),
            Expect((frozenset({200, 400, 405, 414, 431, 501}),))),
        row(NOTE, "method-lower-case", q.METHOD_CASE,
            "'get' is another method than GET; an application sees it in ASGI's upper case",
            request(method=b"get"),
            Expect((frozenset({400, 405, 501, 200}),), seen=({"method": "GET"},))),
        row(MUST, "method-get-with-content", q.INTERPRET, "content of a GET is delimited and read",
            request(b"Content-Length: 5", method=b"GET") + b"hello", answered(body="hello")),
        row(MUST, "method-delete-with-content", q.INTERPRET,
            "content of a DELETE is delimited and read",
            request(b"Content-Length: 5", method=b"DELETE") + b"hello", answered(body="hello")),
        row(SHOULD, "method-connect", q.UNKNOWN_METHOD,
            "an origin server that makes no tunnels refuses CONNECT",
            head(b"CONNECT example.com:443 HTTP/1.1", b"Host: example.com:443"),
            refused(ANY_ERROR, close=False)),
        row(MUST, "method-connect-empty-port", q.CONNECT_PORT, "an empty port is refused",
            head(b"CONNECT example.com: HTTP/1.1", b"Host: example.com"),
            refused(ANY_ERROR, close=False)),
        row(MUST, "method-connect-bad-port", q.CONNECT_PORT, "a bad port is refused",
            head(b"CONNECT example.com:http HTTP/1.1", b"Host: example.com"),
            refused(ANY_ERROR, close=False)),
        row(SHOULD, "method-connect-path", q.REQUEST_LINE, "CONNECT takes only the authority form",
            request(method=b"CONNECT"), refused(ANY_ERROR, close=False)),
        row(SHOULD, "method-trace", q.TRACE, "TRACE goes to the app, or is answered 405 or 501",
            request(method=b"TRACE"), _SERVED_OR_UNKNOWN),
        row(NOTE, "method-trace-with-content", q.TRACE_CONTENT,
            "TRACE with content is refused, or the content read",
            request(b"Content-Length: 5", method=b"TRACE") + b"hello",
            Expect((frozenset({200, 400, 405, 413, 501}),), after_ok="sane")),
    ]


def _empty_lines() -> list[Case]:
    return [
        row(SHOULD, "line-leading-crlf", q.LEADING_CRLF,
            "one empty line before the request line is ignored",
            CRLF + request(), answered(path="/echo")),
        row(NOTE, "line-leading-crlfs", q.LEADING_CRLF,
            "several empty lines before the request line: ignored or refused",
            CRLF * 3 + request(), either(path="/echo")),
        row(SHOULD, "line-crlf-after-content", q.LEADING_CRLF,
            "one empty line between the content and the next request is ignored",
            post(b"hello") + CRLF + request(),
            Expect((OK, OK), seen=({"body": "hello"}, {"method": "GET"}))),
        row(NOTE, "line-leading-lf", q.BARE_LF, "a bare LF before the request line",
            b"\n" + request(), either(path="/echo")),
        row(SHOULD, "line-leading-space-line", q.GRAMMAR, "a line of spaces first is refused",
            b"  \r\n" + request(), refused()),
        row(SHOULD, "line-leading-nul", q.GRAMMAR, "a NUL before the request line is refused",
            b"\x00" + request(), refused(BAD_OR_UNKNOWN)),
    ]


def _lengths() -> list[Case]:
    return [
        row(SHOULD, "line-8000-octets", q.LINE_LENGTH, "a request line of 8,000 octets is served",
            request(target=b"/" + b"a" * (8_000 - len("GET / HTTP/1.1"))), answered(method="GET")),
        row(MUST, "target-20000-octets", q.LONG_TARGET,
            "a target of 20,000 octets is served, or answered 414",
            request(target=b"/" + b"a" * 20_000), Expect((frozenset({200, 414}),))),
        row(MUST, "target-100000-octets", q.LONG_TARGET,
            "a target of 100,000 octets is served, or answered 414",
            request(target=b"/" + b"a" * 100_000), Expect((frozenset({200, 414}),))),
        row(MUST, "query-20000-octets", q.LONG_TARGET,
            "a query of 20,000 octets is served, or answered 414",
            request(target=b"/echo?" + b"a" * 20_000), Expect((frozenset({200, 414}),))),
        row(SHOULD, "line-bare-lf-in-target", q.REQUEST_LINE, "LF inside the target is refused",
            head(b"GET /ec\nho HTTP/1.1", HOST_LINE), refused(BAD)),
    ]
