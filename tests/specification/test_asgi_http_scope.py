"""The HTTP connection scope of ASGI HTTP 2.5, on the wire (specs/www.rst)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from specification_site import SharedSite

from helpers.apps import body, read_body, reply, start
from helpers.clients import HTTP1Client, HTTP2Client, open_socket
from helpers.serving import Inbox
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send


class Recorder:
    """Keeps the scopes it is called with."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        await reply(send)


def raw(address: tuple[str, int], data: bytes) -> bytes:
    """What comes back on a connection of its own that the server closes."""
    with open_socket(address) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def scope_of(plain: SharedSite, path: str = "/", headers: Any = (), method: str = "GET") -> Scope:
    app = Recorder()
    client = plain.open(app)
    response = client.response(client.start(method, path, headers))
    assert response.status == 200
    scope: Scope = app.scopes.take()
    return scope


def test_http_version(plain: SharedSite) -> None:
    """must, HTTP "Connection Scope": http_version is "1.0", "1.1" or "2"."""
    app = Recorder()
    plain.open(app).get("/")
    assert app.scopes.take()["http_version"] == ("2" if plain.http2 else "1.1")
    if not plain.http2:
        raw(plain.served.address, b"GET / HTTP/1.0\r\n\r\n")
        assert app.scopes.take()["http_version"] == "1.0"


@pytest.mark.parametrize("method", ["GET", "PROPFIND", "get", "Patch"])
def test_method_is_upper_case(plain: SharedSite, method: str) -> None:
    """must, HTTP "Connection Scope": method is the name of the method in upper case."""
    assert scope_of(plain, method=method)["method"] == method.upper()


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/", "/", b"/", b""),
        ("/a%20b", "/a b", b"/a%20b", b""),
        ("/%C3%A9/%e2%82%ac", "/\u00e9/\u20ac", b"/%C3%A9/%e2%82%ac", b""),
        ("/a%2Fb", "/a/b", b"/a%2Fb", b""),
        ("/a%3Fb?c", "/a?b", b"/a%3Fb", b"c"),
        ("/a?x=%20&y=1+2&%C3%A9", "/a", b"/a", b"x=%20&y=1+2&%C3%A9"),
        ("/a??", "/a", b"/a", b"?"),
        ("/%25%32%30", "/%20", b"/%25%32%30", b""),
        ("//a/../b", "//a/../b", b"//a/../b", b""),
    ],
)
def test_path_and_query(
    plain: SharedSite, target: str, path: str, raw_path: bytes, query: bytes
) -> None:
    """must, HTTP "Connection Scope": path is the target without the query, percent-encoding and
    UTF-8 decoded, once.

    should, HTTP "Connection Scope": raw_path is the path as it came, in bytes.

    must, HTTP "Connection Scope": query_string is what follows the "?", percent-encoded, in
    bytes."""
    scope = scope_of(plain, target)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_scheme(site: SharedSite) -> None:
    """should, HTTP "Connection Scope": scheme is http or https, and never empty."""
    assert scope_of(site)["scheme"] == ("https" if site.tls else "http")


def test_root_path(plain: SharedSite) -> None:
    """should, HTTP "Connection Scope": root_path is where the application is mounted, a str,
    empty where it is nowhere; path begins with it."""
    assert scope_of(plain)["root_path"] == ""
    app = Recorder()
    plain.open(app, root_path="/m\u00e9").get("/m%C3%A9/x")
    scope = app.scopes.take()
    assert (scope["root_path"], scope["path"]) == ("/m\u00e9", "/m\u00e9/x")


def test_client_and_server(plain: SharedSite) -> None:
    """should, HTTP "Connection Scope": client and server are host and port, a str and an int."""
    app = Recorder()
    client = plain.open(app)
    client.get("/")
    scope = app.scopes.take()
    for key, address in (("client", client.sock.getsockname()), ("server", plain.served.address)):
        host, port = scope[key]
        assert (host, port) == tuple(address)
        assert (type(host), type(port)) == (str, int)


