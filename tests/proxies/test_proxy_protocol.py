"""The PROXY protocol's header, versions 1 and 2 (proxy-protocol.txt sections 2.1 and 2.2)."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import proxy_header as wire
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol.proxy_protocol import (
    LARGEST_BLOCK,
    LONGEST_LINE,
    ProxyHeader,
    ProxyHeaderParser,
    crc32c,
)

V4 = ("192.0.2.1", 4711), ("198.51.100.2", 443)
V6 = ("2001:db8::1", 4711), ("2001:db8:0:1::2", 443)


def parse(data: bytes) -> ProxyHeader:
    """The header of ``data``, given at once."""
    parser = ProxyHeaderParser()
    header = parser.feed(data)
    assert header is not None
    assert parser.rest == b""
    return header


def fault(data: bytes) -> str:
    """What is wrong with a header that comes in single bytes."""
    parser = ProxyHeaderParser()
    for byte in data:
        try:
            assert parser.feed(bytes([byte])) is None
        except RemoteProtocolError as exc:
            return str(exc)
    raise AssertionError("nothing is wrong with it")


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (wire.line("TCP4", "192.0.2.1", "198.51.100.2", 4711, 443),
         ProxyHeader(1, False, "inet", *V4)),
        (wire.line("TCP6", "2001:DB8::1", "2001:db8:0:1::2", 4711, 443),
         ProxyHeader(1, False, "inet6", *V6)),
        (wire.line("TCP4", "0.0.0.0", "255.255.255.255", 0, 65535),
         ProxyHeader(1, False, "inet", ("0.0.0.0", 0), ("255.255.255.255", 65535))),
        (wire.line("TCP6", *["ffff:" * 7 + "ffff"] * 2, 65535, 65535),
         ProxyHeader(1, False, "inet6", *[("ffff:" * 7 + "ffff", 65535)] * 2)),
        (wire.line("TCP6", "::ffff:192.0.2.1", "::FFFF:c633:6402", 4711, 443),
         ProxyHeader(1, False, "inet6", *V4)),
        (wire.line("UNKNOWN"), ProxyHeader(1)),
        (wire.line("UNKNOWN", *["ffff:" * 7 + "ffff"] * 2, 65535, 65535), ProxyHeader(1)),
        (wire.tcp(*V4), ProxyHeader(2, False, "inet", *V4)),
        (wire.tcp(*V6), ProxyHeader(2, False, "inet6", *V6)),
        (wire.tcp(("::ffff:192.0.2.1", 4711), ("::ffff:198.51.100.2", 443)),
         ProxyHeader(2, False, "inet6", *V4)),
        (wire.block(wire.tcp(*V4)[16:], family=1, transport=2),
         ProxyHeader(2, False, "inet", *V4)),
        (wire.block(wire.tcp(*V4)[16:], family=1, transport=0), ProxyHeader(2)),
        (wire.unix(b"/client", b"/run/edge.sock"),
         ProxyHeader(2, False, "unix", None, ("/run/edge.sock", None))),
        (wire.unix(b"", b"\0abstract"),
         ProxyHeader(2, False, "unix", None, ("\0abstract", None))),
        (wire.unix(b"a" * 108, b"b" * 108),
         ProxyHeader(2, False, "unix", None, ("b" * 108, None))),
        (wire.block(command=0, transport=0), ProxyHeader(2, local=True)),
        (wire.block(b"whatever", command=0, family=2), ProxyHeader(2, local=True)),
        (wire.block(transport=0), ProxyHeader(2)),
        (wire.block(b"\1of no known kind", transport=0), ProxyHeader(2)),
        (wire.block(wire.tlv(2, b"a"), transport=0), ProxyHeader(2, tlvs=((2, b"a"),))),
    ],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 7, 5000])
def test_read_in_pieces(data: bytes, wanted: ProxyHeader, step: int) -> None:
    behind = b"PROXY behind"
    parser = ProxyHeaderParser()
    whole = data + behind
    header, given = None, 0
    while header is None:
        assert given < len(whole)
        header = parser.feed(whole[given : given + step])
        given = min(given + step, len(whole))
    assert header == wanted
    assert parser.rest + whole[given:] == behind


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "without"),
        (b"PRI * HTTP/2.0\r\n", "without"),
        (b"\x16\x03\x01\x02\0\x01", "without"),
        (b"proxy TCP4", "without"),
        (b"\r\n\r\nGET", "without"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", "malformed"),
        (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n", "malformed"),
        (b"PROXY TCP4 1.2.3.4 1.2.03.4 1 2\r\n", "malformed"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "malformed"),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
        (b"PROXY TCP6 ::1%lo ::1 1 2\r\n", "malformed"),
        (b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
        (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
        (b"PROXY UNKNOWNX\r\n", "malformed"),
        (b"PROXY \r\n", "malformed"),
        (b"PROXY UNKNOWN" + b" " * 93 + b"\r\n", "too long"),
        (b"PROXY " + b"x" * 200, "too long"),
        (wire.block(version=1), "malformed"),
        (wire.block(version=3), "malformed"),
        (wire.block(command=2), "malformed"),
        (wire.block(wire.tcp(*V4)[16:], family=4), "malformed"),
        (wire.block(wire.tcp(*V4)[16:], family=1, transport=3), "malformed"),
        (wire.block(bytes(11), family=1), "malformed"),
        (wire.block(bytes(35), family=2), "malformed"),
        (wire.block(bytes(215), family=3), "malformed"),
        (wire.block(bytes(LARGEST_BLOCK + 1), family=1), "too long"),
        (wire.tcp(*V4, [(5, bytes(129))]), "malformed"),
        (wire.tcp(*V4, [(3, bytes(3))]), "malformed"),
        (wire.tcp(*V4, [(3, bytes(4))]), "checksum"),
        (wire.tcp(*V4, [(0x20, bytes(4))]), "malformed"),
        (wire.tcp(*V4, [(0x20, wire.ssl(1) + b"\x21\0\5abc")]), "malformed"),
        (wire.block(wire.tcp(*V4)[16:] + b"\2\0", family=1), "malformed"),
        (wire.block(wire.tcp(*V4)[16:] + b"\2\0\5abc", family=1), "malformed"),
    ],
)  # fmt: skip
def test_refused(data: bytes, words: str) -> None:
    assert words in fault(data)


def test_the_longest_of_both_versions() -> None:
    """107 bytes of a line are taken; a block's limit is a limit of ours."""
    line = b"PROXY UNKNOWN " + b"x" * (LONGEST_LINE - 16) + b"\r\n"
    assert len(line) == LONGEST_LINE
    assert parse(line) == ProxyHeader(1)
    body = wire.tcp(*V4)[16:]
    full = wire.block(body + wire.tlv(4, bytes(LARGEST_BLOCK - len(body) - 3)), family=1)
    assert parse(full).client == V4[0]


