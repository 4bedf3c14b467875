"""The WebSocket scope and opening handshake of ASGI WebSocket 2.5 (specs/www.rst)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from specification_site import SharedSite, accept, refused

from helpers.serving import PATIENCE, Inbox, Records
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Message, Receive, Scope, Send


def test_scope(site: SharedSite) -> None:
    """must, WebSocket "Connection Scope": type is websocket and http_version "1.1" or "2"; the
    other keys are those of HTTP, and there is no method.

    should, WebSocket "Connection Scope": scheme is ws, or wss over TLS."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        await accept(receive, send)

    site.serve(app)
    websocket = site.websocket(path="/a%20b/%C3%A9?x=%20", headers=[(b"x-a", b"1"), (b"x-a", b"2")])
    assert websocket.handshake() == 200
    scope = scopes.take()
    assert {key: type(value) for key, value in scope.items()} == {
        "type": str, "asgi": dict, "http_version": str, "scheme": str, "path": str,
        "raw_path": bytes, "query_string": bytes, "root_path": str, "headers": list,
        "client": tuple, "server": tuple, "subprotocols": list, "extensions": dict,
    }  # fmt: skip
    assert scope["http_version"] == ("2" if site.http2 else "1.1")
    assert scope["scheme"] == ("wss" if site.tls else "ws")
    assert (scope["path"], scope["raw_path"]) == ("/a b/\u00e9", b"/a%20b/%C3%A9")
    assert scope["query_string"] == b"x=%20"
    assert scope["headers"][0] == (b"host", b"localhost")
    assert [pair for pair in scope["headers"] if pair[0] == b"x-a"] == [
        (b"x-a", b"1"),
        (b"x-a", b"2"),
    ]
    assert not [name for name, _ in scope["headers"] if name.startswith(b":")]
    assert scope["subprotocols"] == []


@pytest.mark.parametrize(
    "fields", [[b"one, two,three"], [b"one", b"two", b"three"], [b"one ,two", b"three"]]
)
def test_subprotocols(plain: SharedSite, fields: list[bytes]) -> None:
    """should, WebSocket "Connection Scope": subprotocols are those that the client offers, in
    order, as str.

    must, WebSocket "Accept": subprotocol is the one that the handshake's answer names."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        await accept(receive, send, subprotocol="two")

    plain.serve(app)
    headers = [(b"sec-websocket-protocol", field) for field in fields]
    websocket = plain.websocket(headers=headers)
    assert websocket.handshake() == 200
    assert scopes.take()["subprotocols"] == ["one", "two", "three"]
    answers = [v for name, v in websocket.headers if name == b"sec-websocket-protocol"]
    assert answers == [b"two"]


def test_state(plain: SharedSite) -> None:
    """should, WebSocket "Connection Scope": state is a copy of the lifespan's namespace."""
    states = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"].update(pool=1, shared=[])
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.put(scope["state"].copy())
        scope["state"]["pool"] = 2
        scope["state"]["shared"].append(scope["path"])
        await accept(receive, send)

    plain.serve(app, lifespan="on")
    for _ in range(2):
        assert plain.websocket().handshake() == 200
    first, second = states.take(), states.take()
    assert first["pool"] == second["pool"] == 1
    assert first["shared"] is second["shared"]


def test_connect_comes_during_the_handshake(plain: SharedSite) -> None:
    """must, WebSocket "Connect": websocket.connect is received during the handshake, which is
    not completed until the application replies."""
    events = Inbox()
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.put(await receive())
        await gate.wait()
        await send({"type": "websocket.accept"})

    plain.serve(app)
    gate = plain.gate()
    websocket = plain.websocket()
    assert events.take() == {"type": "websocket.connect"}
    client = websocket.client
    client.sock.settimeout(0.02)
    with pytest.raises(TimeoutError):
        websocket.handshake()
    client.sock.settimeout(PATIENCE)
    gate.open()
    assert websocket.handshake() == 200


def test_accept(plain: SharedSite) -> None:
    """must, WebSocket "Accept": the fields of an accept are in the handshake's answer, in
    order; subprotocol and headers default to none."""
    sent = [(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3"), (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2")]  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send, **({} if scope["path"] == "/bare" else {"headers": sent}))

    plain.serve(app)
    websocket = plain.websocket(headers=[(b"sec-websocket-protocol", b"one")])
    assert websocket.handshake() == 200
    names = {name for name, _ in sent}
    assert [pair for pair in websocket.headers if pair[0] in names] == sent
    bare = plain.websocket(path="/bare", headers=[(b"sec-websocket-protocol", b"one")])
    assert bare.handshake() == 200
    assert b"sec-websocket-protocol" not in dict(bare.headers)
    assert websocket.close_code() == bare.close_code() == 1000


