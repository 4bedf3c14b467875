"""Who may connect: counts, addresses, and room made by idle connections."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl

import pytest

from helpers.apps import hello, reply
from helpers.clients import Client, HTTP1Client, HTTP2Client, open_socket
from helpers.serving import Inbox, Records, eventually
from helpers.site import EACH_ONCE, Serving, Site
from tricorn import Config
from tricorn.asgi.host import Worker
from tricorn.io.accepting import Intake
from tricorn.io.admission import Admission
from tricorn.io.listener import bind_all
from tricorn.io.registry import Registry
from tricorn.types import Receive, Scope, Send

PATIENT = {"close_timeout": 60.0, "ssl_shutdown_timeout": 60.0}


class Fake:
    """A connection that is idle since then, or busy."""

    def __init__(self, since: float | None) -> None:
        self.since = since
        self.evicted = False

    def idle_since(self) -> float | None:
        return None if self.evicted else self.since

    def evict(self) -> None:
        self.evicted = True


def entered(admission: Admission, *hosts: str) -> list[bool]:
    return [admission.enter((host, 1)) is not None for host in hosts]


def test_addresses_are_counted_by_what_one_subscriber_has() -> None:
    config = Config(max_connections_per_address=1, trusted_proxies=["10.0.0.0/8"])
    admission = Admission(config, [])
    assert entered(admission, "192.0.2.1", "192.0.2.1", "192.0.2.2") == [True, False, True]
    # A mapped address is the IPv4 one.
    assert entered(admission, "::ffff:192.0.2.1", "::ffff:192.0.2.3") == [False, True]
    # A /64 is one, link-local addresses are many.
    assert entered(admission, "2001:db8::1", "2001:db8::2") == [True, False]
    assert entered(admission, "2001:db8:0:1::1") == [True]
    assert entered(admission, "fe80::1%eth0", "fe80::2%eth0") == [True, True]
    # Proxies bring many clients.
    assert entered(admission, *["10.1.2.3"] * 5) == [True] * 5
    # Peers of Unix sockets have no address.
    assert admission.enter(None) is not None
    assert admission.enter(None) is not None


def test_a_place_is_given_back_once() -> None:
    admission = Admission(Config(max_connections_per_address=1, max_connections=1), [])
    place = admission.enter(("192.0.2.1", 1))
    assert place is not None
    place.leave()
    place.leave()
    assert admission.open == 0
    assert entered(admission, "192.0.2.1", "192.0.2.2") == [True, False]


def test_the_longest_idle_goes_first() -> None:
    young, busy, old = Fake(9.0), Fake(None), Fake(5.0)
    told: list[tuple[str, str]] = []
    config = Config(max_connections=2)
    admission = Admission(config, [young, busy, old], lambda *what: told.append(what))
    assert entered(admission, *["192.0.2.1"] * 3) == [True] * 3
    assert (old.evicted, young.evicted) == (True, False)
    assert entered(admission, "192.0.2.1") == [True]
    assert young.evicted
    assert entered(admission, "192.0.2.9") == [False]
    assert told == [("connection over max_connections", "192.0.2.9")]


class Reset(socket.socket):
    """A socket of macOS whose peer has gone since it was accepted."""

    def setsockopt(self, *what: object) -> None:  # type: ignore[override]
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def test_a_reset_behind_the_accept_loses_nobody() -> None:
    """Neither that connection's place nor the others of its batch."""
    listener, *_ = bind_all(Config(bind="127.0.0.1:0"))
    worker = Worker(hello, Config())
    intake = Intake(worker, Registry(), None, lambda reason: None)
    with contextlib.closing(listener), contextlib.closing(intake):
        listener.socket.listen()
        with open_socket(listener.socket.getsockname()), open_socket(listener.socket.getsockname()):
            found, rest = intake.accept(listener, Reset)
            assert (len(found), intake.admission.open, rest) == (2, 2, 0.0)
            for accepted in found:
                accepted.close()
    assert intake.admission.open == 0


def test_one_that_came_to_life_meanwhile_stays() -> None:
    first, second = Fake(1.0), Fake(2.0)
    admission = Admission(Config(max_connections=1), [first, second])
    assert entered(admission, "192.0.2.1", "192.0.2.2") == [True, True]
    assert first.evicted
    second.since = None
    assert entered(admission, "192.0.2.3") == [False]
    assert not second.evicted


class Waiting:
    """``/wait`` waits for its gate."""

    def __init__(self) -> None:
        self.started = Inbox()
        self.gate = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            self.started.put(None)
            assert self.gate is not None
            await self.gate.wait()
        await reply(send, b"hello")


def closed(client: Client) -> bool:
    """Whether the server has closed the connection."""
    with contextlib.suppress(ConnectionResetError):
        while client.sock.recv(65536):
            pass
    return True


