"""Applications that another task of theirs cancels; on asyncio only, trio has scopes for it."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from helpers.apps import body, reply, start
from helpers.serving import Inbox, Records
from helpers.site import Site
from tricorn.types import Receive, Scope, Send


@pytest.fixture(params=["asyncio", "uvloop"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


class Latest:
    """Only the last of its requests is answered: each ends the one before."""

    def __init__(self) -> None:
        self.begun = Inbox()
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._task is not None:
            self._task.cancel()
            await reply(send, b"last")
            return
        self._task = asyncio.current_task()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif scope["path"] == "/begun":
            await start(send)
            await body(send, b"half", more=True)
        self.begun.put(None)
        await anyio.sleep_forever()


@pytest.mark.parametrize("path", ["/", "/begun"])
def test_a_request_that_another_one_cancels_is_told_of(
    plain: Site, records: Records, path: str
) -> None:
    records.expect("application failed")
    app = Latest()
    client = plain.open(app)
    stream = client.start("GET", path)
    app.begun.take()
    assert plain.connect().get("/last").text == "last"
    response = client.response(stream)
    assert (response.status, response.cut) == ((200, True) if path == "/begun" else (500, False))
    (text,) = [text for text in records.messages() if "application failed" in text]
    assert f"GET {path} " in text


def test_a_websocket_that_a_request_cancels_is_told_of(plain: Site, records: Records) -> None:
    records.expect("application failed")
    app = Latest()
    plain.serve(app)
    websocket = plain.websocket()
    app.begun.take()
    assert plain.connect().get("/last").text == "last"
    assert websocket.handshake() in (101, 200)
    assert websocket.close_code() == 1011
    assert any("application failed: WEBSOCKET" in text for text in records.messages())


def test_what_the_server_ends_is_no_failure(plain: Site, records: Records) -> None:
    records.expect("still open after")
    app = Latest()
    client = plain.open(app, graceful_timeout=0.01)
    client.start("GET", "/begun")
    app.begun.take()
    plain.served.stop()
    plain.served.wait()
    assert not any("failed" in text for text in records.messages())
