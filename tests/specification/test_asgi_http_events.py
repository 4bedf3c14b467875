"""The HTTP events of ASGI HTTP 2.5, on the wire (specs/www.rst)."""

from __future__ import annotations

from typing import Any

import event_tables
import pytest
from specification_site import SharedSite, refused

from helpers.apps import body, read_body, reply, start
from helpers.clients import reset_socket
from helpers.serving import Inbox, Records
from helpers.site import Site
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Message, Receive, Scope, Send

INTERNAL_ERROR = 2
SIZE = 200_000


def test_request_without_a_body(plain: SharedSite) -> None:
    """must, HTTP "Request": http.request has body and more_body; a request without a body is
    one of them, empty."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put(await receive())
        await reply(send)

    assert plain.open(app).get("/").status == 200
    assert seen.take() == {"type": "http.request", "body": b"", "more_body": False}


def test_request_body_in_pieces(plain: SharedSite) -> None:
    """must, HTTP "Request": the pieces of a body are its bytes in order; more_body is True on
    all but the last."""
    events = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            event = await receive()
            events.put(event)
            more = event["more_body"]
        await reply(send)

    client = plain.open(app)
    stream = client.start("POST", "/", more=True)
    found = b""
    for piece in (b"one", b"two"):
        client.send(stream, piece)
        while not found.endswith(piece):
            event = events.take()
            assert set(event) == {"type", "body", "more_body"}
            assert (type(event["body"]), event["more_body"]) == (bytes, True)
            found += event["body"]
    data = bytes(range(256)) * (SIZE // 256)
    client.send(stream, data, more=False)
    assert client.response(stream).status == 200
    more = True
    while more:
        event = events.take()
        found += event["body"]
        more = event["more_body"]
    assert found == b"onetwo" + data
    assert events.empty()


def test_disconnect_after_the_response(plain: SharedSite) -> None:
    """must, HTTP "Disconnect": http.disconnect is received once the response has been sent,
    every time it is asked for."""
    events = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"whole")
        for _ in range(3):
            events.put(await receive())

    client = plain.open(app)
    for path in ("/", "/again"):
        stream = client.start("POST", path, body=b"unread")
        assert client.response(stream).text == "whole"
        assert [events.take() for _ in range(3)] == [{"type": "http.disconnect"}] * 3


def test_disconnect_after_the_connection_is_gone(site: SharedSite) -> None:
    """must, HTTP "Disconnect": http.disconnect is received after the connection has closed,
    every time it is asked for, by whoever waits for it."""
    events = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.put(await receive())
        for _ in range(3):
            events.put(await receive())

    client = site.open(app)
    stream = client.start()
    assert events.take()["type"] == "http.request"
    client.leave(stream)
    assert [events.take() for _ in range(3)] == [{"type": "http.disconnect"}] * 3


def test_start_waits_for_the_body(plain: SharedSite, records: Records) -> None:
    """optional, HTTP "Response Start": the start is held back until the first body event, so
    that an application that fails in between still gets an error page."""
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 201, [(b"x-a", b"1")])
        raise RuntimeError("in between")

    response = plain.open(app).get("/")
    assert (response.status, response.complete) == (500, True)
    assert response.header(b"x-a") is None


@pytest.mark.parametrize("status", [200, 226, 299, 404, 451, 599, 999])
def test_status(plain: SharedSite, status: int) -> None:
    """must, HTTP "Response Start": status is the status of the response."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"x", status)

    response = plain.open(app).get("/")
    assert (response.status, response.text) == (status, "x")


def test_defaults_of_start_and_body(plain: SharedSite) -> None:
    """must, HTTP "Response Start": headers default to none and trailers to False.

    must, HTTP "Response Body": body defaults to nothing, and more_body to False."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 202})
        await send({"type": "http.response.body"})

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (response.status, response.text, response.complete) == (202, "", True)
        assert response.header(b"content-length") == b"0"


def test_order_of_fields_is_kept(plain: SharedSite) -> None:
    """must, HTTP "Response Start": the order of the fields is kept in the response, and the
    bytes of their values."""
    sent = [(b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3, 4"), (b"x-a", b""), (b"x-c", b"\xe9\t1")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": iter(sent)})
        await body(send)

    response = plain.open(app).get("/")
    assert [pair for pair in response.headers if pair[0].startswith(b"x-")] == sent


def test_body_is_flushed(plain: SharedSite) -> None:
    """must, HTTP "Response Body": data is in the send buffer when send returns: the peer has it
    while the application does something else."""
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for piece in (b"one", b"two"):
            await body(send, piece, more=True)
        await gate.wait()
        await body(send, b"three")

    client = plain.open(app)
    gate = plain.gate()
    stream = client.start()
    assert bytes(client.response(stream, lambda r: len(r.body) == 6).body) == b"onetwo"
    gate.open()
    assert client.response(stream).text == "onetwothree"


def test_messages_behind_the_last_are_ignored(plain: SharedSite) -> None:
    """must, HTTP "Response Body": without trailers to come, the response is complete with the
    first body event whose more_body is False, and what follows is ignored."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"one ", more=True)
        await body(send, b"two")
        for late in late_messages():
            await send(late)
        ended.put(True)

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (response.status, response.text) == (200, "one two")
        assert not response.trailers
        assert not response.informational
        assert ended.take()


def late_messages() -> list[Message]:
    """One of each kind."""
    return [{"type": kind, **right} for kind, (_, right, _) in event_tables.HTTP.items()]


