"""What an application is told when its peer leaves, and how long it may go on."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from helpers.apps import body, hello, reply, start
from helpers.clients import HTTP2Client, open_socket, post, reset_socket
from helpers.serving import PATIENCE, Inbox, Records, eventually, settled
from helpers.site import Serving, Site
from tricorn.asgi.health import Health
from tricorn.io.accepting import Accepted
from tricorn.protocol.events import RequestReceived
from tricorn.types import Message, Receive, Scope, Send


def kernel_timer(client: socket.socket) -> str:
    """What the kernel times on the server's end of a connection, as /proc/net/tcp has it."""
    here, there = client.getsockname()[1], client.getpeername()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(address.split(":")[1], 16) for address in fields[1:3]]
        if ports == [there, here]:
            return fields[5].split(":")[0]
    raise AssertionError("no such connection")


class Waiting:
    """Reports the messages its waiting ``receive`` gives, and how it ended."""

    def __init__(self) -> None:
        self.told = Inbox()
        self.ended = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/wait":
            await reply(send, b"fine")
            return
        if (await receive())["more_body"]:
            raise AssertionError("no body was sent")
        self.told.put("started")
        self.told.put((await receive())["type"])
        try:
            await anyio.sleep_forever()
        except BaseException as exc:
            self.ended.put(type(exc).__name__)
            raise


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/net/tcp")
def test_one_who_vanishes_is_asked_for_by_the_kernel(serving: Serving) -> None:
    """No limit of ours ends an exchange in which neither side has anything to say."""
    app = Waiting()
    served = serving(app)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        assert app.told.take() == "started"
        assert kernel_timer(sock) == "02"  # keep-alive


def test_leaving_reaches_a_waiting_receive_at_once(site: Site) -> None:
    app = Waiting()
    client = site.open(app, disconnect_grace=0.02)
    stream = client.start("GET", "/wait")
    assert app.told.take() == "started"
    client.leave(stream)
    assert app.told.take() == "http.disconnect"
    # Grace, then cancellation: of the exchange, not of the connection or server.
    assert app.ended.take() in ("CancelledError", "Cancelled")
    if site.http2:
        assert client.get("/").text == "fine"
    assert site.connect().get("/").text == "fine"


def test_a_request_that_comes_with_the_end_is_read(serving: Serving) -> None:
    """HTTP/2 has no half-close: the application has it all the same, if it takes it at once."""
    inbox = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inbox.put(await receive())
        inbox.put((await receive())["type"])

    served = serving(app)
    for _ in range(5):  # trio runs the tasks of a turn in any order
        with open_socket(served.address) as sock:

            def come_and_go(sock: socket.socket = sock) -> None:
                sock.sendall(post("h2", b"body", tls=False))
                sock.shutdown(socket.SHUT_WR)

            served.portal.call(come_and_go)  # the server finds both
            message = inbox.take()
            assert (message["type"], message.get("body")) == ("http.request", b"body")
            assert inbox.take() == "http.disconnect"


async def has_left(receive: Receive) -> bool:
    """As Starlette's ``Request.is_disconnected``: what has not come at once is given up."""
    message: Message = {}
    with anyio.CancelScope() as scope:
        scope.cancel()
        message = await receive()
    return message.get("type", "").endswith(".disconnect")


def waiters() -> int:
    """Signals of the event loops that somebody holds."""
    gc.collect()
    names = ("FutureWaiter", "EventWaiter")
    return sum(type(thing).__name__ in names for thing in gc.get_objects())


def test_nothing_of_a_connection_that_has_gone_is_kept(plain: Site) -> None:
    """Until the next one comes, which may be never."""

    def kept() -> int:
        gc.collect()
        return sum(isinstance(thing, Accepted) for thing in gc.get_objects())

    plain.serve(hello)
    before = kept()
    client = plain.connect()
    assert client.get("/").complete
    client.close()
    eventually(lambda: kept() <= before)


@pytest.mark.long
@pytest.mark.parametrize("websocket", [False, True])
def test_asking_whether_the_peer_has_left_costs_nothing_for_ever(
    plain: Site, websocket: bool
) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if websocket:
            await send({"type": "websocket.accept"})
        before = waiters()
        for _ in range(1000):
            assert not await has_left(receive)
        told.put(waiters() - before)
        while not await has_left(receive):
            pass
        told.put("left")
        # Nor does one of several who ask go without an answer.
        told.put([await has_left(receive) or await has_left(receive) for _ in range(3)])
        await receive()
        told.put([await has_left(receive) or await has_left(receive) for _ in range(3)])

    plain.serve(app)
    if websocket:
        peer = plain.websocket()
        assert peer.handshake() == 200
        assert told.take() <= 1
        peer.leave()
    else:
        client = plain.connect()
        stream = client.start()
        assert told.take() <= 1
        client.leave(stream)
    assert told.take() == "left"
    assert [told.take(), told.take()] == [[True] * 3] * 2


