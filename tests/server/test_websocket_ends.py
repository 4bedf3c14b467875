"""How WebSockets end whose peer or application is slow, on every backend and wire."""

from __future__ import annotations

from typing import Any

import anyio
import wsproto.events

from helpers.serving import Inbox
from helpers.site import Site
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
