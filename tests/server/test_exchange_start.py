"""How the application of an exchange begins: at once where it can, in a task of its own always."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys

import anyio
import pytest
import sniffio

from helpers.apps import read_body, reply
from helpers.clients import open_socket
from helpers.metrics import OPTIONS, Metrics
from helpers.serving import Inbox, Records
from helpers.site import Serving, Site
from helpers.websocket import WebSocketClient
from tricorn.types import Receive, Scope, Send

REQUEST = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"


def test_it_runs_in_a_task_and_a_context_of_its_own(plain: Site) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put(variable.get())
        variable.set(variable.get() + 1)
        if sniffio.current_async_library() == "asyncio":
            task = asyncio.current_task()
            assert isinstance(task, asyncio.Task)
            async with asyncio.timeout(60):
                await asyncio.sleep(0)
            assert asyncio.current_task() is task
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
        seen.put(variable.get())
        await reply(send)

    client = plain.open(app)
    for _ in range(3):
        assert client.get("/").complete
        assert (seen.take(), seen.take()) == (0, 1)


def test_it_finds_the_body_of_its_request(plain: Site) -> None:
    seen = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.put(await read_body(receive))
        await reply(send)

    client = plain.open(app)
    for _ in range(3):
        assert client.response(client.start("POST", "/", body=b"hello")).complete
        assert seen.take() == b"hello"


def test_none_begins_within_another(serving: Serving) -> None:
    """However many requests a read has: each runs on the same stack, in their order."""
    depths: list[int] = []
    paths: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        depths.append(len(inspect.stack()))
        paths.append(scope["path"])
        await reply(send, b"hello")

    count = 30  # small enough for one small read
    served = serving(app)
    with open_socket(served.address) as sock:
        for _ in range(3):
            paths.clear()
            sock.sendall(b"".join(REQUEST % number for number in range(count)))
            received = b""
            while received.count(b"hello") < count:
                received += sock.recv(65536)
            assert paths == [f"/{number}" for number in range(count)]
    assert max(depths) - min(depths) < 20


def test_one_that_fails_or_ends_at_once_leaves_nothing(plain: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fail":
            raise RuntimeError("broken")
        await read_body(receive)
        await reply(send)

    plain.serve(app)
    for path, status in [("/", 200), ("/fail", 500), ("/", 200)]:
        assert plain.connect().get(path).status == status


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
def test_tasks_that_the_program_has_eager_leave_nothing(serving: Serving) -> None:
    """They may end before their starter has them; a WebSocket goes on behind its application."""
    if serving.backend == "trio":
        pytest.skip("asyncio's matter")
    takes = inspect.signature(vars(asyncio)["eager_task_factory"]).parameters
    newer = sys.version_info >= (3, 13)
    if serving.backend == "uvloop" and newer and "eager_start" not in takes:
        pytest.skip("uvloop gives the factory more than that of this Python takes")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    def set_factory(name: str) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(getattr(asyncio, name) if name else None)

    serving.portal.call(set_factory, "eager_task_factory")
    serving.stack.callback(serving.portal.call, set_factory, "")
    served = serving(app, **OPTIONS)
    metrics = Metrics(served)
    client = serving.connect(served, "h2")
    for _ in range(3):
        peer = WebSocketClient(client)
        assert peer.handshake() == 200
        assert peer.close_code() == 1000
        peer.close()
        peer.end()
    metrics.until("tricorn_websockets_open", 0)
    metrics.until("tricorn_applications_running", 0)
