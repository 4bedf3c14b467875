"""Every limit on time closes what it guards, and nothing else."""

from __future__ import annotations

import os
import socket
import time
from collections import deque

import anyio
import pytest

from helpers.apps import body, hello, read_body, reply, start
from helpers.clients import Client, HTTP1Client, HTTP2Client, Response, open_socket
from helpers.serving import PATIENCE, Inbox, Records, eventually
from helpers.site import EACH_ONCE, Serving, Site
from tricorn.types import Application, Receive, Scope, Send

LIMIT = 0.06
SLOW_LIMIT = 0.5
SLOW_RATE = 1_000_000  # bytes a second
NO_ERROR = 0
CANCEL = 8


def test_unfinished_head_is_408(serving: Serving) -> None:
    served = serving(hello, header_timeout=LIMIT, close_timeout=LIMIT)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: ")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


def test_silence_is_closed_without_an_answer(serving: Serving) -> None:
    served = serving(hello, header_timeout=LIMIT)
    with open_socket(served.address) as sock:
        assert sock.recv(65536) == b""


def test_unfinished_http2_preface_is_closed(serving: Serving) -> None:
    served = serving(hello, header_timeout=LIMIT)
    with open_socket(served.address) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n")
        b"".join(iter(lambda: sock.recv(65536), b""))


def test_idle_connection_is_closed(site: Site) -> None:
    client = site.open(hello, keep_alive_timeout=LIMIT)
    assert client.get("/").text == "hello"
    if isinstance(client, HTTP2Client):
        client.until(lambda: client.closed)
        assert client.goaways[-1] == (1, NO_ERROR)
    else:
        assert client.sock.recv(1) == b""


def test_idle_limit_spares_a_slow_application(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(3 * LIMIT)
        await reply(send, b"slow")

    client = plain.open(app, keep_alive_timeout=LIMIT, header_timeout=LIMIT, read_timeout=LIMIT)
    assert client.get("/").text == "slow"


def test_stalled_request_body(site: Site) -> None:
    errors = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        errors.put(message["type"])

    client = site.open(app, read_timeout=LIMIT, close_timeout=LIMIT)
    stream = client.start("POST", headers=[(b"content-length", b"100")], more=True)
    client.send(stream, b"x" * 10)
    response = client.response(stream)
    assert errors.take() == "http.disconnect"
    if site.http2:
        assert response.reset_code == CANCEL
    else:
        assert response.status in (408, 0)


def test_read_limit_spares_who_waits_for_100_continue(plain: Site) -> None:
    """Until the application asks for the body, which may take its time."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep(3 * LIMIT)
        await reply(send, await read_body(receive))

    client = plain.open(app, read_timeout=LIMIT)
    fields = [(b"expect", b"100-continue"), (b"content-length", b"4")]
    stream = client.start("POST", headers=fields, more=True)
    response = client.response(stream, lambda response: bool(response.informational))
    assert response.informational[0][0] == 100
    client.send(stream, b"body", more=False)
    assert client.response(stream).text == "body"


def test_read_limit_is_between_pieces(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"%d" % len(await read_body(receive)))

    client = plain.open(app, read_timeout=2 * LIMIT)
    stream = client.start("POST", more=True)
    for _ in range(4):
        client.send(stream, b"x")
        time.sleep(LIMIT)  # the time itself is the subject
    client.send(stream, b"", more=False)
    assert client.response(stream).text == "4"


def endless(raised: Inbox) -> Application:
    """Sends until that fails."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, b"x" * 65536, more=True)
        except OSError as exc:
            raised.put(exc)

    return app


def test_stalled_reader_is_cut(site: Site) -> None:
    raised = Inbox()
    site.serve(endless(raised), write_timeout=LIMIT)
    options = {"credit": False} if site.http2 else {}
    client = site.connect(receive_buffer=16384, **options)
    client.response(client.start(), lambda r: r.status > 0)
    assert isinstance(raised.take(), OSError)


def held_by_its_socket(site: Site) -> Client:
    """A client that only its socket holds back, over HTTP/2 too."""
    client = site.connect(receive_buffer=131072, **({"window": 2**31 - 1} if site.http2 else {}))
    if isinstance(client, HTTP2Client):
        client.h2.increment_flow_control_window(2**30)
        client.flush()
    return client


def test_reader_that_stops_is_cut(site: Site) -> None:
    raised = Inbox()
    site.serve(endless(raised), write_timeout=LIMIT)
    client = held_by_its_socket(site)
    client.response(client.start(), lambda r: r.status > 0)
    assert isinstance(raised.take(), OSError)
    # Nothing is kept for it in the system either.
    with socket.socket(fileno=os.dup(client.sock.fileno())) as below_tls:
        below_tls.settimeout(PATIENCE)
        with pytest.raises(ConnectionResetError):
            deque(iter(lambda: below_tls.recv(2**20), b""), maxlen=0)


@pytest.mark.long
@EACH_ONCE
def test_slow_reader_is_not_cut(site: Site) -> None:
    """The system takes more for it in large steps only, which last longer than the limit."""
    size = 12_000_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(size // 100_000):
            await body(send, b"x" * 100_000, more=True)
        await body(send)

    site.serve(app, write_timeout=SLOW_LIMIT)
    client = held_by_its_socket(site)
    begun = time.monotonic()

    def slowly(response: Response) -> bool:
        passed = time.monotonic() - begun
        if passed < 4 * SLOW_LIMIT:
            time.sleep(max(0.0, len(response.body) / SLOW_RATE - passed))  # time is the subject
        return False

    assert len(client.response(client.start(), slowly).body) == size


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["h2"])
def test_a_window_is_given_by_who_has_read_what_fills_it(site: Site) -> None:
    """Until then it is in the system, and no stream is late."""
    window, size = 2**21, 2**22

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"x" * size)

    site.serve(app, write_timeout=SLOW_LIMIT)
    client = site.connect(receive_buffer=131072, window=window, credit=False)
    assert isinstance(client, HTTP2Client)
    client.h2.increment_flow_control_window(2**30)
    client.flush()
    begun = time.monotonic()
    stream = client.start()

    def slowly(response: Response) -> bool:
        passed = time.monotonic() - begun
        time.sleep(max(0.0, len(response.body) / SLOW_RATE - passed))  # time is the subject
        return len(response.body) == window

    client.response(stream, slowly)
    client.h2.increment_flow_control_window(size, stream_id=stream)
    client.flush()
    assert len(client.response(stream).body) == size


