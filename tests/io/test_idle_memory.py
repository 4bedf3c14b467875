"""What a connection keeps while it waits for the next request."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from helpers.apps import reply
from helpers.serving import eventually
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

pytestmark = pytest.mark.long

UPLOAD = 1_000_000
KEPT = 65536
"""Bytes that a connection may keep, with those of its client, which is in this process too."""


async def swallow(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer when all of the body is there."""
    while (await receive()).get("more_body"):
        pass
    await reply(send, b"all")


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_nothing_is_kept_of_an_upload(serving: Serving, protocol: str, tls: bool) -> None:
    served = serving(swallow, tls=tls)
    clients = []

    def upload() -> None:
        client = serving.connect(served, protocol)
        stream = client.start("POST", "/", [(b"content-length", b"%d" % UPLOAD)], more=True)
        client.send(stream, b"x" * UPLOAD, more=False)
        assert client.response(stream).body == b"all"
        clients.append(client)

    upload()  # what the first request of a kind imports is nobody's
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(4):
            upload()

        def little() -> bool:
            gc.collect()
            return tracemalloc.get_traced_memory()[0] < 4 * KEPT

        eventually(little, "what was read is free again")
    finally:
        tracemalloc.stop()
