"""Requests that come together on one HTTP/1.1 connection (RFC 9112 section 9.3.2)."""

from __future__ import annotations

import socket

import anyio.lowlevel
import pytest
from compliance.fuzzing.memory import serve

from helpers.apps import hello, reply
from helpers.serving import Gate, settled
from helpers.site import Site
from tricorn import Config
from tricorn.types import Application, Receive, Scope, Send

pytestmark = pytest.mark.parametrize("protocol", ["http/1.1"])

WAIT = b"GET /wait HTTP/1.1\r\nhost: localhost\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server closes."""
    return b"".join(iter(lambda: sock.recv(2**20), b""))


@pytest.mark.long
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


def test_answers_of_our_own_leave_the_others_their_turn(site: Site, gate: Gate) -> None:
    """However many requests wait to be answered."""
    count = 1500
    turns, last = 0, False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal turns, last
        if scope["path"] == "/wait":
            await gate.wait()
            await reply(send)
            while not last:
                turns += 1
                await anyio.lowlevel.checkpoint()
        else:
            last = True
            await reply(send)

    site.serve(app, livez_path="/livez")
    sock = site.connect().sock
    sock.sendall(WAIT + b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n" * count + LAST)
    gate.open()
    assert read_all(sock).count(b"HTTP/1.1 ") == count + 2
    assert turns > count // 32


@pytest.mark.parametrize("body", [b"", b"body"])
def test_all_that_waits_is_answered_whatever_comes_meanwhile(protocol: str, body: bytes) -> None:
    """More requests, and the end of the peer, before the loop has turned."""
    count = 50
    post = b"POST / HTTP/1.1\r\nhost: elsewhere.example\r\ncontent-length: %d\r\n\r\n%b"
    wire = post % (len(body), body) * count
    loop, transport, connection = serve(hello, Config(server_names=["localhost"]))
    connection.bytes_received(wire)
    assert 0 < b"".join(transport.writes).count(b"HTTP/1.1 421 ") < count
    connection.bytes_received(wire)
    connection.eof_received()
    assert b"".join(transport.writes).count(b"HTTP/1.1 421 ") < 2 * count
    loop.run()
    assert b"".join(transport.writes).count(b"HTTP/1.1 421 ") == 2 * count
    assert transport.closed


@pytest.mark.parametrize("closes", range(10, 24))
def test_the_last_answer_of_many_leaves_before_the_end(protocol: str, closes: int) -> None:
    get = b"GET / HTTP/1.1\r\nhost: elsewhere.example\r\n"
    loop, transport, connection = serve(hello, Config(server_names=["localhost"]))
    connection.bytes_received((get + b"\r\n") * closes + get + b"connection: close\r\n\r\n")
    loop.run()
    assert b"".join(transport.writes).count(b"HTTP/1.1 421 ") == closes + 1
    assert transport.closed


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
