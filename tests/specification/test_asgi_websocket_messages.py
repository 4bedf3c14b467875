"""The messages of an open WebSocket: ASGI WebSocket 2.5 (specs/www.rst)."""

from __future__ import annotations

from typing import Any

import event_tables
import pytest
import wsproto.events
from specification_site import SharedSite, accept, refused
from websocket_listener import Listener

from helpers.serving import Inbox
from helpers.websocket import WebSocketClient
from tricorn.types import Receive, Scope, Send


def test_receive(plain: SharedSite) -> None:
    """must, WebSocket "Receive": exactly one of bytes and text is not None, by the kind of the
    message."""
    app = Listener()
    websocket = plain.accepted(app)
    for sent in ("text", "", "h\u00e9\u20ac\U0001f600", b"bytes", b"", b"\x00\xff"):
        if isinstance(sent, str):
            websocket.send_text(sent)
        else:
            websocket.send(wsproto.events.BytesMessage(data=sent))
        message = app.messages.take()
        assert message["type"] == "websocket.receive"
        key, other = ("text", "bytes") if isinstance(sent, str) else ("bytes", "text")
        assert message[key] == sent
        assert type(message[key]) is type(sent)
        assert message.get(other) is None


def test_fragments_are_joined(plain: SharedSite) -> None:
    """should, WebSocket "WebSocket": the server joins fragments, and delivers whole messages."""
    app = Listener()
    websocket = plain.accepted(app)
    for piece, last in (("one ", False), ("", False), ("two", True)):
        websocket.send(wsproto.events.TextMessage(data=piece, message_finished=last))
        if not last:
            websocket.send(wsproto.events.Ping(payload=b"between"))
    assert app.messages.take()["text"] == "one two"
    for data, last in ((b"\x00", False), (b"\xff", True)):
        websocket.send(wsproto.events.BytesMessage(data=data, message_finished=last))
    assert app.messages.take()["bytes"] == b"\x00\xff"


def test_send(plain: SharedSite) -> None:
    """must, WebSocket "Send": exactly one of bytes and text is not None; the other key may be
    there as None, or not at all."""
    messages: list[dict[str, Any]] = [
        {"text": "one"}, {"text": "two", "bytes": None}, {"text": ""},
        {"bytes": b"three"}, {"bytes": b"four", "text": None}, {"bytes": b""},
    ]  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        for message in messages:
            await send({"type": "websocket.send"} | message)

    websocket = plain.accepted(app)
    found = [websocket.event().data for _ in messages]
    assert found == ["one", "two", "", b"three", b"four", b""]


def test_pings_are_answered(plain: SharedSite) -> None:
    """should, WebSocket "WebSocket": the server answers pings itself; the application sees none
    of them."""
    app = Listener()
    websocket = plain.accepted(app)
    websocket.send(wsproto.events.Ping(payload=b"hello"))
    pong = websocket.event()
    assert isinstance(pong, wsproto.events.Pong)
    assert bytes(pong.payload) == b"hello"
    websocket.send_text("next")
    assert app.messages.take()["text"] == "next"


def test_pings_are_sent(plain: SharedSite) -> None:
    """should, WebSocket "WebSocket": the server sends pings to keep the connection alive."""
    app = Listener()
    websocket = plain.accepted(app, websocket_ping_interval=0.03)
    ping = websocket.event()
    assert isinstance(ping, wsproto.events.Ping)
    websocket.send(ping.response())
    websocket.send_text("alive")
    assert app.messages.take()["text"] == "alive"


def test_order_of_messages(plain: SharedSite) -> None:
    """should, core "Error Handling": a WebSocket event that its state does not allow raises out
    of send."""
    found = Inbox()
    wrong = [
        {"type": "websocket.nonsense"}, {"type": "websocket.receive", "text": "x"}, {}, None,
        {"type": "http.response.start", "status": 200}, {"type": "websocket.connect"},
    ]  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        early = [*wrong, {"type": "websocket.send", "text": "early"}]
        found.put([await refused(send, message) for message in early])
        await accept(receive, send)
        late = [*wrong, {"type": "websocket.accept"},
                {"type": "websocket.http.response.start", "status": 403}]  # fmt: skip
        found.put([await refused(send, message) for message in late])
        await send({"type": "websocket.send", "text": "fine"})

    websocket = plain.accepted(app)
    assert websocket.text() == "fine"
    assert found.take() == [True] * 7
    assert found.take() == [True] * 8


@pytest.mark.parametrize("backend", ["asyncio", "trio"], indirect=True)
@pytest.mark.parametrize("kind", event_tables.WEBSOCKET)
def test_keys_of_events(plain: SharedSite, kind: str) -> None:
    """should, core "Error Handling": a missing key that a WebSocket event should have, or a
    value of a wrong type, raises out of send; the application can go on from there.

    must, core "Error Handling": additional keys in a WebSocket event are no error."""
    before, right, cases = event_tables.WEBSOCKET[kind]
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        case = cases[int(scope["path"][1:])]
        for name in before:
            await send({"type": name, **event_tables.WEBSOCKET[name][1]})
        was_refused = await refused(send, event_tables.message_of(kind, right, case))
        found.put(was_refused)
        if kind == "websocket.http.response.start":
            if was_refused:
                await send({"type": kind, "status": 403})
            await send({"type": "websocket.http.response.body"})
        elif kind == "websocket.http.response.body":
            if was_refused:
                await send({"type": kind})
        elif kind == "websocket.accept" and was_refused:
            await send({"type": kind})

    client = plain.open(app)
    wrong = []
    for number, (key, value, expected) in enumerate(cases):
        offered = [(b"sec-websocket-protocol", b"chat")]
        client = client if plain.http2 else plain.connect()
        websocket = WebSocketClient(client, path=f"/{number}", headers=offered)
        status = websocket.handshake()
        denied = kind.startswith("websocket.http")
        wanted = value if key == "status" and not expected else 403 if denied else 200
        if (found.take(), status) != (expected, wanted):
            wrong.append((key, value, status))
    assert not wrong
