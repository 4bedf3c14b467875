"""What a parsed HTTP/1.1 request head means: target form, framing, persistence, upgrade.

RFC 9112 sections 3 (request line), 6 (message body), 9 (connection); RFC 9110 sections 7
and 10. A head that two parsers could read differently is refused.
"""

from __future__ import annotations

import re
from typing import Final

from tricorn.codecs.base import HTTP1Codec, RequestHead
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import fields
from tricorn.protocol.events import RequestReceived
from tricorn.quoting import quoted
from tricorn.types import Headers

_DIGITS: Final = re.compile(rb"[0-9]{1,19}")
_ABSOLUTE: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_LINE_ENDS: Final = (0x0D, 0x0A)

_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
}

# Empty lines tolerated before a request line (RFC 9112 2.2 says at least one).
_MAX_EMPTY_LINES: Final = 8

_INTERESTING: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"te",
        b"http2-settings",
    }
)


class Request:
    """One request head with its consequences for the connection.

    :param content_length: bytes, 0 where there is no body or the body is chunked.
    """

    __slots__ = (
        "chunked", "content_length", "event", "has_body", "http2_settings", "keep_alive"
    )  # fmt: skip

    def __init__(
        self, event: RequestReceived, content_length: int, chunked: bool, keep_alive: bool
    ) -> None:
        self.event = event
        self.content_length = content_length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.has_body = chunked or content_length > 0  # whether any body byte is to come
        self.http2_settings: bytes | None = None

    def offers_h2c(self, most: int) -> bool:
        """Whether the offer of h2c can be taken (RFC 7540 section 3.2).

        :param most: bytes of body that can be taken along, since the answer waits for them all;
            with a larger one the offer is passed over.
        """
        # RFC 9110 7.8: 100 would have to go before 101, and nobody is asked for it here.
        small = self.content_length <= most and not self.event.expects_continue
        return self.http2_settings is not None and small


def split_head(
    buffer: bytes | bytearray, *, max_head: int, max_target: int
) -> tuple[bytes | None, bytes | bytearray]:
    """The first request head in ``buffer``, None while it is incomplete.

    :return: the head, its final empty line included, its lines not looked at; the rest.
    :raises RemoteProtocolError: 400, 414 or 431.
    """
    if buffer and buffer[0] in _LINE_ENDS:
        buffer = _strip_empty_lines(buffer)
    length = len(buffer)
    end = buffer.find(b"\r\n\r\n")
    size = length if end < 0 else end + 4
    if size > max_target or size > max_head:
        _check_head_size(buffer, size, max_head, max_target)
    if end < 0:
        check_lines(buffer, complete=False)
        return None, buffer
    if size == length:
        return (buffer if isinstance(buffer, bytes) else bytes(buffer)), b""
    return bytes(buffer[:size]), buffer[size:]


def _strip_empty_lines(buffer: bytes | bytearray) -> bytes | bytearray:
    for _ in range(_MAX_EMPTY_LINES):
        if not buffer.startswith(b"\r\n"):
            break
        buffer = buffer[2:]
    if buffer[:1] == b"\n" or (buffer[:1] == b"\r" and len(buffer) > 1):
        raise RemoteProtocolError("empty lines before the request line")
    return buffer


def _check_head_size(buffer: bytes | bytearray, size: int, max_head: int, max_target: int) -> None:
    # Method and version belong to the line too; only the target has the limit.
    longest = max_target + 1024
    line_end = buffer.find(b"\r\n", 0, longest)
    if line_end < 0:
        line_end = min(size, longest)
    if line_end > max_target:
        target = bytes(buffer[:line_end]).split(b" ")[1:2]
        if not target and line_end == longest:
            raise RemoteProtocolError("request line without a target")
        if target and len(target[0]) > max_target:
            reason = f"request target over {max_target} bytes"
            raise RemoteProtocolError(reason, 414, limit="max_request_target_size")
    if size > max_head:
        reason = f"request head over {max_head} bytes"
        raise RemoteProtocolError(reason, 431, limit="h11_max_incomplete_size")


