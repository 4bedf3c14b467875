"""Message framing: Content-Length, Transfer-Encoding, and both at once."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    BAD,
    BAD_OR_UNKNOWN,
    HOST_LINE,
    MUST,
    NOTE,
    OK,
    SHOULD,
    answered,
    chunked,
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

_POST = b"POST /echo HTTP/1.1"
_ENDED = b"5\r\nhello\r\n0\r\n\r\n"

_BAD_LENGTHS = (
    ("length-negative", b"-5", "negative"),
    ("length-plus", b"+5", "with a plus sign"),
    ("length-underscore", b"0_5", "with an underscore"),
    ("length-hexadecimal", b"0x5", "hexadecimal"),
    ("length-fraction", b"5.0", "a fraction"),
    ("length-exponent", b"5e0", "with an exponent"),
    ("length-space-inside", b"0 5", "with a space inside"),
    ("length-tab-inside", b"0\t5", "with a tab inside"),
    ("length-word", b"five", "a word"),
    ("length-empty", b"", "empty"),
    ("length-semicolon", b"5;", "with a semicolon"),
    ("length-parameter", b"5;a=b", "with a parameter"),
    ("length-quoted", b'"5"', "quoted"),
    ("length-list-different", b"5, 6", "a list of different numbers"),
    ("length-list-garbage", b"5, five", "a list with a word"),
    ("length-other-digits", "\u0665".encode(), "of digits outside ASCII"),
    ("length-latin1-digits", b"\xb2", "a superscript digit of Latin-1"),
    ("length-vertical-tab", b"\x0b5", "with a vertical tab"),
    ("length-nul", b"5\x00", "with a NUL"),
    ("length-letter", b"5a", "with a letter"),
    ("length-minus-zero", b"-0", "minus zero"),
)

_NOT_FINAL = (
    ("coding-identity", b"identity", "identity, which no longer exists"),
    ("coding-not-last", b"chunked, gzip", "chunked, but not last"),
    ("coding-not-last-identity", b"chunked, identity", "chunked before identity"),
    ("coding-prefix", b"xchunked", "a name that ends in chunked"),
    ("coding-suffix", b"chunkedx", "a name that begins with chunked"),
    ("coding-quoted", b'"chunked"', "chunked in quotes"),
    ("coding-empty", b"", "an empty value"),
    ("coding-comma", b",", "a lone comma"),
    ("coding-vertical-tab", b"\x0bchunked", "a vertical tab before chunked"),
    ("coding-form-feed", b"chunked\x0c", "a form feed after chunked"),
    ("coding-nul", b"chunked\x00", "a NUL after chunked"),
    ("coding-space-inside", b"chun ked", "a space inside chunked"),
    ("coding-two-words", b"chunked gzip", "two codings without a comma"),
    ("coding-high-byte", b"chunked\xa0", "a Latin-1 space after chunked"),
    ("coding-long-s", "\u017fhunked".encode(), "a letter that folds to another"),
    ("coding-kelvin", "chun\u212aed".encode(), "the Kelvin sign for k"),
)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(MUST, id, q.BAD_LENGTH, f"refused and closed: Content-Length {what}",
            head(_POST, HOST_LINE, b"Content-Length: " + value) + b"hello", refused(BAD))
        for id, value, what in _BAD_LENGTHS
    ]
    rows += [
        row(MUST, id, q.NOT_FINAL_CHUNKED, f"refused and closed: Transfer-Encoding is {what}",
            head(_POST, HOST_LINE, b"Transfer-Encoding: " + value) + _ENDED,
            refused(BAD_OR_UNKNOWN))
        for id, value, what in _NOT_FINAL
    ]
    return rows + _length() + _coding() + _both()


def _length() -> list[Case]:
    two = b"Content-Length: 5"
    huge = Expect((frozenset({400, 413}),), silence_ok=True)
    return [
        row(MUST, "length-plain", q.INTERPRET, "the content is as long as Content-Length says",
            post(b"hello"), answered(body="hello", body_length=5)),
        row(MUST, "length-zero", q.INTERPRET, "a length of 0 is no content",
            post(b""), answered(body_length=0)),
        row(MUST, "length-none", q.INTERPRET, "a request without length has no content",
            request(method=b"POST"), answered(body_length=0)),
        row(MUST, "length-leading-zeros", q.INTERPRET, "leading zeros do not change the number",
            request(b"Content-Length: 0005", method=b"POST") + b"hello", answered(body="hello")),
        row(MUST, "length-whitespace-around", q.OWS, "whitespace around the number is dropped",
            request(b"Content-Length: \t5 ", method=b"POST") + b"hello", answered(body="hello")),
        row(MUST, "length-different", q.BAD_LENGTH, "two different lengths are refused",
            request(two, b"Content-Length: 6", method=b"POST") + b"hello!", refused(BAD)),
        row(MUST, "length-different-apart", q.BAD_LENGTH,
            "two different lengths, apart and in another case",
            request(two, b"X-Test: a", b"content-LENGTH: 0", method=b"POST") + b"hello",
            refused(BAD)),
        row(NOTE, "length-equal", q.REPEATED_LENGTH, "two equal lengths: one length, or refused",
            request(two, two, method=b"POST") + b"hello", either(body="hello")),
        row(NOTE, "length-list-equal", q.REPEATED_LENGTH, "a list of equal lengths: likewise",
            request(b"Content-Length: 5, 5", method=b"POST") + b"hello", either(body="hello")),
        row(MUST, "length-64-bit-overflow", q.LARGE_LENGTH,
            "2^64 + 5 is not taken for 5: refused, or more is awaited",
            request(b"Content-Length: 18446744073709551621", method=b"POST") + b"hello", huge),
        row(MUST, "length-32-bit-overflow", q.LARGE_LENGTH, "2^32 + 5 is not taken for 5",
            request(b"Content-Length: 4294967301", method=b"POST") + b"hello", huge),
        row(MUST, "length-huge", q.LARGE_LENGTH, "a number of 30 digits does no harm",
            request(b"Content-Length: " + b"9" * 30, method=b"POST") + b"hello", huge),
        row(MUST, "length-thousands-of-digits", q.LARGE_LENGTH,
            "a number of 5,000 digits does no harm",
            request(b"Content-Length: " + b"9" * 5_000, method=b"POST") + b"hello",
            Expect((frozenset({400, 413, 431}),), silence_ok=True, alive=True)),
        row(MUST, "length-large-body", q.INTERPRET, "1 MiB of content arrives whole",
            post(b"x" * 1_048_576), answered(body_length=1_048_576)),
    ]


def _coding() -> list[Case]:
    unknown = refused(BAD_OR_UNKNOWN)
    return [
        row(MUST, "coding-case", q.PARSE_CHUNKED, "the name of the coding compares without case",
            request(b"Transfer-Encoding: ChUnKeD", method=b"POST") + _ENDED,
            answered(body="hello")),
        row(MUST, "coding-whitespace", q.OWS, "whitespace around the coding is dropped",
            request(b"Transfer-Encoding: \tchunked \t", method=b"POST") + _ENDED,
            answered(body="hello")),
        row(MUST, "coding-chunked", q.PARSE_CHUNKED, "chunked content is decoded",
            chunked(_ENDED), answered(body="hello")),
        row(MUST, "coding-chunked-get", q.PARSE_CHUNKED, "chunked content of a GET is decoded",
            request(b"Transfer-Encoding: chunked") + _ENDED, answered(body="hello")),
        row(SHOULD, "coding-unknown", q.UNKNOWN_CODING, "an unknown coding is answered 501",
            request(b"Transfer-Encoding: foo, chunked", method=b"POST") + _ENDED, unknown),
        row(SHOULD, "coding-gzip", q.UNKNOWN_CODING, "gzip, chunked: 501 unless it is undone",
            request(b"Transfer-Encoding: gzip, chunked", method=b"POST") + _ENDED, unknown),
        row(SHOULD, "coding-gzip-two-lines", q.UNKNOWN_CODING, "the same in two lines",
            request(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", method=b"POST")
            + _ENDED, unknown),
        row(SHOULD, "coding-identity-chunked", q.UNKNOWN_CODING, "identity, chunked is unknown",
            request(b"Transfer-Encoding: identity, chunked", method=b"POST") + _ENDED, unknown),
        row(NOTE, "coding-chunked-twice", q.CHUNKED_ONCE, "chunked, chunked is refused",
            request(b"Transfer-Encoding: chunked, chunked", method=b"POST") + _ENDED, unknown),
        row(NOTE, "coding-chunked-two-lines", q.CHUNKED_ONCE, "two chunked lines are refused",
            request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", method=b"POST")
            + _ENDED, unknown),
        row(SHOULD, "coding-parameter", q.CHUNKED_PARAMETERS, "chunked takes no parameter",
            request(b"Transfer-Encoding: chunked;q=1", method=b"POST") + _ENDED, unknown),
        row(NOTE, "coding-trailing-comma", q.EMPTY_ELEMENTS,
            "an empty list element: ignored, or refused, never no coding at all",
            request(b"Transfer-Encoding: chunked,", method=b"POST") + _ENDED,
            either(codes=BAD_OR_UNKNOWN, body="hello")),
        row(NOTE, "coding-leading-comma", q.EMPTY_ELEMENTS, "the same at the start",
            request(b"Transfer-Encoding: ,chunked", method=b"POST") + _ENDED,
            either(codes=BAD_OR_UNKNOWN, body="hello")),
        row(MUST, "coding-in-1.0", q.CODING_IN_1_0,
            "Transfer-Encoding in HTTP/1.0: the connection does not persist",
            head(b"POST /echo HTTP/1.0", HOST_LINE, b"Connection: keep-alive",
                 b"Transfer-Encoding: chunked") + _ENDED,
            Expect((OK | BAD_OR_UNKNOWN,), after_ok="closed", after_error="closed")),
        row(MUST, "coding-in-1.0-with-length", q.CODING_IN_1_0,
            "the same with a Content-Length beside it",
            head(b"POST /echo HTTP/1.0", HOST_LINE, b"Connection: keep-alive",
                 b"Content-Length: 15", b"Transfer-Encoding: chunked") + _ENDED,
            Expect((OK | BAD_OR_UNKNOWN,), after_ok="closed", after_error="closed")),
        row(NOTE, "coding-underscore-name", q.INTERPRET,
            "Transfer_Encoding is another field: the length alone counts",
            post(_ENDED, b"Transfer_Encoding: chunked"), either(body=_ENDED.decode())),
    ]


def _both() -> list[Case]:
    closed = Expect((OK | BAD,), after_ok="closed", after_error="closed",
                    seen=({"body": "hello"},))
    coding = b"Transfer-Encoding: chunked"
    rows = []
    for id, length, rule in (
        ("both-length-right", b"15", "a length that fits the coded body"),
        ("both-length-short", b"3", "a length that is too short"),
        ("both-length-long", b"50", "a length that is too long"),
        ("both-length-zero", b"0", "a length of 0"),
        ("both-length-invalid", b"abc", "a length that is no number"),
    ):
        line = b"Content-Length: " + length
        rows.append(
            row(MUST, id, q.BOTH_LENGTHS, f"refused or served by its coding, then closed: {rule}",
                head(_POST, HOST_LINE, line, coding) + _ENDED, closed))
    rows.append(
        row(MUST, "both-coding-first", q.BOTH_LENGTHS, "the same with the coding first",
            head(_POST, HOST_LINE, coding, b"Content-Length: 15") + _ENDED, closed))
    return rows