def test_at_max_connections_an_idle_one_makes_room(site: Site) -> None:
    app = Waiting()
    site.serve(app, max_connections=2)
    app.gate = site.gate()
    busy = site.connect()
    stream = busy.start("GET", "/wait")
    app.started.take()
    idle = site.connect()
    assert idle.get().text == "hello"
    told = not site.tls or site.serving.backend != "asyncio-anyio"
    if told and isinstance(idle.sock, ssl.SSLSocket):
        idle.sock.suppress_ragged_eofs = False  # without close_notify it fails

    def newcomer() -> bool:
        try:
            return site.connect().get().text == "hello"
        except OSError:
            return False  # the other one's application was about to end

    eventually(newcomer, "a place")
    if isinstance(idle, HTTP2Client):
        idle.until(lambda: idle.closed)
        if told:
            assert idle.goaways[-1] == (1, 0)
    else:
        assert closed(idle)
    app.gate.open()
    assert busy.response(stream).text == "hello"


@pytest.mark.long
@EACH_ONCE
def test_at_max_connections_one_that_has_said_nothing_makes_room(site: Site) -> None:
    served = site.serve(hello, max_connections=1)
    context = site.serving.certificate.client() if site.tls else None

    def newcomer() -> bool:
        try:
            return site.connect().get().text == "hello"
        except OSError:
            return False  # no tick had seen the silent one

    with open_socket(served.address, context, site.protocol) as silent:
        eventually(newcomer, "a place")
        # It is told: over HTTP/2 there is something to read before the end.
        with contextlib.suppress(ConnectionResetError):
            while silent.recv(65536):
                pass


def test_at_max_connections_one_whose_tls_has_not_begun_makes_room(serving: Serving) -> None:
    """Once a tick has seen it; not one that has begun, however little has come of it."""
    served = serving(hello, tls=True, max_connections=2, ssl_handshake_timeout=60)

    def newcomer() -> bool:
        try:
            return serving.connect(served).get().text == "hello"
        except OSError:
            return False

    with open_socket(served.address) as silent, open_socket(served.address) as begun:
        begun.sendall(b"\x16")
        eventually(newcomer, "a place")
        with contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
        begun.settimeout(0)
        with pytest.raises(BlockingIOError):
            begun.recv(1)


def test_at_max_connections_one_that_only_has_to_be_closed_makes_room(site: Site) -> None:
    site.serve(hello, max_connections=1, keep_alive_max_requests=1, **PATIENT)
    first = site.connect()
    assert first.get().text == "hello"
    if isinstance(first, HTTP2Client):
        first.until(lambda: first.goaways[-1:] == [(1, 0)])

    def newcomer() -> bool:
        try:
            return site.connect().get().text == "hello"
        except OSError:
            return False  # the first one was about to be closed

    eventually(newcomer, "a place")


def test_at_max_connections_the_new_one_is_closed_where_none_is_idle(
    plain: Site, records: Records
) -> None:
    app = Waiting()
    plain.serve(app, max_connections=1, peer_log_interval=0)
    app.gate = plain.gate()
    busy = plain.connect()
    stream = busy.start("GET", "/wait")
    app.started.take()
    with open_socket(plain.served.address) as sock:
        assert sock.recv(1) == b""
    app.gate.open()
    assert busy.response(stream).text == "hello"
    lines = records.messages()
    assert "refused connection over max_connections from 127.0.0.1" in lines
    busy.sock.close()

    def again() -> bool:
        try:
            return plain.connect().get().text == "hello"
        except OSError:
            return False

    eventually(again, "a place")


def test_max_connections_per_address(plain: Site, records: Records) -> None:
    plain.serve(hello, max_connections_per_address=2, peer_log_interval=0)
    clients = [plain.connect() for _ in range(2)]
    assert [client.get().text for client in clients] == ["hello"] * 2
    with open_socket(plain.served.address) as sock:
        assert sock.recv(1) == b""
    line = "refused connection over max_connections_per_address from 127.0.0.1"
    assert line in records.messages()
    # Another address is not concerned, nor is this one once somebody has left.
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.connect(plain.served.address)
        other.settimeout(10)
        client = HTTP2Client(other) if plain.http2 else HTTP1Client(other)
        assert client.get().text == "hello"
    clients[0].sock.close()

    def again() -> bool:
        client = plain.connect()
        try:
            return client.get().text == "hello"
        except OSError:
            return False
        finally:
            client.sock.close()

    eventually(again, "a place")


def test_a_failed_handshake_gives_its_place_back(serving: Serving) -> None:
    served = serving(hello, tls=True, max_connections_per_address=1, ssl_handshake_timeout=0.2)
    for _ in range(2):
        with open_socket(served.address) as sock, contextlib.suppress(ConnectionResetError):
            sock.sendall(b"\x16\x03\x01\xff\xff" + bytes(32))  # too long a record
            while sock.recv(65536):
                pass

    def again() -> bool:
        try:
            return serving.connect(served).get().text == "hello"
        except OSError:
            return False

    eventually(again, "a place")


@pytest.mark.parametrize("protocol", ["http/1.1"])
def test_nobody_is_counted_for_ever(plain: Site) -> None:
    plain.serve(hello, max_connections=8, max_connections_per_address=4)
    for _ in range(30):
        client = plain.connect()
        with contextlib.suppress(OSError):
            client.get()
        client.sock.close()
    eventually(lambda: _served(plain), "a place")


def _served(site: Site) -> bool:
    clients = [site.connect() for _ in range(4)]
    try:
        return [client.get().text for client in clients] == ["hello"] * 4
    except OSError:
        return False
    finally:
        for client in clients:
            client.sock.close()
