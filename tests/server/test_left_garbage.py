"""What a connection leaves is freed at once and does not wait for the garbage collector.

In a process with many objects its turn comes seldom, and each TLS connection of asyncio's
would hold 256 KiB of buffers until then.
"""

from __future__ import annotations

import asyncio.sslproto
import gc
from collections.abc import Iterator

import pytest

from helpers.apps import hello
from helpers.serving import eventually
from helpers.site import Site
from tricorn.io.connection import Connection
from tricorn.types import Receive, Scope, Send

_PEERS = 5


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.freeze()  # what was there before is not looked through again and again
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def alive() -> list[object]:
    """Connections in memory, and what asyncio has for their TLS."""
    kinds = (Connection, asyncio.sslproto.SSLProtocol)
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
