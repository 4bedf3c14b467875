"""What an HTTP/2 header block means (RFC 9113 section 8.3, RFC 8441)."""

from __future__ import annotations

from typing import Any, Final

from tricorn.codecs.base import HeadersFrame
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import fields
from tricorn.protocol.events import RequestReceived
from tricorn.protocol.http2_limits import Limits
from tricorn.quoting import quoted
from tricorn.types import Header, Headers

_MAX_LENGTH_DIGITS: Final = 19
# What came before and is in order, the same again and again from most clients; small, and
# without queries, which may hold secrets.
_hosts: Final[dict[bytes, Any]] = {}  # the host field by the host
_MAX_HOSTS: Final = 256
_targets: Final[set[bytes]] = set()
_MAX_TARGETS: Final = 1024
_LONGEST_KNOWN: Final = 128  # bytes


def read_request(
    headers: Headers, stream_id: int, end_stream: bool, limits: Limits
) -> RequestReceived:
    """The request a header block carries.

    :raises RemoteProtocolError: 400 where the request is malformed (RFC 9113 8.1.1);
        another status where it is well formed and refused.
    """
    method: bytes | None = None
    scheme: bytes | None = None
    authority: bytes | None = None
    path: bytes | None = None
    protocol: bytes | None = None
    count = 0
    for name, value in headers:
        if name == b":method":
            before, method = method, value
        elif name == b":path":
            before, path = path, value
        elif name == b":scheme":
            before, scheme = scheme, value
        elif name == b":authority":
            before, authority = authority, value
        elif name == b":protocol":
            before, protocol = protocol, value
        else:
            break
        if before is not None:
            raise RemoteProtocolError(f"repeated pseudo-header field {quoted(name)}")
        count += 1
    regular = headers[count:]
    if len(regular) > limits.fields:
        raise RemoteProtocolError("too many header fields", 431, limit="max_header_count")
    special = fields.check_http2_fields(regular)
    verb = _method(method)
    if verb == "CONNECT":
        _check_connect(scheme, authority, path, protocol)
    elif protocol is not None:
        raise RemoteProtocolError(":protocol without CONNECT")
    if protocol is not None and end_stream:
        raise RemoteProtocolError("extended CONNECT that ends its stream")
    wire = _scheme(scheme)
    if path is None or path not in _targets or len(path) > limits.target:
        path = _checked_target(path, verb, limits.target)
    regular = _with_host(authority, regular, special)
    event = RequestReceived(stream_id, "2", verb, path, regular, wire, protocol, end_stream)
    if special:
        _read_fields(event, special)
        if end_stream and event.content_length:
            # RFC 9113 8.1.1: it must equal what comes in DATA.
            raise RemoteProtocolError(f"Content-Length {event.content_length} without content")
    return event


def make_first(request: RequestReceived, body: bytes) -> None:
    """Make a request that came as HTTP/1.1, with its whole content, the one of stream 1."""
    request.stream_id = 1
    request.http_version = "2"
    request.end_stream = not body
    request.expects_continue = False


def _read_fields(event: RequestReceived, special: Headers) -> None:
    """Note what some of the regular fields say."""
    cookies: list[bytes] = []
    for name, value in special:
        if name == b"cookie":
            cookies.append(value)
        elif name == b"te":
            event.accepts_trailers = True
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise RemoteProtocolError("expectation cannot be met", 417)
            event.expects_continue = not event.end_stream
        elif name == b"content-length":
            event.content_length = _content_length(value, event.content_length)
        elif name == b"priority":
            event.priority = value
    if len(cookies) > 1:
        # RFC 9113 8.2.3: split for compression, to be joined before it goes further.
        others = [header for header in event.headers if header[0] != b"cookie"]
        event.headers = [*others, (b"cookie", b"; ".join(cookies))]