def test_unix_socket(plain: SharedSite, tmp_path: Path) -> None:
    """should, HTTP "Connection Scope": over a Unix socket server is its path and None."""
    path = str(tmp_path / "s")
    app = Recorder()
    served = plain.serve(app, bind=f"unix:{path}")
    client = plain.serving.connect(served, plain.protocol, address=path)
    assert client.get("/").status == 200
    scope = app.scopes.take()
    assert list(scope["server"]) == [path, None]
    assert scope["client"] is None


def test_state(plain: SharedSite) -> None:
    """should, HTTP "Connection Scope": state is a copy of the lifespan's namespace, and absent
    where there is none."""
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = ["one"]
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            scopes.put(scope)
            await reply(send)

    plain.open(app, lifespan="on").get("/")
    assert scopes.take()["state"] == {"pool": ["one"]}
    assert "state" not in scope_of(plain)


def test_order_and_duplicates_of_fields(plain: SharedSite) -> None:
    """must, HTTP "Connection Scope": fields are pairs of bytes; the order of values is kept,
    duplicates are kept as they came."""
    sent = [
        (b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3, 4"), (b"x-a", b""), (b"x-b", b"1"),
        (b"x-bytes", b"\xe9\xff"),
    ]  # fmt: skip
    headers = scope_of(plain, headers=sent)["headers"]
    assert [pair for pair in headers if pair[0].startswith(b"x-")] == sent
    assert all(type(part) is bytes for pair in headers for part in pair)


def test_names_of_fields_are_lower_case(plain: SharedSite) -> None:
    """should, HTTP "Connection Scope": names of fields are in lower case."""
    if plain.http2:
        assert (b"x-name", b"Value") in scope_of(plain, headers=[(b"x-name", b"Value")])["headers"]
        return
    app = Recorder()
    plain.serve(app)
    raw(plain.served.address, b"GET / HTTP/1.0\r\nHost: A\r\nX-NAME: Value\r\n\r\n")
    assert app.scopes.take()["headers"] == [(b"host", b"A"), (b"x-name", b"Value")]


def test_case_of_names_is_kept_on_demand(serving: Serving) -> None:
    """should, HTTP "Connection Scope": a server keeps the case of the names as well as it can:
    with h11_pass_raw_headers."""
    app = Recorder()
    served = serving(app, h11_pass_raw_headers=True)
    raw(served.address, b"GET / HTTP/1.0\r\nHost: A\r\nX-NAME: Value\r\n\r\n")
    assert (b"X-NAME", b"Value") in app.scopes.take()["headers"]


def http2_scope(plain: SharedSite, fields: list[tuple[bytes, bytes]]) -> Scope:
    """The scope of a request of these fields besides :method, :scheme and :path."""
    app = Recorder()
    client = plain.open(app)
    assert isinstance(client, HTTP2Client)
    head = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")]
    pseudo = [field for field in fields if field[0].startswith(b":")]
    regular = [field for field in fields if not field[0].startswith(b":")]
    stream = client.start_raw(head + pseudo + regular)
    assert client.response(stream).status == 200
    scope: Scope = app.scopes.take()
    return scope


@pytest.mark.parametrize("protocol", ["h2"])
def test_authority_becomes_host_in_front(plain: SharedSite) -> None:
    """must, HTTP "Connection Scope": pseudo headers are removed; the value of :authority is
    added in front as host."""
    headers = http2_scope(plain, [(b":authority", b"a.example:81"), (b"x-a", b"1")])["headers"]
    assert headers == [(b"host", b"a.example:81"), (b"x-a", b"1")]


@pytest.mark.parametrize("protocol", ["h2"])
def test_authority_replaces_host(plain: SharedSite) -> None:
    """must, HTTP "Connection Scope": :authority replaces a host field that is there already."""
    fields = [(b":authority", b"a.example"), (b"x-a", b"1"), (b"host", b"a.example")]
    headers = http2_scope(plain, fields)["headers"]
    assert [value for name, value in headers if name == b"host"] == [b"a.example"]
    assert not [name for name, _ in headers if name.startswith(b":")]


@pytest.mark.parametrize("protocol", ["h2"])
def test_host_without_authority(plain: SharedSite) -> None:
    """must, HTTP "Connection Scope": without :authority a host field stays what it is."""
    headers = http2_scope(plain, [(b"x-a", b"1"), (b"host", b"b.example")])["headers"]
    assert [value for name, value in headers if name == b"host"] == [b"b.example"]


@pytest.mark.parametrize("protocol", ["h2"])
def test_cookies_of_http_2(plain: SharedSite) -> None:
    """should, HTTP "HTTP": the cookie fields of HTTP/2 are left apart or joined by "; ", and by
    nothing else."""
    fields = [(b":authority", b"a"), (b"cookie", b"a=1"), (b"x-a", b"1"), (b"cookie", b"b=2, c")]
    headers = http2_scope(plain, fields)["headers"]
    cookies = [value for name, value in headers if name == b"cookie"]
    assert cookies == [b"a=1; b=2, c"]


def test_set_cookie_is_never_joined(plain: SharedSite) -> None:
    """must, HTTP "HTTP": Set-Cookie fields are never joined."""
    cookies = [(b"set-cookie", b"a=1"), (b"x-a", b"1"), (b"set-cookie", b"b=2; Path=/")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, headers=cookies)

    response = plain.open(app).get("/")
    found = [value for name, value in response.headers if name == b"set-cookie"]
    assert found == [b"a=1", b"b=2; Path=/"]


@pytest.mark.parametrize("protocol", ["h2"])
def test_scope_for_each_stream(plain: SharedSite) -> None:
    """must, HTTP "HTTP": requests of one HTTP/2 connection have scopes of their own, and each
    answer goes to the stream of its request."""
    gates: list[Any] = []
    scopes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.put(scope)
        number = int(scope["path"][1:])
        scope["headers"].append((b"mine", b"%d" % number))
        await gates[number].wait()
        await reply(send, scope["path"].encode())

    client = plain.open(app)
    gates = [plain.gate() for _ in range(3)]
    streams = [client.start("GET", f"/{number}") for number in range(3)]
    found = [scopes.take() for _ in range(3)]
    assert len({id(scope) for scope in found}) == 3
    assert len({id(scope["headers"]) for scope in found}) == 3
    for number in (2, 0, 1):
        gates[number].open()
        assert client.response(streams[number]).text == f"/{number}"


def test_chunked_requests_are_decoded(plain: SharedSite) -> None:
    """must, HTTP "Connection Scope": the server takes the chunked coding off a request's
    body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, await read_body(receive))

    client = plain.open(app)
    stream = client.start("POST", "/", more=True)
    client.send(stream, b"5\r\nfirst")
    client.send(stream, b" second", more=False)
    assert client.response(stream).body == b"5\r\nfirst second"


@pytest.mark.parametrize("value", [b"chunked", b"gzip, chunked", b"identity"])
@pytest.mark.parametrize("length", [False, True])
def test_transfer_encoding_of_the_application_is_ignored(
    plain: SharedSite, value: bytes, length: bool
) -> None:
    """must, HTTP "Response Start": a transfer-encoding of the application is ignored; the
    server frames the response."""
    fields = [(b"transfer-encoding", value)] + ([(b"content-length", b"9")] if length else [])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=fields)
        await body(send, b"no ", more=True)
        await body(send, b"chunks")

    client = plain.open(app)
    for _ in range(2):
        response = client.get("/")
        assert (response.text, response.complete) == ("no chunks", True)
        found = [item for name, item in response.headers if name == b"transfer-encoding"]
        assert found == ([] if plain.http2 or length else [b"chunked"])


def test_values_and_types(site: SharedSite) -> None:
    """must, HTTP "Connection Scope": every key is of its type."""
    app = Recorder()
    client = site.open(app)
    assert isinstance(client, HTTP1Client | HTTP2Client)
    client.get("/")
    types = {key: type(value) for key, value in app.scopes.take().items()}
    assert types == {
        "type": str, "asgi": dict, "http_version": str, "method": str, "scheme": str,
        "path": str, "raw_path": bytes, "query_string": bytes, "root_path": str,
        "headers": list, "client": tuple, "server": tuple, "extensions": dict,
    }  # fmt: skip
