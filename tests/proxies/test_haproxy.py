"""Behind a real HAProxy: forwarded fields and the PROXY protocol, HTTP/1.1 and HTTP/2."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from proxy_programs import CLIENT_HOST, combined, haproxy

from helpers.apps import reply
from helpers.serving import Inbox, Records, Served
from helpers.site import Certificate, Serving
from helpers.websocket import WebSocketClient
from tricorn.types import Receive, Scope, Send

TRUSTED: dict[str, Any] = {"trusted_proxies": "127.0.0.1"}
PROXY: dict[str, Any] = {**TRUSTED, "proxy_protocol": "all"}
#: What a client tries to slip past the proxy.
SPOOFED = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"gopher"),
           (b"forwarded", b"for=203.0.113.9")]  # fmt: skip
LARGE = 150_000
OPTIONS = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,crc32c,authority,unique-id"


class Recorder:
    """Keeps the scopes it is called with; echoes on WebSockets."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        if scope["type"] == "http":
            await reply(send, b"hello")
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


@pytest.fixture(params=["", "proto h2"], ids=["http/1.1", "h2"])
def proto(request: pytest.FixtureRequest) -> str:
    """What HAProxy speaks to the server."""
    name: str = request.param
    return name


def server(served: Served, words: str) -> str:
    host, port = served.address
    return f" server tricorn {host}:{port} {words}\n"


def http(bind: str, served: Served, words: str, *more: str) -> str:
    """A frontend with a backend, in HTTP mode."""
    lines = ["listen edge", " mode http", f" bind {{listen}} {bind}", *more]
    return "\n".join(lines) + "\n" + server(served, words)


def test_forwarded_fields(
    serving: Serving, certificate: Certificate, tmp_path: Path, proto: str
) -> None:
    app = Recorder()
    served = serving(app, **TRUSTED)
    config = http(
        f"ssl crt {combined(certificate, tmp_path)} alpn h2,http/1.1", served, proto,
        " option forwardfor", " http-request set-header X-Forwarded-Proto https if { ssl_fc }",
    )  # fmt: skip
    with haproxy(tmp_path, config) as front:
        for alpn in ("http/1.1", "h2"):
            client = front.client(certificate, alpn)
            response = client.get("/x", SPOOFED)
            assert (response.status, response.text) == (200, "hello")
            scope = app.scopes.take()
            assert scope["http_version"] == ("2" if proto else "1.1")
            assert scope["client"] == (CLIENT_HOST, 0)
            assert scope["scheme"] == "https"
            assert any(value == b"203.0.113.9" for _, value in scope["headers"])


def test_the_spoofed_ones_without_trust(serving: Serving, tmp_path: Path, proto: str) -> None:
    app = Recorder()
    with haproxy(tmp_path, http("", serving(app), proto)) as front:
        assert front.client().get("/", SPOOFED).status == 200
        scope = app.scopes.take()
        assert scope["client"][0] == "127.0.0.1"
        assert scope["scheme"] == "http"


def test_requests_that_name_no_host(serving: Serving, tmp_path: Path, proto: str) -> None:
    """Health checks are HTTP/1.0 without a Host field, unless they are told otherwise."""
    app = Recorder()
    words = f"{proto} check inter 50ms fall 1"
    with haproxy(tmp_path, http("", serving(app), words, " option httpchk")) as front:
        for _ in range(3):
            scope = app.scopes.take()
            assert (scope["method"], scope["path"], scope["headers"]) == ("OPTIONS", "/", [])
        with front.socket() as sock:
            sock.sendall(b"GET /old HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 502),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nx-sum: a\x01b\r\n\r\n",
            200,
        ),
    ],
    ids=["host", "trailer"],
)
def test_a_client_of_bad_requests_does_not_end_those_of_the_others(
    serving: Serving, tmp_path: Path, bad: bytes, status: int
) -> None:
    """HAProxy passes on what is in a Host field or a trailer, for all over one connection."""
    app = Recorder()
    config = "global\n nbthread 1\n" + http("", serving(app), "proto h2", " http-reuse always")
    with haproxy(tmp_path, config) as front:
        client = front.client()
        assert client.get("/before").status == 200
        for _ in range(150):
            with front.socket() as sock:
                sock.sendall(bad)
                assert sock.recv(65536).startswith(b"HTTP/1.1 %d " % status)
        assert client.get("/after").status == 200
        # The port is that of the proxy's connection.
        ports = {app.scopes.take()["client"] for _ in range(app.scopes.qsize())}
        assert len(ports) == 1


