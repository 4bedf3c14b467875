"""The guide on proxies: its configurations, run as they stand but for names of files and ports."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from proxy_programs import CLIENT_HOST, ONE_LOOP, combined, haproxy, nginx
from test_haproxy import SPOOFED, Recorder

from helpers import proxy_header as wire
from helpers.site import Certificate, Serving
from helpers.websocket import WebSocketClient
from tricorn.protocol.proxy_protocol import ProxyHeaderParser

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "how-to" / "behind-a-proxy.md").read_text(encoding="utf-8")


def blocks(section: str, language: str) -> list[str]:
    """The fenced blocks of a section."""
    text = GUIDE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def options(section: str) -> dict[str, Any]:
    """The options that stand beside the proxy's configuration, for another address."""
    found = tomllib.loads(blocks(section, "toml")[0])
    return {name: value for name, value in found.items() if name.startswith(("trust", "forward"))}


def changed(text: str, *changes: tuple[str, str]) -> str:
    """The text with other names of files and addresses."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@ONE_LOOP
def test_nginx(serving: Serving, certificate: Certificate, tmp_path: Path) -> None:
    app = Recorder()
    path = tmp_path / "s"
    serving(app, bind=f"unix:{path}", **options("nginx"))
    text = changed(
        blocks("nginx", "nginx")[0],
        ("/run/tricorn/app.sock", str(path)),
        ("listen 443 ssl;", "listen {listen} ssl http2;"),
        ("http2 on;", ""),  # since nginx 1.25.1
        ("/etc/nginx/site.pem", certificate.certfile),
        ("/etc/nginx/site.key", certificate.keyfile),
    )
    with nginx(tmp_path, f"http {{ access_log off; {text} }}") as front:
        assert front.client(certificate, "h2").get("/x", SPOOFED).status == 200
        scope = app.scopes.take()
        assert (scope["client"], scope["scheme"]) == ((CLIENT_HOST, 0), "https")
        websocket = WebSocketClient(front.client(certificate), "/chat")
        assert websocket.handshake() == 200
        scope = app.scopes.take()
        assert (scope["client"], scope["scheme"]) == ((CLIENT_HOST, 0), "wss")


@ONE_LOOP
def test_haproxy(serving: Serving, certificate: Certificate, tmp_path: Path) -> None:
    app = Recorder()
    served = serving(app, **options("HAProxy"))
    host, port = served.address
    text = changed(
        blocks("HAProxy", "haproxy")[0],
        ("bind :443", "bind {listen}"),
        ("/etc/haproxy/site.pem", str(combined(certificate, tmp_path))),
        ("127.0.0.1:8000", f"{host}:{port}"),
    )
    with haproxy(tmp_path, text) as front:
        assert front.client(certificate, "h2").get("/x", SPOOFED).status == 200
        scope = app.scopes.take()
        assert (scope["client"], scope["scheme"]) == ((CLIENT_HOST, 0), "https")


@ONE_LOOP
def test_haproxy_with_the_proxy_protocol(
    serving: Serving, certificate: Certificate, tmp_path: Path
) -> None:
    app = Recorder()
    served = serving(app, tls=True, trusted_proxies="127.0.0.1", proxy_protocol="all")
    host, port = served.address
    text = changed(
        blocks("The PROXY protocol", "haproxy")[0],
        ("bind :8443", "bind {listen}"),
        ("10.0.0.5:8443", f"{host}:{port}"),
    )
    with haproxy(tmp_path, text) as front:
        client = front.client(certificate, "h2")
        assert client.get().status == 200
        assert app.scopes.take()["client"] == client.sock.getsockname()


def test_the_endpoint_of_a_virtual_private_cloud() -> None:
    page = (DOCS / "reference" / "asgi.md").read_text(encoding="utf-8")
    code = next(text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
                if "vpc_endpoint" in text)  # fmt: skip
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    tlvs = [(0xEA, b"\x01vpce-08d2bf15fac5001c9")]
    for sent, told in [(tlvs, "vpce-08d2bf15fac5001c9"), ([], None)]:
        header = ProxyHeaderParser().feed(wire.tcp(("1.2.3.4", 1), ("1.2.3.5", 2), sent))
        assert header is not None
        extensions = {"tricorn.proxy_protocol": header.describe(None)}
        assert namespace["vpc_endpoint"]({"extensions": extensions}) == told
    assert namespace["vpc_endpoint"]({"extensions": {}}) is None
