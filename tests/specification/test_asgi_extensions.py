"""Where each extension is offered, pushes, hints and debug (docs/extensions.rst)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from specification_site import SharedSite, accept, refused

from helpers.apps import body, reply, start
from helpers.clients import HTTP2Client, Response, open_socket
from helpers.serving import Inbox, Records
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

FILES = {"http.response.pathsend", "http.response.zerocopysend"}
LINK = b"</a.css>; rel=preload; as=style"


class Teller:
    """Tells the scope of every exchange, and answers it."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        if scope["type"] == "websocket":
            await accept(receive, send)
            return
        if scope["path"] == "/page":
            await push(send, "/pushed")
        await reply(send, b"hello")

    def offered(self) -> set[str]:
        """The extensions of the next scope, but for the server's own."""
        names = self.scopes.take()["extensions"]
        return {name for name in names if not name.startswith("tricorn.")}


async def push(send: Send, path: str, *headers: tuple[bytes, bytes]) -> None:
    """Ask for a push."""
    await send({"type": "http.response.push", "path": path, "headers": list(headers)})


async def hint(send: Send, *links: bytes) -> None:
    """Send early hints."""
    await send({"type": "http.response.early_hint", "links": list(links)})


def http1_0(site: SharedSite) -> bytes:
    """The whole answer to a request of HTTP/1.0."""
    context = site.serving.certificate.client() if site.tls else None
    with open_socket(site.served.address, context) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\nte: trailers\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_extensions_are_offered_where_they_hold(site: SharedSite) -> None:
    """must, core "Extensions": an extension is in the scope only where it is supported on that
    connection, for that request."""
    app = Teller()
    client = site.open(app)
    tls = {"tls"} if site.tls else set()
    client.get("/")
    expected = FILES | tls | {"http.response.early_hint"}
    expected |= {"http.response.push"} if site.http2 else set()
    assert app.offered() == expected
    client.get("/", [(b"te", b"trailers")])
    assert app.offered() == expected | {"http.response.trailers"}
    site.websocket().handshake()
    assert app.offered() == tls | {"websocket.http.response"}
    if site.http2:
        client.get("/page")
        assert app.offered() == expected
        assert app.offered() == FILES | tls  # of the promised request
    else:
        assert http1_0(site).endswith(b"hello")
        assert app.offered() == FILES | tls


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"h2_server_push": False}, "http.response.push"),
        ({"early_hints_http1": False}, "http.response.early_hint"),
        ({"file_sending": False}, "http.response.pathsend http.response.zerocopysend"),
    ],
)
def test_what_is_switched_off_is_not_offered(
    plain: SharedSite, options: dict[str, Any], gone: str
) -> None:
    """must, core "Extensions": an extension that the configuration turns off is not in the
    scope."""
    app = Teller()
    plain.open(app, **options).get("/")
    expected = FILES | {"http.response.early_hint"}
    expected |= {"http.response.push"} if plain.http2 else set()
    if gone == "http.response.early_hint" and plain.http2:
        gone = ""  # the switch is for HTTP/1.1
    assert app.offered() == expected - set(gone.split())


def test_messages_of_extensions_that_are_not_offered(plain: SharedSite, records: Records) -> None:
    """must, core "Extensions": the messages of an extension that is not in the scope change
    nothing on the wire."""
    app_ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 200, trailers=True)
        await push(send, "/pushed")
        await hint(send, LINK)
        await body(send, b"data")
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})
        app_ended.put(scope["http_version"])

    plain.serve(app, h2_server_push=False, early_hints_http1=False)
    if not plain.http2:
        answer = http1_0(plain)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\ndata")
        assert app_ended.take() == "1.0"
    client = plain.connect()
    response = client.get("/")
    assert (response.text, response.complete, response.trailers) == ("data", True, [])
    assert len(response.informational) == (1 if plain.http2 else 0)
    if isinstance(client, HTTP2Client):
        assert client.promised == {}


# http.response.push


def h2_client(site: SharedSite, **options: Any) -> HTTP2Client:
    """A connection over HTTP/2, the settings of both sides known."""
    client = site.connect(**options)
    assert isinstance(client, HTTP2Client)
    client.ping()
    return client


