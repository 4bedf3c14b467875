"""The websockets library, its threaded and its asyncio client."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import uuid
from typing import Any

import httpx
import pytest
from client_app import content
from client_harness import Daemon
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
)
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol


def uri(daemon: Daemon, path: str, *, secure: bool) -> str:
    return daemon.url(secure=secure).replace("http", "ws", 1) + path


def options(daemon: Daemon, secure: bool) -> dict[str, Any]:
    context = daemon.certificate.client_context() if secure else None
    if context is not None:
        # This client reads and writes in two threads, and Python's SSL objects do not take that
        # while session tickets of TLS 1.3 come in: one handshake in some hundreds is lost.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return {"ssl": context, "proxy": None, "close_timeout": 5}


def dial(daemon: Daemon, path: str, *, secure: bool = True, **extra: Any) -> ClientConnection:
    address = uri(daemon, path, secure=secure)
    websocket: ClientConnection = connect(address, **options(daemon, secure), **extra)
    return websocket


def deflate(websocket: ClientConnection) -> PerMessageDeflate:
    (extension,) = websocket.protocol.extensions
    assert isinstance(extension, PerMessageDeflate)
    return extension


@pytest.fixture(params=[True, False], ids=["tls", "clear"])
def secure(request: pytest.FixtureRequest) -> bool:
    flag: bool = request.param
    return flag


@pytest.fixture(params=["deflate", None], ids=["deflate", "plain"])
def compression(request: pytest.FixtureRequest) -> str | None:
    name: str | None = request.param
    return name


MESSAGES: list[str | bytes] = [
    "",
    b"",
    "text",
    "grüße, 世界 \N{CROISSANT}",
    b"\x00\xff binary",
    "t" * 125,
    "t" * 126,
    "t" * 65535,
    b"b" * 65536,
    content(1_000_000),
]


def test_echo(daemon: Daemon, secure: bool, compression: str | None) -> None:
    with dial(daemon, "/echo", secure=secure, compression=compression) as websocket:
        assert len(websocket.protocol.extensions) == (1 if compression else 0)
        for message in MESSAGES:
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


def test_fragments_are_one_message(daemon: Daemon, secure: bool, compression: str | None) -> None:
    with dial(daemon, "/echo", secure=secure, compression=compression) as websocket:
        websocket.send(iter(["ein ", "", "süßes ", "Stück"]))
        assert websocket.recv(timeout=10) == "ein süßes Stück"
        body = content(300_000)
        websocket.send(body[start : start + 7_001] for start in range(0, len(body), 7_001))
        assert websocket.recv(timeout=10) == body


def test_ping_is_answered_between_fragments(daemon: Daemon) -> None:
    with dial(daemon, "/echo", secure=False) as websocket:
        assert websocket.ping(b"payload").wait(10)

        def parts() -> Any:
            yield "one "
            assert websocket.ping(b"inside").wait(10)
            yield "two"

        websocket.send(parts())
        assert websocket.recv(timeout=10) == "one two"


def test_compression_can_be_switched_off(strict_daemon: Daemon) -> None:
    with dial(strict_daemon, "/echo") as websocket:
        assert websocket.protocol.extensions == []
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers
        websocket.send("plain")
        assert websocket.recv(timeout=10) == "plain"


@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no-takeover"])
def test_compression_parameters_are_kept(daemon: Daemon, bits: int, takeover: bool) -> None:
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
        server_max_window_bits=bits,
        client_max_window_bits=bits,
    )
    with dial(daemon, "/echo", compression=None, extensions=[factory]) as websocket:
        extension = deflate(websocket)
        assert extension.remote_max_window_bits == bits
        assert extension.local_max_window_bits <= bits
        assert extension.remote_no_context_takeover is not takeover
        # Repetition at a distance that only larger windows would reach.
        message = content(6_000) * 4
        for _ in range(3):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


def test_scope_and_subprotocol(daemon: Daemon, secure: bool) -> None:
    offered = [Subprotocol("one"), Subprotocol("two")]
    with dial(daemon, "/scope", secure=secure, subprotocols=offered) as websocket:
        facts = json.loads(websocket.recv(timeout=10))
        assert websocket.subprotocol == "two"
        assert websocket.response is not None
        assert websocket.response.headers["x-accepted"] == "yes"
        # The application returned: 1000.
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(timeout=10)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1000
    assert facts["subprotocols"] == offered
    assert facts["scheme"] == ("wss" if secure else "ws")
    assert facts["http_version"] == "1.1"


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
def test_close_of_the_application_reaches_the_client(daemon: Daemon, code: int) -> None:
    with dial(daemon, f"/close?code={code}&reason=gr%C3%BCnde", secure=False) as websocket:
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(timeout=10)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "gründe")


@pytest.mark.parametrize("code", [1000, 1001, 3001, 4000])
def test_close_of_the_client_reaches_the_application(
    daemon: Daemon, secure: bool, code: int
) -> None:
    key = uuid.uuid4().hex
    with dial(daemon, f"/echo?key={key}", secure=secure) as websocket:
        websocket.close(code, "we are done")
        assert websocket.close_code == code
    assert how_it_ended(daemon, key) == [code, "we are done"]


def test_lost_connection_is_1006_for_the_application(daemon: Daemon) -> None:
    key = uuid.uuid4().hex
    with dial(daemon, f"/echo?key={key}", secure=False) as websocket:
        websocket.socket.shutdown(socket.SHUT_RDWR)
        assert how_it_ended(daemon, key)[0] == 1006


def how_it_ended(daemon: Daemon, key: str) -> list[Any]:
    found: list[Any] = httpx.get(f"{daemon.clear}/end/{key}", trust_env=False, timeout=10).json()
    return found


@pytest.mark.parametrize(
    ("path", "status", "body"), [("/reject", 403, b"Forbidden"), ("/deny", 401, b"who are you?")]
)
def test_refused_handshake(
    daemon: Daemon, secure: bool, path: str, status: int, body: bytes
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        dial(daemon, path, secure=secure)
    assert caught.value.response.status_code == status
    assert caught.value.response.body == body


@pytest.mark.parametrize("compressed", [False, True])
def test_too_big_a_message_is_1009(daemon: Daemon, strict_daemon: Daemon, compressed: bool) -> None:
    # 64 KiB without compression; 16 MiB where a few compressed bytes inflate to more.
    server, limit = (daemon, 16 * 2**20) if compressed else (strict_daemon, 65536)
    with dial(server, "/echo", secure=False, max_size=None) as websocket:
        websocket.send(b"x" * limit)
        assert len(websocket.recv(timeout=20)) == limit
        websocket.send(b"x" * (limit + 1))
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(timeout=20)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_many_clients_at_once(daemon: Daemon, secure: bool) -> None:
    async def one(number: int) -> None:
        address = uri(daemon, "/echo", secure=secure)
        async with connect_async(address, **options(daemon, secure)) as websocket:
            for turn in range(10):
                await websocket.send(f"{number} {turn}")
            for turn in range(10):
                assert await websocket.recv() == f"{number} {turn}"
            await websocket.send([b"in ", b"pieces"])
            assert await websocket.recv() == b"in pieces"
            await (await websocket.ping())

    async def main() -> None:
        async with asyncio.timeout(20):
            await asyncio.gather(*(one(number) for number in range(40)))

    asyncio.run(main())


def test_client_that_only_sends_does_not_starve_the_others(daemon: Daemon) -> None:
    async def main() -> None:
        address = uri(daemon, "/echo", secure=False)
        plain: dict[str, Any] = {"proxy": None, "compression": None}
        async with asyncio.timeout(20), connect_async(address, **plain) as flooding:
            # Nobody reads the echoes: the server must stop reading, and serve others.
            flood = asyncio.create_task(send_all(flooding))
            async with connect_async(address, proxy=None) as other:
                await other.send("still here")
                assert await other.recv() == "still here"
            for _ in range(200):
                assert await flooding.recv() == content(100_000)
            await flood

    async def send_all(websocket: AsyncConnection) -> None:
        for _ in range(200):
            await websocket.send(content(100_000))

    asyncio.run(main())


def test_shutdown_closes_with_1012(own_daemon: Daemon) -> None:
    with (
        dial(own_daemon, "/echo", secure=True) as first,
        dial(own_daemon, "/echo", secure=False) as second,
    ):
        for websocket in (first, second):
            websocket.send("before")
            assert websocket.recv(timeout=10) == "before"
        own_daemon.terminate()
        for websocket in (first, second):
            with pytest.raises(ConnectionClosed) as caught:
                websocket.recv(timeout=10)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
    assert own_daemon.wait() == 0