def test_a_fault_is_told_as_soon_as_it_shows() -> None:
    with pytest.raises(RemoteProtocolError):
        ProxyHeaderParser().feed(b"G")
    with pytest.raises(RemoteProtocolError):
        ProxyHeaderParser().feed(wire.SIGNATURE[:11] + b"\r")
    with pytest.raises(RemoteProtocolError):
        ProxyHeaderParser().feed(wire.SIGNATURE + b"\x21\x11\xff\xff")


def test_checksum() -> None:
    assert crc32c(b"123456789") == wire.crc32c(b"123456789") == 0xE3069283
    good = wire.tcp(*V4, [(2, b"example.org")], checksum=True)
    assert parse(good).client == V4[0]
    kind = len(good) - 7  # with another type it is no checksum
    for place in {*range(16, len(good))} - {kind}:
        bad = bytearray(good)
        bad[place] ^= 1
        with pytest.raises(RemoteProtocolError):
            parse(bytes(bad))


def test_every_value_has_its_place_in_the_scope() -> None:
    tls = wire.ssl(
        0b111, 0,
        [(0x21, b"TLSv1.3"), (0x22, "Zoë".encode()), (0x23, b"TLS_AES_128_GCM_SHA256"),
         (0x24, b"SHA256"), (0x25, b"RSA2048"), (0x26, b"X25519"), (0x27, b"ed25519"),
         (0x28, b"\x30\x82")],
    )  # fmt: skip
    tlvs = [(1, b"h2"), (2, b"example.org"), (4, b"\0\0"), (5, b"\x01\xff"), (0x20, tls),
            (0x30, b"blue"), (0xEA, b"\x01vpce-08d2bf15fac5001c9"), (2, b"second")]  # fmt: skip
    header = parse(wire.tcp(*V4, tlvs, checksum=True))
    assert header.secure
    found = header.describe(("10.0.0.1", 9))
    shown: dict[str, Any] = {
        "version": 2,
        "command": "PROXY",
        "proxy": ("10.0.0.1", 9),
        "alpn": b"h2",
        "authority": "example.org",
        "unique_id": b"\x01\xff",
        "netns": "blue",
        "ssl": {
            "tls": True,
            "certificate": True,
            "certificate_on_connection": True,
            "verified": True,
            "version": "TLSv1.3",
            "common_name": "Zoë",
            "cipher": "TLS_AES_128_GCM_SHA256",
            "signature_algorithm": "SHA256",
            "key_algorithm": "RSA2048",
            "group": "X25519",
            "signature_scheme": "ed25519",
            "client_certificate": b"\x30\x82",
        },
    }
    assert found.pop("tlvs")[:-1] == tuple(tlvs)
    assert found == shown


