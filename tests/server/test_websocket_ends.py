"""How WebSockets end whose peer or application is slow, on every backend and wire."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import wsproto.events

from helpers.serving import Inbox
from helpers.site import Site
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
    with contextlib.suppress(ConnectionError):
        while data := client._read():
            received += len(data)
    assert received < size
