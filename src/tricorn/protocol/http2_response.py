"""Response heads as HTTP/2 sends them (RFC 9113 section 8.3.2)."""

from __future__ import annotations

from typing import Final

from tricorn.protocol import fields
from tricorn.types import Header, Headers

_UNSENT_WITH_204: Final = fields.CONNECTION_SPECIFIC | {b"content-length"}
_STATUSES: Final[dict[int, Header]] = {n: (b":status", b"%d" % n) for n in range(200, 600)}


def response_fields(status: int, headers: Headers) -> Headers:
    """The fields of a final response, ``:status`` first, without connection-specific ones.

    RFC 9113 section 8.2.2; RFC 9110 section 8.6: no Content-Length with 204.
    """
    unsent = _UNSENT_WITH_204 if status == 204 else fields.CONNECTION_SPECIFIC
    sent = [header for header in headers if header[0] not in unsent]
    sent.insert(0, _STATUSES.get(status) or (b":status", b"%d" % status))
    return sent
