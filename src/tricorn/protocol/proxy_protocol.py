"""The PROXY protocol, versions 1 and 2: the header a proxy sends before anything else.

Source: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt (sections 2.1 and 2.2).
The parser tells what was given beyond the header, so that what follows it (a TLS
handshake, perhaps) can be left in the socket.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from tricorn.exceptions import RemoteProtocolError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
#: Bytes of the longest line of version 1, its end included.
LONGEST_LINE = 107
#: Bytes behind the first 16 of version 2 that are taken; the format could hold 65,535.
LARGEST_BLOCK = 4096

ALPN = 0x01
AUTHORITY = 0x02
CRC32C = 0x03
NOOP = 0x04
UNIQUE_ID = 0x05
SSL = 0x20
NETNS = 0x30
_FIXED = 16  # of version 2: signature, version and command, family, length
_LONGEST_ID = 128
_CLIENT_SSL, _CLIENT_CERT_CONN, _CLIENT_CERT_SESS = 1, 2, 4
_SSL_TEXTS = {
    0x21: "version",
    0x22: "common_name",
    0x23: "cipher",
    0x24: "signature_algorithm",
    0x25: "key_algorithm",
    0x26: "group",
    0x27: "signature_scheme",
}
_SSL_CLIENT_CERT = 0x28

_MISSING = "a connection without a PROXY protocol header"
_MALFORMED = "a malformed PROXY protocol header"
_OVERSIZED = "a PROXY protocol header that is too long"
_CHECKSUM = "a PROXY protocol header with a wrong checksum"
CUT = "a connection closed before the end of its PROXY protocol header"
LATE = "a PROXY protocol header that does not come"
UNTRUSTED = "PROXY protocol of a peer that is not among trusted_proxies"

Family = Literal["unspec", "inet", "inet6", "unix"]
_FAMILIES: tuple[Family, ...] = ("unspec", "inet", "inet6", "unix")
_ADDRESS_SIZES = {"unspec": 0, "inet": 12, "inet6": 36, "unix": 216}


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says.

    ``client`` (host, port) and ``server`` (host, port, or path, None) are the ends of the
    connection that the proxy has taken. With the family ``unspec``, which a LOCAL header and
    an UNKNOWN line have too, they are None and the ends of the socket count. A client on the
    proxy's unix socket (``unix``) is None. ``tlvs`` are type and value, in their order.
    """

    version: Literal[1, 2]
    local: bool = False
    family: Family = "unspec"
    client: tuple[str, int] | None = None
    server: tuple[str, int | None] | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()

    def ends(
        self, client: tuple[str, int] | None, server: tuple[str, int | None] | None
    ) -> tuple[tuple[str, int] | None, tuple[str, int | None] | None]:
        """Client and server: those it tells, else the given ones of the socket."""
        return (client, server) if self.family == "unspec" else (self.client, self.server)

    def tlv(self, kind: int) -> bytes | None:
        """The value of the first TLV of a type."""
        return next((value for found, value in self.tlvs if found == kind), None)

    @property
    def secure(self) -> bool:
        """Whether the client spoke TLS with the proxy (PP2_CLIENT_SSL)."""
        value = self.tlv(SSL)
        return value is not None and bool(value[0] & _CLIENT_SSL)

    def describe(self, proxy: tuple[str, int] | None) -> dict[str, Any]:
        """The entry ``tricorn.proxy_protocol`` of ``scope["extensions"]``.

        :param proxy: the peer of the socket.
        """
        ssl = self.tlv(SSL)
        return {
            "version": self.version,
            "command": "LOCAL" if self.local else "PROXY",
            "proxy": proxy,
            "alpn": self.tlv(ALPN),
            "authority": _text(self.tlv(AUTHORITY)),
            "unique_id": self.tlv(UNIQUE_ID),
            "netns": _text(self.tlv(NETNS)),
            "ssl": _describe_ssl(ssl) if ssl is not None else None,
            "tlvs": self.tlvs,
        }


class ProxyHeaderParser:
    """Takes the bytes a connection begins with until the header is whole."""

    __slots__ = ("_buffer", "rest")

    def __init__(self) -> None:
        self._buffer = b""
        #: What was given beyond the header.
        self.rest = b""

    def feed(self, data: bytes) -> ProxyHeader | None:
        """Take bytes; the header, once it is whole.

        :raises RemoteProtocolError: if this is none, or one that cannot be taken.
        """
        self._buffer = data = self._buffer + data
        if data[:1] == b"P":
            if not (data.startswith(b"PROXY ") or b"PROXY ".startswith(data)):
                raise RemoteProtocolError(_MISSING)
            return self._line(data)
        if data.startswith(SIGNATURE):
            return self._block(data)
        if not SIGNATURE.startswith(data):
            raise RemoteProtocolError(_MISSING)
        return None

    def _line(self, data: bytes) -> ProxyHeader | None:
        end = data.find(b"\n", 0, LONGEST_LINE)
        if end < 0:
            if len(data) >= LONGEST_LINE:
                raise RemoteProtocolError(_OVERSIZED)
            if b"\r" in data[:-1]:
                raise RemoteProtocolError(_MALFORMED)
            return None
        self.rest = data[end + 1 :]
        return parse_line(data[: end + 1])

    def _block(self, data: bytes) -> ProxyHeader | None:
        if len(data) < _FIXED:
            return None
        size = int.from_bytes(data[14:16], "big")
        if data[12] >> 4 != 2:
            raise RemoteProtocolError(_MALFORMED)
        if size > LARGEST_BLOCK:
            raise RemoteProtocolError(_OVERSIZED)
        end = _FIXED + size
        if len(data) < end:
            return None
        self.rest = data[end:]
        return parse_block(data[:end])


