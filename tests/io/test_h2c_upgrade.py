"""``Upgrade: h2c``, from HTTP/1.1 to HTTP/2 on one connection (RFC 7540 section 3.2)."""

from __future__ import annotations

import socket

import pytest

from helpers.apps import hello
from helpers.site import Serving

HEAD = b"GET %b HTTP/1.1\r\nhost: localhost\r\n"
OFFER = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n"
UPGRADE = HEAD % b"/" + OFFER
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n"


def read_past(sock: socket.socket, end: bytes) -> tuple[bytes, bytes]:
    """What comes until ``end``, and behind it."""
    data = b""
    while end not in data:
        more = sock.recv(65536)
        assert more, data
        data += more
    before, _, behind = data.partition(end)
    return before, behind


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_it_is_for_cleartext(serving: Serving, tls: bool) -> None:
    """Over TLS there is ALPN (RFC 7540 section 3.3)."""
    served = serving(hello, tls=tls, h2c_upgrade=True)
    sock = serving.connect(served).sock
    sock.sendall(UPGRADE)
    head, _ = read_past(sock, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n" if tls else SWITCHED)