def test_messages_behind_the_trailers_are_ignored(plain: SharedSite) -> None:
    """must, extensions "HTTP Trailers": what follows the last trailers event is ignored."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, trailers=True)
        await body(send, b"one")
        await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")]})
        for late in late_messages():
            await send(late)
        ended.put(True)

    response = plain.open(app).get("/", [(b"te", b"trailers")])
    assert (response.text, response.trailers) == ("one", [(b"x-a", b"1")])
    assert ended.take()


@pytest.mark.parametrize("when", ["before", "held", "body"])
@pytest.mark.parametrize("caught", [False, True])
def test_send_on_a_closed_connection(
    plain: SharedSite, records: Records, when: str, caught: bool
) -> None:
    """should, HTTP "Disconnected Client": send on a closed connection raises an OSError of the
    server's own.

    must, HTTP "Disconnected Client": the server catches that error when the application lets it
    pass up, and does not log it as an error."""
    raised = Inbox()
    ready = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if when != "before":
            await start(send)
        if when == "body":
            await body(send, b"x", more=True)
        await read_body(receive)
        ready.put(True)
        assert (await receive())["type"] == "http.disconnect"
        try:
            await (start(send) if when == "before" else body(send, b"late", more=True))
        except OSError as exc:
            raised.put(exc)
            if not caught:
                raise

    client = plain.open(app)
    stream = client.start()
    ready.take()
    # Without a reset, HTTP/1.1 cannot tell a peer that has gone from one that only listens.
    client.leave(stream) if plain.http2 else reset_socket(client.sock)
    assert type(raised.take()) is ClientDisconnected
    plain.close()
    assert not [r for r in records.records if r.levelname in ("WARNING", "ERROR")]


def test_the_disconnect_error_in_a_group(plain: SharedSite, records: Records) -> None:
    """must, HTTP "Disconnected Client": the error is not logged either where a task group of
    the application has wrapped it."""
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)
        raised.put(True)
        await receive()
        try:
            await reply(send)
        except OSError as exc:
            raise ExceptionGroup("tasks", [exc]) from None

    client = plain.open(app)
    stream = client.start()
    raised.take()
    client.leave(stream) if plain.http2 else reset_socket(client.sock)
    plain.close()
    assert not [text for text in records.messages() if "failed" in text]


@pytest.mark.parametrize("how", ["return", "start", "raise"])
def test_no_response_is_500(plain: SharedSite, records: Records, how: str) -> None:
    """should, HTTP "Response Start": an application that ends without a response is answered
    for with 500."""
    records.expect("application failed", "returned without a whole response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if how == "start":
            await start(send)
        if how == "raise":
            raise ValueError("nothing to say")

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (response.status, response.complete) == (500, True)


@pytest.mark.parametrize("how", ["return", "raise"])
def test_half_a_response_is_cut(plain: SharedSite, records: Records, how: str) -> None:
    """should, core "Error Handling": an application that ends behind the start of its response
    costs the connection, or the stream of HTTP/2: half an answer cannot pass for a whole one."""
    records.expect("application failed", "returned without a whole response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/whole":
            await reply(send, b"whole")
            return
        await start(send)
        await body(send, b"half", more=True)
        if how == "raise":
            raise ValueError("nothing more to say")

    client = plain.open(app)
    response = client.get("/")
    assert (response.cut, response.complete) == (True, False)
    if plain.http2:
        assert response.reset_code == INTERNAL_ERROR
        assert client.get("/whole").text == "whole"


def test_order_of_messages(plain: SharedSite) -> None:
    """should, core "Error Handling": an event that its state does not allow raises out of send:
    a body before the start, a second start, trailers without a promise."""
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        early = await refused(send, {"type": "http.response.body"})
        await start(send)
        second = await refused(send, {"type": "http.response.start", "status": 200})
        await body(send, b"x", more=True)
        trailers = await refused(send, {"type": "http.response.trailers", "headers": []})
        found.put((early, second, trailers))
        await body(send, b"y")

    assert plain.open(app).get("/").text == "xy"
    assert found.take() == (True, True, True)


# The keys of every event


def prepared(kind: str) -> Message:
    """The message that a name in the table stands for."""
    kind, _, trailers = kind.partition("+")
    message: Message = {"type": kind, **event_tables.HTTP[kind][1]}
    if trailers:
        message["trailers"] = True
    return message


async def finish(kind: str, taken: bool, message: Message, send: Send) -> None:
    """Complete the response, whatever has become of the message."""
    if kind in ("http.response.start", "http.response.debug"):
        if not taken or kind == "http.response.debug":
            await start(send)
        await body(send)
    elif kind == "http.response.trailers":
        if not taken:
            await send({"type": kind, "headers": []})
    elif not taken or kind in ("http.response.push", "http.response.early_hint"):
        await body(send)


@pytest.mark.parametrize("kind", event_tables.HTTP)
def test_keys_of_events(plain: Site, records: Records, kind: str) -> None:
    """should, core "Error Handling": a missing key that an event should have, or a value of a
    wrong type, raises out of send; the application can go on from there.

    must, core "Error Handling": additional keys in an event are no error."""
    before, right, cases = event_tables.HTTP[kind]
    found = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["path"].startswith("/case/"):  # pushed
            await reply(send)
            return
        file.seek(0)
        values = right | ({"file": file} if "file" in right else {})
        case = cases[int(scope["path"][6:])]
        for name in before:
            await send(prepared(name))
        message = event_tables.message_of(kind, values, case)
        was_refused = await refused(send, message)
        found.put(was_refused)
        await finish(kind, not was_refused, message, send)

    client = plain.open(app)
    wrong = []
    with open(__file__, "rb") as file:
        for number, (key, value, expected) in enumerate(cases):
            response = client.get(f"/case/{number}", [(b"te", b"trailers")])
            status = value if key == "status" and not expected else 200
            if (found.take(), response.status, response.complete) != (expected, status, True):
                wrong.append((key, value, response))
    assert not wrong