@pytest.mark.parametrize("way", ["reset", "close", "half-close"])
def test_every_way_to_leave_is_noticed(plain: Site, way: str) -> None:
    app = Waiting()
    client = plain.open(app, disconnect_grace=0.02)
    client.start("GET", "/wait")
    assert app.told.take() == "started"
    if way == "reset":
        reset_socket(client.sock)
    elif way == "close":
        client.sock.close()
    else:
        client.sock.shutdown(1)
    assert app.told.take() == "http.disconnect"
    app.ended.take()


def test_tls_close_is_noticed(serving: Serving, protocol: str) -> None:
    """A peer that says close_notify has left, though its socket is still open."""
    app = Waiting()
    client = serving.connect(serving(app, tls=True, disconnect_grace=0.02), protocol)
    client.start("GET", "/wait")
    assert app.told.take() == "started"
    assert isinstance(client.sock, ssl.SSLSocket)
    with contextlib.suppress(OSError):  # the answer may be data still on its way
        client.sock.unwrap()
    assert app.told.take() == "http.disconnect"
    app.ended.take()


def test_without_grace_the_application_goes_on(plain: Site) -> None:
    told, ended = Inbox(), Inbox()
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        told.put((await receive())["type"])
        await gate.wait()
        ended.put("in order")

    client = plain.open(app, disconnect_grace=None, keep_alive_timeout=0.1)
    gate = plain.gate()
    client.leave(client.start())
    assert told.take() == "http.disconnect"
    gate.open()
    assert ended.take() == "in order"


def test_receive_after_the_response_is_a_disconnect(site: Site) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await reply(send)
        told.put((await receive())["type"])

    site.open(app).get("/")
    assert told.take() == "http.disconnect"


def test_disconnect_wakes_a_stuck_sender(site: Site) -> None:
    """The peer reads nothing, ``send`` waits; then the peer goes, and others have its number."""
    raised = Inbox()
    sent = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fine":
            await reply(send, b"fine")
            return
        await start(send)
        try:
            while True:
                await body(send, b"x" * 65536, more=True)
                sent.set()
        except OSError as exc:
            raised.put(exc)

    site.serve(app)
    client = site.connect(credit=False) if site.http2 else site.connect()
    stream = client.start()
    client.response(stream, lambda r: r.status > 0)
    assert sent.wait(5)
    reset_socket(client.sock)
    assert isinstance(raised.take(), OSError)
    for _ in range(4):
        assert site.connect().get("/fine").text == "fine"


@pytest.mark.long
@pytest.mark.parametrize("what", ["body", "file"])
@pytest.mark.parametrize("way", ["reset", "leave", "excess"])
def test_who_listens_is_told_before_who_sends(
    site: Site, tmp_path: Path, what: str, way: str
) -> None:
    """As Django does: a task listens, another sends, and a third ends that behind the first."""
    ended = Inbox()
    path = tmp_path / "file"
    path.write_bytes(bytes(200_000 if site.tls or site.http2 else 10_000))

    async def listen(receive: Receive, heard: anyio.Event) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        heard.set()

    async def stream(send: Send) -> None:
        await start(send)
        message = {"type": "http.response.body", "body": bytes(65536), "more_body": True}
        with path.open("rb") as file:
            if what == "file":
                kind = "http.response.zerocopysend"
                message = {"type": kind, "file": file, "offset": 0, "more_body": True}
            try:
                while True:
                    await send(message)
            except BaseException as exc:
                ended.put(type(exc).__name__)
                raise

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(listen, receive, heard)
            group.start_soon(stream, send)
            await heard.wait()
            group.cancel_scope.cancel()

    site.serve(app, max_request_body_size=10)
    client = site.connect(credit=False) if site.http2 else site.connect(receive_buffer=4096)
    stream_id = client.start("POST", more=way == "excess")
    client.response(stream_id, lambda r: r.status > 0)
    assert settled(ended.qsize) == 0
    if way == "reset":
        reset_socket(client.sock)
    elif way == "leave":
        client.leave(stream_id)
    else:
        client.send(stream_id, bytes(11))
    assert ended.take() in ("CancelledError", "Cancelled")


def test_the_last_message_is_taken_though_the_peer_leaves(site: Site) -> None:
    """The response has been handed over whole: what a framework does behind it is done."""
    behind = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, bytes(32 << 20))
        behind.put((await receive())["type"])
        await body(send, b"ignored")
        behind.put("done")

    site.serve(app)
    client = site.connect(receive_buffer=4096)
    stream = client.start()
    client.response(stream, lambda r: r.status > 0)
    assert settled(behind.qsize) == 0
    reset_socket(client.sock)
    assert [behind.take(), behind.take()] == ["http.disconnect", "done"]


