"""Applications whose tasks run in a nursery of the event loop's own, when they are ended."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
import trio

from helpers.apps import body, reply, start
from helpers.clients import reset_socket
from helpers.serving import Inbox, Records
from helpers.site import Site
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Receive, Scope, Send


class Broken(Exception):
    """What a task raises in its own end."""


class Nursery:
    """Waits, with a task beside it, in what its loop has for that; ``ended`` has its exception.

    :param failure: what the task raises when it is cancelled.
    """

    def __init__(self, backend: str, failure: type[Exception] | None = None) -> None:
        self.started, self.ended = Inbox(), Inbox()
        self._on_trio = backend == "trio"
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await reply(send, b"next")
            return
        await receive()
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        try:
            await self._wait()
        except BaseException as exc:
            self.ended.put(exc)
            raise

    async def _wait(self) -> None:
        if self._on_trio:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._work)
                await anyio.sleep_forever()
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work())
                await anyio.sleep_forever()

    async def _work(self) -> None:
        self.started.put(None)
        try:
            await anyio.sleep_forever()
        finally:
            if self._failure is not None:
                raise self._failure("in the end")


def errors(records: Records) -> list[Any]:
    return [record for record in records.records if record.levelname == "ERROR"]


@pytest.mark.long
@pytest.mark.parametrize("failure", [None, ClientDisconnected])
@pytest.mark.parametrize("way", ["disconnect_grace", "response_timeout", "graceful_timeout"])
def test_its_cancellation_is_no_failure(
    plain: Site, records: Records, way: str, failure: type[Exception] | None
) -> None:
    records.expect("still open after graceful_timeout")
    app = Nursery(plain.serving.backend, failure)
    client = plain.open(app, **{way: 0.05})
    stream = client.start("GET", "/")
    app.started.take()
    if way == "disconnect_grace":
        client.leave(stream)
    elif way == "response_timeout":
        assert client.response(stream).status == 504
    else:
        plain.served.stop()
    app.ended.take()
    if way != "graceful_timeout":
        assert plain.connect().get("/next").text == "next"
        plain.served.stop()
    plain.served.wait()
    assert errors(records) == []


def test_nor_behind_a_websocket_whose_peer_has_left(plain: Site, records: Records) -> None:
    app = Nursery(plain.serving.backend)
    plain.serve(app, disconnect_grace=0.05)
    peer = plain.websocket()
    assert peer.handshake() == 200
    app.started.take()
    peer.leave()
    app.ended.take()
    plain.served.stop()
    plain.served.wait()
    assert errors(records) == []


class Wrapped(Exception):
    """What a framework makes of an error that comes behind the start of a response."""


@pytest.mark.parametrize("failure", [None, Broken])
def test_nor_is_the_end_of_a_sender_in_one(
    plain: Site, records: Records, failure: type[Exception] | None
) -> None:
    """Whatever a framework raises of the group that it comes in."""
    records.expect("application failed")
    ended = Inbox()

    async def stream(send: Send) -> None:
        while True:
            try:
                await body(send, bytes(65536), more=True)
            except OSError as exc:
                if failure is not None:
                    raise ExceptionGroup("both", [exc, failure()]) from None
                raise

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        try:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(stream, send)
            except BaseExceptionGroup as exc:
                raise Wrapped from exc
        except Wrapped as exc:
            ended.put(exc)
            raise RuntimeError from exc

    client = plain.open(app)
    client.response(client.start(), lambda r: len(r.body) > 0)
    reset_socket(client.sock)
    group = ended.take().__cause__
    assert isinstance(group, BaseExceptionGroup)
    plain.served.stop()
    plain.served.wait()
    assert len(errors(records)) == (failure is not None)


def test_a_failure_beside_it_is_logged_by_itself(plain: Site, records: Records) -> None:
    records.expect("application failed")
    app = Nursery(plain.serving.backend, Broken)
    client = plain.open(app, disconnect_grace=0.05)
    stream = client.start("GET", "/")
    app.started.take()
    client.leave(stream)
    app.ended.take()
    plain.served.stop()
    plain.served.wait()
    (record,) = errors(records)
    assert "application failed: GET / HTTP/" in record.getMessage()
    group = record.exc_info[1]
    assert isinstance(group, BaseExceptionGroup)
    assert [type(leaf) for leaf in group.exceptions] == [Broken]