def test_unfinished_tls_handshake_is_closed(serving: Serving, records: Records) -> None:
    served = serving(hello, tls=True, ssl_handshake_timeout=LIMIT)
    with open_socket(served.address) as sock:
        sock.sendall(b"\x16\x03\x01\x00")
        try:
            assert sock.recv(65536) == b""
        except ConnectionResetError:
            pass
    # A peer that talks something else is no more than a line for the debugger.
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        try:
            b"".join(iter(lambda: sock.recv(65536), b""))
        except ConnectionResetError:
            pass
    assert serving.connect(served).get("/").text == "hello"


def test_client_that_does_not_close_is_left(serving: Serving) -> None:
    """After ``connection: close`` the server does not wait for ever."""
    served = serving(hello, close_timeout=LIMIT, keep_alive_max_requests=1)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("protocol", ["h2"])
def test_timed_out_stream_leaves_its_siblings_alone(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            while (await receive())["type"] == "http.request":
                pass
        await reply(send, b"fine")

    client = plain.open(app, read_timeout=LIMIT)
    stalled = client.start("POST", more=True)
    assert client.response(stalled).cut
    assert client.get("/").text == "fine"


def test_connections_do_not_pile_up(serving: Serving) -> None:
    """Every closed connection leaves the server's books."""
    served = serving(hello, keep_alive_timeout=LIMIT, header_timeout=LIMIT)
    for _ in range(20):
        open_socket(served.address).close()
    client = serving.connect(served)
    assert isinstance(client, HTTP1Client)
    assert client.get("/").text == "hello"
    served.stop()
    served.wait()
    eventually(lambda: client.sock.recv(1) == b"")


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_tls_peer_that_does_not_answer_the_close(serving: Serving, protocol: str) -> None:
    """It is left after ``ssl_shutdown_timeout``, in a drain too."""
    served = serving(hello, tls=True, header_timeout=LIMIT, ssl_shutdown_timeout=3 * LIMIT)
    client = serving.connect(served, protocol)
    assert client.get("/").text == "hello"
    before = time.monotonic()
    served.stop()
    served.wait()
    # On asyncio several ticks have passed over the closing connection meanwhile.
    assert time.monotonic() - before < 50 * LIMIT
