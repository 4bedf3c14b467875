"""WebSockets over both protocols on every backend and wire (ASGI WebSocket 2.5)."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import anyio
import anyio.to_thread
import pytest
import wsproto.events

from helpers.apps import body
from helpers.serving import Inbox, Records, settled
from helpers.site import EACH_ONCE, Site
from helpers.websocket import WebSocketClient
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Receive, Scope, Send


async def accept(receive: Receive, send: Send, **more: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"} | more)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await echo_rest(receive, send)


async def echo_rest(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        answer = {"text": message.get("text"), "bytes": message.get("bytes")}
        await send({"type": "websocket.send"} | answer)


class Listener:
    """Accepts, then tells every message it receives."""

    def __init__(self) -> None:
        self.messages = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while True:
            message = await receive()
            self.messages.put(message)
            if message["type"] == "websocket.disconnect":
                return


def opened(site: Site, app: Any, **options: Any) -> WebSocketClient:
    site.serve(app, **options)
    client = site.websocket()
    assert client.handshake() == 200
    return client


def test_echo_and_close(site: Site) -> None:
    client = opened(site, echo)
    client.send_text("h\u00e9llo")
    assert client.text() == "h\u00e9llo"
    client.send(wsproto.events.BytesMessage(data=b"\x00\xff"))
    assert client.event().data == b"\x00\xff"
    client.send(wsproto.events.TextMessage(data="a", message_finished=False))
    client.send(wsproto.events.TextMessage(data="b", message_finished=True))
    assert client.text() == "ab"
    client.send(wsproto.events.Ping(payload=b"p"))
    assert client.event().payload == b"p"
    client.close(1000)
    assert client.close_code() == 1000
    assert client.at_end()


def test_an_application_that_ends_without_reading(site: Site) -> None:
    """What it left is in nobody's way: the closing handshake comes to its end."""
    sent = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await anyio.to_thread.run_sync(sent.wait)

    client = opened(site, app, websocket_max_queue_size=1000, websocket_close_timeout=60)
    for _ in range(5):
        client.send(wsproto.events.BytesMessage(data=bytes(2000)))
    sent.set()
    assert client.close_code() == 1000
    client.close(1000)
    assert client.at_end()


def test_scope_and_subprotocol(site: Site) -> None:
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        await accept(receive, send, subprotocol="two", headers=[(b"x-mine", b"1")])
        await receive()

    site.serve(app)
    headers = [(b"sec-websocket-protocol", b"one, two")]
    client = site.websocket(path="/ws?a=1", headers=headers)
    assert client.handshake() == 200
    found = dict(client.headers)
    assert found[b"sec-websocket-protocol"] == b"two"
    assert found[b"x-mine"] == b"1"
    scope = scopes.take()
    assert scope["type"] == "websocket"
    assert scope["scheme"] == ("wss" if site.tls else "ws")
    assert scope["http_version"] == ("2" if site.http2 else "1.1")
    assert scope["subprotocols"] == ["one", "two"]
    assert (scope["path"], scope["query_string"]) == ("/ws", b"a=1")
    assert "websocket.http.response" in scope["extensions"]
    assert "method" not in scope
    client.close()
    assert client.close_code() == 1000


@pytest.mark.parametrize(
    ("sent", "told"), [(1000, 1000), (1001, 1001), (3000, 3000), (4999, 4999), (None, 1005)]
)
def test_close_code_of_the_peer(plain: Site, sent: int | None, told: int) -> None:
    app = Listener()
    client = opened(plain, app)
    client.close(sent, "bye" if sent else None)
    message = app.messages.take()
    assert message["type"] == "websocket.disconnect"
    assert message["code"] == told
    assert message["reason"] == ("bye" if sent else "")
    client.close_code()
    assert client.at_end()


@pytest.mark.parametrize("code", [1000, 1001, 3999, 4000])
def test_close_code_of_the_application(plain: Site, code: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", "code": code, "reason": "done"})

    client = opened(plain, app)
    event = client.event()
    assert (event.code, event.reason) == (code, "done")
    client.send(event.response())
    assert client.at_end()


def test_vanished_peer_is_1006(site: Site) -> None:
    app = Listener()
    client = opened(site, app)
    client.leave()
    message = app.messages.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)


