"""How many requests, how large, how slow: the same over both protocols, on every loop."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from helpers.apps import body, read_body, reply, start
from helpers.clients import HTTP1Client, HTTP2Client
from helpers.serving import Inbox, Records, eventually
from helpers.site import Site
from tricorn.types import Receive, Scope, Send

LIMIT = 0.08
CANCEL, INTERNAL_ERROR = 8, 2


class Waiting:
    """Tells that it was called, waits for its gate where the path says so, answers."""

    def __init__(self) -> None:
        self.called = Inbox()
        self.gate: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called.put(scope["path"])
        if scope["path"] == "/wait":
            await self.gate.wait()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
        else:
            await reply(send, b"%d" % len(await read_body(receive)))


# max_concurrent_requests


def test_above_the_limit_the_answer_is_503(site: Site, records: Records) -> None:
    app = Waiting()
    site.serve(app, max_concurrent_requests=1, retry_after=1.2, peer_log_interval=0)
    app.gate = site.gate()
    client = site.connect()
    stream = client.start("GET", "/wait")
    assert app.called.take() == "/wait"
    for other in ([client] if site.http2 else []) + [site.connect()]:
        response = other.get("/more")
        assert (response.status, response.text) == (503, "Service Unavailable")
        assert response.header(b"retry-after") == b"2"
    peer = site.websocket()
    assert peer.handshake() == 503
    assert app.called.empty()
    app.gate.open()
    assert client.response(stream).text == "0"
    # The refused requests cost their connection nothing.
    eventually(lambda: other.get("/later").status == 200)
    said = "refused a request above the number at once (max_concurrent_requests) from 127.0.0.1"
    assert said in records.messages()


def test_a_websocket_counts_for_as_long_as_it_is_open(plain: Site) -> None:
    app = Waiting()
    plain.serve(app, max_concurrent_requests=1, retry_after=None)
    peer = plain.websocket()
    assert peer.handshake() == 200
    response = plain.connect().get()
    assert (response.status, response.header(b"retry-after")) == (503, None)
    peer.close(1000)
    eventually(lambda: plain.connect().get().status == 200)


@pytest.mark.parametrize("protocol", ["h2"])
def test_a_push_above_the_limit_is_declined(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.push", "path": "/a.css", "headers": []})
        await reply(send, b"page")

    client = plain.open(app, max_concurrent_requests=1)
    assert isinstance(client, HTTP2Client)
    assert client.get().text == "page"
    assert client.promised == {}


# max_request_body_size


def test_a_body_declared_too_large_is_413_before_the_application(site: Site) -> None:
    app = Waiting()
    client = site.open(
        app,
        max_request_body_size=10,
        max_request_body_sizes={"/up": "1KiB", "/up/none": "none", "/zero/": 0},
    )
    cases = [
        ("/", 10, 200), ("/", 11, 413), ("/up", 1024, 200), ("/up/x", 1025, 413),
        ("/upper", 11, 413), ("/up/none", 5000, 200), ("/zero", 1, 413), ("/zero", 0, 200),
    ]  # fmt: skip
    for path, size, status in cases:
        headers = [(b"content-length", b"%d" % size)] if size else []
        response = client.response(client.start("POST", path, headers, b"x" * size))
        assert (path, size, response.status) == (path, size, status)
        if status == 200:
            assert app.called.take() == path
            assert response.text == str(size)
        else:
            assert response.text == "Content Too Large"
    assert app.called.empty()


@pytest.mark.parametrize("protocol", ["http/1.1"])
def test_nobody_is_asked_for_a_body_too_large(plain: Site) -> None:
    client = plain.open(Waiting(), max_request_body_size=10)
    headers = [(b"content-length", b"11"), (b"expect", b"100-continue")]
    response = client.response(client.start("POST", "/", headers, more=True))
    assert response.status == 413
    assert response.informational == []


def test_a_body_that_grows_too_large_is_413(site: Site, records: Records) -> None:
    """Without Content-Length it is noticed as it comes; the application hears of a disconnect."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                await reply(send, b"%d" % size)
                return
            seen.put(size)
        seen.put(message["type"])
        try:
            await reply(send, b"late")
        except OSError as exc:
            seen.put(type(exc).__name__)

    client = site.open(app, max_request_body_size=1000, peer_log_interval=0)
    stream = client.start("POST", "/", more=True)
    client.send(stream, b"x" * 600)
    assert seen.take() == 600
    client.send(stream, b"x" * 600)
    response = client.response(stream)
    assert (response.status, response.text) == (413, "Content Too Large")
    assert seen.take() == "http.disconnect"
    assert seen.take() == "ClientDisconnected"
    said = "refused too large a request body (max_request_body_size) from 127.0.0.1"
    assert said in records.messages()
    assert site.connect().get().text == "0"


