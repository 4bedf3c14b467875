"""The core of ASGI 3.0: each obligation of a server (specs/asgi.rst)."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import wsproto.events
from specification_site import SharedSite, accept, disconnected, refused

from helpers.apps import body, read_body, reply, start
from helpers.serving import Inbox, Records, settled
from helpers.site import Serving
from helpers.websocket import WebSocketClient
from tricorn.types import Message, Receive, Scope, Send


def test_one_call_for_each_scope(plain: SharedSite) -> None:
    """must, core "Applications": the application is called once per connection scope, with
    scope, receive and send."""
    calls = Inbox()

    async def app(*arguments: Any, **more: Any) -> None:
        calls.put((arguments, more))
        await reply(arguments[2])

    client = plain.open(app)
    for _ in range(3):
        client.get("/")
    scopes = []
    for _ in range(3):
        arguments, more = calls.take()
        scope, receive, send = arguments
        assert not more
        assert callable(receive)
        assert callable(send)
        scopes.append(scope)
    assert calls.empty()
    assert len({id(scope) for scope in scopes}) == 3


def test_scope_is_a_dict_with_its_type_and_version(plain: SharedSite) -> None:
    """must, core "Applications": the scope is a dict with type and asgi["version"], "3.0"."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        if scope["type"] == "http":
            await reply(send)
        else:
            await accept(receive, send)

    plain.open(app).get("/")
    plain.websocket().handshake()
    for kind in ("http", "websocket"):
        scope = scopes.take()
        assert type(scope) is dict
        assert scope["type"] == kind
        assert type(scope["asgi"]) is dict
        assert scope["asgi"]["version"] == "3.0"


def test_versions_of_the_specifications(serving: Serving) -> None:
    """should, core "Applications": asgi["spec_version"] is that of the scope's own
    specification: HTTP and WebSocket 2.5, lifespan 2.0."""
    found: dict[str, str] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found[scope["type"]] = scope["asgi"]["spec_version"]
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            await reply(send)
        else:
            await accept(receive, send)

    served = serving(app, lifespan="on")
    serving.connect(served).get("/")
    assert WebSocketClient(serving.connect(served)).handshake() == 200
    assert found == {"lifespan": "2.0", "http": "2.5", "websocket": "2.5"}


def test_asgi_2_applications(plain: SharedSite) -> None:
    """should, core "Legacy Applications": an application of two callables is served too: the
    first takes the scope, the second receive and send."""

    class Legacy:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            if self.scope["type"] == "websocket":
                await accept(receive, send)
                await send({"type": "websocket.send", "text": "two"})
                return
            await reply(send, await read_body(receive))

    client = plain.open(Legacy, interface="auto", root_path="")
    assert client.response(client.start("POST", "/", body=b"abc")).text == "abc"
    websocket = plain.websocket()
    assert websocket.handshake() == 200
    assert websocket.text() == "two"


def test_a_scope_of_its_own_for_each_connection(plain: SharedSite) -> None:
    """must, core "Connection Scope": what an application changes in its scope is in no other."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put({key: scope[key].copy() for key in ("headers", "asgi", "extensions")})
        scope["headers"].append((b"mine", b"1"))
        scope["asgi"]["mine"] = scope["extensions"]["mine"] = scope["mine"] = {}
        await reply(send)

    client = plain.open(app)
    for _ in range(2):
        client.get("/")
    assert scopes.take() == scopes.take()


def keys_of(value: Any) -> list[Any]:
    """The keys of every dict in a scope or event."""
    if isinstance(value, dict):
        return [*value, *(key for item in value.values() for key in keys_of(item))]
    if isinstance(value, list | tuple):
        return [key for item in value for key in keys_of(item)]
    return []


def test_keys_of_scopes(site: SharedSite) -> None:
    """must, core "Strings and Unicode": all keys of scopes and events are str.

    must, core "Protocol Specifications": the type of a scope is a str, and the type of each of its
    events begins with it."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put((scope, await receive()))
        if scope["type"] == "http":
            await reply(send)
        else:
            await send({"type": "websocket.accept"})

    site.open(app).get("/", [(b"te", b"trailers")])
    site.websocket().handshake()
    for kind in ("http", "websocket"):
        scope, event = seen.take()
        assert type(scope["type"]) is str
        assert scope["type"] == kind
        assert event["type"].startswith(f"{kind}.")
        assert {type(key) for key in keys_of(scope) + keys_of(event)} == {str}


def check_event(value: Any) -> None:
    """Only what an event may hold; tuples stand for lists."""
    if isinstance(value, dict):
        assert all(type(key) is str for key in value)
        for item in value.values():
            check_event(item)
    elif isinstance(value, list | tuple):
        for item in value:
            check_event(item)
    elif type(value) is int:
        assert -(2**63) <= value < 2**63
    elif type(value) is float:
        assert math.isfinite(value)
    else:
        assert value is None or type(value) in (bytes, str, bool), value


