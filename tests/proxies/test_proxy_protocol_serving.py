"""Connections that begin with the PROXY protocol, on every backend, protocol and wire."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from helpers import proxy_header as wire
from helpers.apps import reply
from helpers.clients import Client, HTTP1Client, HTTP2Client, open_socket
from helpers.serving import PATIENCE, Inbox, Records, eventually
from helpers.site import Serving, Site
from tricorn.types import Receive, Scope, Send

SOURCE, DESTINATION = ("192.0.2.7", 4711), ("198.51.100.2", 443)
V1 = wire.line("TCP4", SOURCE[0], DESTINATION[0], SOURCE[1], DESTINATION[1])
V2 = wire.tcp(SOURCE, DESTINATION, [(2, b"shop.example")], checksum=True)
ON: dict[str, Any] = {"trusted_proxies": "127.0.0.1", "proxy_protocol": "all"}


class Recorder:
    """Keeps the scopes it is called with."""

    def __init__(self) -> None:
        self.scopes = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)
        await reply(send)


def begin(site: Site, *pieces: bytes) -> Client:
    """A client whose connection begins with these bytes."""
    sock = open_socket(site.served.address)
    site.serving.stack.callback(sock.close)
    for piece in pieces:
        sock.sendall(piece)
    if site.tls:
        context = site.serving.certificate.client()
        context.set_alpn_protocols([site.protocol])
        sock = context.wrap_socket(sock, server_hostname="localhost")
        site.serving.stack.callback(sock.close)
    return HTTP2Client(sock) if site.http2 else HTTP1Client(sock)


def read_all(sock: socket.socket) -> bytes:
    """Everything up to the end."""
    found = b""
    while data := sock.recv(65536):
        found += data
    return found


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_the_header_tells_both_ends(site: Site, records: Records, header: bytes) -> None:
    app = Recorder()
    site.serve(app, accesslog="-", access_log_format="%(h)s %({client.1}x)s", **ON)
    client = begin(site, header)
    for _ in range(2):
        assert client.get("/", [(b"x-forwarded-for", b"203.0.113.9")]).status == 200
        scope = app.scopes.take()
        assert scope["client"] == SOURCE
        assert scope["server"] == DESTINATION
        assert scope["scheme"] == ("https" if site.tls else "http")
        told = scope["extensions"]["tricorn.proxy_protocol"]
        assert told["version"] == (1 if header is V1 else 2)
        assert told["proxy"] == client.sock.getsockname()
        assert told["authority"] == (None if header is V1 else "shop.example")
        assert ("tls" in scope["extensions"]) is site.tls
    eventually(lambda: records.messages("tricorn.access") == ["192.0.2.7 4711"] * 2)


def test_a_header_in_single_bytes(site: Site) -> None:
    app = Recorder()
    site.serve(app, **ON)
    client = begin(site, *(bytes([byte]) for byte in V1))
    assert client.get().status == 200
    assert app.scopes.take()["client"] == SOURCE


def test_a_header_and_a_request_in_one_piece(plain: Site) -> None:
    app = Recorder()
    plain.serve(app, **ON)
    for header in (V1, V2):
        with open_socket(plain.served.address) as sock:
            sock.sendall(header + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert read_all(sock).startswith(b"HTTP/1.1 200")
        assert app.scopes.take()["client"] == SOURCE


@pytest.mark.parametrize(
    "header",
    [wire.block(command=0, transport=0), wire.line("UNKNOWN"), wire.block(transport=0)],
    ids=["local", "unknown", "unspec"],
)
def test_without_addresses_the_sockets_count(site: Site, header: bytes) -> None:
    app = Recorder()
    site.serve(app, **ON)
    client = begin(site, header)
    assert client.get("/", [(b"x-forwarded-for", b"203.0.113.9")]).status == 200
    scope = app.scopes.take()
    # LOCAL: the peer speaks for itself, and is trusted, so its fields are believed. Else the bytes
    # are somebody's whom the proxy does not know.
    local = header[12:13] == b"\x20"
    assert scope["client"] == (("203.0.113.9", 0) if local else client.sock.getsockname())
    assert scope["server"] == site.served.address
    told = scope["extensions"]["tricorn.proxy_protocol"]
    assert told["command"] == ("LOCAL" if local else "PROXY")


def test_other_families(plain: Site) -> None:
    app = Recorder()
    plain.serve(app, **ON)
    assert begin(plain, wire.tcp(("2001:db8::7", 1), ("2001:db8::2", 2))).get().status == 200
    scope = app.scopes.take()
    assert (scope["client"], scope["server"]) == (("2001:db8::7", 1), ("2001:db8::2", 2))
    assert begin(plain, wire.unix(b"/c", b"/run/edge")).get().status == 200
    scope = app.scopes.take()
    assert (scope["client"], scope["server"]) == (None, ("/run/edge", None))


def test_the_clients_tls_makes_the_scheme(plain: Site) -> None:
    app = Recorder()
    plain.serve(app, **ON)
    facts = wire.ssl(1, 1, [(0x21, b"TLSv1.3")])
    client = begin(plain, wire.tcp(SOURCE, DESTINATION, [(0x20, facts)]))
    assert client.get().status == 200
    scope = app.scopes.take()
    assert scope["scheme"] == "https"
    assert scope["extensions"]["tricorn.proxy_protocol"]["ssl"]["version"] == "TLSv1.3"


def test_a_proxy_behind_the_proxy(plain: Site) -> None:
    """Where the header's client is trusted too, its fields are believed."""
    app = Recorder()
    plain.serve(app, trusted_proxies=["127.0.0.1", "192.0.2.0/24"], proxy_protocol="all")
    assert begin(plain, V1).get("/", [(b"x-forwarded-for", b"203.0.113.9")]).status == 200
    assert app.scopes.take()["client"] == ("203.0.113.9", 0)


