"""The HTTP/1.1 slot on h11: request heads."""

from __future__ import annotations

import re

import h11

from tricorn.codecs.base import RequestHead
from tricorn.exceptions import RemoteProtocolError
from tricorn.quoting import shortened

# h11 takes them in field values, where RFC 9110 section 5.5 calls them invalid.
_CONTROL = bytes(range(9)) + b"\x0b\x0c" + bytes(range(14, 32)) + b"\x7f"
_LENGTHS = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)
# The caller bounds heads before they get here.
_MAX_INCOMPLETE = 2**30


class H11Codec:
    """Request heads by h11.

    h11 ties its parser to a full connection cycle. Only the parser is wanted here, since
    bodies are read and responses serialised once for every HTTP/1.1 codec, so each request
    gets a parser of its own instead of a cycle driven by sending through h11.
    """

    __slots__ = ()

    name = "h11"
    strict = False
    parse_first = None

    def parse_head(self, head: bytes) -> RequestHead:
        """Parse one request head, its final empty line included.

        :raises RemoteProtocolError: with the status that tells the peer.
        """
        if len(head.translate(None, _CONTROL)) != len(head):
            raise RemoteProtocolError("control character in the request head")
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_INCOMPLETE)
        try:
            connection.receive_data(head)
            event = connection.next_event()
        except h11.RemoteProtocolError as exc:
            raise RemoteProtocolError(shortened(str(exc)), exc.error_status_hint) from None
        if type(event) is not h11.Request:
            raise RemoteProtocolError("incomplete request head")
        fields = event.headers.raw_items()
        for name, _ in fields:
            if len(name) == 14 and name.lower() == b"content-length":
                _check_length(head)
        return event.method, event.target, event.http_version, fields


def _check_length(head: bytes) -> None:
    # h11 makes one of several that are equal; the rest of the house is to know.
    lengths = _LENGTHS.findall(head)
    if len(lengths) > 1 or b"," in lengths[0]:
        raise RemoteProtocolError("repeated Content-Length")
