"""The opening handshake of a WebSocket over HTTP/1.1 (RFC 6455 section 4.2) and over an
extended CONNECT of HTTP/2 (RFC 8441 section 5), with permessage-deflate (RFC 7692 section 7).

The HTTP layer below has parsed the request and decided that it asks for a WebSocket
(``Upgrade: websocket``, or ``:protocol = websocket``); here it is judged and answered.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from tricorn.codecs.websocket_base import DeflateParameters, WebSocketCodecFactory
from tricorn.exceptions import LocalProtocolError, RemoteProtocolError
from tricorn.protocol.websocket import CompressionOptions, WebSocketConnection, WebSocketLimits
from tricorn.types import Header, Headers

try:  # hashlib would load OpenSSL for one hash of 60 bytes
    from _sha1 import sha1  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from hashlib import sha1

# (name, [(parameter, value or None)]) as offered, in order.
ExtensionOffer: TypeAlias = tuple[str, list[tuple[str, str | None]]]

_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = b"13"
_DEFLATE: Final = "permessage-deflate"

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TOKEN_RE: Final = re.compile(_TOKEN)
_HEADER_NAME_RE: Final = re.compile(_TOKEN.encode())
_EXTENSION_RE: Final = re.compile(rf"[ \t,]*({_TOKEN})")
_PARAMETER_RE: Final = re.compile(
    rf'[ \t]*;[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?'
)
_ELEMENT_END_RE: Final = re.compile(r"[ \t]*(?:,|\Z)")
_LIST_END_RE: Final = re.compile(r"[ \t,]*\Z")
_WINDOW_BITS_RE: Final = re.compile(r"[89]|1[0-5]")
_FORBIDDEN_VALUE_RE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

# The handshake or the connection below it writes these; a second one would contradict it.
_RESERVED_HEADERS: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"transfer-encoding",
        b"upgrade",
    }
)


@dataclass(slots=True)
class WebSocketHandshake:
    """A valid request for a WebSocket that has not been answered yet.

    ``subprotocols`` (list of str) and ``extensions`` are what the client offers, in its order.
    """

    http_version: Literal["1.1", "2"]
    subprotocols: list[str] = field(default_factory=list)
    extensions: list[ExtensionOffer] = field(default_factory=list)
    key: bytes = b""

    @classmethod
    def from_request(
        cls, http_version: Literal["1.1", "2"], method: bytes | str, headers: Headers
    ) -> WebSocketHandshake:
        """Judge a request; ``headers`` are (lower-case name, value) pairs of bytes.

        Raises RemoteProtocolError with the status and headers of the refusal: 426 for a
        version other than 13 over HTTP/1.1, else 400.
        """
        fields: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            fields.setdefault(name, []).append(value)
        method = method.encode() if isinstance(method, str) else method
        if http_version == "1.1":
            _check_upgrade(method, fields)
        elif method != b"CONNECT":
            raise RemoteProtocolError("WebSocket over HTTP/2 needs CONNECT")
        _check_version(http_version, fields)
        return cls(
            http_version,
            _parse_subprotocols(fields),
            _parse_extensions(_joined(fields, b"sec-websocket-extensions")),
            _parse_key(fields) if http_version == "1.1" else b"",
        )

    def accept(
        self,
        subprotocol: object = None,
        headers: Iterable[Any] = (),
        compression: CompressionOptions | None = None,
        limits: WebSocketLimits | None = None,
        codec_factory: WebSocketCodecFactory | None = None,
    ) -> tuple[int, Headers, WebSocketConnection]:
        """Accept: the status (101 or 200), the response headers and the open connection.

        ``headers`` are the application's; ``compression`` None declines every offer.

        Raises LocalProtocolError for a ``subprotocol`` that was not offered or a header that
        is malformed or not the application's to set.
        """
        response: Headers = []
        if self.http_version == "1.1":
            response.append((b"upgrade", b"websocket"))
            response.append((b"connection", b"Upgrade"))
            response.append((b"sec-websocket-accept", accept_token(self.key)))
        if subprotocol is not None:
            if not isinstance(subprotocol, str) or subprotocol not in self.subprotocols:
                raise LocalProtocolError(f"subprotocol {subprotocol!r} was not offered")
            response.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
        agreed = negotiate_deflate(self.extensions, compression) if compression else None
        if agreed is not None:
            response.append((b"sec-websocket-extensions", agreed[1]))
        for header in headers:
            response.append(_checked_header(header))
        connection = WebSocketConnection(
            limits or WebSocketLimits(),
            agreed[0] if agreed else None,
            compression.min_size if compression else 0,
            codec_factory,
        )
        return (101 if self.http_version == "1.1" else 200), response, connection


def accept_token(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(sha1(key + _ACCEPT_GUID, usedforsecurity=False).digest())


def negotiate_deflate(
    offers: list[ExtensionOffer], options: CompressionOptions
) -> tuple[DeflateParameters, bytes] | None:
    """The first acceptable permessage-deflate offer and our answer to it, None without one.

    An offer with an unknown, repeated or invalid parameter is declined (RFC 7692 section 7).
    """
    for name, parameters in offers:
        if name.lower() == _DEFLATE:
            agreed = _accept_deflate(parameters, options)
            if agreed is not None:
                return agreed
    return None


def _accept_deflate(
    parameters: list[tuple[str, str | None]], options: CompressionOptions
) -> tuple[DeflateParameters, bytes] | None:
    offered = dict(parameters)
    if len(offered) != len(parameters):
        return None
    for name, value in parameters:
        if not _is_valid_parameter(name, value):
            return None
    # Either side may ask the server, and the server may tell the client, to forget the window.
    server_resets = "server_no_context_takeover" in offered or not options.server_context_takeover
    client_resets = "client_no_context_takeover" in offered or not options.client_context_takeover
    server_bits = min(
        int(offered.get("server_max_window_bits") or 15), options.server_max_window_bits
    )
    if server_bits < 9:
        return None
    client_bits = 15
    if "client_max_window_bits" in offered:
        # Only a client that names it knows it: to others the parameter may not be sent
        # (RFC 7692 section 7.1.2.2), and their window is the largest.
        client_bits = min(
            int(offered["client_max_window_bits"] or 15), options.client_max_window_bits
        )
    answer = [_DEFLATE]
    if server_resets:
        answer.append("server_no_context_takeover")
    if client_resets:
        answer.append("client_no_context_takeover")
    if server_bits < 15 or "server_max_window_bits" in offered:
        answer.append(f"server_max_window_bits={server_bits}")
    if client_bits < 15 or offered.get("client_max_window_bits"):
        answer.append(f"client_max_window_bits={client_bits}")
    deflate = DeflateParameters(server_bits, client_bits, server_resets, client_resets)
    return deflate, "; ".join(answer).encode("ascii")


def _is_valid_parameter(name: str, value: str | None) -> bool:
    if name in ("server_no_context_takeover", "client_no_context_takeover"):
        return value is None
    if name == "client_max_window_bits" and value is None:
        return True
    if name in ("server_max_window_bits", "client_max_window_bits"):
        return value is not None and _WINDOW_BITS_RE.fullmatch(value) is not None
    return False


def _joined(fields: dict[bytes, list[bytes]], name: bytes) -> str:
    return b",".join(fields.get(name, ())).decode("latin-1")


def _tokens(fields: dict[bytes, list[bytes]], name: bytes) -> list[str]:
    return [item.strip(" \t").lower() for item in _joined(fields, name).split(",")]


def _check_upgrade(method: bytes, fields: dict[bytes, list[bytes]]) -> None:
    if method != b"GET":
        raise RemoteProtocolError("WebSocket over HTTP/1.1 needs GET")
    if "upgrade" not in _tokens(fields, b"connection"):
        raise RemoteProtocolError("Connection does not name upgrade")
    if "websocket" not in _tokens(fields, b"upgrade"):
        raise RemoteProtocolError("Upgrade does not name websocket")


def _check_version(http_version: str, fields: dict[bytes, list[bytes]]) -> None:
    if fields.get(b"sec-websocket-version") == [_VERSION]:
        return
    headers = [(b"sec-websocket-version", _VERSION)]
    if http_version != "1.1":
        # 426 must carry Upgrade (RFC 9110 section 15.5.22), which HTTP/2 forbids.
        raise RemoteProtocolError("Sec-WebSocket-Version is not 13", 400, headers)
    headers += [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
    raise RemoteProtocolError("Sec-WebSocket-Version is not 13", 426, headers)


def _parse_key(fields: dict[bytes, list[bytes]]) -> bytes:
    keys = fields.get(b"sec-websocket-key", [])
    if len(keys) != 1:
        raise RemoteProtocolError("not exactly one Sec-WebSocket-Key")
    try:
        nonce = base64.b64decode(keys[0], validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise RemoteProtocolError("Sec-WebSocket-Key is not 16 bytes in base64")
    return keys[0]


def _parse_subprotocols(fields: dict[bytes, list[bytes]]) -> list[str]:
    names = [name.strip(" \t") for name in _joined(fields, b"sec-websocket-protocol").split(",")]
    # Empty list elements are to be ignored (RFC 9110 section 5.6.1.2).
    names = [name for name in dict.fromkeys(names) if name]
    if not all(_TOKEN_RE.fullmatch(name) for name in names):
        raise RemoteProtocolError("Sec-WebSocket-Protocol is not a list of tokens")
    return names


def _parse_extensions(value: str) -> list[ExtensionOffer]:
    """Parse Sec-WebSocket-Extensions; a malformed one fails the handshake (RFC 6455 9.1)."""
    offers: list[ExtensionOffer] = []
    position = 0
    while not _LIST_END_RE.match(value, position):
        match = _EXTENSION_RE.match(value, position)
        if match is None:
            raise RemoteProtocolError("Sec-WebSocket-Extensions is malformed")
        name, parameters = match[1], []
        position = match.end()
        while parameter := _PARAMETER_RE.match(value, position):
            parameters.append((parameter[1], _parameter_value(parameter)))
            position = parameter.end()
        end = _ELEMENT_END_RE.match(value, position)
        if end is None:
            raise RemoteProtocolError("Sec-WebSocket-Extensions is malformed")
        position = end.end()
        offers.append((name, parameters))
    return offers


def _parameter_value(parameter: re.Match[str]) -> str | None:
    quoted: str | None = parameter[3]
    if quoted is None:
        value: str | None = parameter[2]
        return value
    unquoted = re.sub(r"\\(.)", r"\1", quoted)
    # RFC 6455 section 9.1: the value after unescaping must be a token.
    if not _TOKEN_RE.fullmatch(unquoted):
        raise RemoteProtocolError("Sec-WebSocket-Extensions is malformed")
    return unquoted


def _checked_header(header: Any) -> Header:
    name, value = header
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise LocalProtocolError(f"header {name!r} is not a pair of byte strings")
    name = name.lower()
    if not _HEADER_NAME_RE.fullmatch(name):
        raise LocalProtocolError(f"header name {name!r} is malformed")
    if name in _RESERVED_HEADERS:
        raise LocalProtocolError(f"header {name.decode('ascii')} is not the application's to set")
    if _FORBIDDEN_VALUE_RE.search(value):
        raise LocalProtocolError(f"value of header {name.decode('ascii')} has control characters")
    return name, value.strip(b" \t")