def check_lines(head: bytes | bytearray, complete: bool) -> int:
    """Refuse line ends that parsers disagree about; the number of lines.

    RFC 9112 2.2 lets a recipient take a bare LF as a line end: that is how requests are
    smuggled past another parser.

    :param head: the head, or what there is of it.
    :param complete: whether its final empty line is there.
    :raises RemoteProtocolError: 400.
    """
    pairs = head.count(b"\r\n")
    if head.count(b"\n") != pairs:
        raise RemoteProtocolError("bare LF in the request head")
    lone = head.count(b"\r") - pairs
    if lone and (complete or lone > 1 or not head.endswith(b"\r")):
        raise RemoteProtocolError("bare CR in the request head")
    return pairs


def parse_head(codec: HTTP1Codec, head: bytes) -> RequestHead:
    """Parse a whole head; what its codec does not look at is looked at here.

    :raises RemoteProtocolError: 400.
    """
    if codec.strict:
        return codec.parse_head(head)
    lines = check_lines(head, complete=True)
    parsed = codec.parse_head(head)
    check_folding(lines, parsed)
    return parsed


def check_folding(lines: int, parsed: RequestHead) -> None:
    """Refuse a line that is not a field of its own.

    A recipient may unfold obs-fold (RFC 9112 section 5.2), and parsers do; another one in
    front may not.

    :param lines: how many the head has, without those that end in a bare LF.
    :raises RemoteProtocolError: 400.
    """
    # Beside the fields there are the request line and the empty line.
    if lines != len(parsed[3]) + 2:
        raise RemoteProtocolError("obsolete line folding in the request head")


def read_request(
    head: RequestHead, stream_id: int, *, max_headers: int, raw_headers: bool
) -> Request:
    """Decide what a parsed head asks of the connection.

    :raises RemoteProtocolError: 400, 417, 431, 501 or 505.
    """
    method, target, version, received = head
    http10 = version == b"1.0"
    if not http10 and version[:2] != b"1.":
        raise RemoteProtocolError(f"HTTP version {quoted(version)}", 505)
    if len(received) > max_headers:
        reason = f"more than {max_headers} header fields"
        raise RemoteProtocolError(reason, 431, limit="max_header_count")
    headers: Headers = []
    found: dict[bytes, list[bytes]] = {}
    host: bytes | None = None
    known = fields.inbound_names
    for name, value in received:
        lower = known.get(name) or fields.inbound_name(name)
        headers.append((lower, value))
        if lower == b"host":
            if host is not None:
                raise RemoteProtocolError("exactly one Host field is required")
            host = value
        elif lower in _INTERESTING:
            if lower in found:
                found[lower].append(value)
            else:
                found[lower] = [value]
    # RFC 9112 3.2: 400 for a missing, repeated or invalid Host.
    if host is None:
        if not http10:
            raise RemoteProtocolError("exactly one Host field is required")
    elif not fields.valid_host(host):
        raise RemoteProtocolError(f"invalid Host {quoted(host)}")
    if target[:1] != b"/" or 0x23 in target or method == b"CONNECT":
        target, authority = _read_target(method, target)
        if authority is not None:
            # RFC 9112 3.2.2: Host is ignored in favour of the target's host.
            headers, received = _with_host(headers, authority), _with_host(received, authority)
    event = RequestReceived(
        stream_id,
        "1.0" if http10 else "1.1",
        _METHODS.get(method) or fields.method_name(method),
        target,
        headers,
    )
    if raw_headers:
        event.raw_headers = received
    if not found:
        event.end_stream = True
        return Request(event, 0, False, not http10)
    return _read_options(event, found, http10)


def _read_options(event: RequestReceived, found: dict[bytes, list[bytes]], http10: bool) -> Request:
    """Framing, persistence, expectations and upgrades."""
    length, chunked = _read_framing(found, http10)
    options: list[bytes] = []
    for value in found.get(b"connection", ()):
        options += fields.split_tokens(value)
    keep_alive = b"close" not in options and (not http10 or b"keep-alive" in options)
    if b"expect" in found:
        event.expects_continue = not http10 and _expects_continue(found[b"expect"])
    if b"te" in found:
        event.accepts_trailers = any(fields.wants_trailers(v) for v in found[b"te"])
    request = Request(event, length, chunked, keep_alive)
    if b"upgrade" in options and not http10:
        _read_upgrade(request, found, options)
    event.end_stream = not chunked and length == 0 and event.protocol is None
    return request