def test_return_is_1000_and_failure_is_1011(site: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        if scope["path"] == "/broken":
            raise RuntimeError("broken")

    site.serve(app)
    for path, code in (("/", 1000), ("/broken", 1011)):
        client = site.websocket(path=path)
        assert client.handshake() == 200
        assert client.close_code() == code


def test_close_before_accept_is_403(site: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    site.serve(app)
    assert site.websocket().handshake() == 403


@pytest.mark.parametrize("raises", [False, True])
def test_no_answer_is_500(plain: Site, records: Records, raises: bool) -> None:
    records.expect("application failed", "application returned without a whole response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if raises:
            raise RuntimeError("broken")

    plain.serve(app)
    assert plain.websocket().handshake() == 500


def test_denial_response(site: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"x-why", b"tired")]
        start = {"type": "websocket.http.response.start", "status": 429, "headers": headers}
        await send(start)
        message = {"type": "websocket.http.response.body"}
        await send(message | {"body": b"not ", "more_body": True})
        await send(message | {"body": b"so"})

    site.serve(app)
    client = site.websocket()
    assert client.handshake() == 429
    assert dict(client.headers)[b"x-why"] == b"tired"
    assert client.body == b"not so"


def test_leaving_in_the_middle_of_a_denial_is_told(site: Site) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 429})
        message = {"type": "websocket.http.response.body", "body": b"not ", "more_body": True}
        await send(message)
        told.put("denied")
        told.put(await receive())

    site.serve(app, disconnect_grace=None)
    client = site.websocket()
    assert told.take() == "denied"
    client.leave()
    assert told.take() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_data_before_accept_is_kept(site: Site) -> None:
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await gate.wait()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})

    site.serve(app)
    gate = site.gate()
    client = site.websocket(early=b"\x81\x85\0\0\0\0early")
    gate.open()
    assert client.handshake() == 200
    assert client.text() == "early"


def test_message_too_big_is_1009(plain: Site) -> None:
    app = Listener()
    client = opened(plain, app, websocket_max_message_size=1000)
    client.send_text("x" * 1000)
    assert app.messages.take()["text"] == "x" * 1000
    client.send_text("x" * 1001)
    assert client.close_code() == 1009
    assert app.messages.take()["type"] == "websocket.disconnect"


def test_invalid_frame_is_1002(plain: Site) -> None:
    app = Listener()
    client = opened(plain, app)
    client.send_bytes(b"\xf1\x80\0\0\0\0")
    assert client.close_code() == 1002
    assert app.messages.take()["code"] in (1002, 1006)


def test_silent_peer_is_pinged_and_cut(site: Site) -> None:
    app = Listener()
    limits = {"websocket_ping_interval": 0.05, "websocket_ping_timeout": 0.05}
    client = opened(site, app, websocket_close_timeout=0.05, **limits)
    assert isinstance(client.event(), wsproto.events.Ping)
    message = app.messages.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)


def test_answered_pings_keep_it_open(plain: Site) -> None:
    app = Listener()
    limits = {"websocket_ping_interval": 0.1, "websocket_ping_timeout": 0.5}
    client = opened(plain, app, **limits)
    for _ in range(8):  # longer than that timeout
        ping = client.event()
        assert isinstance(ping, wsproto.events.Ping)
        client.send(ping.response())
    client.send_text("alive")
    assert app.messages.take()["text"] == "alive"


KEEPALIVE = {"websocket_ping_interval": 0.5, "websocket_ping_timeout": 0.5}
SIZE = 4 * 2**20
RATE = 2 * 2**20  # bytes a second: it takes much longer than the pings


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "bytes": bytes(SIZE)})
    await echo_rest(receive, send)


def read_slowly(client: WebSocketClient, left: int = SIZE) -> None:
    while left:
        event = client.event()
        assert isinstance(event, wsproto.events.BytesMessage)
        left -= len(event.data)
        time.sleep(len(event.data) / RATE)  # the time itself is the subject


@pytest.mark.long
@EACH_ONCE
def test_a_peer_that_reads_slowly_is_not_silent(site: Site) -> None:
    """The ping lies behind what it reads."""
    site.serve(large, **KEEPALIVE)
    client = WebSocketClient(site.connect(receive_buffer=65536))
    assert client.handshake() == 200
    read_slowly(client)
    ping = client.event()
    assert isinstance(ping, wsproto.events.Ping)
    client.send(ping.response())
    client.send_text("read")
    assert client.text() == "read"


