"""ASGI HTTP exchanges over every backend, protocol and wire."""

from __future__ import annotations

import contextvars
import sys
from typing import Any

import h2.settings
import pytest

from helpers.apps import body, echo, hello, read_body, reply, start
from helpers.clients import HTTP2Client
from helpers.serving import Inbox, Records, eventually
from helpers.site import Site
from tricorn.exceptions import ClientDisconnected, InvalidMessage
from tricorn.types import Receive, Scope, Send

INTERNAL_ERROR, CANCEL = 2, 8


def test_whole_response(site: Site) -> None:
    client = site.open(hello)
    for _ in range(3):
        response = client.get("/")
        assert response.complete
        assert (response.status, bytes(response.body)) == (200, b"hello")
        assert response.header(b"content-length") == b"5"
        assert response.header(b"date") is not None


def test_upload_is_streamed(site: Site) -> None:
    """The application sees a first piece before the last one is sent."""
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            size += len(message["body"])
            seen.put(size)
            more = message["more_body"]
        await reply(send, b"%d" % size)

    client = site.open(app)
    stream = client.start("POST", "/", more=True)
    client.send(stream, b"a" * 10)
    assert seen.take() == 10
    client.send(stream, b"b" * 7, more=False)
    assert client.response(stream).text == "17"


def test_large_bodies_both_ways(site: Site) -> None:
    client = site.open(echo)
    data = bytes(range(256)) * 800
    for size in (1, 65536, len(data)):
        # In turns, for a client that does not read must not be a deadlock of the test.
        stream = client.start("POST", "/", more=True)
        for at in range(0, size, 50_000):
            client.send(stream, data[at : min(at + 50_000, size)])
            expected = min(at + 50_000, size)
            client.response(stream, lambda r, n=expected: len(r.body) >= n)  # type: ignore[misc]
        client.send(stream, b"", more=False)
        response = client.response(stream)
        assert response.complete
        assert bytes(response.body) == data[:size]


def test_response_is_streamed(site: Site) -> None:
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first", more=True)
        await gate.wait()
        await body(send, b"", more=True)
        await body(send, b" second")

    client = site.open(app)
    gate = site.gate()
    stream = client.start()
    first = client.response(stream, lambda r: len(r.body) > 0)
    assert bytes(first.body) == b"first"
    assert not first.complete
    gate.open()
    assert client.response(stream).text == "first second"


