"""A task that sends what another makes: the client's leave is no failure of either."""

from __future__ import annotations

import anyio
import pytest

from helpers.apps import body, start
from helpers.serving import Inbox, Records, eventually
from helpers.site import Site
from tricorn.types import Receive, Scope, Send


def fed(ended: Inbox, also: type[Exception] | None = None) -> object:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # As Starlette's WSGIMiddleware does it.
        into, out = anyio.create_memory_object_stream[bytes](0)

        async def sender() -> None:
            async with out:
                await start(send)
                async for piece in out:
                    await body(send, piece, more=True)

        try:
            async with anyio.create_task_group() as tasks, into:
                tasks.start_soon(sender)
                with anyio.CancelScope(shield=True):  # a thread, which nobody cancels
                    try:
                        while True:
                            await into.send(bytes(1000))
                            await anyio.sleep(0.001)
                    except anyio.BrokenResourceError:
                        raise (also or anyio.BrokenResourceError)() from None
        finally:
            ended.put("ended")

    return app


def leave(site: Site, app: object, ended: Inbox) -> None:
    client = site.open(app)  # type: ignore[arg-type]
    stream = client.start("GET", "/")
    client.response(stream, lambda response: len(response.body) > 0)
    client.leave(stream)
    assert ended.take() == "ended"


def test_one_who_is_told_that_nobody_takes_it_has_not_failed(site: Site, records: Records) -> None:
    ended = Inbox()
    leave(site, fed(ended), ended)
    assert not any("application failed" in text for text in records.messages())


@pytest.mark.parametrize("also", [ValueError])
def test_another_error_is_a_failure(site: Site, records: Records, also: type[Exception]) -> None:
    ended = Inbox()
    records.expect("application failed")
    leave(site, fed(ended, also), ended)
    eventually(lambda: any("application failed" in text for text in records.messages()), "the line")
