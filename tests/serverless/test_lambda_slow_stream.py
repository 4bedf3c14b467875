"""Streamed responses that Lambda does not take, or that go on behind their end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import anyio
import pytest
from fake_runtime_api import FakeRuntimeAPI, Running, prelude_and_body
from lambda_gateways import InvocationContext, event_for

from helpers.apps import body, start
from helpers.serving import PATIENCE, Records
from tricorn.serverless import LambdaHandler
from tricorn.types import Receive, Scope, Send

# More than two sockets and their peers hold.
LARGE = 30_000_000


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("ends", [True, False])
def test_response_that_is_not_taken(
    run: Callable[..., Running], api: FakeRuntimeAPI, records: Records, loop: str, ends: bool
) -> None:
    """It is cut, not written to from a second thread, and the next invocation is served."""
    records.expect("Lambda did not take the response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        size = LARGE if scope["path"] == "/large" else 5
        await body(send, b"x" * size, more=not ends)
        if not ends:
            await body(send)

    run(app, {"streaming": True}, timeout_margin=1.2, config={"worker_class": loop})
    api.takes.clear()
    api.invoke(event_for("function-url", target="/large"), seconds=2)
    for _ in range(2):
        api.asked.get(timeout=PATIENCE)
    api.takes.set()
    assert api.broken.get(timeout=PATIENCE) < LARGE
    api.invoke(event_for("function-url"))
    assert prelude_and_body(api.post().body)[1] == b"xxxxx"
    (line,) = records.messages(level=logging.ERROR)
    assert line.startswith("Lambda did not take the response: GET /large ")


def test_nothing_is_written_behind_the_end(
    handler_of: Callable[..., LambdaHandler], records: Records
) -> None:
    """An application that has blocked the event loop goes on when the invocation is over."""
    records.expect("blocks its event loop", "took too long")
    free, told = threading.Event(), threading.Event()
    steps: list[str] = []

    class Sink:
        def write(self, data: bytes) -> None:
            steps.append(data[-4:].decode())

        def close(self, error: tuple[str, str] | None) -> None:
            steps.append(f"close {error and error[0]}")

        def abort(self) -> None:
            steps.append("abort")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"half", more=True)
        with anyio.CancelScope(shield=True):
            free.wait(PATIENCE)
            try:
                await body(send, b"rest", more=True)
            except OSError:
                told.set()

    handler = handler_of(app, timeout_margin=0.6)
    handler.invoke(event_for("function-url"), InvocationContext(1.0), Sink)
    free.set()
    assert told.wait(PATIENCE)
    assert steps == ["half", "close Tricorn.Timeout"]