def check_trailers(frame: HeadersFrame, still_due: int | None, limits: Limits) -> list[bytes]:
    """Refuse a trailer section that is malformed, too long, or comes before its time.

    Fields with a control character in their value are taken out, as is allowed (RFC 9110 section
    6.5.1): a proxy passes them on as its client wrote them, and a reset would cost that of many.

    :param still_due: what Content-Length announced and has not come (bytes), if it did.
    :return: the names of what was taken out.
    :raises RemoteProtocolError: with the option whose bound it passed, if any.
    """
    if not frame.end_stream:
        raise RemoteProtocolError("trailers that do not end the stream")
    if still_due:
        raise RemoteProtocolError("content shorter than Content-Length")
    if len(frame.headers) > limits.fields:
        raise RemoteProtocolError("too many trailer fields", 431, limit="max_header_count")
    odd = [header for header in frame.headers if fields.is_odd(header[1])]
    if odd:
        frame.headers = [header for header in frame.headers if header not in odd]
    fields.check_trailers(frame.headers)
    fields.check_http2_fields(frame.headers)
    return [name for name, _ in odd]


def _content_length(value: bytes, before: int | None) -> int:
    """RFC 9110 section 8.6; several must agree."""
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise RemoteProtocolError(f"invalid Content-Length {quoted(value)}")
    length = int(value)
    if before not in (None, length):
        raise RemoteProtocolError("several Content-Length fields that differ")
    return length


def _method(method: bytes | None) -> str:
    if method is not None:
        if method == b"GET":
            return "GET"
        if method == b"POST":
            return "POST"
        if fields.is_token(method):
            return fields.method_name(method)
    raise RemoteProtocolError(f"missing or invalid :method {quoted(method)}")


def _scheme(scheme: bytes | None) -> str:
    if scheme is not None:
        if scheme == b"https":
            return "https"
        if scheme == b"http":
            return "http"
    reason = f"missing or invalid :scheme {quoted(scheme)}"
    raise RemoteProtocolError(reason, in_value=scheme is not None)


def _check_connect(
    scheme: bytes | None, authority: bytes | None, path: bytes | None, protocol: bytes | None
) -> None:
    if protocol is None:
        # RFC 9113 8.5: a plain CONNECT has neither :scheme nor :path.
        if scheme is not None or path is not None or authority is None:
            raise RemoteProtocolError("malformed CONNECT")
        raise RemoteProtocolError("CONNECT is not supported", 501)
    # RFC 8441 4: an extended one has all of them.
    if scheme is None or path is None or authority is None:
        raise RemoteProtocolError("malformed extended CONNECT")
    if protocol != b"websocket":
        raise RemoteProtocolError(f"protocol {quoted(protocol)} is not supported", 501)


def _checked_target(path: bytes | None, method: str, max_target: int) -> bytes:
    if not path or not fields.valid_target(path):
        reason = f"missing or invalid :path {quoted(path)}"
        raise RemoteProtocolError(reason, in_value=path is not None)
    if len(path) > max_target:
        reason = f":path over {max_target} bytes"
        raise RemoteProtocolError(reason, 414, limit="max_request_target_size")
    if path[0] != 0x2F or path.find(b"#") >= 0:
        if path != b"*" or method != "OPTIONS":
            raise RemoteProtocolError(f"invalid :path {quoted(path)}", in_value=True)
    elif len(path) <= _LONGEST_KNOWN and path.find(b"?") < 0:
        if len(_targets) >= _MAX_TARGETS:
            _targets.clear()
        _targets.add(path)
    return path


def _with_host(authority: bytes | None, regular: Headers, special: Headers) -> Headers:
    """``:authority`` as ``host`` at the front (ASGI HTTP); RFC 9113 8.3.1 on disagreement.

    A request may come without either: that of HTTP/1.0 through a proxy, or its health check.

    :param regular: the caller has no more use for it.
    """
    host = authority
    if special:
        hosts = [value for name, value in special if name == b"host"]
        if len(hosts) > 1:
            raise RemoteProtocolError("repeated Host")
        if hosts:
            if host is None:
                host = hosts[0]
            elif hosts[0].lower() != host.lower():
                raise RemoteProtocolError("Host differs from :authority")
            regular = [header for header in regular if header[0] != b"host"]
    if host is not None:
        first = _hosts.get(host)
        regular.insert(0, _host_field(host) if first is None else first)
    return regular


def _host_field(host: bytes) -> Header:
    if not host or not fields.valid_host(host):
        raise RemoteProtocolError(f"invalid authority {quoted(host)}", in_value=True)
    field = (b"host", host)
    if len(host) <= _LONGEST_KNOWN:
        if len(_hosts) >= _MAX_HOSTS:
            _hosts.clear()
        _hosts[host] = field
    return field
