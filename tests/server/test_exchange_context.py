"""Ids, trace context, the stopping signal, context variables, added fields, debug messages."""

from __future__ import annotations

import asyncio
import contextvars
import re
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import sniffio

from helpers.apps import body, hello, reply, start
from helpers.clients import HTTP2Client, open_socket
from helpers.serving import Inbox, Records
from helpers.site import Serving, Site
from tricorn import Config
from tricorn.asgi.identity import read_trace_context
from tricorn.exceptions import ConfigError
from tricorn.types import Receive, Scope, Send

PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Recorder:
    """Puts the scope away and answers."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
        else:
            await reply(send)


def fields_of(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


# Request ids


@pytest.mark.parametrize("given", [None, b"abc-1", b"a b", b"x" * 200, b"a\xffb"])
@pytest.mark.parametrize("mode", ["generate", "accept"])
def test_request_id(plain: Site, mode: str, given: bytes | None) -> None:
    app = Recorder()
    client = plain.open(app, request_id=mode)
    response = client.get("/", [] if given is None else [(b"x-request-id", given)])
    scope = app.scopes.take()
    found = scope["extensions"]["tricorn.request_id"]["id"]
    if mode == "accept" and given == b"abc-1":
        assert found == "abc-1"
    else:
        assert re.fullmatch("[0-9a-f]{32}", found)
    # The application, its middleware, the log and the peer are all told the same.
    assert fields_of(scope, b"x-request-id") == [found.encode()]
    assert response.header(b"x-request-id") == found.encode()


def test_two_request_ids_are_none(plain: Site) -> None:
    app = Recorder()
    client = plain.open(app, request_id="accept", request_id_header="X-Correlation-Id")
    response = client.get("/", [(b"x-correlation-id", b"a"), (b"x-correlation-id", b"b")])
    found = app.scopes.take()["extensions"]["tricorn.request_id"]["id"]
    assert found not in ("a", "b")
    assert response.header(b"x-correlation-id") == found.encode()


def test_the_application_may_set_the_field_itself(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, headers=[(b"x-request-id", b"mine")])

    assert plain.open(app, request_id="generate").get("/").header(b"x-request-id") == b"mine"


def test_ids_reach_error_pages_and_websockets(plain: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    client = plain.open(app, request_id="generate", trace_context=True)
    response = client.get("/")
    assert response.status == 500
    assert response.header(b"x-request-id")
    assert response.header(b"traceresponse")
    recorder = Recorder()
    plain.serve(recorder, request_id="generate", trace_context=True)
    websocket = plain.websocket()
    assert websocket.handshake() == 200
    scope = recorder.scopes.take()
    assert "tricorn.trace_context" in scope["extensions"]
    identifier = scope["extensions"]["tricorn.request_id"]["id"].encode()
    assert (b"x-request-id", identifier) in [
        (name.lower(), value) for name, value in websocket.headers
    ]


def test_ids_are_in_the_access_log(plain: Site, records: Records) -> None:
    app = Recorder()
    options = {"request_id": "generate", "trace_context": True, "accesslog": "-"}
    template = "%({request_id}x)s %({trace_id}x)s %({span_id}x)s"
    plain.open(app, access_log_format=template, **options).get("/")
    extensions = app.scopes.take()["extensions"]
    trace = extensions["tricorn.trace_context"]
    expected = f"{extensions['tricorn.request_id']['id']} {trace['trace_id']} {trace['span_id']}"
    assert expected in records.messages("tricorn.access")


# Trace Context


def test_trace_context_is_continued(plain: Site) -> None:
    app = Recorder()
    client = plain.open(app, trace_context=True)
    response = client.get("/", [(b"traceparent", PARENT), (b"tracestate", b"a=1"),
                                (b"tracestate", b"b=2")])  # fmt: skip
    scope = app.scopes.take()
    context = scope["extensions"]["tricorn.trace_context"]
    assert context["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert context["parent_id"] == "b7ad6b7169203331"
    assert context["sampled"] is True
    assert context["tracestate"] == "a=1,b=2"
    own = f"00-{context['trace_id']}-{context['span_id']}-01"
    assert context["traceparent"] == own
    # Tracing middleware reads the field: its parent is the server's span.
    assert fields_of(scope, b"traceparent") == [own.encode()]
    assert response.header(b"traceresponse") == own.encode()


@pytest.mark.parametrize(
    "parent",
    [
        None,
        b"",
        PARENT.upper(),
        PARENT + b"-00",
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + PARENT[35:],
        PARENT[:36] + b"0" * 16 + b"-01",
        b"00-1-2-01",
    ],
)
def test_an_invalid_parent_begins_a_new_trace(parent: bytes | None) -> None:
    headers = [] if parent is None else [(b"traceparent", parent)]
    context = read_trace_context([*headers, (b"tracestate", b"a=1")])
    assert context["parent_id"] is None
    assert context["sampled"] is False
    assert context["tracestate"] == ""
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-00", context["traceparent"])


def test_later_versions_of_trace_context_are_read() -> None:
    context = read_trace_context([(b"traceparent", b"01" + PARENT[2:] + b"-more")])
    assert context["parent_id"] == "b7ad6b7169203331"


# The stopping signal


def test_a_stream_without_end_learns_that_the_server_stops(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        signal = scope["extensions"]["tricorn.stopping"]["signal"]
        assert not signal.is_set()
        await start(send)
        await body(send, b"open", more=True)
        await signal.wait()
        assert signal.is_set()
        await signal.wait()
        await body(send, b" closed")

    client = plain.open(app)
    stream = client.start("GET", "/")
    client.response(stream, lambda response: response.body == b"open")
    plain.served.stop()
    response = client.response(stream)
    assert (bytes(response.body), response.complete) == (b"open closed", True)
    client.sock.close()
    plain.served.wait()


def test_websockets_and_the_lifespan_learn_it_too(plain: Site) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        signal = scope["extensions"]["tricorn.stopping"]["signal"]
        await receive()
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "websocket.accept"})
        await signal.wait()
        told.put(scope["type"])
        await receive()
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.shutdown.complete"})

    plain.serve(app, lifespan="on")
    websocket = plain.websocket()
    assert websocket.handshake() == 200
    plain.served.stop()
    assert {told.take(), told.take()} == {"lifespan", "websocket"}


# Context variables

_variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Setting:
    """Answers with the variable as it found it, and sets it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _variable.get()
        _variable.set(scope["path"])
        if "http.response.push" in scope["extensions"] and scope["path"] == "/push":
            await send({"type": "http.response.push", "path": "/pushed", "headers": []})
        await reply(send, found.encode())


