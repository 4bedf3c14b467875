"""Something that holds up the event loop is told once, with its place."""

from __future__ import annotations

import threading
import time

import anyio
import pytest

from helpers.apps import hello, reply
from helpers.serving import Records, eventually
from helpers.site import Serving
from tricorn.types import Receive, Scope, Send

LIMIT = 0.08


def warnings(records: Records) -> list[str]:
    return [text for text in records.messages() if "event loop has not turned" in text]


def watches() -> int:
    return sum(thread.name == "tricorn-loop-watch" for thread in threading.enumerate())


def hold_up(seconds: float) -> None:
    time.sleep(seconds)


def test_a_stall_is_told_once_with_its_stack(serving: Serving, records: Records) -> None:
    records.expect("event loop has not turned")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/blocks":
            hold_up(6 * LIMIT)
        await reply(send, b"done")

    client = serving.connect(serving(app, blocked_loop_warning=LIMIT))
    for number in (1, 2):
        assert client.get("/blocks").text == "done"
        found = warnings(records)
        assert len(found) == number
    first, *stack = found[0].splitlines()
    assert first.startswith(f"the event loop has not turned for {LIMIT:g} s (blocked_loop_warning)")
    assert "hold_up" in first
    assert __file__ in first
    assert any("in app" in line for line in stack)
    assert client.get("/").text == "done"


def test_a_loop_that_turns_is_not_told_of(serving: Serving, records: Records) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(10):
            hold_up(0.05)
            await anyio.sleep(0.001)
        await reply(send, b"done")

    client = serving.connect(serving(app, blocked_loop_warning=0.4))
    assert client.get("/").text == "done"
    assert warnings(records) == []


@pytest.mark.parametrize("limit", [None, 0.05, 60])
def test_the_watch_ends_with_its_server(serving: Serving, limit: float | None) -> None:
    before = watches()
    served = serving(hello, blocked_loop_warning=limit)
    assert watches() == before + (limit is not None)
    started = time.monotonic()
    served.stop()
    served.wait()
    assert time.monotonic() - started < 5
    eventually(lambda: watches() == before, "the end of the watch")