# Version 1

_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n"
)


def parse_line(line: bytes) -> ProxyHeader:
    """A whole line of version 1.

    :raises RemoteProtocolError: if it is malformed.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(_MALFORMED)
    if match[1] is None:
        return ProxyHeader(1)
    parse = ipaddress.IPv4Address if match[1] == b"4" else ipaddress.IPv6Address
    try:
        source, destination = (_host(parse(match[n].decode("ascii"))) for n in (2, 3))
    except ValueError:
        raise RemoteProtocolError(_MALFORMED) from None
    ports = int(match[4]), int(match[5])
    if max(ports) > 65535:
        raise RemoteProtocolError(_MALFORMED)
    family: Family = "inet" if match[1] == b"4" else "inet6"
    return ProxyHeader(1, False, family, (source, ports[0]), (destination, ports[1]))


# Version 2


def parse_block(data: bytes) -> ProxyHeader:
    """A whole header of version 2, its first 16 bytes included.

    :raises RemoteProtocolError: if it is malformed or its checksum is wrong.
    """
    command, family_number, transport = data[12] & 15, data[13] >> 4, data[13] & 15
    if command > 1 or family_number > 3 or transport > 2:
        raise RemoteProtocolError(_MALFORMED)
    if command == 0:
        return ProxyHeader(2, local=True)  # everything else is to be discarded
    family = _FAMILIES[family_number]
    size = _ADDRESS_SIZES[family]
    block = data[_FIXED:]
    if len(block) < size:
        raise RemoteProtocolError(_MALFORMED)
    try:
        tlvs = tuple(_tlvs(block[size:]))
    except RemoteProtocolError:
        if family == "unspec":
            return ProxyHeader(2)  # what stands there may be an address of an unknown kind
        raise
    _check(data, _FIXED + size, tlvs)
    if family == "unspec" or transport == 0:
        return ProxyHeader(2, tlvs=tlvs)
    if family == "unix":
        return ProxyHeader(2, False, family, None, (_path(block[108:216]), None), tlvs)
    half = 4 if family == "inet" else 16
    source, destination = (_host(ipaddress.ip_address(block[at : at + half])) for at in (0, half))
    ports = block[2 * half : 2 * half + 4]
    client = source, int.from_bytes(ports[:2], "big")
    server = destination, int.from_bytes(ports[2:], "big")
    return ProxyHeader(2, False, family, client, server, tlvs)


def _host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """A proxy that listens on one socket for both families has IPv4 clients as mapped ones."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _path(field: bytes) -> str:
    """The path of a unix socket; one in Linux' abstract namespace begins with a NUL."""
    if field[:1] == b"\0":
        return os.fsdecode(field.rstrip(b"\0"))
    return os.fsdecode(field.partition(b"\0")[0])


def _tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each.

    :raises RemoteProtocolError: if the last one is cut.
    """
    while data:
        end = 3 + int.from_bytes(data[1:3], "big")
        if len(data) < end:
            raise RemoteProtocolError(_MALFORMED)
        yield data[0], data[3:end]
        data = data[end:]


def _check(data: bytes, offset: int, tlvs: tuple[tuple[int, bytes], ...]) -> None:
    """Sizes and the checksum of the TLVs that begin at ``offset``."""
    for kind, value in tlvs:
        offset += 3
        if kind == UNIQUE_ID and len(value) > _LONGEST_ID:
            raise RemoteProtocolError(_MALFORMED)
        if kind == SSL:
            if len(value) < 5:
                raise RemoteProtocolError(_MALFORMED)
            for _ in _tlvs(value[5:]):
                pass
        if kind == CRC32C:
            if len(value) != 4:
                raise RemoteProtocolError(_MALFORMED)
            blank = data[:offset] + bytes(4) + data[offset + 4 :]
            if crc32c(blank) != int.from_bytes(value, "big"):
                raise RemoteProtocolError(_CHECKSUM)
        offset += len(value)


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 9260 appendix A)."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _describe_ssl(value: bytes) -> dict[str, Any]:
    """The TLV about the client's TLS, its values by name."""
    flags, verify = value[0], value[1:5]
    found = dict(reversed(list(_tlvs(value[5:]))))
    certificate = bool(flags & (_CLIENT_CERT_CONN | _CLIENT_CERT_SESS))
    return {
        "tls": bool(flags & _CLIENT_SSL),
        "certificate": certificate,
        "certificate_on_connection": bool(flags & _CLIENT_CERT_CONN),
        "verified": certificate and not any(verify),
        **{name: _text(found.get(kind)) for kind, name in _SSL_TEXTS.items()},
        "client_certificate": found.get(_SSL_CLIENT_CERT),
    }
