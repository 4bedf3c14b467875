"""Where an application holds up the event loop, nobody is cut whose bytes came in time.

They lie in the sockets until the loop turns again, which finds the time for them up as well.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import wsproto.events
from tls_pairs import client_context

from helpers.apps import read_body, reply
from helpers.clients import open_socket
from helpers.serving import PATIENCE, Served
from helpers.site import EACH_ONCE, Serving, Site
from tricorn.ticking import Clock
from tricorn.types import Receive, Scope, Send

pytestmark = pytest.mark.long

LIMIT = 0.3
# trio runs the tasks of a turn forwards or backwards, as chance has it.
ROUNDS = 3


class Blocker:
    """An application that holds up its loop where it is asked for /block, else echoes."""

    def __init__(self) -> None:
        self._standing = threading.Event()
        self._over = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            return
        if scope["path"] == "/block":
            self._standing.set()
            assert self._over.wait(PATIENCE)
            self._standing.clear()
            self._over.clear()
        await reply(send, await read_body(receive) or b"hello")

    @contextmanager
    def blocked(self, serving: Serving, served: Served, limit: float) -> Iterator[None]:
        """Have the loop stand still for longer than ``limit`` seconds."""
        client = serving.connect(served)
        time.sleep(limit / 3)  # a limit begins with the next look at the clock, a quarter at most
        stream = client.start("GET", "/block")
        assert self._standing.wait(PATIENCE)
        try:
            yield
            time.sleep(1.2 * limit)  # the time itself is the subject
        finally:
            self._over.set()
        assert client.response(stream).status == 200


@EACH_ONCE
def test_requests_that_came_in_time_are_served(site: Site) -> None:
    app = Blocker()
    site.serve(app, keep_alive_timeout=LIMIT, read_timeout=LIMIT)
    for _ in range(ROUNDS):
        idle, sending = site.connect(), site.connect()
        assert idle.get("/").text == "hello"
        body = sending.start("POST", headers=[(b"content-length", b"2")], more=True)
        sending.send(body, b"a")
        with app.blocked(site.serving, site.served, LIMIT):
            asked = idle.start()
            sending.send(body, b"b", more=False)
        assert idle.response(asked).text == "hello"
        assert sending.response(body).text == "ab"


def test_heads_that_came_in_time_are_answered(serving: Serving) -> None:
    app = Blocker()
    served = serving(app, header_timeout=LIMIT)
    for _ in range(ROUNDS):
        with open_socket(served.address) as begun, open_socket(served.address) as silent:
            begun.sendall(b"GET / HTTP/1.1\r\nhost: ")
            with app.blocked(serving, served, LIMIT):
                begun.sendall(b"a\r\n\r\n")
                silent.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert begun.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert silent.recv(65536).startswith(b"HTTP/1.1 200 ")


@EACH_ONCE
def test_pongs_that_came_in_time_count(site: Site) -> None:
    app = Blocker()
    site.serve(app, websocket_ping_interval=LIMIT, websocket_ping_timeout=LIMIT)
    for _ in range(ROUNDS):
        peer = site.websocket()
        assert peer.handshake() == 200
        ping = peer.event()
        assert isinstance(ping, wsproto.events.Ping)
        with app.blocked(site.serving, site.served, LIMIT):
            peer.send(ping.response())
        assert isinstance(peer.event(), wsproto.events.Ping)


class TLSPeer:
    """A TLS client that says what it has to say when it is told to."""

    def __init__(self, served: Served) -> None:
        self.socket = socket.create_connection(served.address, timeout=PATIENCE)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = client_context().wrap_bio(self._in, self._out, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()

    def say(self) -> None:
        """Send what is due."""
        self.socket.sendall(self._out.read())

    def hear(self) -> None:
        """Take the server's part of the handshake."""
        while True:
            data = self.socket.recv(65536)
            assert data, "the server has closed the connection"
            self._in.write(data)
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            return

    def get(self) -> bytes:
        """The beginning of an answer."""
        self._tls.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        self.say()
        while True:
            data = self.socket.recv(65536)
            assert data, "the server has closed the connection"
            self._in.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                return self._tls.read(65536)


def test_handshakes_that_came_in_time_are_done(serving: Serving) -> None:
    """All of them, though few begin in one turn of the loop."""
    app = Blocker()
    served = serving(app, tls=True, ssl_handshake_timeout=LIMIT)
    begun, answered = [TLSPeer(served) for _ in range(6)], [TLSPeer(served) for _ in range(6)]
    for peer in answered:
        peer.say()
    for peer in answered:
        peer.hear()
    with app.blocked(serving, served, LIMIT):
        for peer in begun + answered:
            peer.say()
    for peer in begun:
        peer.hear()
    for peer in answered:
        assert peer.get().startswith(b"HTTP/1.1 200 ")
    for peer in begun + answered:
        peer.socket.close()


def test_time_in_which_the_loop_turns_counts_whole() -> None:
    clock = Clock(100.0)
    for passed in (1.0, 1.0, 1.9, 0.1):
        before = clock.time
        assert not clock.look(before + passed, 1.0)
        assert clock.time == pytest.approx(before + passed)


def test_a_loop_that_is_always_late_has_its_limits_too() -> None:
    clock = Clock(100.0)
    for number in range(1, 4):
        assert clock.look(100.0 + 30.0 * number, 1.0)
        assert clock.time == pytest.approx(100.0 + number)
