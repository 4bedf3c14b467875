"""How WebSockets end whose peer or application is slow, on every backend and wire."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import wsproto.events

from helpers.clients import HTTP2Client
from helpers.serving import Inbox, Records, settled
from helpers.site import Serving, Site
from helpers.websocket import WebSocketClient
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Receive, Scope, Send

ROOM = 1000
# Each is more than is parsed at a time, and less than an HTTP/1.1 connection reads ahead.
SIZES = (20_000, 20_001, 20_002)


async def accept(receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})


def binary(size: int) -> bytes:
    """A masked frame of zeros."""
    return b"\x82\xfe" + size.to_bytes(2) + bytes(4 + size)


def test_a_slow_application_gets_what_came_before_the_end(site: Site) -> None:
    gate: Any = None
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        told.put(len((await receive())["bytes"]))
        await gate.wait()
        while (message := await receive())["type"] == "websocket.receive":
            told.put(len(message["bytes"]))
        told.put(message["code"])

    site.serve(app, websocket_max_queue_size=ROOM, disconnect_grace=None)
    gate = site.gate()
    client = site.websocket()
    assert client.handshake() == 200
    client.send_bytes(b"".join(map(binary, SIZES)))
    assert told.take() == SIZES[0]
    client.close(3000)
    client.end()
    gate.open()
    assert [told.take() for _ in range(3)] == [*SIZES[1:], 3000]


def test_an_application_that_takes_nothing_has_its_grace(site: Site) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        try:
            await anyio.sleep_forever()
        except BaseException as exc:
            told.put(type(exc).__name__)
            raise

    site.serve(app, websocket_max_queue_size=ROOM, disconnect_grace=0.02)
    client = site.websocket()
    assert client.handshake() == 200
    client.send_bytes(b"".join(map(binary, SIZES)))
    client.end()
    assert told.take() in ("CancelledError", "Cancelled")


def test_a_denial_that_is_complete_was_taken_though_the_client_leaves(site: Site) -> None:
    """As with any response: what frameworks do behind it is done."""
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        told.put("begun")
        # More than the system and the peer's window have room for.
        await send({"type": "websocket.http.response.body", "body": bytes(8_000_000)})
        told.put((await receive())["type"])

    site.serve(app, disconnect_grace=None, write_timeout=None)
    client = WebSocketClient(site.connect(receive_buffer=65536))
    assert told.take() == "begun"
    assert settled(told.qsize) == 0
    client.leave()
    assert told.take() == "websocket.disconnect"


def test_a_restart_finds_the_peers_answer_behind_what_waits(site: Site) -> None:
    gate: Any = None
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        told.put("accepted")
        await gate.wait()
        while (message := await receive())["type"] == "websocket.receive":
            pass
        told.put(message["code"])

    site.serve(app, websocket_max_queue_size=ROOM, websocket_close_timeout=60)
    gate = site.gate()
    client = site.websocket()
    assert client.handshake() == 200
    assert told.take() == "accepted"
    client.send_bytes(b"".join(map(binary, SIZES)) * 4)  # more than is read ahead
    site.served.stop()
    event = client.event()
    assert isinstance(event, wsproto.events.CloseConnection)
    client.send(event.response())
    assert client.at_end()
    gate.open()
    assert told.take() == 1012
    client.client.close()
    site.served.wait()


def test_an_application_that_is_sending_at_a_restart_has_not_failed(site: Site) -> None:
    """Frameworks make an error of their own of ours: Starlette a WebSocketDisconnect."""
    gate: Any = None
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        told.put("accepted")
        await gate.wait()
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError:
            told.put("refused")
            raise RuntimeError("left") from None

    site.serve(app)
    gate = site.gate()
    client = site.websocket()
    assert client.handshake() == 200
    assert told.take() == "accepted"
    site.served.stop()
    event = client.event()
    assert isinstance(event, wsproto.events.CloseConnection)
    gate.open()  # the peer's answer is still on its way
    assert told.take() == "refused"
    client.send(event.response())
    assert client.at_end()
    client.client.close()
    site.served.wait()


class WebSocketDisconnect(Exception):
    """Starlette's, which its ``receive_text`` raises of the message of a disconnect."""


class WebSocketDisconnectOfMine(WebSocketDisconnect):
    pass


UNCAUGHT = [
    WebSocketDisconnect(1001),
    WebSocketDisconnectOfMine(),
    ExceptionGroup("", [WebSocketDisconnect(1001)]),
]