@pytest.mark.parametrize(
    ("flags", "verify", "certificate", "verified", "secure"),
    [(0, 0, False, False, False), (1, 0, False, False, True), (1, 1, False, False, True),
     (5, 0, True, True, True), (3, 1, True, False, True)],
)  # fmt: skip
def test_what_the_clients_tls_tells(
    flags: int, verify: int, certificate: bool, verified: bool, secure: bool
) -> None:
    header = parse(wire.tcp(*V4, [(0x20, wire.ssl(flags, verify))]))
    assert header.secure is secure
    ssl = header.describe(None)["ssl"]
    assert (ssl["certificate"], ssl["verified"]) == (certificate, verified)
    assert ssl["version"] is None


def test_without_tlvs_all_is_none() -> None:
    found = parse(wire.line("UNKNOWN")).describe(None)
    assert found == {
        "version": 1, "command": "PROXY", "proxy": None, "alpn": None, "authority": None,
        "unique_id": None, "netns": None, "ssl": None, "tlvs": (),
    }  # fmt: skip
    assert parse(wire.block(command=0)).describe(None)["command"] == "LOCAL"


PORTS = st.integers(0, 65535)
MAPPED = ipaddress.ip_network("::ffff:0:0/96")  # told as IPv4
HOSTS = [
    st.ip_addresses(v=version).filter(lambda host: host not in MAPPED).map(str)
    for version in (4, 6)
]
ENDS = st.one_of(*(st.tuples(*[st.tuples(hosts, PORTS)] * 2) for hosts in HOSTS))
KINDS = st.integers(0, 255).filter(lambda kind: kind not in (3, 5, 0x20))
TLVS = st.lists(st.tuples(KINDS, st.binary(max_size=40)), max_size=6)


@settings(max_examples=150)
@given(ends=ENDS, tlvs=TLVS, checksum=st.booleans(), rest=st.binary(max_size=9), data=st.data())
def test_version_2_round_trip(
    ends: Any, tlvs: list[tuple[int, bytes]], checksum: bool, rest: bytes, data: st.DataObject
) -> None:
    whole = wire.tcp(*ends, tlvs, checksum=checksum) + rest
    cut = data.draw(st.integers(0, len(whole)))
    parser = ProxyHeaderParser()
    header = parser.feed(whole[:cut])
    left = b""
    if header is None:
        header = parser.feed(whole[cut:])
    else:
        left = whole[cut:]
    assert header is not None
    assert (header.client, header.server) == ends
    assert list(header.tlvs[: len(tlvs)]) == tlvs
    assert parser.rest + left == rest


@settings(max_examples=150)
@given(ends=ENDS)
def test_version_1_round_trip(ends: Any) -> None:
    (source, port), (destination, other) = ends
    family = f"TCP{ipaddress.ip_address(source).version}"
    header = parse(wire.line(family, source, destination, port, other))
    assert (header.client, header.server) == ends


@settings(max_examples=400)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.binary(max_size=80).map(lambda tail: b"PROXY TCP4 " + tail),
        st.builds(
            wire.block, st.binary(max_size=300), family=st.integers(0, 15),
            transport=st.integers(0, 15), command=st.integers(0, 15),
        ),
    )
)  # fmt: skip
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    try:
        header = ProxyHeaderParser().feed(data)
    except RemoteProtocolError:
        return
    if header is not None:
        header.describe(None)
