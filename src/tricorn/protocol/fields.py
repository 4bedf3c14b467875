"""Rules for methods, targets, header and trailer fields, said once for every HTTP version.

RFC 9110 section 5 (fields), RFC 9112 sections 3 and 6, RFC 9113 sections 8.2 and 8.3.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from tricorn.exceptions import RemoteProtocolError
from tricorn.quoting import quoted
from tricorn.types import Header, Headers

TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LOWER_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# Methods whose responses end elsewhere than others (RFC 9112 section 6.3).
_FRAMING_METHODS: Final = ("HEAD", "CONNECT")
# RFC 9110 5.5: CR, LF and NUL are dangerous; the other control characters are invalid.
# HTAB is the only one allowed.
BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 9112 3.2: a target is visible ASCII; RFC 3986 excludes the delimiters below, yet
# browsers send some of them raw, so only what could split or confuse is refused.
_BAD_TARGET: Final = re.compile(rb"[^\x21-\x7e]")
# uri-host [ ":" port ] (RFC 9110 7.2, RFC 3986 3.2.2): reg-name, IPv4 or bracketed literal.
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+\]"
    rb"|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?",
    re.ASCII,
)

# RFC 9113 8.2.2: connection-specific fields must not appear in HTTP/2.
CONNECTION_SPECIFIC: Final[frozenset[bytes]] = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
# RFC 9110 6.5.1: fields needed for framing, routing, authentication, or content handling
# must not be taken from a trailer section.
FORBIDDEN_TRAILERS: Final = CONNECTION_SPECIFIC | {
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"max-forwards",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
}


def method_name(method: bytes) -> str:
    """The method of a request, a token.

    RFC 9110 9.1 tells methods apart by case, and ASGI wants them in upper case: an application
    would answer ``head`` as HEAD, without the content that it announces.

    :raises RemoteProtocolError: 501 for HEAD and CONNECT in other letters.
    """
    name = method.decode("ascii")
    if name not in _FRAMING_METHODS and name.upper() in _FRAMING_METHODS:
        raise RemoteProtocolError(f"method {quoted(method)} is not supported", 501)
    return name


def has_body(method: str, status: int) -> bool:
    """Whether a response to ``method`` with ``status`` carries content (RFC 9110 6.4.1)."""
    return method != "HEAD" and status >= 200 and allows_content(status)


def allows_content(status: int) -> bool:
    """Whether a final response with ``status`` may have content, whatever the method."""
    return status != 204 and status != 304


def is_token(value: bytes) -> bool:
    """Whether ``value`` is a token (RFC 9110 section 5.6.2)."""
    return TOKEN.fullmatch(value) is not None


# Hosts found valid: one server is asked for few.
_known_hosts: Final[set[bytes]] = set()
_MAX_KNOWN_HOSTS: Final = 256
_LONGEST_KNOWN_HOST: Final = 255


def valid_host(value: bytes) -> bool:
    """Whether ``value`` is a valid Host or :authority value: no userinfo, path or spaces."""
    if value in _known_hosts:
        return True
    if _HOST.fullmatch(value) is None:
        return False
    if len(value) <= _LONGEST_KNOWN_HOST:
        if len(_known_hosts) >= _MAX_KNOWN_HOSTS:
            _known_hosts.clear()
        _known_hosts.add(value)
    return True


def valid_target(value: bytes) -> bool:
    """Whether ``value`` holds only bytes a request target may hold."""
    return _BAD_TARGET.search(value) is None


def split_tokens(value: bytes) -> list[bytes]:
    """The lower-case members of a comma-separated list of tokens (RFC 9110 section 5.6.1)."""
    if b"," not in value:
        member = value.strip(b" \t").lower()
        return [member] if member else []
    return [part.strip(b" \t").lower() for part in value.split(b",") if part.strip(b" \t")]


def wants_trailers(value: bytes) -> bool:
    """Whether a TE field value (bytes) holds the ``trailers`` member (RFC 9110 10.1.4)."""
    return any(member.split(b";")[0].strip() == b"trailers" for member in split_tokens(value))


#: Names that requests came with, as received, and their lower case; see `inbound_name`.
inbound_names: Final[dict[bytes, bytes]] = {}
_MAX_INBOUND_NAMES: Final = 1024
_LONGEST_INBOUND_NAME: Final = 64


def inbound_name(name: bytes) -> bytes:
    """The lower case of a field name as received; a token (RFC 9110 section 5.1).

    It is kept in ``inbound_names``, which callers look in first. Peers choose the names, so
    those are short, and from time to time all forgotten.

    :raises RemoteProtocolError: 400.
    """
    if not TOKEN.fullmatch(name):
        raise RemoteProtocolError(f"field name {quoted(name)} is not a token")
    lower = name.lower()
    if len(name) <= _LONGEST_INBOUND_NAME:
        if len(inbound_names) >= _MAX_INBOUND_NAMES:
            inbound_names.clear()
        inbound_names[name] = lower
    return lower


def check_inbound_value(name: bytes, value: bytes) -> None:
    """Refuse control characters in a received field value (RFC 9110 section 5.5).

    :raises RemoteProtocolError: 400.
    """
    if BAD_VALUE.search(value) is not None:
        reason = f"control character in the value of field {quoted(name)}"
        raise RemoteProtocolError(reason, in_value=True)


_MALFORMED: Final = frozenset(b"\0\r\n")

# Fields that a server reads in a request, and secrets; no others are remembered.
_SPECIAL: Final = frozenset({b"content-length", b"cookie", b"expect", b"host", b"priority", b"te"})
_UNREMEMBERED: Final = _SPECIAL | {b"authorization", b"proxy-authorization"}
#: Whole fields that came before and are in order, small ones; most clients repeat theirs.
_plain_fields: Final[set[Any]] = set()
_MAX_PLAIN_FIELDS: Final = 1024
_LONGEST_PLAIN: Final = 128  # name and value


def check_http2_fields(headers: Headers) -> Headers:
    """Refuse regular fields that RFC 9113 section 8.2 calls malformed.

    :param headers: regular fields only, without pseudo-header fields.
    :return: those of them that say something to the server.
    :raises RemoteProtocolError: 400, with the field named.
    """
    special: list[Any] = []
    plain = _plain_fields
    every: list[Any] = headers  # compiled code would make tuples with types anew
    for header in every:
        if header in plain:
            continue
        name, value = cast("Header", header)
        if _LOWER_TOKEN.fullmatch(name) is None:
            if name.startswith(b":"):
                raise RemoteProtocolError(f"pseudo-header field {quoted(name)} out of place")
            raise RemoteProtocolError(f"field name {quoted(name)} is not a lower-case token")
        if value and (value[0] in b" \t" or value[-1] in b" \t"):
            raise RemoteProtocolError(f"white space around the value of field {quoted(name)}")
        check_inbound_value(name, value)
        if name in CONNECTION_SPECIFIC:
            raise RemoteProtocolError(f"connection-specific field {quoted(name)}")
        # RFC 9113 8.2.2: TE may hold nothing but "trailers".
        if name == b"te" and value.lower() != b"trailers":
            raise RemoteProtocolError("TE other than trailers")
        if name in _SPECIAL:
            special.append(header)
        elif len(name) + len(value) <= _LONGEST_PLAIN and name not in _UNREMEMBERED:
            if len(plain) >= _MAX_PLAIN_FIELDS:
                plain.clear()
            plain.add(header)
    return special


def is_odd(value: bytes) -> bool:
    """Whether a control character is all that is wrong with a received value.

    NUL, CR and LF make a message malformed (RFC 9113 section 8.2.1); others proxies pass on.
    """
    return BAD_VALUE.search(value) is not None and not _MALFORMED.intersection(value)


def check_trailers(headers: Headers) -> None:
    """Refuse trailer fields that carry framing, routing or control data (RFC 9110 6.5.1).

    :raises RemoteProtocolError: 400.
    """
    for name, value in headers:
        if name in FORBIDDEN_TRAILERS or name.startswith(b":"):
            raise RemoteProtocolError(f"field {quoted(name)} is not allowed in trailers")
        check_inbound_value(name, value)
