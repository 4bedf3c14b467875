"""How a WebSocket ends, and who is told what: ASGI WebSocket 2.5 (specs/www.rst)."""

from __future__ import annotations

import anyio
import pytest
from specification_site import SharedSite, accept, disconnected
from websocket_listener import Listener

from helpers.serving import Inbox, Records
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Receive, Scope, Send

CLOSES = [(1000, ""), (1000, "b\u00fcy"), (1001, "bye"), (1011, ""), (3000, "x" * 123), (4999, "")]


def test_code_of_the_client(plain: SharedSite) -> None:
    """must, WebSocket "Disconnect": code is the one of the client's close frame.

    must, WebSocket "Disconnect": reason is that of the close frame (since 2.5).

    must, WebSocket "Disconnect": the end is told every time that it is asked for."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        for _ in range(3):
            seen.put(await receive())

    for code, reason in CLOSES:
        websocket = plain.accepted(app)
        websocket.close(code, reason)
        expected = {"type": "websocket.disconnect", "code": code, "reason": reason}
        assert [seen.take() for _ in range(3)] == [expected] * 3
        assert websocket.close_code() == code
        assert websocket.at_end()


def test_no_code_is_1005(plain: SharedSite) -> None:
    """must, WebSocket "Disconnect": code is 1005 where the client's close frame has none."""
    app = Listener()
    websocket = plain.accepted(app)
    websocket.close(None)
    assert app.messages.take() == {"type": "websocket.disconnect", "code": 1005, "reason": ""}
    assert websocket.close_code() in (1000, 1005)


def test_a_lost_connection_is_1006(site: SharedSite) -> None:
    """must, WebSocket "Disconnect": the loss of the socket is told, with code 1006 (RFC 6455
    section 7.1.5)."""
    app = Listener()
    websocket = site.accepted(app)
    websocket.leave()
    message = app.messages.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)
    assert type(message["reason"]) is str


def test_code_of_the_application(plain: SharedSite) -> None:
    """must, WebSocket "Close": a close behind the accept closes with the code and reason given.

    must, WebSocket "Disconnect": the end is told where it was the application that closed."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        code, reason = CLOSES[int(scope["path"][1:])]
        await send({"type": "websocket.close", "code": code, "reason": reason})
        seen.put(await receive())

    plain.serve(app)
    for number, (code, reason) in enumerate(CLOSES):
        websocket = plain.websocket(path=f"/{number}")
        assert websocket.handshake() == 200
        event = websocket.event()
        assert (event.code, event.reason or "") == (code, reason)
        websocket.send(event.response())
        assert websocket.at_end()
        assert seen.take() == {"type": "websocket.disconnect", "code": code, "reason": reason}


def test_code_defaults_to_1000(plain: SharedSite) -> None:
    """must, WebSocket "Close": code defaults to 1000, reason to nothing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close"})

    event = plain.accepted(app).event()
    assert (event.code, event.reason or "") == (1000, "")


def test_code_of_the_server(plain: SharedSite) -> None:
    """must, WebSocket "Disconnect": the end is told where it was the server that closed, with
    its code."""
    app = Listener()
    websocket = plain.accepted(app)
    websocket.send_bytes(b"\x81\x81\0\0\0\0\xff")  # text that is not UTF-8
    message = app.messages.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1007)
    assert websocket.close_code() == 1007


def test_death_of_the_application(plain: SharedSite, records: Records) -> None:
    """must, WebSocket "Connection Scope": where the application dies the socket is closed: with
    1011 where it raised."""
    records.expect("application failed: WEBSOCKET /")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await receive()
        raise RuntimeError("dead")

    websocket = plain.accepted(app)
    websocket.send_text("die")
    assert websocket.close_code() == 1011


def test_death_of_the_socket(plain: SharedSite) -> None:
    """must, WebSocket "Connection Scope": where the socket dies the application is ended, after
    a time to end by itself."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        try:
            await anyio.sleep_forever()
        finally:
            ended.put(True)

    websocket = plain.accepted(app, disconnect_grace=0.02)
    websocket.leave()
    assert ended.take()


@pytest.mark.parametrize("how", ["close", "leave", "own close"])
@pytest.mark.parametrize("caught", [False, True])
def test_send_on_a_closed_connection(
    plain: SharedSite, records: Records, how: str, caught: bool
) -> None:
    """should, WebSocket "Disconnected Client": send on a closed connection raises an OSError of
    the server's own.

    must, WebSocket "Disconnected Client": the server catches that error when the application
    lets it pass up, and does not log it as an error."""
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        if how == "own close":
            await send({"type": "websocket.close"})
        await disconnected(receive)
        for message in ({"type": "websocket.send", "text": "late"}, {"type": "websocket.close"}):
            try:
                await send(message)
            except OSError as exc:
                raised.put(type(exc))
                if not caught:
                    raise

    websocket = plain.accepted(app)
    if how == "leave":
        websocket.leave()
    else:
        websocket.close(1000)
    assert raised.take() is ClientDisconnected
    if caught:
        assert raised.take() is ClientDisconnected
    plain.close()
    assert not [r for r in records.records if r.levelname in ("WARNING", "ERROR")]
