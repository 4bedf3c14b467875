"""Conditional and range requests on a file: RFC 9110 sections 12.5.3, 13 and 14.

Pure functions from field values (bytes) to what they ask for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

#: The request fields that are read here.
FIELDS: Final = frozenset(
    {
        b"accept-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    }
)
# Ranges of one request; more are a slip or an attack (RFC 9110 section 14.2).
MOST_RANGES: Final = 16
# Bytes between two ranges that cost less than the head of another part.
_GAP: Final = 80
# Seconds for which a file that was just written may be written again unseen: FAT counts
# times by two, the kernels by their ticks (RFC 9110 section 8.8.1 on strong validators).
_SETTLED: Final = 2.0

_ENTITY_TAG: Final = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_RANGE: Final = re.compile(rb"(\d*)[ \t]*-[ \t]*(\d*)")
_QUALITY: Final = re.compile(rb"q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one state of a file from another.

    ``etag`` is the opaque tag with its quotes, ``modified`` whole seconds since the epoch;
    ``strong`` and ``settled`` say whether the one and the other may be compared strongly
    (RFC 9110 sections 8.8.2.2 and 8.8.3.2).
    """

    etag: bytes
    modified: int
    strong: bool
    settled: bool

    @property
    def field(self) -> bytes:
        """The value of the ETag field."""
        return self.etag if self.strong else b"W/" + self.etag


def validators(mtime_ns: int, size: int, now: float, coding: str = "") -> Validators:
    """Validators of a file (or of its variant in a content coding) at time ``now``."""
    suffix = f"-{coding}" if coding else ""
    modified = mtime_ns / 1e9
    # A time to come is no Last-Modified (RFC 9110 section 8.8.2.1).
    shown = int(min(modified, now))
    etag = f'"{mtime_ns:x}-{size:x}{suffix}"'.encode()
    settled = now - modified >= _SETTLED
    return Validators(etag, shown, strong=settled, settled=settled)


def replaced(
    current: Validators, etag: bytes | None, modified: bytes | None, coding: str = ""
) -> Validators:
    """Validators of a file whose ETag or Last-Modified has a value of the operator's.

    That value is for the file and its variants alike, so of a variant it compares weakly.
    """
    if etag is not None:
        tag = etag.removeprefix(b"W/")
        current = replace(current, etag=tag, strong=tag == etag and not coding)
    date = _date(modified)
    if date is not None:
        current = replace(current, modified=date, settled=not coding)
    return current


def collect(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields of a request that are read here; repeated ones joined as lists are."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        key = name.lower()
        if key in FIELDS:
            found[key] = found[key] + b", " + value if key in found else value
    return found


def failed_status(fields: Mapping[bytes, bytes], current: Validators) -> int | None:
    """412 or 304 where a precondition of a GET or HEAD fails, else None.

    In the order of RFC 9110 section 13.2.2.
    """
    match = fields.get(b"if-match")
    if match is not None:
        failed = not _lists(match, current, strong=True)
    else:
        date = _date(fields.get(b"if-unmodified-since"))
        failed = date is not None and current.modified > date
    if failed:
        return 412
    none_match = fields.get(b"if-none-match")
    if none_match is not None:
        known = _lists(none_match, current, strong=False)
    else:
        date = _date(fields.get(b"if-modified-since"))
        known = date is not None and current.modified <= date
    return 304 if known else None


def _lists(value: bytes, current: Validators, *, strong: bool) -> bool:
    if value.strip() == b"*":
        return True
    tags = _ENTITY_TAG.findall(value)
    if strong:
        return current.strong and current.etag in tags
    return any(tag.removeprefix(b"W/") == current.etag for tag in tags)


def _date(value: bytes | None) -> int | None:
    """Seconds since the epoch of an HTTP-date; None for anything else."""
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value.decode("ascii"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)  # asctime's form names no zone (section 5.6.7)
        return int(moment.timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def wanted_ranges(
    fields: Mapping[bytes, bytes], current: Validators, size: int
) -> list[tuple[int, int]] | None:
    """The ranges (offset, count in bytes) of a GET; empty for 416, None for all of it."""
    value = fields.get(b"range")
    if value is None or not _range_holds(fields.get(b"if-range"), current):
        return None
    return parse_ranges(value, size)


def _range_holds(value: bytes | None, current: Validators) -> bool:
    """RFC 9110 section 13.1.5: the validator of If-Range must match strongly."""
    if value is None:
        return True
    value = value.strip()
    if value.startswith((b'"', b"W/")):
        return current.strong and value == current.etag
    return current.settled and _date(value) == current.modified


def parse_ranges(value: bytes, size: int) -> list[tuple[int, int]] | None:
    """Offset and count of each range of ``bytes=...``, overlapping ones joined.

    :returns: an empty list where none can be satisfied; None where the field is to be
        ignored: another unit, malformed, or too many ranges.
    """
    unit, equals, text = value.partition(b"=")
    if not equals or unit.strip().lower() != b"bytes" or text.count(b",") >= MOST_RANGES:
        return None
    found: list[tuple[int, int]] = []
    for part in filter(None, (piece.strip(b" \t") for piece in text.split(b","))):
        match = _RANGE.fullmatch(part)
        if match is None or part == b"-":
            return None
        first, last = _number(match[1]), _number(match[2])
        if first is None:
            if last and not size:
                return None  # the end of nothing is all of it
            first, last = max(0, size - (last or 0)), size - 1
        elif last is None:
            last = size - 1
        elif last < first:
            return None
        if first < size:
            found.append((first, min(last, size - 1) + 1 - first))
    return _joined(found)


def _number(digits: bytes) -> int | None:
    # More digits than any file needs are just far beyond its end.
    return int(digits.lstrip(b"0")[:19] or b"0") if digits else None


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges with near and overlapping ones made one; in the order asked if all are apart."""
    ordered = sorted(ranges)
    joined = ordered[:1]
    for offset, count in ordered[1:]:
        start, length = joined[-1]
        if offset <= start + length + _GAP:
            joined[-1] = (start, max(length, offset + count - start))
        else:
            joined.append((offset, count))
    return ranges if len(joined) == len(ranges) else joined


def accepted_codings(value: bytes | None, offered: Sequence[str]) -> list[str]:
    """Those of the content codings ``offered`` that the peer takes, the best first.

    Codings that it likes less than the file as it is are left out.
    """
    if value is None:
        return []
    qualities: dict[bytes, float] = {}
    for part in value.lower().split(b","):
        name, _, parameter = part.partition(b";")
        quality = 1.0
        if parameter.strip():
            match = _QUALITY.fullmatch(parameter.strip())
            quality = float(match[1]) if match else 0.0
        name = name.strip()
        qualities[b"gzip" if name == b"x-gzip" else name] = quality
    others = qualities.get(b"*", 0.0)
    identity = qualities.get(b"identity", 0.0)
    ranked = [(qualities.get(coding.encode(), others), coding) for coding in offered]
    ranked.sort(key=lambda item: -item[0])  # stable: the operator's order among equals
    return [coding for quality, coding in ranked if quality > 0 and quality >= identity]
