"""Forwarded fields of trusted proxies on every backend, protocol and wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.apps import reply
from helpers.serving import Inbox, Records, eventually
from helpers.site import Serving, Site
from tricorn.types import Receive, Scope, Send

CLIENT = (b"x-forwarded-for", b"203.0.113.1, 192.0.2.7")
HTTPS = (b"x-forwarded-proto", b"https")
ALL = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
       "x-forwarded-prefix"]  # fmt: skip


class Recorder:
    """Keeps the scopes it is called with."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        await reply(send)


def test_what_a_trusted_proxy_says_is_in_the_scope(site: Site, records: Records) -> None:
    app = Recorder()
    client = site.open(app, trusted_proxies="127.0.0.1", forwarded_fields=ALL, accesslog="-",
                       access_log_format="%(h)s %({client.1}x)s %(S)s %(U)s")  # fmt: skip
    headers = [CLIENT, HTTPS, (b"x-forwarded-host", b"shop.example:8443"),
               (b"x-forwarded-prefix", b"/shop")]  # fmt: skip
    assert client.get("/x", headers).status == 200
    scope = app.scopes.take()
    assert scope["client"] == ("192.0.2.7", 0)
    assert scope["scheme"] == "https"
    assert scope["server"] == ("shop.example", 8443)
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"shop.example:8443"]
    assert (scope["root_path"], scope["path"]) == ("/shop", "/shop/x")
    assert CLIENT in scope["headers"]
    line = "192.0.2.7 0 https /shop/x"
    eventually(lambda: line in records.messages("tricorn.access"), "the access line")


def test_the_next_request_of_the_connection_has_its_own_client(site: Site) -> None:
    app = Recorder()
    client = site.open(app, trusted_proxies=["127.0.0.0/8"])
    for headers, host in [([CLIENT], "192.0.2.7"), ([], "127.0.0.1")]:
        assert client.get("/", headers).status == 200
        scope = app.scopes.take()
        assert scope["client"][0] == host
        assert scope["scheme"] == ("https" if site.tls else "http")


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8", "unix"]])
def test_what_others_say_is_not(site: Site, trusted: list[str]) -> None:
    app = Recorder()
    client = site.open(app, trusted_proxies=trusted, forwarded_fields=ALL)
    headers = [CLIENT, HTTPS, (b"x-forwarded-host", b"evil.example"),
               (b"forwarded", b"for=192.0.2.7;proto=https")]  # fmt: skip
    assert client.get("/x", headers).status == 200
    scope = app.scopes.take()
    assert scope["client"][0] == "127.0.0.1"
    assert scope["scheme"] == ("https" if site.tls else "http")
    assert scope["server"] == site.served.address
    assert (scope["root_path"], scope["path"]) == ("", "/x")
    assert set(headers) <= set(scope["headers"])


def test_a_websocket_has_wss(site: Site) -> None:
    app = Recorder()
    site.serve(app, trusted_proxies="127.0.0.1", forwarded_fields="forwarded")
    said = (b"forwarded", b'for="[2001:db8::7]:4711";proto=https;host=shop.example')
    with_fields = site.websocket(headers=[said])
    assert with_fields.handshake() in (101, 200)
    scope = app.scopes.take()
    assert scope["scheme"] == "wss"
    assert scope["client"] == ("2001:db8::7", 4711)
    assert scope["server"] == ("shop.example", 443)
    plain = site.websocket(headers=[(b"forwarded", b"for=192.0.2.7;proto=http")])
    assert plain.handshake() in (101, 200)
    assert app.scopes.take()["scheme"] == "ws"


def test_a_malformed_field_is_told_in_a_line(plain: Site, records: Records) -> None:
    app = Recorder()
    client = plain.open(app, trusted_proxies="127.0.0.1")
    for _ in range(3):
        assert client.get("/", [(b"x-forwarded-for", b"nonsense"), HTTPS]).status == 200
        scope = app.scopes.take()
        assert scope["client"][0] == "127.0.0.1"
        assert scope["scheme"] == "https"
    lines = [line for line in records.messages() if "X-Forwarded-For" in line]
    assert lines == ["refused a malformed X-Forwarded-For field from 127.0.0.1"]


