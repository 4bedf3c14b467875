"""Chunked syntax: sizes, extensions, line ends, terminators, trailers."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    ANY_4XX,
    ANY_ERROR,
    MUST,
    NOTE,
    OK,
    SHOULD,
    answered,
    broken_body,
    chunked,
    either,
    row,
)
from compliance.http1.model import Case, Expect

# Rows keep to two or three lines each, which the formatter would not leave so.
# fmt: off

_END = b"0\r\n\r\n"

_GOOD_BODIES = (
    ("chunk-two", b"3\r\nhel\r\n2\r\nlo\r\n" + _END, "hello", "chunks join"),
    ("chunk-size-zeros", b"0005\r\nhello\r\n" + _END, "hello", "leading zeros in a size"),
    ("chunk-size-lower", b"a\r\n0123456789\r\n" + _END, "0123456789", "a size in lower case"),
    ("chunk-size-upper", b"A\r\n0123456789\r\n" + _END, "0123456789", "a size in upper case"),
    ("chunk-last-zeros", b"5\r\nhello\r\n000\r\n\r\n", "hello", "a last chunk of several zeros"),
    ("chunk-none", _END, "", "only the last chunk"),
    ("chunk-crlf-in-data", b"4\r\n\r\n\r\n\r\n" + _END, "\r\n\r\n", "CRLF inside chunk data"),
    ("chunk-looks-like-end", b"5\r\n0\r\n\r\n\r\n" + _END, "0\r\n\r\n", "data like a last chunk"),
)

_EXTENSIONS = (
    ("chunk-extension-name", b"5;a\r\nhello\r\n" + _END, "a name alone"),
    ("chunk-extension-value", b"5;a=b\r\nhello\r\n" + _END, "a name and a token"),
    ("chunk-extension-quoted", b'5;a="b c"\r\nhello\r\n' + _END, "a quoted value"),
    ("chunk-extension-escaped", b'5;a="b\\"c"\r\nhello\r\n' + _END, "an escaped quote"),
    ("chunk-extension-semicolon", b'5;a="b;c"\r\nhello\r\n' + _END, "a quoted semicolon"),
    ("chunk-extension-several", b"5;a;b=c;d\r\nhello\r\n" + _END, "several"),
    ("chunk-extension-last", b"5\r\nhello\r\n0;a=b\r\n\r\n", "one on the last chunk"),
)

_BAD_SIZES = (
    ("chunk-size-prefix", b"0x5", "a 0x prefix"),
    ("chunk-size-negative", b"-5", "a minus sign"),
    ("chunk-size-plus", b"+5", "a plus sign"),
    ("chunk-size-underscore", b"0_5", "an underscore"),
    ("chunk-size-empty", b"", "no size"),
    ("chunk-size-only-extension", b";a=b", "an extension without a size"),
    ("chunk-size-letter", b"g", "a letter beyond f"),
    ("chunk-size-leading-space", b" 5", "a space before the size"),
    ("chunk-size-leading-tab", b"\t5", "a tab before the size"),
    ("chunk-size-space-inside", b"0 5", "a space inside the size"),
    ("chunk-size-trailing-garbage", b"5 x", "text after the size"),
    ("chunk-size-fraction", b"5.0", "a fraction"),
    ("chunk-size-vertical-tab", b"\x0b5", "a vertical tab before the size"),
    ("chunk-size-nul", b"5\x00", "a NUL after the size"),
    ("chunk-size-other-digits", "\u0665".encode(), "digits outside ASCII"),
    ("chunk-size-comma", b"5,5", "a comma"),
    ("chunk-size-crlf-first", b"\r\n5", "an empty line before the size"),
)

_BAD_WIRES = (
    ("chunk-no-crlf-after-data", b"5\r\nhello" + _END, "no CRLF after the data"),
    ("chunk-wrong-byte-after-data", b"5\r\nhelloXX" + _END, "other bytes for the CRLF"),
    ("chunk-lf-after-data", b"5\r\nhello\n" + _END, "LF after the data"),
    ("chunk-cr-after-data", b"5\r\nhello\r" + _END, "CR after the data"),
    ("chunk-data-too-long", b"5\r\nhello!\r\n" + _END, "more data than the size says"),
    ("chunk-data-too-short", b"6\r\nhello\r\n" + _END, "less data than the size says"),
    ("chunk-lf-after-size", b"5\nhello\r\n" + _END, "LF after the size"),
    ("chunk-cr-after-size", b"5\rhello\r\n" + _END, "CR after the size"),
    ("chunk-extension-lf", b"5;a\nhello\r\n" + _END, "LF after an extension"),
    ("chunk-extension-lf-inside", b"5;a\nb\r\nhello\r\n" + _END, "LF inside an extension"),
    ("chunk-extension-nul", b"5;a=\x00\r\nhello\r\n" + _END, "NUL in an extension"),
    ("chunk-last-lf", b"5\r\nhello\r\n0\n\n", "LF after the last chunk"),
    ("chunk-last-no-size", b"5\r\nhello\r\n\r\n", "an empty line for the last chunk"),
    ("chunk-last-garbage", b"5\r\nhello\r\n0\r\nX\r\n\r\n", "a trailer line without a colon"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(MUST, id, q.PARSE_CHUNKED, f"decoded: {what}", chunked(wire),
            answered(body=body, body_length=len(body)))
        for id, wire, body, what in _GOOD_BODIES
    ]
    rows += [
        row(MUST, id, q.CHUNK_EXTENSIONS, f"ignored as an extension: {what}", chunked(wire),
            answered(body="hello"))
        for id, wire, what in _EXTENSIONS
    ]
    rows += [
        row(SHOULD, id, q.GRAMMAR, f"refused: {what}",
            chunked(size + b"\r\nhello\r\n" + _END), broken_body())
        for id, size, what in _BAD_SIZES
    ]
    rows += [
        row(SHOULD, id, q.GRAMMAR, f"refused: {what}", chunked(wire), broken_body())
        for id, wire, what in _BAD_WIRES
    ]
    return rows + _large() + _whitespace() + _trailers()


def _large() -> list[Case]:
    rows = [
        row(MUST, id, q.LARGE_CHUNK, f"{what} is not taken for 5: refused, or more is awaited",
            chunked(size + b"\r\nhello\r\n" + _END),
            Expect((ANY_ERROR,), silence_ok=True, alive=True))
        for id, size, what in (
            ("chunk-size-overflow-32", b"100000005", "2^32 + 5"),
            ("chunk-size-overflow-64", b"10000000000000005", "2^64 + 5"),
            ("chunk-size-overflow-128", b"1" + b"0" * 31 + b"5", "2^128 + 5"),
            ("chunk-size-max-64", b"ffffffffffffffff", "2^64 - 1"),
            ("chunk-size-sign-bit", b"80000000", "2^31"),
            ("chunk-size-thousands-of-digits", b"f" * 5_000, "a size of 5,000 digits"),
        )
    ]
    return [
        *rows,
        row(NOTE, "chunk-size-many-zeros", q.LARGE_CHUNK, "40 leading zeros: decoded or refused",
            chunked(b"0" * 40 + b"5\r\nhello\r\n" + _END), either(body="hello", silence_ok=True)),
        row(SHOULD, "chunk-extension-long", q.CHUNK_EXTENSION_SIZE,
            "an extension of 100,000 bytes is refused",
            chunked(b"5;" + b"a" * 100_000 + b"\r\nhello\r\n" + _END),
            Expect((ANY_4XX,), silence_ok=True)),
        row(SHOULD, "chunk-extensions-in-all", q.CHUNK_EXTENSION_SIZE,
            "100 extensions of 2,000 bytes on chunks of one byte are refused",
            chunked((b"1;" + b"a" * 2_000 + b"\r\nx\r\n") * 100 + _END),
            Expect((ANY_4XX,), silence_ok=True)),
        row(MUST, "chunk-many-small", q.PARSE_CHUNKED, "5,000 chunks of one byte are decoded",
            chunked(b"1\r\nx\r\n" * 5_000 + _END), answered(body_length=5_000)),
        row(MUST, "chunk-one-large", q.PARSE_CHUNKED, "a chunk of 1 MiB is decoded",
            chunked(b"100000\r\n" + b"x" * 1_048_576 + b"\r\n" + _END),
            answered(body_length=1_048_576)),
    ]


def _whitespace() -> list[Case]:
    served = either(body="hello", silence_ok=True)
    return [
        row(NOTE, id, q.BAD_WHITESPACE, f"decoded or refused: {what}", chunked(wire + _END), served)
        for id, wire, what in (
            ("chunk-size-trailing-space", b"5 \r\nhello\r\n", "a space after the size"),
            ("chunk-size-trailing-tab", b"5\t\r\nhello\r\n", "a tab after the size"),
            ("chunk-extension-space-before", b"5 ;a\r\nhello\r\n", "a space before ;"),
            ("chunk-extension-space-after", b"5; a\r\nhello\r\n", "a space after ;"),
            ("chunk-extension-space-equals", b"5;a = b\r\nhello\r\n", "spaces around ="),
            ("chunk-extension-empty", b"5;\r\nhello\r\n", "an extension without a name"),
            ("chunk-extension-bare-cr", b"5;a\rb\r\nhello\r\n", "a bare CR in an extension"),
            ("chunk-extension-open-quote", b'5;a="b\r\nhello\r\n', "a quote that stays open"),
        )
    ]


def _trailers() -> list[Case]:
    def trailed(*lines: bytes) -> bytes:
        trailers = b"".join(line + b"\r\n" for line in lines)
        return chunked(b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n")

    def unmerged(name: str, values: list[str]) -> Expect:
        return either({f"header:{name}": values}, codes=ANY_ERROR, body="hello", silence_ok=True)

    rows = [
        row(MUST, f"trailer-{name}", q.TRAILER_MERGE,
            f"{name} in the trailers changes nothing, or is refused",
            trailed(name.encode() + b": " + value), unmerged(name, values))
        for name, value, values in (
            ("content-length", b"100", list[str]()),
            ("transfer-encoding", b"gzip", ["chunked"]),
            ("host", b"evil.example", ["example.com"]),
            ("authorization", b"Basic eA==", list[str]()),
            ("x-forwarded-for", b"10.0.0.1", list[str]()),
        )
    ]
    return [
        *rows,
        row(MUST, "trailer-plain", q.PARSE_CHUNKED, "a trailer field may follow the last chunk",
            trailed(b"X-Test: a"), answered(body="hello")),
        row(MUST, "trailer-several", q.PARSE_CHUNKED, "several trailer fields",
            trailed(b"X-A: 1", b"X-B: 2", b"X-A: 3"), answered(body="hello")),
        row(MUST, "trailer-not-merged", q.TRAILER_MERGE, "a trailer field is no header field",
            trailed(b"X-Test: a"), answered({"header:x-test": []})),
        row(SHOULD, "trailer-space-before-colon", q.GRAMMAR, "a trailer name with a space",
            trailed(b"X-Test : a"), broken_body()),
        row(SHOULD, "trailer-bad-name", q.GRAMMAR, "a trailer name that is no token",
            trailed(b"X(Test): a"), broken_body()),
        row(MUST, "trailer-nul", q.CR_LF_NUL, "NUL in a trailer: refused, or never shown",
            trailed(b"X-Test: a\x00b"), unmerged("x-test", [])),
        row(NOTE, "trailer-large", q.FIELDS_TOO_LARGE, "100,000 bytes of trailers are refused",
            trailed(b"X-Test: " + b"a" * 100_000), Expect((ANY_4XX,), silence_ok=True, alive=True)),
        row(NOTE, "trailer-many", q.FIELDS_TOO_LARGE, "5,000 trailer fields are refused",
            trailed(*(b"X-%d: a" % n for n in range(5_000))),
            Expect((ANY_4XX,), silence_ok=True, alive=True)),
        row(MUST, "chunk-then-request", q.PARSE_CHUNKED, "the next request begins after the body",
            chunked(b"5\r\nhello\r\n" + _END) + chunked(b"3\r\nbye\r\n" + _END),
            Expect((OK, OK), after_ok="sane", seen=({"body": "hello"}, {"body": "bye"}))),
        row(MUST, "trailer-then-request", q.PARSE_CHUNKED, "the next request begins after trailers",
            trailed(b"X-Test: a") + chunked(_END),
            Expect((OK, OK), after_ok="sane", seen=({"body": "hello"}, {"body_length": 0}))),
    ]