@pytest.mark.parametrize("code", [1000, None], ids=["closed", "vanished"])
@pytest.mark.parametrize("error", UNCAUGHT, ids=["plain", "derived", "group"])
def test_a_frameworks_disconnect_that_nobody_catches_is_no_failure(
    plain: Site, records: Records, error: Exception, code: int | None
) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        told.put((await receive())["type"])
        raise error

    plain.serve(app)
    client = plain.websocket()
    assert client.handshake() == 200
    if code is None:
        client.leave()
    else:
        client.close(code)
        assert isinstance(client.event(), wsproto.events.CloseConnection)
    assert told.take() == "websocket.disconnect"
    plain.served.stop()
    client.client.close()
    plain.served.wait()
    assert not [text for text in records.messages() if "failed" in text]


def test_what_fails_as_a_disconnect_is_handled_is_told(plain: Site, records: Records) -> None:
    records.expect("application failed: WEBSOCKET /handled", "application failed: WEBSOCKET /early")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        if scope["path"] == "/early":
            raise WebSocketDisconnect("of another peer")
        try:
            await receive()
            raise WebSocketDisconnect(1001)
        except WebSocketDisconnect:
            [].remove(scope)  # type: ignore[arg-type]

    plain.serve(app)
    for path in ("/early", "/handled"):
        client = plain.websocket(path=path)
        assert client.handshake() == 200
        if path == "/handled":
            client.close(1001)
        event = client.event()
        assert isinstance(event, wsproto.events.CloseConnection)
        assert event.code == (1011 if path == "/early" else 1001)
        client.client.close()
    plain.served.stop()
    plain.served.wait()
    failed = [text for text in records.messages() if "application failed" in text]
    assert len(failed) == 2


@pytest.mark.long
def test_a_ping_behind_another_streams_bytes_has_its_time(serving: Serving) -> None:
    """They keep the wire full for longer than the pong may take."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            while True:
                message = {"body": bytes(65536), "more_body": True}
                await send({"type": "http.response.body"} | message)
        await accept(receive, send)
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    served = serving(app, websocket_ping_interval=0.5, websocket_ping_timeout=0.5)
    client = serving.connect(served, "h2", receive_buffer=65536, window=2**30)
    assert isinstance(client, HTTP2Client)
    client.h2.increment_flow_control_window(2**30)
    client.flush()
    websocket = WebSocketClient(client)
    assert websocket.handshake() == 200
    download = client.start()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        client.pump()
        time.sleep(0.03)  # it reads 2 MiB a second: the time itself is the subject
        if websocket.has_news:
            ping = websocket.event()
            assert isinstance(ping, wsproto.events.Ping), ping
            websocket.send(ping.response())
    client.leave(download)
    websocket.send_text("there")
    while isinstance(event := websocket.event(), wsproto.events.Ping):
        pass
    assert event.data == "there"


@pytest.mark.long
@pytest.mark.parametrize("closes", [False, True])
def test_a_peer_that_reads_nothing_is_cut(site: Site, closes: bool) -> None:
    """By the ping, or by the application's close frame; what is queued is not waited for."""
    gate: Any = None
    told = Inbox()
    size = 16 * 2**20

    async def try_to(send: Send, **message: Any) -> None:
        with contextlib.suppress(ClientDisconnected):
            await send(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        async with anyio.create_task_group() as tasks:
            large = partial(try_to, send, type="websocket.send", bytes=bytes(size))
            tasks.start_soon(large)
            if closes:
                await gate.wait()
                await try_to(send, type="websocket.close")
            told.put((await receive())["code"])

    times = {"websocket_close_timeout": 0.1, "write_timeout": None}
    if not closes:
        times |= {"websocket_ping_interval": 0.1, "websocket_ping_timeout": 0.1}
    site.serve(app, **times)
    gate = site.gate()
    client = WebSocketClient(site.connect(receive_buffer=65536))
    assert client.handshake() == 200
    received = len(client._read())
    gate.open()
    assert told.take() == 1006
    was_reset = False
    sock = client.client.sock
    try:
        while data := client._read() if site.http2 else sock.recv(2**20):
            received += len(data)
    except ConnectionError:
        was_reset = True
    assert received < size
    # Else the system would keep what it has for it.
    assert was_reset or site.http2 or site.tls
