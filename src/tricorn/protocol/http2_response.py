"""Response heads as HTTP/2 sends them (RFC 9113 section 8.3.2)."""

from __future__ import annotations

from typing import Any, Final

from tricorn.protocol import fields
from tricorn.types import Headers

_UNSENT_WITH_204: Final = fields.CONNECTION_SPECIFIC | {b"content-length"}
_FIRST: Final = 200
_STATUSES: Final[list[Any]] = [(b":status", b"%d" % n) for n in range(_FIRST, 600)]
# No name of another length needs a look.
_LENGTHS: Final = sum({1 << len(name) for name in fields.CONNECTION_SPECIFIC})
_LONGEST: Final = 17


def response_fields(status: int, headers: Headers) -> Headers:
    """The fields of a final response, ``:status`` first, without connection-specific ones.

    RFC 9113 section 8.2.2; RFC 9110 section 8.6: no Content-Length with 204.
    """
    sent: list[Any] = [_status_field(status), *headers]
    if status == 204:
        return _without(_UNSENT_WITH_204, sent)
    for name, _ in headers:
        size = len(name)
        if size <= _LONGEST and _LENGTHS >> size & 1:
            return _without(fields.CONNECTION_SPECIFIC, sent)
    return sent


def joined_fields(status: int, given: Headers, added: Headers, length: int) -> Headers:
    """``:status`` and then all of these fields, and Content-Length where ``length`` is given.

    :param length: bytes, negative for none.
    """
    sent: list[Any] = [_status_field(status), *given, *added]
    if length >= 0:
        sent.append((b"content-length", b"%d" % length))
    return sent


def _status_field(status: int) -> Any:
    known = _FIRST <= status < 600
    return _STATUSES[status - _FIRST] if known else (b":status", b"%d" % status)


def _without(unsent: frozenset[bytes], sent: Headers) -> Headers:
    return [header for header in sent if header[0] not in unsent]