@pytest.mark.parametrize("protocol", ["h2"])
@pytest.mark.parametrize("when", ["before the start", "held", "in the body"])
def test_push(site: SharedSite, when: str) -> None:
    """must, extensions "HTTP/2 Server Push": from the start to the last body message a push is
    sent to a client that takes pushes.

    must, extensions "HTTP/2 Server Push": the promise has the path and the headers of the
    message, and the :authority of its request.

    must, extensions "HTTP/2 Server Push": the promised request is answered by a new instance of
    the application, as if the client had made it.

    optional, extensions "HTTP/2 Server Push": a push is taken before the start, too."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put((scope, await receive()))
        if scope["path"] != "/":
            await reply(send, b"style")
            return
        if when == "before the start":
            await push(send, "/é a?v=1", (b"accept", b"text/css"), (b"x-a", b"1"))
        await start(send)
        if when == "in the body":
            await body(send, b"pa", more=True)
        if when != "before the start":
            await push(send, "/é a?v=1", (b"accept", b"text/css"), (b"x-a", b"1"))
        await body(send, b"ge")

    site.serve(app)
    client = h2_client(site)
    stream = client.start("GET", "/", [(b"cookie", b"of=the page")])
    assert client.response(stream).text.endswith("ge")
    ((promised, (parent, fields)),) = client.promised.items()
    assert parent == stream
    assert dict(fields) == {
        b":method": b"GET", b":scheme": b"https" if site.tls else b"http",
        b":authority": b"localhost", b":path": b"/%C3%A9%20a?v=1",
        b"accept": b"text/css", b"x-a": b"1",
    }  # fmt: skip
    pushed = client.response(promised)
    assert (pushed.status, pushed.text, pushed.complete) == (200, "style", True)
    (page, _), (scope, event) = scopes.take(), scopes.take()
    assert event == {"type": "http.request", "body": b"", "more_body": False}
    assert (scope["method"], scope["path"], scope["query_string"]) == ("GET", "/é a", b"v=1")
    assert scope["headers"] == [(b"host", b"localhost"), (b"accept", b"text/css"), (b"x-a", b"1")]
    assert scope.keys() == page.keys()
    same = ("asgi", "http_version", "scheme", "root_path", "client", "server")
    assert {key: scope[key] for key in same} == {key: page[key] for key in same}
    assert "http.response.push" not in scope["extensions"]


@pytest.mark.parametrize("protocol", ["h2"])
def test_push_only_to_clients_that_take_it(plain: SharedSite) -> None:
    """must, extensions "HTTP/2 Server Push": a client that has turned push off is neither
    offered nor sent one."""
    app = Teller()
    plain.serve(app)
    client = h2_client(plain, push=False)
    assert client.get("/page").text == "hello"
    assert "http.response.push" not in app.offered()
    assert client.promised == {}
    client.get("/")
    app.offered()
    assert app.scopes.empty()


@pytest.mark.parametrize("protocol", ["h2"])
def test_push_behind_the_end(plain: SharedSite) -> None:
    """must, extensions "HTTP/2 Server Push": behind the last body message a push is ignored."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"page")
        await push(send, "/late")

    plain.serve(app)
    client = h2_client(plain)
    assert client.get("/").text == "page"
    client.ping()
    assert client.promised == {}


# http.response.early_hint


def links_of(response: Response) -> list[bytes]:
    """The links of every 103, in order."""
    assert all(status == 103 for status, _ in response.informational)
    fields = [field for _, headers in response.informational for field in headers]
    assert all(name.lower() == b"link" for name, _ in fields)
    return [value for _, value in fields]


def test_early_hints(site: SharedSite) -> None:
    """must, extensions "Early Hints": behind the start each message is a 103 response with a
    Link field for every link, at any number.

    optional, extensions "Early Hints": they are taken before the start, too."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hint(send, b"</first>")
        await start(send)
        await hint(send, LINK, b"</b.js>; rel=preload; as=script")
        await hint(send, b"</last>")
        await body(send, b"page")

    response = site.open(app).get("/")
    assert links_of(response) == [
        b"</first>", LINK, b"</b.js>; rel=preload; as=script", b"</last>",
    ]  # fmt: skip
    assert len(response.informational) == 3
    assert (response.status, response.text) == (200, "page")


def test_early_hints_leave_at_once(plain: SharedSite) -> None:
    """must, extensions "Early Hints": the hint is sent when its message comes, not with the
    response."""
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await hint(send, LINK)
        await gate.wait()
        await body(send, b"page")

    client = plain.open(app)
    gate = plain.gate()
    stream = client.start()
    early = client.response(stream, lambda r: len(r.informational) > 0)
    assert links_of(early) == [LINK]
    assert early.status == 0
    gate.open()
    assert client.response(stream).text == "page"


def test_early_hints_that_come_too_late(plain: SharedSite) -> None:
    """optional, extensions "Early Hints": the server ignores a hint once the head of the
    response has left, and one behind the end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"pa", more=True)
        await hint(send, LINK)
        await body(send, b"ge")
        await hint(send, LINK)

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (response.text, response.informational) == ("page", [])


# http.response.debug


def test_debug(plain: SharedSite, records: Records) -> None:
    """should, extensions "Debug": servers do not offer it; this one does with debug = true
    only.

    optional, extensions "Debug": info goes to the log, at level debug."""
    offered = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered.put("http.response.debug" in scope["extensions"])
        await send({"type": "http.response.debug", "info": {"template": "page.html"}})
        await start(send)
        offered.put(await refused(send, {"type": "http.response.debug", "info": {}}))
        await body(send, b"page")

    for options in ({}, {"debug": True}):
        assert plain.open(app, **options).get("/").text == "page"
        assert offered.take() is bool(options)
        assert offered.take() is True  # behind the start it raises
        said = [text for text in records.messages(level=logging.DEBUG) if "page.html" in text]
        assert len(said) == (1 if options else 0)
    assert not [name for name in records.messages(level=logging.WARNING) if "page.html" in name]


def test_extensions_of_a_unix_socket(serving: Serving, tmp_path: Any) -> None:
    """must, core "Extensions": what holds on a connection does not depend on the kind of its
    socket."""
    app = Teller()
    address = str(tmp_path / "socket")
    served = serving(app, bind=f"unix:{address}")
    serving.connect(served, address=address).get("/")
    assert app.offered() == FILES | {"http.response.early_hint"}
    served.stop()
    served.wait()
