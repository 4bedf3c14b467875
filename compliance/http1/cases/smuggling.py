"""Request smuggling: bytes that two parsers could cut in different places.

Each row hides a request in what must be content, or must be thrown away with the connection. The
app counts such requests, so a hidden one that runs is found even if its response is never sent.
"""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    ANY_ERROR,
    BAD,
    BAD_OR_UNKNOWN,
    HIDDEN,
    HOST_LINE,
    MUST,
    NOTE,
    OK,
    SHOULD,
    chunked,
    filled,
    head,
    hidden,
    post,
    refused,
    request,
    row,
)
from compliance.http1.model import Case, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_POST = b"POST /echo HTTP/1.1"
_CODING = b"Transfer-Encoding: chunked"

_OBFUSCATED = (
    ("smuggle-xchunked", b"Transfer-Encoding: xchunked"),
    ("smuggle-two-codings", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
    ("smuggle-two-codings-first", b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
    ("smuggle-vertical-tab", b"Transfer-Encoding:\x0bchunked"),
    ("smuggle-space-before-colon", b"Transfer-Encoding : chunked"),
    ("smuggle-tab-before-colon", b"Transfer-Encoding\t: chunked"),
    ("smuggle-folded-name", b" Transfer-Encoding: chunked"),
    ("smuggle-folded-value", b"Transfer-Encoding:\r\n chunked"),
    ("smuggle-bare-lf", b"X-Test: a\nTransfer-Encoding: chunked"),
    ("smuggle-bare-cr", b"X-Test: a\rTransfer-Encoding: chunked"),
    ("smuggle-nul", b"Transfer-Encoding: chunked\x00"),
    ("smuggle-nul-in-name", b"Transfer-Encoding\x00: chunked"),
    ("smuggle-identity", b"Transfer-Encoding: identity"),
    ("smuggle-chunked-identity", b"Transfer-Encoding: chunked, identity"),
    ("smuggle-quoted", b'Transfer-Encoding: "chunked"'),
    ("smuggle-empty", b"Transfer-Encoding:"),
    ("smuggle-underscore", b"Transfer_Encoding: chunked"),
    ("smuggle-high-byte", b"Transfer-Encoding: \xa0chunked"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    # Whoever honours the length reads the hidden request as content; whoever honours the coding
    # must close after its response. In neither way may the hidden request run.
    rows = [
        row(MUST, id, q.BOTH_LENGTHS, f"no hidden request runs behind {line!r}",
            head(_POST, HOST_LINE, b"Content-Length: 600", line)
            + b"0\r\n\r\n" + filled(id, 595),
            hidden(Expect((OK | BAD_OR_UNKNOWN,), silence_ok=True)))
        for id, line in _OBFUSCATED
    ]
    return rows + _lengths() + _content() + _chunk_tricks()


def _lengths() -> list[Case]:
    closed = hidden(Expect((OK | BAD,), after_ok="closed", after_error="closed"))
    return [
        row(MUST, "smuggle-cl-te", q.BOTH_LENGTHS,
            "length and coding: what follows the coded body is not run",
            head(_POST, HOST_LINE, b"Content-Length: 600", _CODING)
            + b"0\r\n\r\n" + HIDDEN, closed),
        row(MUST, "smuggle-te-cl", q.BOTH_LENGTHS,
            "coding and a short length: what follows that length is not run",
            head(_POST, HOST_LINE, b"Content-Length: 5", _CODING)
            + b"3\r\nabc\r\n0\r\n\r\n" + HIDDEN, closed),
        row(MUST, "smuggle-zero-length-te", q.BOTH_LENGTHS, "coding and a length of 0",
            head(_POST, HOST_LINE, b"Content-Length: 0", _CODING)
            + b"0\r\n\r\n" + HIDDEN, closed),
        row(MUST, "smuggle-te-1.0", q.CODING_IN_1_0, "a coding in HTTP/1.0 ends the connection",
            head(b"POST /echo HTTP/1.0", HOST_LINE, b"Connection: keep-alive", _CODING)
            + b"0\r\n\r\n" + HIDDEN,
            hidden(Expect((OK | BAD_OR_UNKNOWN,), after_ok="closed", after_error="closed"))),
        row(MUST, "smuggle-two-lengths", q.BAD_LENGTH, "two lengths: nothing behind either runs",
            head(_POST, HOST_LINE, b"Content-Length: 0", b"Content-Length: 600") + HIDDEN,
            hidden(refused(BAD))),
        row(MUST, "smuggle-length-list", q.BAD_LENGTH, "a list of lengths: likewise",
            head(_POST, HOST_LINE, b"Content-Length: 0, 600") + HIDDEN, hidden(refused(BAD))),
        row(MUST, "smuggle-bad-length", q.BAD_LENGTH, "a bad length: nothing behind it runs",
            head(_POST, HOST_LINE, b"Content-Length: +0") + HIDDEN, hidden(refused(BAD))),
        row(MUST, "smuggle-unknown-coding", q.NOT_FINAL_CHUNKED,
            "a body without known end: nothing behind the head runs",
            head(_POST, HOST_LINE, b"Transfer-Encoding: gzip") + HIDDEN,
            hidden(refused(BAD_OR_UNKNOWN))),
        row(MUST, "smuggle-length-space", q.SPACE_BEFORE_COLON,
            "'Content-Length :' is refused, not skipped",
            head(_POST, HOST_LINE, b"Content-Length : 600") + HIDDEN,
            hidden(refused(BAD, close=False))),
        row(MUST, "smuggle-after-bad-host", q.HOST, "after a refused Host nothing of it runs",
            head(_POST, b"Content-Length: 600") + HIDDEN, hidden(refused(BAD, close=False))),
    ]


def _content() -> list[Case]:
    read = hidden(Expect((OK,), after_ok="sane"))
    rows = [
        row(MUST, id, q.READ_OR_CLOSE, f"content is never run as a request: {what}",
            head(line, HOST_LINE, b"Content-Length: 600") + filled(id, 600), expect)
        for id, line, what, expect in (
            ("smuggle-in-content", b"POST /echo HTTP/1.1", "the app reads it",
             hidden(Expect((OK,)))),
            ("smuggle-in-get-content", b"GET /echo HTTP/1.1", "content of a GET",
             hidden(Expect((OK,)))),
            ("smuggle-in-head-content", b"HEAD /head HTTP/1.1", "content of a HEAD",
             hidden(Expect((OK,), head=(0,)))),
            ("smuggle-in-unread-content", b"POST /early HTTP/1.1", "the app does not read it",
             hidden(Expect((OK,)))),
            ("smuggle-in-refused-content", b"POST /refuse HTTP/1.1", "the app refuses it",
             hidden(Expect((frozenset({413}),)))),
            ("smuggle-in-failed-content", b"POST /fail HTTP/1.1", "the app fails",
             hidden(Expect((frozenset({500}),), silence_ok=True))),
        )
    ]
    return [
        *rows,
        row(MUST, "smuggle-in-chunked", q.PARSE_CHUNKED, "chunk data is never run as a request",
            chunked(b"200\r\n" + filled("smuggle-in-chunked", 0x200) + b"\r\n0\r\n\r\n"), read),
        row(MUST, "smuggle-in-unread-chunked", q.READ_OR_CLOSE,
            "chunk data that the app does not read is never run",
            chunked(b"200\r\n" + filled("smuggle-in-unread-chunked", 0x200) + b"\r\n0\r\n\r\n",
                    target=b"/early"), read),
        row(MUST, "smuggle-in-expected", q.READ_OR_CLOSE,
            "content sent without waiting for the 100 is never run",
            request(b"Expect: 100-continue", b"Content-Length: 600", method=b"POST",
                    target=b"/early") + filled("smuggle-in-expected", 600), hidden(Expect((OK,)))),
        row(MUST, "smuggle-in-upgrade-content", q.READ_OR_CLOSE,
            "content of a request with an unknown Upgrade is never run",
            request(b"Connection: Upgrade", b"Upgrade: unknown", b"Content-Length: 600",
                    method=b"POST") + filled("smuggle-in-upgrade-content", 600),
            hidden(Expect((OK | ANY_ERROR,)))),
        row(NOTE, "smuggle-in-connect", q.UNKNOWN_METHOD,
            "what follows a refused CONNECT is meant for a tunnel and does not run",
            head(b"CONNECT example.com:443 HTTP/1.1", b"Host: example.com:443") + HIDDEN,
            hidden(Expect((ANY_ERROR,)))),
        row(SHOULD, "smuggle-after-refusal", q.GRAMMAR, "after a refused head nothing runs",
            request(b"X(Test): a") + HIDDEN, hidden(refused(BAD))),
        row(MUST, "smuggle-after-close", q.CLOSE_NO_MORE, "after Connection: close nothing runs",
            request(b"Connection: close") + HIDDEN,
            hidden(Expect((OK | BAD,), after_ok="closed", after_error="closed"))),
        row(SHOULD, "smuggle-simple-request", q.REQUEST_LINE,
            "lines after a simple request are not run",
            b"GET /echo\r\n" + HIDDEN, hidden(refused(ANY_ERROR, silence_ok=True))),
        row(MUST, "smuggle-post-1.0", q.READ_OR_CLOSE, "content in HTTP/1.0 is never run",
            head(b"POST /echo HTTP/1.0", HOST_LINE, b"Content-Length: 600",
                 b"Connection: keep-alive") + filled("smuggle-post-1.0", 600),
            hidden(Expect((OK,)))),
        row(MUST, "smuggle-exact-content", q.READ_OR_CLOSE, "an exact length leaves nothing over",
            post(filled("smuggle-exact-content"), target=b"/early"), read),
    ]


def _chunk_tricks() -> list[Case]:
    never = hidden(Expect((frozenset({400, 500}),), silence_ok=True))
    rows = [
        row(SHOULD, id, q.GRAMMAR, f"nothing behind it runs: {what}",
            chunked(wire + HIDDEN), never)
        for id, wire, what in (
            ("smuggle-chunk-prefix", b"0x0\r\n\r\n", "a last chunk with 0x"),
            ("smuggle-chunk-negative", b"-0\r\n\r\n", "a negative last chunk"),
            ("smuggle-chunk-lf-extension", b"0;a\n\r\n", "LF after an extension"),
            ("smuggle-chunk-lf", b"0\n\n", "a last chunk with LF"),
            ("smuggle-chunk-empty-size", b"\r\n\r\n", "a chunk without a size"),
            ("smuggle-chunk-no-crlf", b"5\r\nhello0\r\n\r\n", "no CRLF after the data"),
            ("smuggle-chunk-lf-data", b"5\r\nhello\n0\r\n\r\n", "LF after the data"),
            ("smuggle-chunk-wrong-end", b"5\r\nhelloXX0\r\n\r\n", "other bytes for the CRLF"),
            ("smuggle-chunk-space", b" 0\r\n\r\n", "a space before the size"),
        )
    ]
    return [
        *rows,
        row(MUST, "smuggle-chunk-overflow", q.LARGE_CHUNK, "2^64 is not taken for 0",
            chunked(b"10000000000000000\r\n\r\n" + HIDDEN), never),
        row(MUST, "smuggle-trailer-length", q.TRAILER_MERGE,
            "a length in the trailers does not swallow or free what follows",
            chunked(b"0\r\nContent-Length: 600\r\n\r\n") + request(),
            Expect((OK | ANY_ERROR, OK), seen=({}, {"method": "GET"}))),
    ]