def _read_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """The origin-form or asterisk-form target, and the authority of an absolute-form one."""
    if method == b"CONNECT":
        # A tunnel is not something this server is capable of (RFC 9110 9.3.6, 15.6.2).
        raise RemoteProtocolError("CONNECT is not supported", 501)
    if target.startswith(b"/"):
        if b"#" in target:
            raise RemoteProtocolError("fragment in the request target")
        return target, None
    if target == b"*":
        if method != b"OPTIONS":
            raise RemoteProtocolError("asterisk-form is for OPTIONS only")
        return target, None
    match = _ABSOLUTE.fullmatch(target)
    if match is None or b"#" in target:
        raise RemoteProtocolError("request target is in none of the forms of RFC 9112 3.2")
    scheme, authority, rest = match.groups()
    if scheme.lower() not in (b"http", b"https"):
        raise RemoteProtocolError(f"target scheme {quoted(scheme)}")
    if not authority or not fields.valid_host(authority):
        raise RemoteProtocolError(f"invalid authority {quoted(authority)} in the request target")
    if not rest.startswith(b"/"):
        # RFC 9112 3.2.4: OPTIONS without a path means the server as a whole.
        rest = b"*" if not rest and method == b"OPTIONS" else b"/" + rest
    return rest, authority


def _with_host(headers: Headers, authority: bytes) -> Headers:
    others = [header for header in headers if header[0].lower() != b"host"]
    return [(b"host", authority), *others]


def _read_framing(found: dict[bytes, list[bytes]], http10: bool) -> tuple[int, bool]:
    """Content-Length (bytes) and whether the body is chunked (RFC 9112 section 6)."""
    codings = found.get(b"transfer-encoding")
    lengths = found.get(b"content-length")
    if codings is not None:
        if lengths is not None:
            raise RemoteProtocolError("both Transfer-Encoding and Content-Length")
        if http10:
            raise RemoteProtocolError("Transfer-Encoding in an HTTP/1.0 request")
        if len(codings) > 1:
            raise RemoteProtocolError("repeated Transfer-Encoding")
        if codings[0].lower() != b"chunked":
            members = fields.split_tokens(codings[0])
            if members.count(b"chunked") > 1 or members[-1:] != [b"chunked"]:
                status = 501 if b"chunked" not in members and members else 400
                raise RemoteProtocolError(f"Transfer-Encoding {quoted(codings[0])}", status)
            raise RemoteProtocolError(f"unsupported coding in {quoted(codings[0])}", 501)
        return 0, True
    if lengths is None:
        return 0, False
    # RFC 9110 8.6: one of several equal lengths may be taken, or the message refused.
    if len(lengths) > 1 or _DIGITS.fullmatch(lengths[0]) is None:
        raise RemoteProtocolError(f"invalid Content-Length {quoted(b', '.join(lengths))}")
    return int(lengths[0]), False


def _expects_continue(values: list[bytes]) -> bool:
    """Whether 100-continue is expected; other expectations are refused (RFC 9110 10.1.1)."""
    expectations = [token for value in values for token in fields.split_tokens(value)]
    if any(token != b"100-continue" for token in expectations):
        raise RemoteProtocolError("expectation cannot be met", 417)
    return bool(expectations)


def _read_upgrade(request: Request, found: dict[bytes, list[bytes]], options: list[bytes]) -> None:
    upgrade = [t for v in found.get(b"upgrade", ()) for t in fields.split_tokens(v)]
    if b"websocket" in upgrade and request.event.method == "GET" and not request.has_body:
        request.event.protocol = b"websocket"
        return
    settings = found.get(b"http2-settings", ())
    # RFC 7540 3.2.1: exactly one HTTP2-Settings, named in Connection.
    if b"h2c" in upgrade and len(settings) == 1 and b"http2-settings" in options:
        request.http2_settings = settings[0]