def test_no_data_before_the_answer(plain: SharedSite) -> None:
    """must, WebSocket "Connect": no websocket.receive is passed before the application has
    replied; what came early is there afterwards."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.move_on_after(0.01) as waiting:
            found.put(await receive())
        found.put(waiting.cancelled_caught)
        await send({"type": "websocket.accept"})
        found.put((await receive())["text"])

    plain.serve(app)
    websocket = plain.websocket(early=b"\x81\x85\0\0\0\0early")
    assert websocket.handshake() == 200
    assert found.take() is True
    assert found.take() == "early"


def test_fields_that_an_accept_may_not_have(plain: SharedSite) -> None:
    """must, WebSocket "Accept": headers may hold no sec-websocket-protocol, nor pseudo headers:
    they raise out of send."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for name in (b"sec-websocket-protocol", b":status", b":path"):
            found.put(await refused(send, {"type": "websocket.accept", "headers": [(name, b"x")]}))
        await send({"type": "websocket.accept"})

    assert plain.accepted(app)
    assert [found.take() for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("message", [{}, {"code": 4003, "reason": "no"}])
def test_close_before_accept_is_403(site: SharedSite, message: dict[str, Any]) -> None:
    """must, WebSocket "Close": a close before the accept refuses the handshake with 403."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"} | message)
        assert (await receive())["type"] == "websocket.disconnect"

    site.serve(app)
    assert site.websocket().handshake() == 403


def test_a_client_that_leaves_the_handshake(plain: SharedSite) -> None:
    """must, WebSocket "Disconnect": a connection that is lost before the accept is told too."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put(await receive())
        seen.put(await receive())

    plain.serve(app)
    websocket = plain.websocket()
    assert seen.take() == {"type": "websocket.connect"}
    websocket.leave()
    message = seen.take()
    assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)


@pytest.mark.parametrize("raises", [False, True])
def test_death_before_the_answer(plain: SharedSite, records: Records, raises: bool) -> None:
    """must, WebSocket "Connection Scope": an application that dies before it has answered the
    handshake is answered for with 500."""
    records.expect("failed: WEBSOCKET /", "without a whole response: WEBSOCKET /")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if raises:
            raise RuntimeError("dead")

    plain.serve(app)
    assert plain.websocket().handshake() == 500


# websocket.http.response


def denial(status: int, *headers: tuple[bytes, bytes]) -> Message:
    """The start of an answer that is none to the handshake."""
    return {"type": "websocket.http.response.start", "status": status, "headers": list(headers)}


def test_denial_response(site: SharedSite) -> None:
    """must, extensions "Websocket Denial Response": the extension is in every WebSocket's
    scope; its start and body answer the handshake with that status, these fields and bytes."""
    offered = Inbox()
    fields = [(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered.put(scope["extensions"]["websocket.http.response"])
        assert await receive() == {"type": "websocket.connect"}
        await send(denial(401, *fields))
        body = {"type": "websocket.http.response.body"}
        await send(body | {"body": b"who ", "more_body": True})
        await send(body | {"body": b"are you?"})

    site.serve(app)
    websocket = site.websocket()
    assert (websocket.handshake(), websocket.body) == (401, b"who are you?")
    assert [pair for pair in websocket.headers if pair[0].startswith(b"x-")] == fields
    assert offered.take() == {}


def test_denial_defaults(plain: SharedSite) -> None:
    """must, extensions "Websocket Denial Response": the messages are built as those of HTTP:
    headers, body and more_body may be left out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 418})
        await send({"type": "websocket.http.response.body"})

    plain.serve(app)
    websocket = plain.websocket()
    assert (websocket.handshake(), websocket.body) == (418, b"")


def test_denial_is_streamed(plain: SharedSite) -> None:
    """must, extensions "Websocket Denial Response": the response is sent as its messages come."""
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(denial(503))
        body = {"type": "websocket.http.response.body"}
        await send(body | {"body": b"half", "more_body": True})
        await gate.wait()
        await send(body | {"body": b" whole"})

    plain.serve(app)
    gate = plain.gate()
    websocket = plain.websocket()
    client = websocket.client
    client.sock.settimeout(0.02)
    with pytest.raises(TimeoutError):  # the head has come, the end has not
        websocket.handshake()
    assert websocket.status == 503
    client.sock.settimeout(PATIENCE)
    gate.open()


def test_nothing_follows_a_denial(plain: SharedSite) -> None:
    """must, extensions "Websocket Denial Response": no other message of a WebSocket may follow
    the start; the socket is over behind the body."""
    found = Inbox()
    messages: list[Message] = [
        {"type": "websocket.accept"}, {"type": "websocket.send", "text": "x"},
        {"type": "websocket.close"}, denial(403), {"type": "http.response.body"},
    ]  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(denial(403))
        found.put([await refused(send, message) for message in messages])
        await send({"type": "websocket.http.response.body", "body": b"no"})
        found.put((await receive())["type"])
        for message in messages[:3]:
            with pytest.raises(ClientDisconnected):
                await send(message)
        found.put("raised")

    plain.serve(app)
    websocket = plain.websocket()
    assert (websocket.handshake(), websocket.body) == (403, b"no")
    assert found.take() == [True] * len(messages)
    assert found.take() == "websocket.disconnect"
    assert found.take() == "raised"


def test_a_body_needs_a_start(plain: SharedSite) -> None:
    """should, core "Error Handling": the body of a denial before its start, and behind the
    accept, raises out of send."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.put(await refused(send, {"type": "websocket.http.response.body"}))
        await accept(receive, send)
        found.put(await refused(send, {"type": "websocket.http.response.body"}))

    assert plain.accepted(app)
    assert found.take()
    assert found.take()
