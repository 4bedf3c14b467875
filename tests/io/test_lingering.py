"""The end of a connection comes after what is on its way to the peer."""

from __future__ import annotations

import contextlib
import socket
import time

import hyperframe.frame
import pytest

from helpers.apps import body, hello, start
from helpers.clients import HTTP2Client, Response, open_socket
from helpers.serving import Records, eventually
from helpers.site import Serving, Site
from tricorn.types import Receive, Scope, Send

LIMIT = 0.06
LARGE = 8_000_000  # more than the system holds
# The time to close begins when the peer has everything, and it takes longer over that.
HASTE = {"close_timeout": LIMIT, "ssl_shutdown_timeout": LIMIT}
RATE = 12_000_000  # bytes a second
NO_ERROR = 0
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hyperframe.frame.SettingsFrame(0).serialize()
GOAWAY = hyperframe.frame.GoAwayFrame(0).serialize()
PING = hyperframe.frame.PingFrame(0, b"12345678").serialize()
DATA_NOWHERE = hyperframe.frame.DataFrame(7, b"x").serialize()  # on an idle stream


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """More than the peer has read when the last of it is written."""
    await start(send, headers=[(b"content-length", b"%d" % LARGE)])
    await body(send, b"x" * LARGE)


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["h2"])
def test_the_last_http2_response_arrives_whole(site: Site) -> None:
    """A reset, for what the peer says as it reads, would cut what it has not read."""
    site.serve(large, keep_alive_max_requests=1, **HASTE)
    client = with_window(site)
    assert len(read_slowly(client, client.start()).body) == LARGE
    client.until(lambda: client.closed)
    assert client.goaways[-1] == (1, NO_ERROR)


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["h2"])
def test_a_stop_waits_for_a_peer_that_does_not_read_for_a_while(site: Site) -> None:
    """It does not see the PING of the drain before drain_idle_timeout is over."""
    site.serve(large, **HASTE)
    client = with_window(site)
    stream = client.start()
    client.response(stream, lambda response: response.status > 0)
    site.served.stop()
    time.sleep(4 * LIMIT)
    assert len(read_slowly(client, stream).body) == LARGE
    client.sock.close()
    site.served.wait()


def with_window(site: Site) -> HTTP2Client:
    """A client that gives credit for a whole response at once, and little room of its own."""
    client = site.connect(receive_buffer=65536, window=2**31 - 1)
    assert isinstance(client, HTTP2Client)
    client.h2.increment_flow_control_window(2**30)
    client.flush()
    return client


def read_slowly(client: HTTP2Client, stream: int) -> Response:
    """Read a response, and say something all the time."""
    begun = time.monotonic()

    def says_something(response: Response) -> bool:
        say_something(client)
        wait_since(begun, len(response.body))
        return False

    return client.response(stream, says_something)


def say_something(client: HTTP2Client) -> None:
    """What an ended connection would answer with a reset."""
    client.h2.ping(b"12345678")
    client.flush()


def wait_since(begun: float, read: int) -> None:
    """Let the time pass that so many bytes take."""
    time.sleep(max(0.0, begun + read / RATE - time.monotonic()))


@pytest.mark.parametrize("protocol", ["http/1.1"])
def test_the_last_http1_response_arrives_whole(site: Site) -> None:
    """RFC 9112 section 9.6, of a client that pipelines."""
    site.serve(large, keep_alive_max_requests=1, **HASTE)
    client = site.connect(receive_buffer=65536)
    received = bytearray()
    begun = time.monotonic()
    client.sock.sendall(REQUEST)
    while data := client.sock.recv(65536):
        received += data
        client.sock.sendall(REQUEST)
        wait_since(begun, len(received))
    assert len(received.partition(b"\r\n\r\n")[2]) == LARGE


@pytest.mark.long
def test_nobody_makes_room_who_still_reads(site: Site) -> None:
    """Its application has ended, and what is left of its response is on the way."""
    site.serve(large, max_connections=1, write_buffer_high=2 * LARGE)
    client = with_window(site) if site.http2 else site.connect(receive_buffer=65536)
    newcomers = 0

    def sees_newcomers(response: Response) -> bool:
        nonlocal newcomers
        if isinstance(client, HTTP2Client):
            say_something(client)
        if len(response.body) > newcomers * LARGE // 32:
            newcomers += 1
            with contextlib.suppress(OSError):
                site.connect().sock.close()
        return False

    assert len(client.response(client.start(), sees_newcomers).body) == LARGE


@pytest.mark.parametrize("fault", [b"", GOAWAY, DATA_NOWHERE], ids=["idle", "goaway", "error"])
def test_what_follows_the_end_is_not_reset(serving: Serving, fault: bytes) -> None:
    """The end of the server's side comes first, and the client's own in its time."""
    served = serving(hello, keep_alive_timeout=LIMIT)
    with open_socket(served.address) as sock:
        sock.sendall(GREETING + fault)
        while sock.recv(65536):
            pass
        for _ in range(3):
            sock.sendall(PING)
    served = serving(hello, keep_alive_timeout=LIMIT, close_timeout=LIMIT)
    with open_socket(served.address) as sock:
        sock.sendall(GREETING + fault)
        while sock.recv(65536):
            pass
        eventually(lambda: is_reset(sock), "the end of the server's patience")


@pytest.mark.parametrize("protocol", ["http/1.1"])
def test_a_stop_cuts_who_does_not_take_the_last_response(site: Site, records: Records) -> None:
    """Behind graceful_timeout; that is said, for something is lost."""
    records.expect("1 connections still open after graceful_timeout")
    site.serve(large, keep_alive_max_requests=1, graceful_timeout=LIMIT)
    client = site.connect(receive_buffer=65536)
    client.response(client.start(), lambda response: response.status > 0)
    site.served.stop()
    begun = time.monotonic()
    site.served.wait()
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("protocol", ["http/1.1"])
def test_who_does_not_take_the_last_response_is_cut(site: Site, records: Records) -> None:
    """The system has all of it, and the peer's none of it left to take."""
    site.serve(large, keep_alive_max_requests=1, write_timeout=LIMIT, **HASTE)
    client = site.connect(receive_buffer=65536)
    client.response(client.start(), lambda response: response.status > 0)
    eventually(lambda: is_reset(client.sock), "the cut")


def test_a_stop_has_nothing_to_say_about_a_peer_that_stays(serving: Serving) -> None:
    """Its exchanges are over; ``serving`` fails on a warning."""
    served = serving(hello, graceful_timeout=LIMIT)
    with open_socket(served.address) as sock:
        sock.sendall(GREETING + GOAWAY)
        while sock.recv(65536):
            pass
        served.stop()
        served.wait()
        eventually(lambda: is_reset(sock), "the cut")


def is_reset(sock: socket.socket) -> bool:
    """Whether there is nobody left to send to."""
    try:
        sock.sendall(PING)
    except OSError:
        return True
    return False
