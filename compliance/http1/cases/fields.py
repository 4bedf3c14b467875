"""Header fields: names, values, folding, line ends, sizes."""

from __future__ import annotations

from compliance.http1.cases import quotes as q
from compliance.http1.cases.build import (
    ANY_4XX,
    BAD,
    HOST_LINE,
    MUST,
    NOTE,
    OK,
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

_LINE = b"GET /echo HTTP/1.1"
_TEST = "header:x-test"

_SPACED_NAMES = (
    ("field-space-before-colon", b"X-Test : a", "a space"),
    ("field-tab-before-colon", b"X-Test\t: a", "a tab"),
    ("field-host-space-before-colon", b"Content-Type : a", "a space after a known name"),
    ("field-length-space-before-colon", b"Content-Length : 0", "a space after Content-Length"),
)

_BAD_NAMES = (
    ("field-no-colon", b"X-Test", "a line without a colon"),
    ("field-empty-name", b": a", "an empty name"),
    ("field-name-space", b"X Test: a", "a space in the name"),
    ("field-name-parenthesis", b"X(Test): a", "a parenthesis in the name"),
    ("field-name-slash", b"X/Test: a", "a slash in the name"),
    ("field-name-at", b"X@Test: a", "an @ in the name"),
    ("field-name-quote", b'"X-Test": a', "quotes in the name"),
    ("field-name-bracket", b"X[Test]: a", "brackets in the name"),
    ("field-name-brace", b"X{Test}: a", "braces in the name"),
    ("field-name-semicolon", b"X;Test: a", "a semicolon in the name"),
    ("field-name-equals", b"X=Test: a", "an equals sign in the name"),
    ("field-name-comma", b"X,Test: a", "a comma in the name"),
    ("field-name-backslash", b"X\\Test: a", "a backslash in the name"),
    ("field-name-nul", b"X\x00Test: a", "NUL in the name"),
    ("field-name-control", b"X\x01Test: a", "a control byte in the name"),
    ("field-name-delete", b"X\x7fTest: a", "DEL in the name"),
    ("field-name-high-byte", b"X\xe9Test: a", "a byte above 0x7f in the name"),
    ("field-name-vertical-tab", b"X-Test\x0b: a", "a vertical tab after the name"),
)

_CONTROLS = (0x01, 0x07, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1C, 0x1F, 0x7F)


def cases() -> list[Case]:
    """All rows of this chapter."""
    rows = [
        row(MUST, id, q.SPACE_BEFORE_COLON, f"refused: {what} between name and colon",
            request(line), refused(BAD, close=False))
        for id, line, what in _SPACED_NAMES
    ]
    rows += [
        row(SHOULD, id, q.GRAMMAR, f"refused: {what}", request(line), refused(BAD))
        for id, line, what in _BAD_NAMES
    ]
    rows += [
        row(NOTE, f"field-value-control-{byte:02x}", q.OTHER_CONTROLS,
            f"a value with the byte 0x{byte:02x} is refused",
            request(b"X-Test: a" + bytes([byte]) + b"b"), refused(BAD))
        for byte in _CONTROLS
    ]
    return rows + _values() + _line_ends() + _folding() + _sizes()


def _values() -> list[Case]:
    replaced = OneOf((["a b"], []))
    return [
        row(MUST, "field-value-nul", q.CR_LF_NUL, "NUL in a value: refused, or read as a space",
            request(b"X-Test: a\x00b"), either({_TEST: replaced})),
        row(MUST, "field-value-bare-cr", q.BARE_CR, "bare CR in a value: refused, or a space",
            request(b"X-Test: a\rb"), either({_TEST: replaced})),
        row(MUST, "field-value-crs", q.BARE_CR, "several bare CR in a value: refused, or spaces",
            request(b"X-Test: a\r\r\rb"), either({_TEST: OneOf((["a   b"], ["a b"]))})),
        row(MUST, "field-value-leading-cr", q.BARE_CR, "a bare CR before the value",
            request(b"X-Test:\ra"), either({_TEST: OneOf((["a"],))})),
        row(SHOULD, "field-value-obs-text", q.OBS_TEXT, "bytes above 0x7f reach the app unchanged",
            request(b"X-Test: caf\xc3\xa9 \xff"), answered({_TEST: ["caf\u00c3\u00a9 \u00ff"]})),
        row(MUST, "field-value-tab-inside", q.INTERPRET, "a tab may stand inside a value",
            request(b"X-Test: a\tb"), answered({_TEST: OneOf((["a\tb"], ["a b"]))})),
        row(MUST, "field-value-whitespace-around", q.OWS, "whitespace around a value is dropped",
            request(b"X-Test:  \t a b \t "), answered({_TEST: ["a b"]})),
        row(MUST, "field-value-no-whitespace", q.INTERPRET, "no space is needed after the colon",
            request(b"X-Test:a"), answered({_TEST: ["a"]})),
        row(MUST, "field-value-empty", q.INTERPRET, "a value may be empty",
            request(b"X-Test:"), answered({_TEST: [""]})),
        row(MUST, "field-value-only-whitespace", q.OWS, "a value of whitespace is empty",
            request(b"X-Test: \t "), answered({_TEST: [""]})),
        row(MUST, "field-value-colon", q.INTERPRET, "a value may hold colons",
            request(b"X-Test: a:b: c"), answered({_TEST: ["a:b: c"]})),
        row(MUST, "field-name-case", q.INTERPRET, "names compare without case",
            request(b"x-TeSt: a"), answered({_TEST: ["a"]})),
        row(MUST, "field-name-all-token-characters", q.INTERPRET,
            "every token character but the underscore may stand in a name",
            request(b"X!#$%&'*+-.^`|~0: a"), answered({"header:x!#$%&'*+-.^`|~0": ["a"]})),
        row(NOTE, "field-name-underscore", q.INTERPRET,
            "so may the underscore, though some servers drop such fields by design",
            request(b"X_Test: a"), answered({"header:x_test": ["a"]})),
        row(MUST, "field-order", q.INTERPRET, "lines of one name reach the app in their order",
            request(b"X-Test: 1", b"X-Other: 2", b"X-Test: 3"),
            answered({_TEST: OneOf((["1", "3"], ["1, 3"], ["1,3"]))})),
        row(MUST, "field-count", q.INTERPRET, "every line reaches the app",
            request(*(b"X-%d: %d" % (n, n) for n in range(40))), answered(header_count=41)),
    ]


def _line_ends() -> list[Case]:
    two = {_TEST: ["a"], "header:x-other": ["b"]}
    return [
        row(NOTE, "field-bare-lf", q.BARE_LF, "a bare LF ends a line, or the message is refused",
            request(b"X-Test: a\nX-Other: b"), either(two)),
        row(NOTE, "field-bare-lf-everywhere", q.BARE_LF, "bare LF throughout the head",
            b"GET /echo HTTP/1.1\nHost: example.com\n\n", either(path="/echo", silence_ok=True)),
        row(NOTE, "field-bare-lf-at-end", q.BARE_LF, "a bare LF for the empty line",
            b"GET /echo HTTP/1.1\r\nHost: example.com\r\n\n",
            either(path="/echo", silence_ok=True)),
        row(MUST, "field-bare-cr-everywhere", q.BARE_CR, "a bare CR never ends a line",
            b"GET /echo HTTP/1.1\rHost: example.com\r\r", refused(BAD, silence_ok=True)),
        row(MUST, "field-bare-cr-at-end", q.BARE_CR, "CR CR is no empty line",
            b"GET /echo HTTP/1.1\r\nHost: example.com\r\r",
            refused(BAD, silence_ok=True, close=False)),
        row(MUST, "field-cr-crlf", q.BARE_CR, "CR CR LF: refused, or the first CR is a space",
            head(_LINE, HOST_LINE, b"X-Test: a\r"), either({_TEST: ["a"]})),
        row(MUST, "field-bare-cr-hides-line", q.BARE_CR, "a bare CR does not begin a new field",
            request(b"X-Test: a\rX-Other: b"), either({"header:x-other": []})),
        row(SHOULD, "field-lf-cr", q.GRAMMAR, "LF CR in the place of CRLF is refused",
            b"GET /echo HTTP/1.1\r\nHost: example.com\n\rX-Test: a\r\n\r\n",
            refused(BAD, silence_ok=True)),
    ]


def _folding() -> list[Case]:
    folded = {_TEST: OneOf(tuple([f"a{' ' * n}b"] for n in range(1, 5)))}
    return [
        row(MUST, "field-fold", q.OBS_FOLD, "a folded line: refused, or the fold is a space",
            request(b"X-Test: a\r\n b"), either(folded)),
        row(MUST, "field-fold-tab", q.OBS_FOLD, "a line folded by a tab",
            request(b"X-Test: a\r\n\tb"), either(folded)),
        row(MUST, "field-fold-twice", q.OBS_FOLD, "a line folded twice",
            request(b"X-Test: a\r\n \r\n b"), either(folded)),
        row(MUST, "field-fold-colon", q.OBS_FOLD, "a folded line with a colon is no field",
            request(b"X-Test: a\r\n X-Other: b"), either({"header:x-other": []})),
        row(MUST, "field-fold-host", q.OBS_FOLD, "a folded Host",
            head(_LINE, b"Host:\r\n example.com"), either({"header:host": ["example.com"]})),
        row(MUST, "field-space-first", q.FIRST_LINE_SPACE,
            "whitespace before the first field: refused, or the line is skipped",
            head(_LINE, b" X-Test: a", HOST_LINE), either({_TEST: []})),
        row(MUST, "field-space-first-host", q.FIRST_LINE_SPACE,
            "a skipped Host line leaves the request without Host",
            head(_LINE, b" Host: example.com"), refused(BAD, close=False)),
        row(MUST, "field-tab-first", q.FIRST_LINE_SPACE, "the same with a tab",
            head(_LINE, b"\tX-Test: a", HOST_LINE), either({_TEST: []})),
    ]


def _sizes() -> list[Case]:
    # A server may wish to process any size; where it does not, only a 4xx will do.
    large = Expect((OK | ANY_4XX,))
    return [
        row(NOTE, "field-value-8000", q.FIELDS_TOO_LARGE, "a value of 8,000 bytes is served",
            request(b"X-Test: " + b"a" * 8_000), answered({_TEST: ["a" * 8_000]})),
        row(MUST, "field-value-100000", q.FIELDS_TOO_LARGE,
            "a value of 100,000 bytes is served, or refused with a 4xx",
            request(b"X-Test: " + b"a" * 100_000), large),
        row(MUST, "field-name-100000", q.FIELDS_TOO_LARGE,
            "a name of 100,000 bytes is served, or refused with a 4xx",
            request(b"X-" + b"a" * 100_000 + b": a"), large),
        row(MUST, "field-lines-5000", q.FIELDS_TOO_LARGE,
            "5,000 field lines are served, or refused with a 4xx",
            request(*(b"X-%d: a" % n for n in range(5_000))), large),
        row(MUST, "field-lines-1000-of-one-name", q.FIELDS_TOO_LARGE,
            "1,000 lines of one name are served, or refused with a 4xx",
            request(*[b"X-Test: a"] * 1_000), large),
        row(NOTE, "field-too-large-431", q.FIELDS_TOO_LARGE,
            "1 MiB of fields is refused, by 431 at best",
            request(*[b"X-Test: " + b"a" * 8_000] * 130),
            Expect((frozenset({431}),), after_error="closed", alive=True)),
    ]