def test_early_hints_before_and_after_start(site: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hint = {"type": "http.response.early_hint"}
        await send(hint | {"links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
        await start(send)
        await send(hint | {"links": [b"</c.css>; rel=preload"]})
        await body(send, b"x", more=True)
        await send(hint | {"links": [b"</late.css>; rel=preload"]})
        await body(send, b"y")

    client = site.open(app)
    response = client.get("/")
    assert response.text == "xy"
    assert [status for status, _ in response.informational] == [103, 103]
    links = [value for _, headers in response.informational for _, value in headers]
    assert links == [b"</a.css>; rel=preload", b"</b.js>; rel=preload", b"</c.css>; rel=preload"]
    assert client.get("/").complete


async def trailers_app(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, trailers=True)
    await body(send, b"data")
    message = {"type": "http.response.trailers"}
    await send(message | {"headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send(message | {"headers": [(b"x-end", b"2")]})


def test_trailers(site: Site) -> None:
    client = site.open(trailers_app)
    response = client.get("/", [(b"te", b"trailers")])
    assert response.complete
    assert bytes(response.body) == b"data"
    assert response.trailers == [(b"x-sum", b"1"), (b"x-end", b"2")]
    # RFC 9110 section 6.5.1: not to a client that did not ask.
    response = client.get("/")
    assert response.complete
    assert (bytes(response.body), response.trailers) == (b"data", [])


def test_request_trailers_end_the_body(plain: Site) -> None:
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put(await read_body(receive))
        await reply(send)

    client = plain.open(app)
    stream = client.start("POST", more=True)
    client.send(stream, b"abc")
    if isinstance(client, HTTP2Client):
        client.h2.send_headers(stream, [(b"x-trailer", b"1")], end_stream=True)
        client.flush()
    else:
        client.sock.sendall(b"0\r\nx-trailer: 1\r\n\r\n")
    assert client.response(stream).status == 200
    assert seen.take() == b"abc"


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"], indirect=False)
@pytest.mark.parametrize("protocol", ["h2"])
def test_push(site: Site) -> None:
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        if scope["path"] == "/":
            headers = [(b"accept", b"text/css")]
            await send({"type": "http.response.push", "path": "/a.css?v=1", "headers": headers})
            await start(send)
            await body(send, b"page")
        else:
            await reply(send, b"style")

    client = site.open(app)
    assert isinstance(client, HTTP2Client)
    response = client.get("/")
    assert bytes(response.body) == b"page"
    ((pushed, (parent, headers)),) = client.promised.items()
    assert parent == 1
    assert (b":path", b"/a.css?v=1") in headers
    assert (b"accept", b"text/css") in headers
    assert bytes(client.response(pushed).body) == b"style"
    assert "http.response.push" in scopes.take()["extensions"]
    pushed_scope = scopes.take()
    assert pushed_scope["query_string"] == b"v=1"
    assert pushed_scope["method"] == "GET"
    assert "http.response.push" not in pushed_scope["extensions"]


@pytest.mark.parametrize("protocol", ["h2"])
@pytest.mark.parametrize("whole", [False, True])
def test_push_above_a_limit_that_was_lowered(plain: Site, records: Records, whole: bool) -> None:
    seen = Inbox()
    gate = plain.gate()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await send({"type": "http.response.push", "path": "/a.css", "headers": []})
            await reply(send, b"page")
            return
        await gate.wait()
        await start(send)
        await body(send, b"style", more=not whole)
        seen.put([(await receive())["type"] for _ in range(2)][-1])

    client = plain.open(app, accesslog="-", access_log_format="%(U)s %(disconnected)x %(B)s")
    assert isinstance(client, HTTP2Client)
    assert client.get("/").text == "page"
    ((pushed, _),) = client.promised.items()
    client.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    client.ping()  # they have arrived
    gate.open()
    assert seen.take() == "http.disconnect"
    assert client.response(pushed).reset_code == CANCEL
    eventually(lambda: len(records.messages("tricorn.access")) == 2, "two lines")
    assert "/a.css True 0" in records.messages("tricorn.access")
    assert client.get("/").text == "page"


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_push_is_declined_in_silence(plain: Site) -> None:
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        await send({"type": "http.response.push", "path": "/a.css", "headers": []})
        await reply(send, b"page")

    plain.serve(app)
    client = plain.connect(push=False) if plain.http2 else plain.connect()
    if isinstance(client, HTTP2Client):
        client.ping()  # its settings have arrived
    assert client.get("/").text == "page"
    assert "http.response.push" not in scopes.take()["extensions"]
    assert client.get("/").text == "page"
    scopes.take()
    assert scopes.empty()
    if isinstance(client, HTTP2Client):
        assert client.promised == {}


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_responses_without_content(site: Site, method: str, status: int, records: Records) -> None:
    records.expect("has no content")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await reply(send, b"next")
        else:
            await reply(send, b"dropped", status)

    client = site.open(app)
    response = client.response(client.start(method))
    assert response.complete
    assert (response.status, bytes(response.body)) == (status, b"")
    assert response.header(b"transfer-encoding") is None
    if method == "HEAD":
        assert response.header(b"content-length") == b"7"
    # Framing is intact: the connection goes on.
    assert client.get("/next").text == "next"


def test_failure_before_start_is_500(site: Site, records: Records) -> None:
    records.expect("application failed: GET /broken")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise RuntimeError("broken")
        if scope["path"] == "/held":
            await start(send, headers=[(b"x-held", b"1")])
            raise RuntimeError("held")
        await reply(send, b"fine")

    records.expect("application failed: GET /held")
    client = site.open(app)
    response = client.get("/broken")
    assert (response.status, response.text) == (500, "Internal Server Error")
    response = client.get("/held")
    assert (response.status, response.header(b"x-held")) == (500, None)
    assert client.get("/").text == "fine"


def test_failure_in_the_body_cannot_pass_for_an_end(site: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await reply(send, b"fine")
            return
        await start(send)
        await body(send, b"part", more=True)
        raise RuntimeError("broken")

    client = site.open(app)
    response = client.get("/broken")
    assert (response.status, bytes(response.body)) == (200, b"part")
    assert response.cut
    assert not response.complete
    if site.http2:
        assert response.reset_code == INTERNAL_ERROR
        assert client.get("/").text == "fine"


def test_return_without_a_response(site: Site, records: Records) -> None:
    records.expect("returned without a whole response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/half":
            await start(send)
            await body(send, b"half", more=True)

    client = site.open(app)
    assert client.get("/").status == 500
    response = client.get("/half")
    assert response.cut
    assert bytes(response.body) == b"half"


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"bc"], [b""]])
def test_body_shorter_than_its_content_length(
    plain: Site, pieces: list[bytes], records: Records
) -> None:
    records.expect("application failed")
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=[(b"content-length", b"10")])
        try:
            for piece in pieces[:-1]:
                await body(send, piece, more=True)
            await body(send, pieces[-1])
        except Exception as exc:
            raised.put(exc)
            raise

    client = plain.open(app)
    response = client.get("/")
    assert not response.complete
    assert response.cut
    assert b"".join(pieces).startswith(response.body)
    error = raised.take()
    assert isinstance(error, InvalidMessage)
    assert "shorter" in str(error)


@pytest.mark.parametrize("pieces", [[b"abcdef"], [b"abc", b"def"]])
def test_body_longer_than_its_content_length(
    plain: Site, pieces: list[bytes], records: Records
) -> None:
    records.expect("application failed")
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await reply(send, b"next")
            return
        await start(send, headers=[(b"content-length", b"4")])
        try:
            for piece in pieces:
                await body(send, piece, more=True)
        except Exception as exc:
            raised.put(exc)
            raise

    client = plain.open(app)
    response = client.get("/")
    assert bytes(response.body) == b"abcd"
    assert response.complete
    assert isinstance(raised.take(), InvalidMessage)
    # No byte too many is on the wire: the next response is whole.
    assert client.get("/next").text == "next"


def test_invalid_messages_name_state_and_alternatives(plain: Site) -> None:
    errors = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bad: list[dict[str, Any]] = [
            {"type": "http.response.body", "body": b""},
            {"type": "nonsense"},
            {"type": "http.response.start", "status": 99},
            {"type": "http.response.start", "status": 200, "headers": [(b"a\r\nb", b"")]},
            {"type": "http.response.start", "status": 200, "headers": [(b"a", b"x\r\ny: z")]},
        ]
        for message in bad:
            try:
                await send(message)
            except InvalidMessage as exc:
                errors.put(str(exc))
        await reply(send, b"fine")
        await send({"type": "http.response.body", "body": b"ignored"})

    client = plain.open(app)
    assert client.get("/").text == "fine"
    found = [errors.take() for _ in range(5)]
    assert "http.response.start" in found[0]
    assert "nonsense" in found[1]
    assert errors.empty()


def test_system_exit_in_a_handler_does_not_end_the_server(site: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/exit":
            sys.exit(3)
        await reply(send, b"still here")

    client = site.open(app)
    assert client.get("/exit").status == 500
    assert client.get("/").text == "still here"


def test_context_variables_are_isolated(site: Site) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = variable.get()
        variable.set(scope["path"])
        await reply(send, before.encode())

    client = site.open(app)
    assert [client.get(path).text for path in ("/a", "/b", "/c")] == ["unset"] * 3


def test_work_after_the_response_does_not_stall_the_connection(site: Site) -> None:
    gate: Any = None
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["path"].encode())
        if scope["path"] == "/work":
            await gate.wait()
            await send({"type": "http.response.body", "body": b"late"})
            ended.put((await receive())["type"])

    client = site.open(app)
    gate = site.gate()
    assert client.get("/work").text == "/work"
    assert [client.get(path).text for path in ("/1", "/2")] == ["/1", "/2"]
    assert ended.empty()
    gate.open()
    assert ended.take() == "http.disconnect"
    assert client.get("/3").text == "/3"


def test_unread_body_does_not_hurt_the_next_request(site: Site) -> None:
    client = site.open(hello)
    for _ in range(3):
        assert client.response(client.start("POST", body=b"x" * 2000)).text == "hello"


def test_send_after_the_peer_left_raises_quietly(site: Site, records: Records) -> None:
    raised = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"x", more=True)
        message = await receive()
        while message["type"] != "http.disconnect":
            message = await receive()
        try:
            for _ in range(100_000):  # a loop without end would take the server's thread along
                await body(send, b"y", more=True)
            raised.put(None)
        except OSError as exc:
            raised.put(exc)
            raise

    client = site.open(app)
    stream = client.start()
    client.response(stream, lambda r: len(r.body) > 0)
    client.leave(stream)
    assert isinstance(raised.take(), ClientDisconnected)
    if site.http2:
        client.ping()  # type: ignore[attr-defined]
    assert [m for m in records.messages(level=0) if "application" in m] == []


def test_no_status_or_field_of_the_application_can_break_framing(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"transfer-encoding", b"chunked"), (b"connection", b"keep-alive")]
        headers += [(b"X-Mixed", b"1"), (b"server", b"mine")]
        await reply(send, b"plain", headers=headers)

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert response.text == "plain"
        assert response.header(b"x-mixed") == b"1"
        assert response.header(b"server") == b"mine"
