"""What an HTTP/2 header block means (RFC 9113 section 8.3, RFC 8441)."""

from __future__ import annotations

from typing import Final

from tricorn.codecs.base import HeadersFrame
from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import fields
from tricorn.protocol.events import RequestReceived
from tricorn.types import Headers

_MAX_LENGTH_DIGITS: Final = 19
# Tokens that need no look.
_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})


def read_request(
    headers: Headers, stream_id: int, end_stream: bool, config: Config
) -> RequestReceived:
    """The request a header block carries.

    :raises RemoteProtocolError: 400 where the request is malformed (RFC 9113 8.1.1);
        another status where it is well formed and refused.
    """
    pseudo: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in _PSEUDO:
            break
        if name in pseudo:
            raise RemoteProtocolError(f"repeated pseudo-header field {name!r}")
        pseudo[name] = value
    regular = headers[len(pseudo) :]
    if len(regular) > config.max_header_count:
        raise RemoteProtocolError("too many header fields", 431, limit="max_header_count")
    special = fields.check_http2_fields(regular)
    method = pseudo.get(b":method")
    if method is None or (method not in _METHODS and not fields.is_token(method)):
        raise RemoteProtocolError(f"missing or invalid :method {method!r}")
    protocol = pseudo.get(b":protocol")
    if method == b"CONNECT":
        _check_connect(pseudo, protocol)
    elif protocol is not None:
        raise RemoteProtocolError(":protocol without CONNECT")
    if protocol is not None and end_stream:
        raise RemoteProtocolError("extended CONNECT that ends its stream")
    path = _check_target(pseudo, method, config.max_request_target_size)
    event = RequestReceived(
        stream_id,
        "2",
        method.decode("ascii"),
        path,
        _with_host(pseudo.get(b":authority"), regular, special),
        pseudo[b":scheme"].decode("ascii"),
        protocol,
        end_stream,
    )
    if special:
        _read_fields(event, special)
        if end_stream and event.content_length:
            # RFC 9113 8.1.1: it must equal what comes in DATA.
            raise RemoteProtocolError(f"Content-Length {event.content_length} without content")
    return event


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


def check_trailers(frame: HeadersFrame, still_due: int | None, config: Config) -> None:
    """Refuse a trailer section that is malformed, too long, or comes before its time.

    :param still_due: what Content-Length announced and has not come (bytes), if it did.
    :raises RemoteProtocolError: with the option whose bound it passed, if any.
    """
    if not frame.end_stream:
        raise RemoteProtocolError("trailers that do not end the stream")
    if still_due:
        raise RemoteProtocolError("content shorter than Content-Length")
    if len(frame.headers) > config.max_header_count:
        raise RemoteProtocolError("too many trailer fields", 431, limit="max_header_count")
    fields.check_trailers(frame.headers)
    fields.check_http2_fields(frame.headers)


def _content_length(value: bytes, before: int | None) -> int:
    """RFC 9110 section 8.6; several must agree."""
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise RemoteProtocolError(f"invalid Content-Length {value!r}")
    length = int(value)
    if before not in (None, length):
        raise RemoteProtocolError("several Content-Length fields that differ")
    return length


def _check_connect(pseudo: dict[bytes, bytes], protocol: bytes | None) -> None:
    if protocol is None:
        # RFC 9113 8.5: a plain CONNECT has neither :scheme nor :path.
        if b":scheme" in pseudo or b":path" in pseudo or b":authority" not in pseudo:
            raise RemoteProtocolError("malformed CONNECT")
        raise RemoteProtocolError("CONNECT is not supported", 501)
    # RFC 8441 4: an extended one has all of them.
    if not pseudo.keys() >= {b":scheme", b":path", b":authority"}:
        raise RemoteProtocolError("malformed extended CONNECT")
    if protocol != b"websocket":
        raise RemoteProtocolError(f"protocol {protocol!r} is not supported", 501)


def _check_target(pseudo: dict[bytes, bytes], method: bytes, max_target: int) -> bytes:
    if pseudo.get(b":scheme") not in (b"http", b"https"):
        raise RemoteProtocolError(f"missing or invalid :scheme {pseudo.get(b':scheme')!r}")
    path = pseudo.get(b":path")
    if not path or not fields.valid_target(path):
        raise RemoteProtocolError(f"missing or invalid :path {path!r}")
    if len(path) > max_target:
        reason = f":path over {max_target} bytes"
        raise RemoteProtocolError(reason, 414, limit="max_request_target_size")
    if (path[:1] != b"/" and not (path == b"*" and method == b"OPTIONS")) or 0x23 in path:
        raise RemoteProtocolError(f"invalid :path {path!r}")
    return path


def _with_host(authority: bytes | None, regular: Headers, special: Headers) -> Headers:
    """``:authority`` as ``host`` at the front (ASGI HTTP); RFC 9113 8.3.1 on disagreement."""
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
    if not host or not fields.valid_host(host):
        raise RemoteProtocolError(f"missing or invalid authority {host!r}")
    return [(b"host", host), *regular]