def test_a_body_too_large_behind_the_response_start_cuts_it(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await reply(send, b"next")
            return
        await start(send)
        await body(send, b"part", more=True)
        while (await receive())["type"] == "http.request":
            pass

    client = plain.open(app, max_request_body_size=10)
    stream = client.start("POST", "/", more=True)
    client.response(stream, lambda r: len(r.body) == 4)
    client.send(stream, b"x" * 11)
    response = client.response(stream)
    assert response.cut
    assert response.reset_code == (INTERNAL_ERROR if plain.http2 else None)
    if plain.http2:
        assert client.get("/next").text == "next"


# min_body_rate


def test_a_trickling_body_is_408(site: Site, records: Records) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            if not message["more_body"]:
                await reply(send, b"whole")
                return
        told.put(message["type"])

    records.expect("without a whole response")
    client = site.open(
        app, min_body_rate=100_000, min_body_rate_grace=LIMIT, peer_log_interval=0, close_timeout=1
    )
    stream = client.start("POST", "/", more=True)

    def trickle() -> bool:
        client.send(stream, b"x")
        return not told.empty()

    eventually(trickle, "the end of a body that trickles")
    response = client.response(stream)
    assert (response.status, response.text) == (408, "Request Timeout")
    assert told.take() == "http.disconnect"
    if isinstance(client, HTTP1Client):
        # What is left of the body is not waited for.
        assert response.header(b"connection") == b"close"
    said = "refused too slow a request body (min_body_rate) from 127.0.0.1"
    assert said in records.messages()


def test_time_that_the_application_takes_is_not_the_peers(plain: Site) -> None:
    """The body comes slowly because nobody reads it, and before the answer has begun."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        size = len(message["body"])
        await anyio.sleep(5 * LIMIT)
        if scope["path"] == "/begun":
            await start(send)
            await body(send, b"", more=True)
        if message["more_body"]:
            size += len(await read_body(receive))
        await (body(send, b"%d" % size) if scope["path"] == "/begun" else reply(send, b"%d" % size))

    client = plain.open(app, min_body_rate=1e6, min_body_rate_grace=LIMIT)
    data = b"x" * 200_000
    for path in ("/", "/begun"):
        stream = client.start("POST", path, more=True)
        client.send(stream, data)
        client.send(stream, data[:50_000], more=False)
        assert client.response(stream).text == "250000"


# response_timeout


def test_an_application_that_does_not_answer_is_504_and_cancelled(
    site: Site, records: Records
) -> None:
    ended = Inbox()
    held: dict[str, dict[str, Any]] = {
        "/held": {},
        "/trailers": {"trailers": True},
        "/length": {"headers": [(b"content-length", b"100")]},
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/quick":
            await reply(send, b"quick")
            return
        try:
            if scope["path"] in held:
                given = held[scope["path"]]
                await send({"type": "http.response.start", "status": 200, **given})
            await anyio.sleep_forever()
        except BaseException as exc:
            ended.put(type(exc).__name__)
            raise

    client = site.open(app, response_timeout=LIMIT, peer_log_interval=0)
    for path in ("/", *held):
        response = client.get(path)
        assert (response.status, response.text) == (504, "Gateway Timeout")
        assert ended.take() in ("CancelledError", "Cancelled")
        assert client.get("/quick").text == "quick"
    said = "refused a request without a response in time (response_timeout) from 127.0.0.1"
    assert said in records.messages()


def test_response_timeout_is_for_the_applications_part(plain: Site) -> None:
    """Neither the time for the body counts nor that of a response that has begun."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put("called")
        await read_body(receive)
        await start(send)
        await body(send, b"begun", more=True)
        await anyio.sleep(3 * LIMIT)
        await body(send, b" ended")

    client = plain.open(app, response_timeout=LIMIT)
    stream = client.start("POST", more=True)
    assert seen.take() == "called"
    # Meanwhile another exchange takes longer than the limit.
    other = plain.connect()
    assert other.get().text == "begun ended"
    client.send(stream, b"x", more=False)
    assert client.response(stream).text == "begun ended"


def test_a_websocket_not_accepted_in_time_is_504_and_cancelled(
    site: Site, records: Records
) -> None:
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await anyio.sleep_forever()
        except BaseException as exc:
            ended.put(type(exc).__name__)
            raise

    site.serve(app, websocket_handshake_timeout=LIMIT)
    assert site.websocket().handshake() == 504
    assert ended.take() in ("CancelledError", "Cancelled")
    said = (
        "refused a WebSocket handshake without an answer in time (websocket_handshake_timeout)"
        " from 127.0.0.1"
    )
    assert said in records.messages()


# keep_alive_max_requests


@pytest.mark.parametrize("protocol", ["h2"])
def test_the_last_request_of_a_connection_is_told_by_goaway(site: Site) -> None:
    """In two steps, and what is on its way is answered: never a cut."""
    app = Waiting()
    client = site.open(app, keep_alive_max_requests=3)
    app.gate = site.gate()
    assert isinstance(client, HTTP2Client)
    streams = [client.start("GET", path) for path in ("/wait", "/", "/", "/late")]
    assert [client.response(stream).status for stream in streams[1:]] == [200] * 3
    client.until(lambda: len(client.goaways) == 2)
    assert client.goaways == [(2**31 - 1, 0), (7, 0)]
    app.gate.open()
    assert client.response(streams[0]).complete
    client.until(lambda: client.closed)
    assert client.closed
