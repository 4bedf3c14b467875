"""What is read from a ClientHello, however it is cut, framed or broken."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.protocol.client_hello import ClientHello, wanted


def hello_of(name: str | None, alpn: list[str]) -> bytes:
    """The first bytes that Python's own client sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(alpn)
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def read(*pieces: bytes) -> ClientHello:
    hello = ClientHello()
    for piece in pieces:
        hello.feed(piece)
    return hello


PLAIN = hello_of("shop.example", ["h2", "http/1.1"])


@pytest.mark.parametrize("name", [None, "shop.example", "xn--tda.example"])
@pytest.mark.parametrize("alpn", [[], ["h2"], ["acme-tls/1", "http/1.1"]])
def test_what_clients_send(name: str | None, alpn: list[str]) -> None:
    hello = read(hello_of(name, alpn))
    assert hello.done
    assert hello.server_name == name
    assert hello.offered == (tuple(a.encode() for a in alpn) if alpn else None)


def test_every_cut() -> None:
    for place in range(len(PLAIN)):
        hello = read(PLAIN[:place])
        assert not hello.done
        assert hello.offered is None
        hello.feed(PLAIN[place:])
        assert hello.done
        assert (hello.server_name, hello.offered) == ("shop.example", (b"h2", b"http/1.1"))


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 1),
        (b"G", 0),  # no record: it is looked at, and answered, at once
        (b"\x16", 5),
        (b"\x16\x03\x01\x01", 5),
        (b"\x16\x03\x01\x01\x02", 0x102 + 5),
        (b"\x16\x03\x01\x00\x02x", 2 + 5),
        (b"\x16\x03\x01\x00\x02xy", 0),
        (b"\x16\x03\x01\x00\x02xyz", 0),
        (b"\x16\x03\x01\x40\x00", 16384 + 5),
        (b"\x16\x03\x01\x40\x01", 0),  # RFC 8446 section 5.1: no record is as long
    ],
)
def test_how_much_must_have_come_before_a_session_begins(data: bytes, size: int) -> None:
    assert wanted(data) == size


def test_several_records() -> None:
    """RFC 8446 section 5.1: a message may be spread over records."""
    body = PLAIN[5:]
    records = b"".join(
        PLAIN[:3] + len(body[at : at + 7]).to_bytes(2, "big") + body[at : at + 7]
        for at in range(0, len(body), 7)
    )
    assert read(records + b"what follows").offered == (b"h2", b"http/1.1")


def test_each_record_is_taken_apart_once() -> None:
    """Else a peer that sends a byte in each would have most of a processor for a few kilobytes."""
    alpn = b"\x00\x10\x00\x05\x00\x03\x02h2"
    padding = b"\x00\x15" + (30_000).to_bytes(2, "big") + bytes(30_000)
    extensions = padding + alpn
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    hello = ClientHello()
    for byte in message:
        assert not hello.done
        hello.feed(b"\x16\x03\x01\x00\x01" + bytes([byte]))
    assert hello.offered == (b"h2",)


def test_names_that_are_not_ascii() -> None:
    hello = read(PLAIN.replace(b"shop.example", b"\xff\xfe\xc3\xa4.example"[:12]))
    assert hello.done
    assert hello.server_name is None


def test_no_tls() -> None:
    assert read(b"\x17\x03\x03\x00\x01x").done
    assert read(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00").done
    endless = read(*[b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + b"x" * 16380] * 8)
    assert endless.done
    assert endless.offered is None


@given(st.data())
def test_broken_ones_end_the_reading(data: st.DataObject) -> None:
    """Nothing is raised, whatever is broken; the TLS library refuses it."""
    broken = bytearray(PLAIN)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(5, len(broken) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(broken), PLAIN)