def test_values_of_events(plain: SharedSite) -> None:
    """must, core "Events": a received event is a dict with a str type and holds only bytes,
    str, ints of 64 bits, finite floats, lists, dicts with str keys, bools and None."""
    events = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def take() -> Message:
            event = await receive()
            events.put(event)
            return event

        if scope["type"] == "websocket":
            await accept(take, send)
            await disconnected(take)
            return
        await read_body(take)
        await reply(send)
        await take()

    client = plain.open(app)
    stream = client.start("POST", "/", more=True)
    client.send(stream, b"a")
    client.send(stream, b"b", more=False)
    client.response(stream)
    websocket = plain.websocket()
    assert websocket.handshake() == 200
    websocket.send_text("text")
    websocket.send(wsproto.events.BytesMessage(data=b"bytes"))
    websocket.close(4999, "bye")
    assert websocket.close_code() == 4999
    seen: list[str] = []
    while not seen or seen[-1] != "websocket.disconnect":
        event = events.take()
        assert type(event) is dict
        assert type(event["type"]) is str
        check_event(event)
        seen.append(event["type"])
    assert set(seen) == {
        "http.request", "http.disconnect",
        "websocket.connect", "websocket.receive", "websocket.disconnect",
    }  # fmt: skip


def test_an_exception_ends_the_connection(plain: SharedSite, records: Records) -> None:
    """must, core "Error Handling": an exception out of the application ends that instance and
    its connection, and nobody else's."""
    records.expect("application failed: GET /broken", "application failed: WEBSOCKET /broken")
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await accept(receive, send)
            raise RuntimeError("broken")
        await start(send)
        await body(send, b"half", more=True)
        if scope["path"] == "/broken":
            raise RuntimeError("broken")
        await gate.wait()
        await body(send, b" whole")

    client = plain.open(app)
    gate = plain.gate()
    other = client if plain.http2 else plain.connect()
    stream = other.start("GET", "/")
    other.response(stream, lambda r: len(r.body) == 4)
    broken = client.get("/broken")
    assert broken.cut
    assert not broken.complete
    websocket = plain.websocket(path="/broken")
    websocket.handshake()
    assert websocket.close_code() == 1011
    gate.open()
    assert other.response(stream).text == "half whole"
    assert len([text for text in records.messages() if "application failed" in text]) == 2


@pytest.mark.parametrize("kind", ["CancelledError", "SystemExit", "BaseException"])
def test_every_exception_is_reported(
    plain: SharedSite, records: Records, kind: str, backend: str
) -> None:
    """optional, core "Error Handling": what comes out of an application is reported as the
    server wishes: in its error log, with the traceback, whatever class it is of, an
    asyncio.CancelledError that nobody asked for included."""
    records.expect("application failed: GET /broken")
    known = {"CancelledError": asyncio.CancelledError, "SystemExit": SystemExit}
    raised: type[BaseException] = known.get(kind, BaseException)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()
        raise raised("of the application")

    response = plain.open(app).get("/broken")
    assert response.status == 500
    plain.close()
    failed = [r for r in records.records if "application failed" in r.getMessage()]
    assert len(failed) == 1
    assert failed[0].exc_info is not None
    assert failed[0].exc_info[0] is raised


def test_messages_after_the_end_are_ignored(plain: SharedSite, records: Records) -> None:
    """must, core "Error Handling": send after the close is a no-op where the specification of
    the protocol says nothing else."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"whole")
        assert await send({"type": "http.response.body", "body": b"late"}) is None  # type: ignore[func-returns-value]
        await start(send, 500)
        ended.put(True)

    client = plain.open(app)
    assert client.get("/").text == "whole"
    assert ended.take()
    assert client.get("/").text == "whole"


def test_errors_of_send_are_no_errors_of_the_server(plain: SharedSite, records: Records) -> None:
    """must, core "Error Handling": what send raises is caught by the server where it comes back
    out of the application."""
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, bytes(100), more=True)
                await anyio.sleep(0.001)
        except OSError as exc:
            raised.put(type(exc).__name__)
            raise

    client = plain.open(app)
    stream = client.start()
    client.response(stream, lambda r: len(r.body) > 0)
    client.leave(stream)
    assert raised.take() == "ClientDisconnected"
    plain.close()
    assert not [text for text in records.messages() if "failed" in text]


def test_extensions_are_dicts(site: SharedSite) -> None:
    """must, core "Extensions": an extension is an entry of scope["extensions"] whose value is a
    dict."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        if scope["type"] == "http":
            await reply(send)
        else:
            await accept(receive, send)

    site.open(app).get("/", [(b"te", b"trailers")])
    site.websocket().handshake()
    for _ in range(2):
        extensions = scopes.take()["extensions"]
        assert extensions
        for name, value in extensions.items():
            assert type(name) is str
            assert type(value) is dict