def closed(sock: socket.socket) -> bool:
    """Whether the server has closed, without a word."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


@pytest.fixture
def http1(serving: Serving, tls: bool) -> Site:
    """Every backend and wire, over HTTP/1.1."""
    return Site(serving, "http/1.1", tls)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "a connection without a PROXY protocol header"),
        (b"\x16\x03\x01", "a connection without a PROXY protocol header"),
        (V1[:-2] + b"\n", "a malformed PROXY protocol header"),
        (b"PROXY TCP4 " + b"1" * 200, "a PROXY protocol header that is too long"),
        (V2[:-1] + b"\0", "a PROXY protocol header with a wrong checksum"),
    ],
    ids=["http", "tls", "malformed", "long", "checksum"],
)
def test_without_a_good_header_it_is_closed(
    http1: Site, records: Records, data: bytes, reason: str
) -> None:
    app = Recorder()
    http1.serve(app, **ON)
    for _ in range(3):
        with open_socket(http1.served.address) as sock:
            sock.sendall(data)
            assert closed(sock)
    assert begin(http1, V1).get().status == 200
    lines = [line for line in records.messages() if line.startswith("refused")]
    assert lines == [f"refused {reason} from 127.0.0.1"]
    app.scopes.take()
    assert app.scopes.empty()


def test_who_is_not_trusted_is_closed_at_once(http1: Site, records: Records) -> None:
    http1.serve(Recorder(), trusted_proxies="10.0.0.0/8", proxy_protocol="all")
    with open_socket(http1.served.address) as sock:
        assert closed(sock)  # before it has said anything
    assert "refused PROXY protocol of a peer that is not among trusted_proxies" in "".join(
        records.messages()
    )


def test_a_header_that_does_not_come(http1: Site, records: Records) -> None:
    http1.serve(Recorder(), header_timeout=0.05, **ON)
    with open_socket(http1.served.address) as silent, open_socket(http1.served.address) as slow:
        slow.sendall(V1[:-1])
        assert closed(silent)
        assert closed(slow)
    eventually(
        lambda: any("header that does not come" in line for line in records.messages()),
        "the line",
    )


def test_a_peer_that_leaves_in_its_header(http1: Site, records: Records) -> None:
    http1.serve(Recorder(), **ON)
    with open_socket(http1.served.address) as sock:
        sock.sendall(V2[:20])
        sock.shutdown(socket.SHUT_WR)
        assert closed(sock)
    wanted = "refused a connection closed before the end of its PROXY protocol header"
    eventually(lambda: any(wanted in line for line in records.messages()), "the line")


def test_a_peer_that_only_looks_leaves_no_line(http1: Site, records: Records) -> None:
    """As the TCP checks of balancers, every few seconds."""
    served = http1.serve(Recorder(), **ON)
    for _ in range(3):
        with open_socket(served.address) as sock:
            sock.shutdown(socket.SHUT_WR)
            assert closed(sock)
    served.stop()
    served.wait()
    assert not [line for line in records.messages() if line.startswith("refused")]


def test_stopping_waits_for_no_header(http1: Site) -> None:
    served = http1.serve(Recorder(), header_timeout=None, graceful_timeout=PATIENCE * 2, **ON)
    with open_socket(served.address) as silent, open_socket(served.address) as half:
        half.sendall(V1[:9])
        # Both are being waited for once a later one has been served.
        client = begin(http1, V1)
        assert client.get().status == 200
        client.close()
        served.stop()
        served.wait()
        assert closed(silent)
        assert closed(half)


def test_only_the_addresses_of_the_option(serving: Serving, tmp_path: Path) -> None:
    app = Recorder()
    path = str(tmp_path / "s")
    served = serving(
        app, bind=[f"unix:{path}", "127.0.0.1:0"], proxy_protocol=f"unix:{path}",
        trusted_proxies=["unix"],
    )  # fmt: skip
    with open_socket(path) as sock:
        sock.sendall(V1)
        assert HTTP1Client(sock).get().status == 200
        assert app.scopes.take()["client"] == SOURCE
    host, _, port = served.urls[1].removeprefix("http://").partition(":")
    with open_socket((host, int(port))) as sock:
        assert HTTP1Client(sock).get().status == 200
        assert app.scopes.take()["client"] == sock.getsockname()
    with open_socket((host, int(port))) as sock:
        sock.sendall(V1 + b"\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400")


def test_the_start_lines_name_it(serving: Serving, records: Records) -> None:
    served = serving(Recorder(), **ON)
    lines = records.messages()
    assert any(
        line.startswith(served.url) and "behind the PROXY protocol" in line for line in lines
    )
    assert not any("in a browser" in line for line in lines)


def test_tls_fails_behind_a_good_header(serving: Serving) -> None:
    """A handshake that fails is no traceback, and the next connection is served."""
    site = Site(serving, "http/1.1", True)
    site.serve(Recorder(), **ON)
    with open_socket(site.served.address) as sock:
        sock.sendall(V1 + b"GET / HTTP/1.1\r\n\r\n")
        sock.settimeout(PATIENCE)
        try:
            while sock.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
    assert begin(site, V1).get().status == 200
