"""What an application leaves suspended when its client is gone ends without the collector."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from helpers.apps import body, start
from helpers.serving import Inbox
from helpers.site import Site
from tricorn.types import Receive, Scope, Send


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
# Trio's word for a generator that is closed for its application.
@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")
def test_the_generator_of_a_streamed_response_is_closed(plain: Site) -> None:
    ended = Inbox()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1000)
                await anyio.sleep(0.001)
        finally:
            ended.put("closed")

    class ClientLeft(Exception):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        # As Starlette does it: a variable holds the generator, and nobody closes it.
        iterator = pieces()
        try:
            async for piece in iterator:
                await body(send, piece, more=True)
        except OSError:
            raise ClientLeft from None

    client = plain.open(app)
    stream = client.start("GET", "/")
    client.response(stream, lambda response: len(response.body) > 0)
    client.leave(stream)
    assert ended.take() == "closed"