# Concurrency


def test_applications_run_side_by_side(plain: SharedSite) -> None:
    """must, core "Applications": each connection is a call of its own: one that waits holds up no
    other."""
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/waits":
            await gate.wait()
        if scope["type"] == "websocket":
            await accept(receive, send)
            await disconnected(receive)
        else:
            await reply(send, scope["path"].encode())

    client = plain.open(app)
    gate = plain.gate()
    other = client if plain.http2 else plain.connect()
    stream = client.start("GET", "/waits")
    assert [other.get("/goes").text for _ in range(3)] == ["/goes"] * 3
    assert plain.websocket().handshake() == 200
    gate.open()
    assert client.response(stream).text == "/waits"


def test_receive_and_send_at_the_same_time(plain: SharedSite) -> None:
    """must, core "Applications": send does not wait for a receive that another task of the
    application awaits."""
    events = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await accept(receive, send)
        else:
            await start(send)

        async def listen() -> None:
            while not (event := await receive())["type"].endswith(".disconnect"):
                events.put(event)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            for text in ("one", "two"):
                await anyio.lowlevel.checkpoint()
                if scope["type"] == "websocket":
                    await send({"type": "websocket.send", "text": text})
                else:
                    await body(send, text.encode(), more=True)
            if scope["type"] == "http":
                await body(send, b"end")

    client = plain.open(app)
    stream = client.start("POST", "/", more=True)
    assert client.response(stream, lambda r: bytes(r.body) == b"onetwoend").text == "onetwoend"
    websocket = plain.websocket()
    assert websocket.handshake() == 200
    assert [websocket.text(), websocket.text()] == ["one", "two"]
    websocket.send_text("heard")
    event = events.take()
    while event["type"] != "websocket.receive":
        event = events.take()
    assert event["text"] == "heard"


def test_a_cancelled_receive_loses_nothing(plain: SharedSite) -> None:
    """must, core "Applications": receive yields every event, also behind one that the application
    has cancelled."""
    cancelled = Inbox()

    async def cancel_one(receive: Receive) -> None:
        async def take() -> None:
            await receive()
            raise AssertionError("nothing has been sent")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        cancelled.put(True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await accept(receive, send)
            await cancel_one(receive)
            await send({"type": "websocket.send", "text": (await receive())["text"]})
            return
        await cancel_one(receive)
        await reply(send, await read_body(receive))

    client = plain.open(app)
    stream = client.start("POST", "/", more=True)
    assert cancelled.take()
    client.send(stream, b"one ")
    client.send(stream, b"two", more=False)
    assert client.response(stream).text == "one two"
    websocket = plain.websocket()
    assert websocket.handshake() == 200
    assert cancelled.take()
    websocket.send_text("three")
    assert websocket.text() == "three"


def test_send_waits_until_the_data_is_taken(plain: SharedSite) -> None:
    """must, core "Applications": send returns when the data has been taken or the connection
    has closed."""
    sent = 0
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await start(send)
        try:
            while True:
                await body(send, bytes(2**18), more=True)
                sent += 2**18
        except OSError:
            ended.put(True)

    plain.serve(app)
    options = {"credit": False} if plain.http2 else {}
    client = plain.connect(receive_buffer=4096, **options)
    stream = client.start()
    client.response(stream, lambda r: len(r.body) > 0)
    # The kernel's buffers on both sides take some; without waiting it would never rest.
    assert settled(lambda: sent, 0.06) < 64 * 2**20
    assert ended.empty()
    client.leave(stream)
    assert ended.take()


def test_unknown_types_and_no_messages_are_refused(plain: SharedSite) -> None:
    """should, core "Error Handling": an event of unknown type, or without one, raises out of
    send."""
    found = Inbox()
    wrong: list[Any] = [
        {"type": "http.response.nonsense"}, {"type": "http.request"}, {"type": None},
        {"type": 1}, {"type": []}, {"type": b"http.response.start"}, {"status": 200}, {}, None,
        "http.response.start", {"type": "websocket.accept"}, {"type": "lifespan.startup.complete"},
    ]  # fmt: skip

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.put([await refused(send, message) for message in wrong])
        await start(send)
        found.put([await refused(send, message) for message in wrong])
        await body(send, b"fine")

    assert plain.open(app).get("/").text == "fine"
    assert found.take() == [True] * len(wrong)
    assert found.take() == [True] * len(wrong)