def test_proxy_protocol_2_with_all_facts(
    serving: Serving, certificate: Certificate, tmp_path: Path, proto: str
) -> None:
    app = Recorder()
    served = serving(app, **PROXY)
    config = http(
        f"ssl crt {combined(certificate, tmp_path)} alpn h2,http/1.1", served,
        f"{proto} send-proxy-v2 proxy-v2-options {OPTIONS}", " unique-id-format id-%[rand]",
    )  # fmt: skip
    with haproxy(tmp_path, config) as front:
        sock = front.socket(certificate)
        client = front.client(certificate, "h2")
        assert client.get("/x", SPOOFED).status == 200
        scope = app.scopes.take()
        assert scope["client"] == client.sock.getsockname()
        assert scope["client"] != sock.getsockname()
        assert scope["server"] == front.address
        assert scope["scheme"] == "https"
        told = scope["extensions"]["tricorn.proxy_protocol"]
        assert told["proxy"][0] == "127.0.0.1"
        assert told["authority"] == "localhost"
        assert told["unique_id"].startswith(b"id-")
        assert 3 in dict(told["tlvs"])  # the checksum, which was right
        assert told["ssl"]["tls"] is True
        assert told["ssl"]["version"] == "TLSv1.3"
        assert told["ssl"]["cipher"].startswith("TLS_")
        assert told["ssl"]["certificate"] is told["ssl"]["verified"] is False


@pytest.mark.parametrize("word", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_tls_passed_through(
    serving: Serving, certificate: Certificate, tmp_path: Path, word: str, alpn: str
) -> None:
    """The header stands before the TLS handshake of client and server."""
    app = Recorder()
    served = serving(app, tls=True, **PROXY)
    config = "listen edge\n mode tcp\n bind {listen}\n" + server(served, word)
    with haproxy(tmp_path, config) as front:
        client = front.client(certificate, alpn)
        assert client.get("/", SPOOFED).status == 200
        scope = app.scopes.take()
        assert scope["client"] == client.sock.getsockname()
        assert scope["server"] == front.address
        assert scope["scheme"] == "https"
        assert "tls" in scope["extensions"]


@pytest.mark.parametrize("words", ["", "proto h2 ws h2", "ws h1 send-proxy-v2"])
def test_websocket(serving: Serving, tmp_path: Path, words: str) -> None:
    app = Recorder()
    served = serving(app, **(PROXY if "send-proxy" in words else TRUSTED))
    config = http("", served, words, " option forwardfor",
                  " http-request set-header X-Forwarded-Proto https")  # fmt: skip
    with haproxy(tmp_path, config) as front:
        websocket = WebSocketClient(front.client(), "/chat")
        assert websocket.handshake() == 200
        scope = app.scopes.take()
        assert scope["type"] == "websocket"
        assert scope["http_version"] == ("2" if "h2" in words else "1.1")
        assert scope["client"][0] == CLIENT_HOST
        # Behind the PROXY protocol the fields are the client's word.
        assert scope["scheme"] == ("ws" if "send-proxy" in words else "wss")
        websocket.send_text("through")
        assert websocket.text() == "through"


def test_a_unix_socket(serving: Serving, tmp_path: Path) -> None:
    app = Recorder()
    path = tmp_path / "s"
    serving(app, bind=f"unix:{path}", trusted_proxies="unix", proxy_protocol="all")
    config = f"listen edge\n mode http\n bind {{listen}}\n server s unix@{path} send-proxy-v2\n"
    with haproxy(tmp_path, config) as front:
        client = front.client()
        assert client.get().status == 200
        scope = app.scopes.take()
        assert (scope["client"], scope["server"]) == (client.sock.getsockname(), front.address)


def test_health_checks(serving: Serving, tmp_path: Path, records: Records) -> None:
    """Checks speak for nobody (LOCAL); those that only connect leave no line."""
    app = Recorder()
    served = serving(app, **PROXY)
    host, port = served.address
    checked = f"{host}:{port} check check-send-proxy send-proxy-v2 inter 20ms"
    config = f"""
backend asks
 mode http
 option httpchk
 http-check send meth GET uri /health
 server tricorn {checked}
backend connects
 mode tcp
 server tricorn {checked}
listen edge
 mode http
 bind {{listen}}
 default_backend asks
"""
    with haproxy(tmp_path, config):
        for _ in range(3):
            scope = app.scopes.take()
            assert scope["path"] == "/health"
            assert scope["extensions"]["tricorn.proxy_protocol"]["command"] == "LOCAL"
            assert scope["client"][0] == host
            assert scope["server"] == served.address
        # Before HAProxy's end, which may cut a check in its header.
        told = records.messages()
    assert not [line for line in told if line.startswith("refused")]


def test_without_its_header_it_is_told(serving: Serving, tmp_path: Path, records: Records) -> None:
    """A HAProxy that was not told to send the header gets nothing, and the log says why."""
    served = serving(Recorder(), **PROXY)
    with haproxy(tmp_path, http("", served, "")) as front:
        assert front.client().get().status == 502
    lines = [line for line in records.messages() if line.startswith("refused")]
    assert lines == ["refused a connection without a PROXY protocol header from 127.0.0.1"]


@pytest.mark.long
def test_connections_that_come_to_their_limit_lose_nothing(
    serving: Serving, tmp_path: Path, proto: str
) -> None:
    """HAProxy speaks on, of windows at least, while it reads what is the last."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"x" * LARGE)

    served = serving(large, keep_alive_max_requests=3)
    with haproxy(tmp_path, http("", served, proto)) as front:

        def ask(_: int) -> set[tuple[int, int]]:
            client = front.client()
            responses = [client.get("/") for _ in range(30)]
            return {(response.status, len(response.body)) for response in responses}

        with ThreadPoolExecutor(8) as clients:
            assert set().union(*clients.map(ask, range(8))) == {(200, LARGE)}
