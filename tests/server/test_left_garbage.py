"""What a connection leaves is freed at once and does not wait for the garbage collector.

In a process with many objects its turn comes seldom, and each TLS connection of asyncio's
would hold 256 KiB of buffers until then.
"""

from __future__ import annotations

import asyncio.sslproto
import contextlib
import gc
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from helpers.apps import hello
from helpers.clients import open_socket
from helpers.serving import PATIENCE, Inbox, eventually
from helpers.site import Serving, Site
from tricorn.io.connection import Connection
from tricorn.io.tls import ServerObject
from tricorn.types import Receive, Scope, Send

_PEERS = 5


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.freeze()  # what was there before is not looked through again and again
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def nothing(record: logging.LogRecord) -> bool:
    return False


@pytest.fixture
def untold() -> Iterator[None]:
    """Nobody keeps what is logged, with its tracebacks."""
    log = logging.getLogger("tricorn.error")
    log.addFilter(nothing)
    yield
    log.removeFilter(nothing)


def alive() -> list[object]:
    """Connections in memory, and what they and asyncio have for their TLS."""
    kinds = (Connection, ServerObject, asyncio.sslproto.SSLProtocol)
    return [found for found in gc.get_objects() if type(found) in kinds]


@pytest.mark.usefixtures("no_collector")
def test_connections_leave_nothing_to_the_collector(site: Site) -> None:
    before = len(alive())
    site.serve(hello)
    clients = [site.connect() for _ in range(_PEERS)]
    for client in clients:
        assert client.get("/").status == 200
    assert len(alive()) >= before + _PEERS
    for client in clients:
        client.close()
    eventually(lambda: len(alive()) == before, "the connections' end")


@pytest.mark.usefixtures("no_collector")
def test_a_websocket_that_breaks_off_leaves_nothing_to_the_collector(site: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    before = len(alive())
    site.serve(app)
    client = site.websocket()
    assert client.handshake() == 200
    client.client.close()
    eventually(lambda: len(alive()) == before, "the connection's end")


@pytest.mark.usefixtures("no_collector")
def test_a_connection_that_the_server_closes_leaves_nothing_to_the_collector(site: Site) -> None:
    before = len(alive())
    site.serve(hello, keep_alive_timeout=0.01)
    for _ in range(_PEERS):
        client = site.connect()
        assert client.get("/").status == 200
        while client.sock.recv(65536):
            pass
        client.close()
    eventually(lambda: len(alive()) == before, "the connections' end")


Way = Callable[[ssl.SSLContext, tuple[str, int]], None]


def _shake(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    with contextlib.suppress(OSError), socket.create_connection(address) as sock:
        context.wrap_socket(sock, server_hostname="localhost").close()


def unknown_authority(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    _shake(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), address)


def no_cipher(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:@SECLEVEL=0")
    _shake(context, address)


def no_protocol(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    context.set_alpn_protocols(["gopher"])
    _shake(context, address)


def half_a_handshake(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    with socket.create_connection(address) as sock:
        sock.sendall(outgoing.read())
        sock.recv(1)


def broken_record(context: ssl.SSLContext, address: tuple[str, int]) -> None:
    with open_socket(address, context) as sock, socket.socket(fileno=sock.detach()) as raw:
        raw.settimeout(PATIENCE)
        raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        with contextlib.suppress(ConnectionError):
            while raw.recv(65536):
                pass


@pytest.mark.usefixtures("no_collector", "untold")
@pytest.mark.parametrize(
    "way", [unknown_authority, no_cipher, no_protocol, half_a_handshake, broken_record]
)
def test_tls_that_fails_leaves_nothing_to_the_collector(serving: Serving, way: Way) -> None:
    """Scanners and clients that do not trust the certificate come in numbers."""
    before = len(alive())
    served = serving(hello, tls=True)
    for _ in range(_PEERS):
        way(serving.certificate.client(), served.address)
    eventually(lambda: len(alive()) == before, "the connections' end")


def raising(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    environ["told"].put("begun")
    raise RuntimeError("no database")


def endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    while True:
        yield b"x" * 65536
        environ["told"].put("begun")


def reading(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    environ["told"].put("begun")
    return [environ["wsgi.input"].read()]


@pytest.mark.usefixtures("no_collector", "untold")
@pytest.mark.parametrize("app", [raising, endless, reading])
def test_wsgi_that_fails_leaves_nothing_to_the_collector(plain: Site, app: Any) -> None:
    """Nor what the application had, its connection to a database perhaps."""
    before = len(alive())
    inbox = Inbox()
    plain.serve(lambda environ, start: app(environ | {"told": inbox}, start), interface="wsgi")
    for _ in range(_PEERS):
        client = plain.connect()
        client.start("POST", "/", [(b"content-length", b"1000000")], b"x", more=True)
        inbox.take()
        client.close()
    eventually(lambda: len(alive()) == before, "the connections' end")
