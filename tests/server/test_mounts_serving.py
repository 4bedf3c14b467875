"""Several applications, redirects and the host check on real sockets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.apps import hello, reply
from helpers.clients import Client, HTTP1Client, HTTP2Client, Response, open_socket
from helpers.serving import Records, Served, address_of
from helpers.site import Serving, Site
from helpers.websocket import WebSocketClient
from tricorn.exceptions import LifespanError
from tricorn.types import Receive, Scope, Send

MODULE = """
log = []

class App:
    def __init__(self, name):
        self.name = name

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            if self.name == "broken":
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            log.append(self.name + " up")
            scope["state"]["name"] = self.name
            await send({"type": "lifespan.startup.complete"})
            await receive()
            log.append(self.name + " down")
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": self.name + scope["path"]})
            await send({"type": "websocket.close"})
        else:
            text = f"{self.name} {scope['root_path']} {scope['path']} {scope['state']['name']}"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": text.encode()})

one, two, broken = App("one"), App("two"), App("broken")
"""


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "mounted_apps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield __import__("mounted_apps")
    sys.modules.pop("mounted_apps", None)


def mount(path: str, name: str, **keys: Any) -> dict[str, Any]:
    return {"path": path, "application": f"mounted_apps:{name}", **keys}


def test_applications_by_path_and_host(site: Site, apps: Any) -> None:
    mounts = [mount("/one", "one"), mount("/one/two", "two"), mount("/", "two", host="b.test")]
    client = site.open(None, mounts=mounts, lifespan="on")
    assert client.get("/one").text == "one /one /one one"
    assert client.get("/one/x%20y?q").text == "one /one /one/x y one"
    assert client.get("/one/two/x").text == "two /one/two /one/two/x two"
    assert client.get("/other").status == client.get("/onex").status == 404
    assert apps.log == ["one up", "two up"]
    client.close()
    site.served.stop()
    site.served.wait()
    assert apps.log == ["one up", "two up", "two down", "one down"]


def test_websockets_by_path(plain: Site, apps: Any) -> None:
    plain.serve(None, mounts=[mount("/one", "one")])
    websocket = plain.websocket(path="/one/chat")
    assert websocket.handshake() == 200
    assert websocket.text() == "one/one/chat"
    denied = plain.websocket(path="/nowhere")
    assert denied.handshake() == 404
    assert denied.body == b"Not Found\n"


def test_beside_an_application_that_is_given(serving: Serving, apps: Any, records: Records) -> None:
    records.expect("mount /: lifespan")
    served = serving(hello, mounts=[mount("/one", "one", app_dir="/")], lifespan="auto")
    client = serving.connect(served)
    assert client.get("/").text == "hello"
    assert client.get("/one").text == "one /one /one one"


def test_a_failure_at_the_start_ends_all(serving: Serving, apps: Any) -> None:
    with pytest.raises(LifespanError, match="mount /b: no database"):
        serving(None, mounts=[mount("/a", "one"), mount("/b", "broken")], lifespan="auto")
    assert apps.log == ["one up", "one down"]


# Redirects


def get(client: Client, target: str, host: bytes) -> Response:
    """A GET for this host."""
    if isinstance(client, HTTP2Client):
        fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", host),
                  (b":path", target.encode())]  # fmt: skip
        return client.response(client.start_raw(fields))
    client.sock.sendall(
        b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (target.encode(), host)
    )
    head = b"".join(iter(lambda: client.sock.recv(65536), b"")).partition(b"\r\n\r\n")[0]
    first, *lines = head.split(b"\r\n")
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return Response(int(first.split()[1]), fields)


def secure_and_plain(serving: Serving, **options: Any) -> tuple[Served, tuple[str, int]]:
    served = serving(hello, tls=True, insecure_bind="127.0.0.1:0", **options)
    return served, address_of(served.urls[1])


def plain_client(serving: Serving, address: tuple[str, int], protocol: str) -> Client:
    sock = open_socket(address)
    serving.stack.callback(sock.close)
    return HTTP2Client(sock) if protocol == "h2" else HTTP1Client(sock)


def test_https_redirect(serving: Serving, protocol: str) -> None:
    served, address = secure_and_plain(
        serving, https_redirect=True, https_redirect_host="a.test:8443", hsts_max_age=60
    )
    response = get(plain_client(serving, address, protocol), "/x%2Fy?a=%20", b"localhost")
    assert response.status == 308
    assert response.header(b"location") == b"https://a.test:8443/x%2Fy?a=%20"
    assert response.header(b"strict-transport-security") is None
    response = serving.connect(served, protocol).get("/")
    assert (response.status, response.text) == (200, "hello")
    assert response.header(b"strict-transport-security") == b"max-age=60"


def test_https_redirect_of_websockets(serving: Serving, protocol: str) -> None:
    _, address = secure_and_plain(serving, https_redirect=True, https_redirect_host="a.test")
    websocket = WebSocketClient(plain_client(serving, address, protocol), "/chat")
    assert websocket.handshake() == 308
    assert dict(websocket.headers)[b"location"] == b"wss://a.test/chat"


def test_hsts_on_the_500_of_an_application(serving: Serving, records: Records) -> None:
    records.expect("application failed")

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    served = serving(broken, tls=True, hsts_max_age=60)
    response = serving.connect(served).get("/")
    assert response.status == 500
    assert response.header(b"strict-transport-security") == b"max-age=60"


# The host check


def test_host_check(plain: Site) -> None:
    plain.serve(hello, server_names=["Example.org", "*.example.net", "::1", "ported.test:8000"])
    for host in (b"example.org", b"EXAMPLE.org:99", b"a.b.example.net", b"[0::1]:80",
                 b"ported.test:8000"):  # fmt: skip
        assert get(plain.connect(), "/", host).status == 200, host
    for host in (b"example.net", b"ported.test", b"evil.test", b"xexample.org", b"[::2]"):
        assert get(plain.connect(), "/", host).status == 421, host


def test_scope_state_of_a_mount_without_lifespan(serving: Serving, records: Records) -> None:
    records.expect("mount /: lifespan")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await reply(send, repr(scope.get("state")).encode())

    served = serving(app, lifespan="auto", mounts=[{"path": "/old", "redirect": "/new"}])
    client = serving.connect(served)
    assert client.get("/").text == "None"
    assert client.get("/old/a").header(b"location") == b"/new/a"
