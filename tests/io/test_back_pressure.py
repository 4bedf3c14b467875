"""Memory stays bounded whoever is slow, and nobody else waits for him."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import wsproto.events

from helpers.apps import body, read_body, reply, start
from helpers.clients import HTTP2Client
from helpers.serving import Inbox, settled
from helpers.site import EACH_ONCE, Site
from helpers.websocket import WebSocketClient
from tricorn.types import Receive, Scope, Send

MIB = 2**20


def test_slow_reader_stops_the_sender(site: Site) -> None:
    """``send`` waits once socket buffers, window and high water are full."""
    accepted = [0]
    piece = b"x" * 16384

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(1024):
            await body(send, piece, more=True)
            accepted[0] += len(piece)
        await body(send)

    site.serve(app)
    options = {"window": 65535, "credit": False} if site.http2 else {}
    client = site.connect(receive_buffer=65536, **options)
    stream = client.start()
    client.response(stream, lambda r: r.status > 0)
    count = settled(lambda: accepted[0])
    if site.http2:
        # One window on the wire, high water behind it.
        assert 65535 <= count <= 65535 + 65536 + 2 * len(piece)
        return
    # What the kernel holds differs; it is far from everything.
    assert count < 8 * MIB
    response = client.response(stream)
    assert response.complete
    assert len(response.body) == accepted[0] == 16 * MIB


def test_slow_application_stops_the_upload(site: Site) -> None:
    gate: Any = None
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        seen.put(len(await read_body(receive)))
        await reply(send)

    site.serve(app)
    gate = site.gate()
    client = site.connect()
    stream = client.start("POST", more=True)
    taken = client.offer(stream, 64 * MIB)
    if site.http2:
        assert taken == 262144  # h2_stream_window_size
    elif site.serving.backend != "asyncio-anyio":  # there anyio's own protocol reads ahead
        # request_buffer_size, and what the kernel holds: far from everything.
        assert 65536 <= taken < 40 * MIB
    gate.open()
    client.send(stream, b"", more=False)
    assert client.response(stream).status == 200
    assert seen.take() == taken


@pytest.mark.parametrize("protocol", ["h2"])
@pytest.mark.parametrize("stays", [False, True])
def test_who_sends_its_request_before_it_reads_an_early_answer_may(
    plain: Site, stays: bool
) -> None:
    """Whether the application has ended meanwhile or not."""
    answered = Inbox()
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, bytes(50_000))
        answered.put("answered")
        if stays:
            await gate.wait()

    plain.serve(app)
    gate = plain.gate()
    client = plain.connect(window=1000, credit=False)
    stream = client.start("POST", more=True)
    assert answered.take() == "answered"
    assert client.offer(stream, MIB) == MIB
    assert isinstance(client, HTTP2Client)
    client.h2.increment_flow_control_window(50_000, stream_id=stream)
    client.send(stream, b"", more=False)
    assert len(client.response(stream).body) == 50_000
    gate.open()


@pytest.mark.parametrize("protocol", ["h2"])
def test_a_stuck_application_stalls_nobody_else(plain: Site) -> None:
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stuck":
            await gate.wait()
        await reply(send, b"%d" % len(await read_body(receive)))

    plain.serve(app)
    gate = plain.gate()
    client = plain.connect()
    assert isinstance(client, HTTP2Client)
    stuck = client.start("POST", "/stuck", more=True)
    assert client.offer(stuck, MIB) == 262144
    client.ping()
    sizes = {}
    for number in range(64):
        stream = client.start("POST", "/", more=True)
        sizes[stream] = 100_000 + number
    for stream, size in sizes.items():
        client.send(stream, b"x" * size, more=False)
    for stream, size in sizes.items():
        response = client.response(stream)
        assert response.complete
        assert response.text == str(size)
    client.ping(b"abcdefgh")
    gate.open()
    client.send(stuck, b"x" * 400_000, more=False)
    assert client.response(stuck).text == str(262144 + 400_000)


@pytest.mark.parametrize("protocol", ["h2"])
def test_a_full_response_stalls_nobody_else(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"x" * (MIB if scope["path"] == "/large" else 10))

    plain.serve(app)
    client = plain.connect(credit=False, window=16384)
    assert isinstance(client, HTTP2Client)
    large = client.start("GET", "/large")
    client.response(large, lambda r: len(r.body) == 16384)
    assert client.get("/small").complete
    client.ping()
    client.h2.increment_flow_control_window(2 * MIB)
    client.h2.increment_flow_control_window(MIB, stream_id=large)
    client.flush()
    assert len(client.response(large).body) == MIB


@pytest.mark.parametrize("protocol", ["h2"])
def test_a_send_that_is_given_up_harms_no_other(plain: Site) -> None:
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(3):
            with anyio.CancelScope() as given_up:
                given_up.cancel()
                await body(send, bytes(100_000), more=True)

        async def another() -> None:
            await body(send, bytes(100_000), more=True)
            seen.put("another")

        async def tell() -> None:
            seen.put("all wait")

        async with anyio.create_task_group() as both:
            both.start_soon(another)
            await anyio.lowlevel.checkpoint()  # it waits
            with anyio.CancelScope() as given_up:
                given_up.cancel()
                await body(send, bytes(100_000), more=True)
            both.start_soon(tell)
            await body(send, bytes(100_000), more=True)
        await body(send, b"end")

    plain.serve(app)
    client = plain.connect(credit=False, window=16384)
    assert isinstance(client, HTTP2Client)
    stream = client.start()
    client.response(stream, lambda r: len(r.body) == 16384)
    assert seen.take() == "all wait"
    client.h2.increment_flow_control_window(MIB)
    client.h2.increment_flow_control_window(MIB, stream_id=stream)
    client.flush()
    response = client.response(stream)
    assert response.complete
    # The first that was given up, and the two that waited: the others have not been taken.
    assert len(response.body) == 300_003
    assert seen.take() == "another"


@EACH_ONCE
def test_a_send_that_waits_for_the_peer_can_be_given_up(site: Site) -> None:
    """And leaves no half of anything behind."""
    seen = Inbox()
    piece = b"x" * 100_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        with anyio.move_on_after(0.5):
            while True:
                await body(send, piece, more=True)
        seen.put("given up")
        await body(send, b"end")

    site.serve(app, write_timeout=None)
    # What the socket takes is the bound, not the window.
    options = {"window": 2**30} if site.http2 else {}
    client = site.connect(receive_buffer=4096, **options)
    if isinstance(client, HTTP2Client):
        client.h2.increment_flow_control_window(2**30)
    stream = client.start()
    assert seen.take() == "given up"
    response = client.response(stream)
    assert response.complete
    assert response.body.endswith(b"x" * 100_000 + b"end")
    assert len(response.body) % len(piece) == 3


async def given_up(send: Send, message: dict[str, Any]) -> bool:
    """Send a message, without a wait for the peer; whether that was cut short."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await send(message)
    return scope.cancelled_caught


