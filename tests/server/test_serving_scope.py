"""The connection scope on every backend, protocol and wire (ASGI HTTP 2.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from helpers.apps import body, reply, start
from helpers.clients import open_socket
from helpers.serving import Inbox, Records
from helpers.site import Serving, Site
from tricorn.types import Receive, Scope, Send


class Recorder:
    """Keeps the scopes it is called with."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            scope["state"].update(count=0, shared=[])
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.scopes.put(scope)
        await reply(send)


def types_of(scope: Scope) -> dict[str, Any]:
    return {key: type(value) for key, value in scope.items()}


def test_values_and_types(site: Site) -> None:
    app = Recorder()
    client = site.open(app, root_path="/mounted")
    headers = [(b"x-one", b"1"), (b"x-two", b"\xe9")]
    response = client.get("/a%20b/%C3%A9%2F?q=%20x&y", headers)
    assert response.status == 200
    scope = app.scopes.take()
    assert types_of(scope) == {
        "type": str, "asgi": dict, "http_version": str, "scheme": str, "path": str,
        "raw_path": bytes, "query_string": bytes, "root_path": str, "headers": list,
        "client": tuple, "server": tuple, "extensions": dict, "method": str,
    }  # fmt: skip
    assert scope["type"] == "http"
    assert scope["asgi"]["version"] == "3.0"
    assert scope["http_version"] == client.http_version
    assert scope["method"] == "GET"
    assert scope["scheme"] == ("https" if site.tls else "http")
    assert scope["path"] == "/a b/\u00e9/"
    assert scope["raw_path"] == b"/a%20b/%C3%A9%2F"
    assert scope["query_string"] == b"q=%20x&y"
    assert scope["root_path"] == "/mounted"
    assert (b"host", b"localhost") in scope["headers"]
    assert set(headers) <= set(scope["headers"])
    assert not [name for name, _ in scope["headers"] if name.startswith(b":")]
    assert scope["client"] == client.sock.getsockname()
    assert type(scope["client"][1]) is int
    assert scope["server"] == site.served.address
    json.dumps(scope["client"])


# Offered on every connection.
ALWAYS = {"http.response.pathsend", "http.response.zerocopysend", "tricorn.stopping"}


def test_extensions(site: Site) -> None:
    app = Recorder()
    client = site.open(app)
    client.get("/", [(b"te", b"trailers")])
    extensions = app.scopes.take()["extensions"]
    expected = ALWAYS | {"http.response.early_hint", "http.response.trailers"}
    expected |= {"http.response.push"} if site.http2 else set()
    expected |= {"tls"} if site.tls else set()
    assert set(extensions) == expected
    client.get("/")
    assert "http.response.trailers" not in app.scopes.take()["extensions"]
    if site.tls:
        tls = extensions["tls"]
        assert tls["tls_version"] == 0x0304
        assert "BEGIN CERTIFICATE" in tls["server_cert"]
        assert 0x1301 <= tls["cipher_suite"] <= 0x1303
        assert tls["client_cert_chain"] == ()
        assert tls["client_cert_name"] is None


def test_state_is_a_copy_for_each_request(plain: Site) -> None:
    app = Recorder()
    client = plain.open(app, lifespan="on")
    client.get("/")
    first = app.scopes.take()["state"]
    first["count"] = 1
    first["shared"].append("seen")
    client.get("/")
    second = app.scopes.take()["state"]
    # A shallow copy: keys are the request's own, values are shared.
    assert second == {"count": 0, "shared": ["seen"]}
    assert second is not first


def test_no_state_without_lifespan(plain: Site) -> None:
    app = Recorder()
    plain.open(app, lifespan="off").get("/")
    assert "state" not in app.scopes.take()


@pytest.mark.parametrize("raises", [True, False])
def test_who_takes_it_apart_costs_itself_only(plain: Site, records: Records, raises: bool) -> None:
    """The failure is told as it is, and other streams of the connection go on."""
    records.expect("application failed", "without a whole response")
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert gate is not None
        if scope["path"] == "/apart":
            scope.clear()
            if raises:
                raise ValueError("the real failure")
            return
        await gate.wait()
        await reply(send, b"whole")

    client = plain.open(app)
    gate = plain.gate()
    other = client if plain.http2 else plain.connect()
    stream = other.start()
    response = client.get("/apart")
    assert (response.status, response.complete) == (500, True)
    gate.open()
    assert other.response(stream).text == "whole"
    (line,) = [record for record in records.records if record.levelname == "ERROR"]
    said = "application failed" if raises else "application returned without a whole response"
    version = "2" if plain.http2 else "1.1"
    assert line.getMessage().startswith(f"{said}: GET - HTTP/{version} from 127.0.0.1:")
    assert not raises or isinstance(line.exc_info[1], ValueError)


def test_who_takes_it_apart_may_answer(plain: Site, records: Records) -> None:
    records.expect("no access line", "has no content")
    hints = [(b"link", b"</a.css>; rel=preload; as=style")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status = 204 if scope["path"] == "/none" else 200
        if scope["path"] == "/unknown":
            scope["extensions"] = None
        else:
            scope.clear()
        await send({"type": "http.response.early_hint", "links": [b"</b.css>"]})
        await send({"type": "http.response.debug", "info": {}})
        await start(send, status, hints, trailers=True)
        await body(send, b"whole")
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})

    options: dict[str, Any] = {"metrics_path": "/metrics", "link_preload": "auto"}
    client = plain.open(app, debug=True, accesslog="-", **options)
    for path, status in (("/", 200), ("/unknown", 200), ("/none", 204)):
        response = client.get(path, [(b"te", b"trailers")])
        assert (response.status, response.complete) == (status, True)
    assert client.get("/metrics").status == 200
    assert not [text for text in records.messages() if "failed" in text]


def test_http_1_0(serving: Serving) -> None:
    app = Recorder()
    served = serving(app)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    scope = app.scopes.take()
    assert scope["http_version"] == "1.0"
    assert set(scope["extensions"]) == ALWAYS


def test_client_certificate_is_in_the_scope(serving: Serving, protocol: str) -> None:
    authority = serving.certificate.authority
    app = Recorder()
    with authority.cert_pem.tempfile() as ca_certs:
        served = serving(app, tls=True, verify_mode="CERT_REQUIRED", ca_certs=ca_certs)
    context = serving.certificate.client()
    issued = authority.create_child_ca().issue_cert("peer.example", organization_name="A, B")
    issued.configure_cert(context)
    context.set_alpn_protocols([protocol])
    with open_socket(served.address, context, protocol) as sock:
        from helpers.clients import HTTP1Client, HTTP2Client

        client = HTTP2Client(sock) if protocol == "h2" else HTTP1Client(sock)
        assert client.get("/").status == 200
    tls = app.scopes.take()["extensions"]["tls"]
    # Its own certificate first, then the intermediate one it sent along.
    assert [pem.strip() for pem in tls["client_cert_chain"]] == [
        blob.bytes().decode().strip() for blob in issued.cert_chain_pems
    ]
    assert len(tls["client_cert_chain"]) == 2
    assert "O=A\\, B" in tls["client_cert_name"]


@pytest.mark.parametrize("given", [b"*", b"/%", b"/%zz", b"/%ff"])
def test_odd_targets_do_not_raise(plain: Site, given: bytes) -> None:
    app = Recorder()
    client = plain.open(app)
    method = "OPTIONS" if given == b"*" else "GET"
    response = client.response(client.start(method, given.decode()))
    assert response.status == 200
    scope = app.scopes.take()
    assert scope["raw_path"] == given
    assert isinstance(scope["path"], str)
