"""Behind a real nginx: forwarded fields over HTTP/1.1 and HTTP/2, and the PROXY protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from proxy_programs import CLIENT_HOST, nginx, nginx_modules
from test_haproxy import PROXY, SPOOFED, TRUSTED, Recorder

from helpers.serving import Served
from helpers.site import Certificate, Serving
from helpers.websocket import WebSocketClient

FIELDS = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]


def site(served: Served | str, *lines: str, tls: Certificate | None = None) -> str:
    """One server in front of another."""
    target = served if isinstance(served, str) else served.url
    listen = "listen {listen};"
    if tls is not None:
        listen = f"""listen {{listen}} ssl http2;
            ssl_certificate {tls.certfile}; ssl_certificate_key {tls.keyfile};"""
    word = "grpc_pass" if target.startswith("grpc") else "proxy_pass"
    text = "\n".join([*lines, f"{word} {target};"])
    return f"http {{ access_log off; server {{ {listen} location / {{\n{text}\n}} }} }}"


def set_fields(word: str) -> list[str]:
    """The directives the guide names, for proxy_pass and for grpc_pass."""
    return [
        f"{word}_set_header Host $host;",
        f"{word}_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        f"{word}_set_header X-Forwarded-Proto $scheme;",
        f"{word}_set_header X-Forwarded-Host $host;",
        f"{word}_set_header X-Forwarded-Port $server_port;",
    ]


@pytest.mark.parametrize("proto", ["http/1.1", "h2"])
def test_forwarded_fields(
    serving: Serving, certificate: Certificate, tmp_path: Path, proto: str
) -> None:
    app = Recorder()
    served = serving(app, forwarded_fields=FIELDS, **TRUSTED)
    target = served.url
    lines = ["proxy_http_version 1.1;", *set_fields("proxy")]
    if proto == "h2":
        # nginx 1.22 speaks HTTP/2 to servers of gRPC only, which is HTTP/2 like any other.
        target, lines = target.replace("http://", "grpc://"), set_fields("grpc")
    with nginx(tmp_path, site(target, *lines, tls=certificate)) as front:
        for alpn in ("http/1.1", "h2"):
            client = front.client(certificate, alpn)
            response = client.get("/x", SPOOFED)
            assert (response.status, response.text) == (200, "hello")
            scope = app.scopes.take()
            assert scope["http_version"] == ("2" if proto == "h2" else "1.1")
            assert scope["client"] == (CLIENT_HOST, 0)
            assert scope["scheme"] == "https"
            assert scope["server"] == ("localhost", front.address[1])
            assert (b"host", b"localhost") in scope["headers"]


def test_a_unix_socket_and_spoofed_fields(serving: Serving, tmp_path: Path) -> None:
    app = Recorder()
    path = tmp_path / "s"
    serving(app, bind=f"unix:{path}", trusted_proxies="unix")
    with nginx(tmp_path, site(f"http://unix:{path}:", *set_fields("proxy"))) as front:
        assert front.client().get("/", SPOOFED).status == 200
        scope = app.scopes.take()
        assert (scope["client"], scope["scheme"]) == ((CLIENT_HOST, 0), "http")


def test_fields_that_nginx_was_not_told_to_set(serving: Serving, tmp_path: Path) -> None:
    """It passes them on from clients: so the fields are named one by one."""
    app = Recorder()
    served = serving(app, **TRUSTED)
    fields = [(b"x-forwarded-host", b"evil.example"), (b"x-forwarded-prefix", b"/evil")]
    with nginx(tmp_path, site(served, *set_fields("proxy")[:3])) as front:
        assert front.client().get("/", fields).status == 200
        scope = app.scopes.take()
        assert set(fields) <= set(scope["headers"])
        assert (b"host", b"localhost") in scope["headers"]
        assert scope["root_path"] == ""


def test_forwarded(serving: Serving, tmp_path: Path) -> None:
    """RFC 7239, as nginx can write it; what the client sent stands in front."""
    app = Recorder()
    served = serving(app, forwarded_fields="forwarded", **TRUSTED)
    line = """set $me 'for="$remote_addr:$remote_port";proto=$scheme;host="$http_host"';
        proxy_set_header Forwarded '$http_forwarded, $me';"""
    with nginx(tmp_path, site(served, line)) as front:
        for said in (b"for=203.0.113.9;proto=https", b'for="', b""):
            client = front.client()
            assert client.get("/", [(b"forwarded", said)]).status == 200
            scope = app.scopes.take()
            assert scope["client"] == client.sock.getsockname()
            assert scope["scheme"] == "http"


def test_websocket(serving: Serving, tmp_path: Path) -> None:
    app = Recorder()
    served = serving(app, **TRUSTED)
    lines = [*set_fields("proxy"), "proxy_http_version 1.1;",
             "proxy_set_header Upgrade $http_upgrade;", 'proxy_set_header Connection "upgrade";',
             "proxy_set_header X-Forwarded-Proto https;"]  # fmt: skip
    lines.remove("proxy_set_header X-Forwarded-Proto $scheme;")
    with nginx(tmp_path, site(served, *lines)) as front:
        websocket = WebSocketClient(front.client(), "/chat")
        assert websocket.handshake() == 200
        scope = app.scopes.take()
        assert (scope["scheme"], scope["client"]) == ("wss", (CLIENT_HOST, 0))
        websocket.send_text("through")
        assert websocket.text() == "through"


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_the_proxy_protocol_of_a_stream(
    serving: Serving, certificate: Certificate, tmp_path: Path, tls: bool
) -> None:
    app = Recorder()
    served: Any = serving(app, tls=tls, **PROXY)
    host, port = served.address
    text = (
        f"stream {{ server {{ listen {{listen}}; proxy_pass {host}:{port}; proxy_protocol on; }} }}"
    )
    with nginx(tmp_path, text, nginx_modules("stream")) as front:
        client = front.client(certificate if tls else None, "h2")
        assert client.get("/", SPOOFED).status == 200
        scope = app.scopes.take()
        assert scope["client"] == client.sock.getsockname()
        assert scope["server"] == front.address
        assert scope["http_version"] == "2"