def test_pieces_that_are_given_up_do_not_pile_up(site: Site) -> None:
    """As of an application that gives each event a moment, and goes on to the next."""
    seen = Inbox()
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        piece = {"type": "http.response.body", "body": bytes(65536), "more_body": True}
        seen.put(sum([await given_up(send, piece) for _ in range(512)]))
        await gate.wait()
        await body(send, b"end")

    site.serve(app, write_timeout=None)
    gate = site.gate()
    # What the socket takes is the bound, not the window.
    client = site.connect(receive_buffer=65536, **({"window": 2**30} if site.http2 else {}))
    if isinstance(client, HTTP2Client):
        client.h2.increment_flow_control_window(2**30)
    stream = client.start()
    assert seen.take() > 256
    gate.open()
    response = client.response(stream)
    assert response.complete
    assert response.body.endswith(b"end")
    assert len(response.body) % 65536 == 3
    assert len(response.body) < 12 * MIB  # what the system and the buffers of one connection take


@pytest.mark.parametrize("protocol", ["http/1.1"])
def test_pieces_of_a_file_that_are_given_up_do_not_pile_up(plain: Site, tmp_path: Path) -> None:
    seen = Inbox()
    gate: Any = None
    file = tmp_path / "piece"
    file.write_bytes(bytes(65536))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        with file.open("rb") as opened:
            piece = {"type": "http.response.zerocopysend", "file": opened, "offset": 0}
            count = sum([await given_up(send, piece | {"more_body": True}) for _ in range(512)])
        seen.put(count)
        await gate.wait()
        await body(send, b"end")

    plain.serve(app, write_timeout=None)
    gate = plain.gate()
    client = plain.connect(receive_buffer=65536)
    stream = client.start()
    assert seen.take() > 256
    gate.open()
    response = client.response(stream)
    assert response.complete
    assert response.body.endswith(b"end")
    assert len(response.body) % 65536 == 3
    assert len(response.body) < 12 * MIB


def test_messages_that_are_given_up_do_not_pile_up(site: Site) -> None:
    """As a broadcast that gives each client a moment, and goes on to the next."""
    seen = Inbox()
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        message = {"type": "websocket.send", "bytes": bytes(65536)}
        seen.put(sum([await given_up(send, message) for _ in range(512)]))
        await gate.wait()
        await send({"type": "websocket.send", "text": "the last"})

    site.serve(app, write_timeout=None)
    gate = site.gate()
    client = WebSocketClient(site.connect(receive_buffer=65536))
    assert client.handshake() == 200
    assert seen.take() > 256
    gate.open()
    size = 0
    while not isinstance(event := client.event(), wsproto.events.TextMessage):
        size += len(event.data)
    assert event.data == "the last"
    assert size % 65536 == 0
    assert size < 12 * MIB  # what the system and the buffers of one connection take


def test_a_paused_upload_still_sees_its_response(plain: Site) -> None:
    """An application that answers without reading does not deadlock its peer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"no thanks", 413)

    client = plain.open(app)
    stream = client.start("POST", more=True)
    response = client.response(stream)
    assert (response.status, response.text) == (413, "no thanks")
