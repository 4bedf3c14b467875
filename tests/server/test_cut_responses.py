"""Responses without a length over HTTP/1.0, which end with the connection.

RFC 9112 section 8: one that is not whole must not end as if it were. A cut of the connection by the
server is a reset, over TLS without a close_notify.
"""

from __future__ import annotations

import socket

import anyio
import pytest

from helpers.apps import body, start
from helpers.clients import open_socket
from helpers.serving import Inbox, Records, Served
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

LARGE = b"x" * 100_000


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Does as its path says behind a part of the body."""
    await start(send)
    await body(send, b"part", more=True)
    match scope["path"]:
        case "/raises":
            raise RuntimeError
        case "/hangs":
            await anyio.sleep_forever()
        case "/for-ever":
            while True:
                await body(send, LARGE, more=True)
        case "/whole":
            await body(send)


def ask(
    serving: Serving, served: Served, path: str, receive_buffer: int | None = None
) -> socket.socket:
    context = serving.certificate.client() if served.url.startswith("https") else None
    sock = open_socket(served.address, context, receive_buffer=receive_buffer)
    serving.stack.callback(sock.close)
    sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return sock


def until(sock: socket.socket, end: bytes) -> None:
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece
        data += piece


def is_reset(sock: socket.socket) -> bool:
    """How the connection ends, beneath TLS."""
    try:
        while socket.socket.recv(sock, 65536):
            pass
    except ConnectionResetError:
        return True
    return False


def test_one_that_is_whole_ends_in_order(serving: Serving, tls: bool) -> None:
    sock = ask(serving, serving(app, tls=tls, ssl_shutdown_timeout=0.05), "/whole")
    until(sock, b"\r\n\r\npart")
    assert not is_reset(sock)


@pytest.mark.parametrize("path", ["/raises", "/returns"])
def test_one_that_its_application_leaves_is_reset(
    serving: Serving, tls: bool, path: str, records: Records
) -> None:
    records.expect("application failed", "application returned without a whole response")
    sock = ask(serving, serving(app, tls=tls), path)
    until(sock, b"\r\n\r\npart")
    assert is_reset(sock)


def test_one_that_a_stop_cuts_is_reset(serving: Serving, tls: bool, records: Records) -> None:
    records.expect("still open after graceful_timeout")
    served = serving(app, tls=tls, graceful_timeout=0.05)
    sock = ask(serving, served, "/hangs")
    until(sock, b"\r\n\r\npart")
    served.stop()
    assert is_reset(sock)
    served.wait()


def test_one_that_its_client_does_not_read_is_reset(serving: Serving, tls: bool) -> None:
    inbox = Inbox()

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except OSError:
            inbox.put("told")

    served = serving(told, tls=tls, write_timeout=0.1)
    sock = ask(serving, served, "/for-ever", receive_buffer=4096)
    assert inbox.take() == "told"
    assert is_reset(sock)