def test_the_proxys_scheme_decides_redirect_and_hsts(plain: Site) -> None:
    client = plain.open(
        Recorder(), trusted_proxies="127.0.0.1", https_redirect=True,
        https_redirect_host="shop.example", hsts_max_age=60,
    )  # fmt: skip
    redirected = client.get("/a")
    assert redirected.status == 308
    assert redirected.header(b"location") == b"https://shop.example/a"
    assert redirected.header(b"strict-transport-security") is None
    served = client.get("/a", [HTTPS])
    assert served.status == 200
    assert served.header(b"strict-transport-security") == b"max-age=60"


def test_the_proxys_host_decides_names_and_mounts(plain: Site, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a file")
    client = plain.open(
        None, trusted_proxies="127.0.0.1", forwarded_fields=ALL, server_names=["shop.example:443"],
        mounts=[{"path": "/", "directory": str(tmp_path), "host": ["shop.example"]}],
    )  # fmt: skip
    assert client.get("/a.txt").status == 421
    said = [HTTPS, (b"x-forwarded-host", b"shop.example")]
    found = client.get("/a.txt", said)
    assert (found.status, found.text) == (200, "a file")
    assert client.get("/a.txt", said[1:]).status == 421  # without TLS it is port 80
    assert client.get("/a.txt", [HTTPS, (b"x-forwarded-host", b"other.example")]).status == 421


def test_peers_of_a_unix_socket(serving: Serving, tmp_path: Path) -> None:
    app = Recorder()
    path = str(tmp_path / "s")
    fields = ["x-forwarded-for", "x-forwarded-port"]
    served = serving(app, bind=f"unix:{path}", trusted_proxies="unix", forwarded_fields=fields)
    client = serving.connect(served, address=path)
    assert client.get("/", [CLIENT, (b"x-forwarded-port", b"443")]).status == 200
    scope = app.scopes.take()
    assert scope["client"] == ("192.0.2.7", 0)
    assert scope["server"] == ("localhost", 443)
    other = serving(app, bind=f"unix:{path}2", trusted_proxies="127.0.0.1")
    assert serving.connect(other, address=f"{path}2").get("/", [CLIENT]).status == 200
    scope = app.scopes.take()
    assert (scope["client"], scope["server"]) == (None, (f"{path}2", None))


def test_wsgi_has_it_in_its_environ(plain: Site) -> None:
    seen = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.put({name: environ[name] for name in (
            "REMOTE_ADDR", "wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT", "HTTP_HOST",
            "SCRIPT_NAME", "PATH_INFO")})  # fmt: skip
        start_response("200 OK", [])
        return [b""]

    client = plain.open(app, trusted_proxies="127.0.0.1", forwarded_fields=ALL, interface="wsgi")
    headers = [CLIENT, HTTPS, (b"x-forwarded-host", b"shop.example"),
               (b"x-forwarded-prefix", b"/shop")]  # fmt: skip
    assert client.get("/x", headers).status == 200
    assert seen.take() == {
        "REMOTE_ADDR": "192.0.2.7", "wsgi.url_scheme": "https", "SERVER_NAME": "shop.example",
        "SERVER_PORT": "443", "HTTP_HOST": "shop.example", "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/x",
    }  # fmt: skip


def test_raw_field_names_are_read_too(serving: Serving) -> None:
    app = Recorder()
    served = serving(app, trusted_proxies="127.0.0.1", forwarded_fields=ALL,
                     h11_pass_raw_headers=True)  # fmt: skip
    client = serving.connect(served)
    client.sock.sendall(
        b"GET / HTTP/1.1\r\nHost: inside\r\nX-Forwarded-For: 192.0.2.7\r\n"
        b"X-Forwarded-Host: shop.example\r\n\r\n"
    )
    scope = app.scopes.take()
    assert scope["client"] == ("192.0.2.7", 0)
    hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
    assert hosts == [b"shop.example"]
    assert (b"X-Forwarded-For", b"192.0.2.7") in scope["headers"]
