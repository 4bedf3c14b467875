"""The HTTP/1.1 slot on httptools, which is llhttp: request heads.

llhttp takes some heads that are malformed and refuses some that are not. What it takes too
much is refused here: spaces around the parts of the request line, a request line without a
version. What it may take too little of is put to it a second time, with an ordinary request
line and without its rules for bodies: methods that it does not know or does not want in HTTP,
versions, bodies whose framing `tricorn.protocol.http1_request` judges for every codec.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from tricorn.codecs.base import RequestHead
from tricorn.exceptions import RemoteProtocolError
from tricorn.quoting import quoted
from tricorn.types import Headers

_REQUEST_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])", re.DOTALL
)
_VERSIONS: Final = {b" HTTP/1.1": b"1.1", b" HTTP/1.0": b"1.0"}
_OTHER_LINE: Final = b"GET / HTTP/1.1"


class HttptoolsCodec:
    """Request heads by httptools, each with a parser of its own.

    A parser takes a quarter of a microsecond to make; one that is used again stands inside the
    body of the last request, or behind a ``Connection: close``.
    """

    __slots__ = ("_fields", "_target", "on_header")

    name = "httptools"
    strict = False
    parse_first = None

    def __init__(self) -> None:
        self._target = b""
        fields: Headers = []
        self._fields = fields  # empty between two heads
        append = fields.append

        def on_header(name: bytes, value: bytes) -> None:
            append((name, value))

        self.on_header = on_header

    def on_url(self, url: bytes) -> None:
        """The parser tells the request target, whole, since it is fed a whole head."""
        self._target = url

    def parse_head(self, head: bytes) -> RequestHead:
        """Parse one request head, its final empty line included.

        :raises RemoteProtocolError: 400.
        """
        self._fields.clear()
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # it stops behind the head, which is all there is
        except httptools.HttpParserError:
            return self._parse_again(head)
        end = head.find(b"\r\n")
        version = _VERSIONS.get(head[end - 9 : end]) if end >= 9 else None
        method, target = parser.get_method(), self._target
        # One space on each side of the target, which is visible ASCII.
        if (
            version is None
            or len(method) + 1 + len(target) + 9 != end
            or not target.isascii()
            or head[-4:] != b"\r\n\r\n"
        ):
            return self._parse_again(head)
        return method, target, version, self._take_fields(head)

    def _parse_again(self, head: bytes) -> RequestHead:
        end = max(head.find(b"\r\n"), 0)
        line = _REQUEST_LINE.fullmatch(head, 0, end)
        if line is None:
            raise RemoteProtocolError(f"malformed request line {quoted(head[:end])}")
        if not head.endswith(b"\r\n\r\n"):
            raise RemoteProtocolError("incomplete request head")
        self._fields.clear()
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_chunked_length=True, lenient_transfer_encoding=True)
        try:
            parser.feed_data(_OTHER_LINE + head[end:])
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as exc:
            raise RemoteProtocolError(f"malformed request head: {exc}") from None
        method, target, version = line.groups()
        return method, target, version, self._take_fields(head)

    def _take_fields(self, head: bytes) -> Headers:
        fields = self._fields
        # ``in`` tries its left side as a number first.
        if head.find(b" \r\n") >= 0 or head.find(b"\t\r\n") >= 0:
            # llhttp leaves white space behind values.
            taken = [(name, value.rstrip(b" \t")) for name, value in fields]
        else:
            taken = fields[:]
        fields.clear()
        return taken