@EACH_ONCE
def test_a_peer_that_reads_no_further_is_cut(site: Site) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        async with anyio.create_task_group() as tasks:
            message = {"type": "websocket.send", "bytes": bytes(4 * SIZE)}
            tasks.start_soon(send, message)
            told.put(await receive())

    site.serve(app, **KEEPALIVE)
    client = WebSocketClient(site.connect(receive_buffer=65536))
    assert client.handshake() == 200
    assert isinstance(client.event(), wsproto.events.BytesMessage)
    message = told.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)
    client.client.sock.close()


@pytest.mark.long
@EACH_ONCE
@pytest.mark.parametrize("reads", [True, False])
def test_the_close_frame_behind_a_large_message_has_its_time(site: Site, reads: bool) -> None:
    """It is not late while the peer reads what lies before it."""
    told = Inbox()
    gate = site.gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, {"type": "websocket.send", "bytes": bytes(SIZE)})
            await gate.wait()
            with contextlib.suppress(ClientDisconnected):
                await send({"type": "websocket.close", "code": 4000})
            told.put(await receive())

    site.serve(app, websocket_close_timeout=0.5)
    client = WebSocketClient(site.connect(receive_buffer=65536))
    assert client.handshake() == 200
    event = client.event()
    assert isinstance(event, wsproto.events.BytesMessage)
    gate.open()
    if reads:
        read_slowly(client, SIZE - len(event.data))
        assert client.close_code() == 4000
        client.close(4000)
    message = told.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 4000 if reads else 1006)
    client.client.sock.close()


def test_slow_application_slows_its_peer(plain: Site) -> None:
    """Nothing is read while the application takes nothing; then all of it arrives."""
    gate: Any = None
    received: list[str] = []
    done = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await gate.wait()
        while (message := await receive())["type"] == "websocket.receive":
            received.append(message["text"])
        done.put(message["code"])

    plain.serve(app, websocket_max_queue_size=4096, h2_stream_window_size=65536)
    gate = plain.gate()
    client = plain.websocket()
    assert client.handshake() == 200
    text = "x" * 1000
    frame = b"\x81\xfe\x03\xe8\0\0\0\0" + text.encode()
    count = 60
    for _ in range(count):
        client.send_bytes(frame)
    assert settled(lambda: len(received)) == 0
    gate.open()
    for _ in range(count):
        client.send_bytes(frame)
    client.close()
    assert client.close_code() == 1000
    assert done.take() == 1000
    assert received == [text] * (2 * count)


def test_slow_reader_stops_an_application_with_messages_at_hand(plain: Site) -> None:
    """Answers that are left to the end of the turn do not pile up, and keep nobody waiting."""
    sent = [0]
    piece = b"x" * 16384

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        message = await receive()
        if message["text"] == "one":
            while True:
                await send({"type": "websocket.send", "bytes": piece})
                sent[0] += len(piece)
        await send({"type": "websocket.send", "text": "here"})

    client = opened(plain, app)
    one = b"\x81\x83" + bytes(4) + b"one"
    client.send_bytes(one * 3)
    assert 0 < settled(lambda: sent[0]) < 64 * 2**20
    other = plain.websocket()
    assert other.handshake() == 200
    other.send_text("two")
    assert other.text() == "here"
    client.leave()


def test_many_messages_in_one_read_are_answered_in_order(site: Site) -> None:
    client = opened(site, echo)
    texts = [str(number) for number in range(500)]
    frames = [bytes([0x81, 0x80 | len(text)]) + bytes(4) + text.encode() for text in texts]
    client.send_bytes(b"".join(frames))
    assert [client.text() for _ in texts] == texts
    client.close(1000)
    assert client.close_code() == 1000


def test_send_after_close_raises_an_os_error(site: Site) -> None:
    errors = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError as exc:
            errors.put(exc)
            raise

    client = opened(site, app)
    client.close()
    assert isinstance(errors.take(), ClientDisconnected)


def test_shutdown_closes_with_1012(site: Site) -> None:
    app = Listener()
    client = opened(site, app)
    client.send_text("here")
    assert app.messages.take()["text"] == "here"
    site.served.stop()
    event = client.event()
    assert isinstance(event, wsproto.events.CloseConnection)
    assert event.code == 1012
    client.send(event.response())
    assert client.at_end()
    assert app.messages.take()["type"] == "websocket.disconnect"
    client.client.close()
    site.served.wait()


def test_http_message_on_a_websocket_is_refused(plain: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await body(send, b"wrong")

    client = opened(plain, app)
    assert client.close_code() == 1011
