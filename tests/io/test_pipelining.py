"""Requests that come together on one HTTP/1.1 connection (RFC 9112 section 9.3.2)."""

from __future__ import annotations

import socket

import pytest

from helpers.apps import reply
from helpers.serving import Gate, settled
from helpers.site import Site
from tricorn.types import Application, Receive, Scope, Send

pytestmark = pytest.mark.parametrize("protocol", ["http/1.1"])

WAIT = b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server closes."""
    return b"".join(iter(lambda: sock.recv(2**20), b""))


@pytest.mark.parametrize("ends", [False, True])
def test_the_next_is_begun_once_the_transport_has_the_response(site: Site, ends: bool) -> None:
    """Else a peer that reads nothing has them all made, and held here."""
    count, size = 64, 2**20
    begun = [0]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun[0] += 1
        await reply(send, b"x" * size)

    site.serve(app)
    sock = site.connect(receive_buffer=65536).sock
    sock.sendall(GET * (count - 1) + (GET if ends else LAST))
    if ends and not site.tls:  # TLS has no half-close
        sock.shutdown(socket.SHUT_WR)
    elif ends:
        sock.sendall(LAST)
        count += 1
    # Of the kernel's buffers a few megabytes are full.
    assert settled(lambda: begun[0]) < count // 2
    answers = read_all(sock)
    assert answers.count(b"HTTP/1.1 200 ") == begun[0] == count
    assert answers.count(b"x") >= count * size


@pytest.fixture
def gate(site: Site) -> Gate:
    """What the application at /wait waits for, so that requests gather behind its own."""
    return site.gate()


def waiting(gate: Gate) -> Application:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            await gate.wait()
        await reply(send)

    return app


@pytest.mark.parametrize(
    ("path", "host"), [(b"/livez", b"localhost"), (b"/", b"elsewhere.example")]
)
def test_answers_of_our_own_do_not_fill_the_stack(
    site: Site, gate: Gate, path: bytes, host: bytes
) -> None:
    count = 1500
    site.serve(waiting(gate), livez_path="/livez", server_names=["localhost"])
    sock = site.connect().sock
    sock.sendall(WAIT + b"GET %b HTTP/1.1\r\nhost: %b\r\n\r\n" % (path, host) * count + LAST)
    gate.open()
    assert read_all(sock).count(b"HTTP/1.1 ") == count + 2


def test_a_body_that_was_refused_is_read_away(site: Site, gate: Gate) -> None:
    site.serve(waiting(gate), server_names=["localhost"], request_buffer_size=16384)
    sock = site.connect().sock
    post = b"POST / HTTP/1.1\r\nhost: elsewhere.example\r\ncontent-length: 40000\r\n\r\n"
    sock.sendall(WAIT + post + bytes(20000))
    gate.open()
    found = b""
    while b"HTTP/1.1 421 " not in found:
        found += sock.recv(65536)
    sock.sendall(bytes(20000) + LAST)
    assert b"HTTP/1.1 200 " in read_all(sock)