def test_a_stuck_sender_has_its_grace_and_no_more(site: Site) -> None:
    """The peer has left the exchange, and the connection is still there."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, b"x" * 65536, more=True)
                ended.put("sent")
        except OSError:
            await anyio.sleep_forever()
        finally:
            ended.put("ended")

    site.serve(app, disconnect_grace=0.1, write_timeout=None)
    options = {"window": 2**30} if site.http2 else {}
    client = site.connect(receive_buffer=4096, **options)
    if isinstance(client, HTTP2Client):
        client.h2.increment_flow_control_window(2**30)
    stream = client.start()
    settled(ended.qsize)
    if site.http2:
        client.leave(stream)
    else:
        client.sock.shutdown(socket.SHUT_WR)
    while ended.take() != "ended":
        pass


def test_a_pipelined_or_unfinished_request_ends_with_its_connection(serving: Serving) -> None:
    served = serving(hello)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nho")
        sock.shutdown(1)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"HTTP/1.1 200") == 1


def test_half_closed_client_still_gets_its_answer(serving: Serving) -> None:
    served = serving(hello)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.shutdown(1)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.endswith(b"hello")


@pytest.mark.parametrize("protocol", ["h2"])
def test_reset_stream_frees_its_place(plain: Site) -> None:
    app = Waiting()
    client = plain.open(app, h2_max_concurrent_streams=1, disconnect_grace=0.0)
    assert isinstance(client, HTTP2Client)
    for _ in range(3):
        stream = client.start("GET", "/wait")
        assert app.told.take() == "started"
        client.leave(stream)
        assert app.told.take() == "http.disconnect"
        app.ended.take()
    client.ping()
    assert client.get("/").text == "fine"


def test_peers_that_vanish_cost_only_their_connection(site: Site) -> None:
    """Closed or reset before, in and after the handshake, while the server writes to them."""
    site.serve(hello)
    for number in range(16):
        if number % 4 == 3:
            reset_socket(open_socket(site.served.address))
            continue
        client = site.connect()
        if number % 2:
            client.start()
        (reset_socket if number % 4 else socket.socket.close)(client.sock)
    assert site.connect().get("/").text == "hello"


def test_a_fault_of_ours_costs_only_its_connection(
    plain: Site, monkeypatch: pytest.MonkeyPatch, records: Records
) -> None:
    """The failure boundary: an error in the driver is logged and ends one connection."""
    records.expect("internal error")

    def broken(health: Health, request: RequestReceived) -> None:
        raise ZeroDivisionError

    plain.serve(hello, livez_path="/livez")
    with monkeypatch.context() as patch:
        client = plain.connect()
        patch.setattr(Health, "answer", broken)
        assert client.get("/").cut
    assert plain.connect().get("/").text == "hello"
    assert any("internal error" in message for message in records.messages())


@pytest.mark.parametrize("by_server", [True, False])
def test_grace_behind_a_websocket_is_for_what_its_peer_ended(site: Site, by_server: bool) -> None:
    """What the application does behind its own close is its own affair."""
    closed, ended = Inbox(), Inbox()
    gate = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert gate is not None
        await receive()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            if by_server:
                await send({"type": "websocket.close", "code": 1000})
                closed.put(None)
        while not (await receive())["type"].endswith(".disconnect"):
            pass
        try:
            await gate.wait()
        except BaseException:
            ended.put(f"{scope['type']} cancelled")
            raise
        ended.put(f"{scope['type']} in order")

    site.open(app, disconnect_grace=0.02)
    gate = site.gate()
    peer = site.websocket()
    assert peer.handshake() == 200
    if not by_server:
        peer.close(1000)
        assert ended.take() == "websocket cancelled"
        return
    closed.take()
    peer.client.sock.close()
    client = site.connect()
    client.leave(client.start())  # whose grace ends behind what the WebSocket's would
    assert ended.take() == "http cancelled"
    gate.open()
    assert ended.take() == "websocket in order"


def test_a_reset_that_much_output_finds_is_no_warning(serving: Serving, tls: bool) -> None:
    """Nor is anything framed any more for a connection that a write has found lost."""
    inbox, reset = Inbox(), threading.Event()
    gate = serving.gate()
    waiting: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        inbox.put("started")
        await gate.wait()
        if not waiting:
            waiting.append("the loop")  # so that it does not see the reset before
            inbox.put("waits")
            assert reset.wait(PATIENCE)
        await body(send, b"x" * 60000)

    served = serving(app, tls=tls)
    client = serving.connect(served, "h2", window=2**20)
    assert isinstance(client, HTTP2Client)
    client.h2.increment_flow_control_window(2**24)
    for _ in range(30):
        client.start()
    for _ in range(30):
        assert inbox.take() == "started"
    gate.open()
    assert inbox.take() == "waits"
    reset_socket(client.sock)
    reset.set()
    served.stop()
    served.wait()
