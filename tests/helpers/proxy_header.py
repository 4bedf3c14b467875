"""Writes PROXY protocol headers, as a proxy does."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TLVs = Iterable[tuple[int, bytes]]


def line(family: str, *words: object) -> bytes:
    """Version 1: ``line("TCP4", source, destination, port, port)``."""
    return " ".join(["PROXY", family, *map(str, words)]).encode() + b"\r\n"


def tlv(kind: int, value: bytes) -> bytes:
    """One type, length, value."""
    return struct.pack("!BH", kind, len(value)) + value


def block(
    body: bytes = b"", *, family: int = 0, transport: int = 1, command: int = 1, version: int = 2
) -> bytes:
    """Version 2 with the bytes behind its length."""
    head = bytes([version << 4 | command, family << 4 | transport])
    return SIGNATURE + head + struct.pack("!H", len(body)) + body


def tcp(
    source: tuple[str, int],
    destination: tuple[str, int],
    tlvs: TLVs = (),
    *,
    checksum: bool = False,
) -> bytes:
    """Version 2 for a TCP connection, by its addresses IPv4 or IPv6."""
    addresses = [ipaddress.ip_address(host) for host, _ in (source, destination)]
    body = b"".join(address.packed for address in addresses)
    body += struct.pack("!HH", source[1], destination[1])
    body += b"".join(tlv(kind, value) for kind, value in tlvs)
    family = 1 if addresses[0].version == 4 else 2
    if not checksum:
        return block(body, family=family)
    blank = block(body + tlv(3, bytes(4)), family=family)
    return blank[:-4] + struct.pack("!I", crc32c(blank))


def unix(source: bytes, destination: bytes, tlvs: TLVs = ()) -> bytes:
    """Version 2 for a connection over a unix socket."""
    body = source.ljust(108, b"\0") + destination.ljust(108, b"\0")
    return block(body + b"".join(tlv(*item) for item in tlvs), family=3)


def ssl(flags: int, verify: int = 0, tlvs: TLVs = ()) -> bytes:
    """The value of PP2_TYPE_SSL."""
    return struct.pack("!BI", flags, verify) + b"".join(tlv(*item) for item in tlvs)


def crc32c(data: bytes) -> int:
    """The checksum as polynomial division, bit by bit (RFC 9260 appendix A)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF
