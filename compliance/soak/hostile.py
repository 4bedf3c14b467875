"""Peers that leave in every phase, and say nothing. None of their requests must succeed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from compliance.servers import HOST
from compliance.soak.http2 import HTTP2Client
from compliance.soak.ledger import Restarted, Wrong
from compliance.soak.traffic import Peer

_HEAD = b"POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"
_UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HELLO = bytes.fromhex("16030100c8010000c40303")  # the beginning of a TLS ClientHello


async def _raw(
    peer: Peer, *pieces: bytes, tls: ssl.SSLContext | None = None, read: int = 0
) -> None:
    """Send this, read a little, and go with a reset or without a word."""
    daemon = peer.daemon
    reader, writer = await asyncio.open_connection(
        HOST, daemon.tls if tls else daemon.plain, ssl=tls
    )
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(peer.chance.random() * 0.1)
    if read:
        await reader.read(read)
    if peer.chance.random() < 0.5:
        writer.transport.abort()
    else:
        writer.close()


async def _in_handshake(peer: Peer) -> None:
    """TLS that is begun and left."""
    with socket.socket() as sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (HOST, peer.daemon.tls))
        await loop.sock_sendall(sock, _HELLO[: peer.chance.randrange(len(_HELLO) + 1)])
        await asyncio.sleep(peer.chance.random() * 0.5)


async def _cleartext_on_tls(peer: Peer) -> None:
    reader, writer = await asyncio.open_connection(HOST, peer.daemon.tls)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    await reader.read(100)
    writer.close()


async def _on_http2(peer: Peer) -> None:
    """Streams that are reset, and a connection that goes with streams open."""
    client = HTTP2Client(peer.daemon.tls, peer.http2)
    await client.connect()
    await client.request("GET", "/download?pieces=64", read=False)
    await client.request("POST", "/upload", bytes(5000), read=False)
    waiting = [
        asyncio.create_task(client.request("GET", path))
        for path in ("/events?count=50", "/download?pieces=64")
    ]
    await asyncio.sleep(peer.chance.random())
    client.abort()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def _ways(peer: Peer) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    secure = peer.http1
    return [
        ("connect only", lambda: _raw(peer)),
        ("in the head", lambda: _raw(peer, b"GET / HT")),
        ("in the head, TLS", lambda: _raw(peer, b"GET / HT", tls=secure)),
        ("in the body", lambda: _raw(peer, _HEAD, bytes(5000))),
        ("in the response", lambda: _raw(peer, _get(b"/download?pieces=200"), read=2000)),
        (
            "in the response, TLS",
            lambda: _raw(peer, _get(b"/download?pieces=200"), tls=secure, read=2000),
        ),
        ("in the events", lambda: _raw(peer, _get(b"/events?count=50"), read=300)),
        ("before the response", lambda: _raw(peer, _get(b"/small"))),
        ("a broken request", lambda: _raw(peer, b"GET /\x00 HTTP/1.1\r\n\r\n", read=100)),
        ("in a WebSocket", lambda: _raw(peer, _UPGRADE, b"\x81\xfe\x10", read=100)),
        ("a broken WebSocket frame", lambda: _raw(peer, _UPGRADE, b"\x83\x80\0\0\0\0", read=200)),
        ("in the TLS handshake", lambda: _in_handshake(peer)),
        ("cleartext on TLS", lambda: _cleartext_on_tls(peer)),
        ("noise after the preface", lambda: _raw(peer, _PREFACE, b"x" * 40)),
        ("HTTP/2", lambda: _on_http2(peer)),
    ]


def _get(path: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n\r\n"


async def aborted(peer: Peer) -> None:
    """One peer that leaves, in one of the ways."""
    kind, way = peer.chance.choice(_ways(peer))
    try:
        async with asyncio.timeout(20):
            await way()
    except (OSError, EOFError, Wrong, Restarted, TimeoutError):
        pass  # whatever it is told, nobody listens
    peer.ledger.count(f"leaves: {kind}", "given up on purpose")