def test_context_variables_are_fresh_for_each_request(plain: Site) -> None:
    client = plain.open(Setting())
    for _ in range(3):
        assert client.get("/a").body == b"unset"
    if isinstance(client, HTTP2Client):
        client.get("/push")
        ((stream, _),) = client.promised.items()
        # It was started from inside the other one's send().
        assert client.response(stream).body == b"unset"


def test_pipelined_requests_do_not_inherit(serving: Serving) -> None:
    served = serving(Setting())
    with open_socket(served.address) as sock:
        request = b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n"
        last = b"GET /3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        sock.sendall(request % 1 + request % 2 + last)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.count(b"unset") == 3


def loop_in_a_thread() -> str:
    """The library that a synchronous function finds in an event loop of its own."""

    async def library() -> str:
        await anyio.lowlevel.checkpoint()
        return sniffio.current_async_library()

    return anyio.run(library) + asyncio.run(library())


def test_threads_of_the_application_may_run_event_loops(plain: Site) -> None:
    started = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # As asyncio.to_thread and asgiref do it: in a copy of the context as it stands.
        run = contextvars.copy_context().run
        found = await anyio.to_thread.run_sync(run, loop_in_a_thread)
        if scope["type"] == "http":
            await reply(send, found.encode())
            return
        await receive()
        started.put(found)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    client = plain.open(app, lifespan="on")
    assert started.take() == "asyncioasyncio"
    assert client.get("/").body == b"asyncioasyncio"


# Added fields, root_path, debug


def test_configured_headers(plain: Site) -> None:
    options: dict[str, Any] = {"headers": ["X-Frame-Options: DENY", "server: mine"]}
    response = plain.open(hello, include_server_header=False, **options).get("/")
    assert response.header(b"x-frame-options") == b"DENY"
    assert response.header(b"server") == b"mine"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, headers=[(b"X-Frame-Options", b"SAMEORIGIN")])

    # The application's own stands.
    response = plain.open(app, headers="x-frame-options: DENY").get("/")
    assert response.header(b"x-frame-options") == b"SAMEORIGIN"


@pytest.mark.parametrize("text", ["x", ": y", "a b: c", "x: \x01"])
def test_configured_headers_are_checked(text: str) -> None:
    with pytest.raises(ConfigError, match="headers"):
        Config(headers=text)


def test_a_stripped_root_path_is_put_back(plain: Site) -> None:
    app = Recorder()
    plain.open(app, root_path="/caf\u00e9", root_path_stripped=True).get("/a%20b?c")
    scope = app.scopes.take()
    assert scope["root_path"] == "/caf\u00e9"
    assert scope["path"] == "/caf\u00e9/a b"
    assert scope["raw_path"] == b"/caf%C3%A9/a%20b"


def test_debug_messages(plain: Site, records: Records) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered = "http.response.debug" in scope["extensions"]
        await send({"type": "http.response.debug", "info": {"template": "a.html"}})
        await reply(send, str(offered).encode())

    assert plain.open(app).get("/").body == b"False"
    assert not [text for text in records.messages(level=0) if "a.html" in text]
    assert plain.open(app, debug=True).get("/").body == b"True"
    assert [text for text in records.messages(level=0) if "a.html" in text]


def test_a_framework_s_own_disconnect_error_is_no_failure(plain: Site, records: Records) -> None:
    ended = Inbox()

    class ClientLeft(Exception):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            while True:
                await body(send, bytes(10_000), more=True)
                await anyio.lowlevel.checkpoint()
        except OSError:
            # As Starlette does it: with the cause, and as an error of its own.
            ended.put(True)
            raise ClientLeft from None

    client = plain.open(app)
    stream = client.start("GET", "/")
    client.response(stream, lambda response: len(response.body) > 0)
    client.leave(stream)
    client.close()
    assert ended.take()
    plain.served.stop()
    plain.served.wait()
    assert not [text for text in records.messages() if "failed" in text]
