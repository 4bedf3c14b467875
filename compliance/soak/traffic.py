"""Well-behaved traffic: every request of it must be answered, and answered right."""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import websockets
import websockets.asyncio.client

from compliance.servers import HOST
from compliance.soak.app import PIECE
from compliance.soak.daemon import Daemon
from compliance.soak.http1 import HTTP1Client, Response
from compliance.soak.http2 import HTTP2Client
from compliance.soak.ledger import Ledger, Origin, Restarted, Wrong

_UPLOAD = random.Random(1).randbytes(300_000)
_RESTARTING = 1012


def client_context(*protocols: str) -> ssl.SSLContext:
    """TLS that takes any certificate: they change under way."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@dataclass
class Peer:
    """What an actor needs: the daemon, where to count, chance, and a pace.

    ``pause`` is the mean time between two turns (seconds).
    """

    daemon: Daemon
    ledger: Ledger
    chance: random.Random
    pause: float
    http1: ssl.SSLContext = field(default_factory=lambda: client_context("http/1.1"))
    http2: ssl.SSLContext = field(default_factory=lambda: client_context("h2"))

    async def rest(self) -> None:
        """Between two turns."""
        await asyncio.sleep(min(self.chance.expovariate(1 / self.pause), 10 * self.pause))


def check(response: Response, status: int, body: bytes | None = None) -> None:
    """Compare an answer.

    :raises Wrong: if it is another one.
    """
    if response.status != status:
        raise Wrong(f"status {response.status} {response.body[:80]!r} instead of {status}")
    if body is not None and response.body != body:
        raise Wrong(f"{len(response.body)} bytes of content, {len(body)} expected")


async def _connected(peer: Peer, kind: str, *, tls: bool) -> HTTP1Client | None:
    daemon = peer.daemon
    client = HTTP1Client(daemon.tls if tls else daemon.plain, peer.http1 if tls else None, Origin())

    async def connect() -> None:
        await client.connect()
        if tls:
            shown = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if not daemon.is_current(shown):
                raise Wrong("an old certificate")

    if await peer.ledger.attempt(f"{kind} connect", client.origin, connect):
        return client
    return None


async def _exchange(
    client: HTTP1Client, method: str, path: str, status: int, content: bytes, body: bytes = b""
) -> None:
    client.send(method, path, body=body)
    check(await client.response(method), status, content)


async def keep_alive(peer: Peer) -> None:
    """Many small requests on one HTTP/1.1 connection, sometimes pipelined."""
    chance = peer.chance
    client = await _connected(peer, "keep-alive", tls=chance.random() < 0.5)
    if client is None:
        return
    for number in range(chance.randrange(5, 60)):
        if not client.usable:
            break
        query = str(number)
        content = b"hello " + query.encode()
        if not await peer.ledger.attempt(
            "HTTP/1.1 request",
            client.origin,
            lambda query=query, content=content: _exchange(  # type: ignore[misc]
                client, "GET", f"/small?{query}", 200, content
            ),
        ):
            break
        await peer.rest()
    await client.close()


async def errors(peer: Peer) -> None:
    """Handlers that fail: the answer says so, and the connection goes on."""
    client = await _connected(peer, "errors", tls=False)
    if client is None:
        return
    for path, status in (("/fail", 500), ("/nothing", 500), ("/small?", 200)):

        async def request(path: str = path, status: int = status) -> None:
            client.send("GET", path)
            check(await client.response(), status)

        if not client.usable or not await peer.ledger.attempt(
            "failing handler", client.origin, request
        ):
            break

    async def late() -> None:
        client.send("GET", "/fail-late")
        try:
            await client.response()
        except (Wrong, OSError, asyncio.IncompleteReadError):
            return  # as it should: half a response can be told from a whole one
        raise Wrong("half a response looks whole")

    if client.usable:
        await peer.ledger.attempt("handler that fails late", client.origin, late)
    await client.close()


async def single(peer: Peer) -> None:
    """Uploads, downloads and event streams, each on a connection of its own."""
    chance = peer.chance
    client = await _connected(peer, "single", tls=chance.random() < 0.5)
    if client is None:
        return
    size = chance.randrange(1, len(_UPLOAD))
    told = b"%d %d" % (size, zlib.crc32(_UPLOAD[:size]))
    pieces = chance.randrange(1, 64)
    count = chance.randrange(5, 40)
    events = b"".join(b"id: %d\ndata: event\n\n" % number for number in range(count))
    kinds: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("upload", lambda: _exchange(client, "POST", "/upload", 200, told, _UPLOAD[:size])),
        (
            "download",
            lambda: _exchange(client, "GET", f"/download?pieces={pieces}", 200, PIECE * pieces),
        ),
        ("events", lambda: _exchange(client, "GET", f"/events?count={count}", 200, events)),
    ]
    kind, request = chance.choice(kinds)
    await peer.ledger.attempt(kind, client.origin, request)
    await client.close()


async def slow(peer: Peer) -> None:
    """A peer on a thin line: the head byte by byte, the answer in small pieces."""
    client = await _connected(peer, "slow", tls=False)
    if client is None:
        return
    pieces = 12

    async def request() -> None:
        for byte in f"GET /download?pieces={pieces} HTTP/1.1\r\nhost: a\r\n\r\n".encode():
            client.writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        status, headers = await client.head()
        left = int(headers["content-length"])
        while left:
            data = await client.reader.read(min(left, 8192))
            if not data:
                raise Wrong(f"closed with {left} bytes to come")
            left -= len(data)
            await asyncio.sleep(0.1)
        check(Response(status, headers), 200)

    await peer.ledger.attempt("slow peer", client.origin, request)
    await client.close()


async def multiplexed(peer: Peer) -> None:
    """Several streams at once on one HTTP/2 connection, for a while."""
    chance = peer.chance
    tls = chance.random() < 0.7
    client = HTTP2Client(peer.daemon.tls if tls else peer.daemon.plain, peer.http2 if tls else None)
    if not await peer.ledger.attempt("HTTP/2 connect", client.origin, client.connect):
        return

    async def one(method: str, path: str, body: bytes, expected: bytes) -> None:
        status, content = await client.request(method, path, body)
        if (status, content) != (200, expected):
            raise Wrong(f"status {status} with {len(content)} bytes")

    for _ in range(chance.randrange(3, 20)):
        if not client.usable:
            break
        requests = []
        for _ in range(chance.randrange(1, 9)):
            match chance.randrange(6):
                case 0:
                    size = chance.randrange(1, 100_000)
                    body = _UPLOAD[:size]
                    told = b"%d %d" % (size, zlib.crc32(body))
                    requests.append(one("POST", "/upload", body, told))
                case 1:
                    requests.append(one("GET", "/download?pieces=4", b"", PIECE * 4))
                case 2:
                    requests.append(one("GET", "/push", b"", b"hello "))
                case _:
                    requests.append(one("GET", "/small?x", b"", b"hello x"))
        await asyncio.gather(
            *(
                peer.ledger.attempt("HTTP/2 stream", client.origin, lambda one=made: one)  # type: ignore[misc]
                for made in requests
            )
        )
        await peer.rest()
    await client.close()


async def echo(peer: Peer) -> None:
    """A WebSocket that stays for some messages."""
    chance = peer.chance
    tls = chance.random() < 0.5
    port, scheme = (peer.daemon.tls, "wss") if tls else (peer.daemon.plain, "ws")
    origin = Origin()
    opened: list[websockets.asyncio.client.ClientConnection] = []

    async def connect() -> None:
        socket = await websockets.asyncio.client.connect(
            f"{scheme}://{HOST}:{port}/", ssl=peer.http1 if tls else None, open_timeout=30
        )
        opened.append(socket)
        assert socket.response is not None
        origin.worker = int(socket.response.headers["x-worker"])

    async def connect_or_fail() -> None:
        try:
            await connect()
        except websockets.exceptions.WebSocketException as exc:
            raise Wrong(repr(exc)) from None

    if not await peer.ledger.attempt("WebSocket connect", origin, connect_or_fail):
        return
    socket = opened[0]

    async def message(content: str | bytes) -> None:
        try:
            await socket.send(content)
            if await socket.recv() != content:
                raise Wrong("another message came back")
        except websockets.exceptions.ConnectionClosed as exc:
            if exc.rcvd is not None and exc.rcvd.code == _RESTARTING:
                raise Restarted from None
            raise Wrong(repr(exc)) from None

    for _ in range(chance.randrange(5, 80)):
        size = chance.randrange(1, 20_000)
        content = _UPLOAD[:size] if chance.random() < 0.5 else "x" * size
        sent = peer.ledger.attempt(
            "WebSocket message",
            origin,
            lambda content=content: message(content),  # type: ignore[misc]
        )
        if not await sent:
            break
        await peer.rest()
    await socket.close()
