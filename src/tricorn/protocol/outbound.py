"""Fields that go out: checked once, and remembered as each protocol writes them.

Nothing an application sends may forge framing on the wire: names must be tokens and values free
of control characters (RFC 9110 section 5.5).
"""

from __future__ import annotations

from typing import Any, Final

from tricorn.exceptions import LocalProtocolError
from tricorn.protocol.fields import BAD_VALUE, CONNECTION_SPECIFIC, TOKEN
from tricorn.types import Header, Headers

# What a field says to the server, as bits.
LENGTH: Final = 1
"""Content-Length."""
EVENT_STREAM: Final = 2
"""Content-Type: text/event-stream."""
LINK: Final = 4
"""Link."""
CONNECTION: Final = 8
"""Connection-specific (RFC 9110 section 7.6.1): the server's own business."""
WATCHED: Final = 16
"""A name that a server gives by itself; see `watch`."""

# 19 digits are more than any file; int() has a limit of its own.
_MOST_DIGITS: Final = 19
_NO_LENGTH: Final = -1
INVALID_LENGTH: Final = -2
"""``length`` of a Content-Length that is no number, or of two that differ."""


class Field:
    """One checked field.

    ``pair``: its lower-case name and its value; ``line``: the same in HTTP/1.1; ``kind``: bits;
    ``length``: the value of a Content-Length, negative where there is none.
    """

    __slots__ = ("kind", "length", "line", "pair")

    def __init__(self, pair: Header) -> None:
        name, value = pair
        # Compiled, what is known as a tuple would be taken apart, and made anew at each look.
        self.pair: Any = pair
        self.line = b"%b: %b\r\n" % pair
        self.length = _NO_LENGTH
        kind = WATCHED if name in _watched else 0
        if name == b"content-length":
            kind |= LENGTH
            valid = value.isdigit() and len(value) <= _MOST_DIGITS
            self.length = int(value) if valid else INVALID_LENGTH
        elif name == b"content-type":
            if value.startswith(b"text/event-stream"):
                kind |= EVENT_STREAM
        elif name == b"link":
            kind |= LINK
        elif name in CONNECTION_SPECIFIC:
            kind |= CONNECTION
        self.kind = kind


class FieldList:
    """Checked fields, in order: ``pairs``, and their HTTP/1.1 ``lines``.

    ``kinds`` are the bits of them all. A Content-Length that is said again stands once.
    """

    __slots__ = ("_block", "kinds", "length", "lines", "pairs")

    def __init__(self) -> None:
        self.pairs: Headers = []
        self.lines: list[bytes] = []
        self.kinds = 0
        self.length: int | None = None
        """The Content-Length."""
        self._block: bytes | None = None

    def add(self, field: Field) -> None:
        """Put a field behind the others."""
        self.kinds |= field.kind
        if field.kind & LENGTH:
            if self.length is None:
                self.length = field.length
            elif self.length == field.length:
                return
            else:
                self.length = INVALID_LENGTH
        self.pairs.append(field.pair)
        self.lines.append(field.line)

    @property
    def block(self) -> bytes:
        """The lines in one; not to be asked for while fields are added."""
        if self._block is None:
            self._block = b"".join(self.lines)
        return self._block


#: What a response has until it is given some; never changed in place.
NOTHING: Final = FieldList()

_watched: Final[set[bytes]] = set()
# Names seen and found valid; an application uses the same few again and again.
_known_names: Final[dict[bytes, bytes]] = {}
_MAX_KNOWN_NAMES: Final = 1024
# Whole fields likewise, as they were given, small ones that may well be sent again.
_known_fields: Final[dict[Header, Field]] = {}
_MAX_KNOWN_FIELDS: Final = 1024
_LONGEST_KNOWN_VALUE: Final = 128


def watch(names: frozenset[bytes]) -> None:
    """Have fields of these names marked ``WATCHED`` from now on."""
    if not names <= _watched:
        _watched.update(names)
        _known_fields.clear()


def field_list(headers: object) -> FieldList:
    """An application's header list, checked and lower-cased.

    :raises LocalProtocolError: naming the offending field.
    """
    result = FieldList()
    pairs, lines = result.pairs, result.lines
    known = _known_fields
    try:
        for header in headers:  # type: ignore[attr-defined]
            try:
                found = known.get(header)
            except TypeError:  # a list, which has no hash
                found = None
            field = _new_field(header) if found is None else found
            if field.kind:
                result.add(field)
            else:
                pairs.append(field.pair)
                lines.append(field.line)
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError(
            f"headers must be an iterable of (name, value) byte pairs: {exc}"
        ) from None
    return result


def checked(pairs: Headers) -> FieldList:
    """Fields of the server's own, which are in order."""
    result = FieldList()
    for pair in pairs:
        result.add(_known_fields.get(pair) or Field(pair))
    return result


def line(pair: Header) -> bytes:
    """The HTTP/1.1 line of a checked field."""
    field = _known_fields.get(pair)
    return b"%b: %b\r\n" % pair if field is None else field.line


def _new_field(header: Any) -> Field:
    name, value = header
    try:
        lower = _known_names[name]
    except (KeyError, TypeError):
        lower = _normal_name(name)
    if value.__class__ is not bytes:
        if not isinstance(value, bytes):
            raise LocalProtocolError(f"value of header {lower!r} must be bytes: {value!r}")
        value = bytes(value)
    if BAD_VALUE.search(value) is not None:
        raise LocalProtocolError(f"value of header {lower!r} holds a control character: {value!r}")
    # Peers reset the stream for white space around it (RFC 9113 8.2.1).
    field = Field((lower, value.strip(b" \t")))
    # Cookies are secrets, and nobody's but their peer's.
    if len(value) <= _LONGEST_KNOWN_VALUE and lower != b"set-cookie":
        if len(_known_fields) >= _MAX_KNOWN_FIELDS:
            _known_fields.clear()
        _known_fields[name, value] = field
    return field


def _normal_name(name: object) -> bytes:
    if not isinstance(name, bytes):
        raise LocalProtocolError(f"header name must be bytes, not {name!r}")
    lower = name.lower()
    if not TOKEN.fullmatch(lower):
        raise LocalProtocolError(f"header name {name!r} is not a token (RFC 9110 5.1)")
    if len(_known_names) < _MAX_KNOWN_NAMES:
        _known_names[name] = lower
    return lower
