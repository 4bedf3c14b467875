"""Lifespan around serving (ASGI lifespan 2.0)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from helpers.apps import hello, reply
from helpers.serving import Inbox, Records
from helpers.site import Serving
from tricorn import Config, serve
from tricorn.exceptions import LifespanError
from tricorn.types import Receive, Scope, Send


class App:
    """Records the lifespan; ``at_startup`` says how it goes."""

    def __init__(self, at_startup: str = "complete", at_shutdown: str = "complete") -> None:
        self.at_startup = at_startup
        self.at_shutdown = at_shutdown
        self.log: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await reply(send, b",".join(entry.encode() for entry in self.log))
            return
        assert scope["asgi"]["version"] == "3.0"
        if self.at_startup == "unsupported":
            raise ValueError("only http here")
        await self._phase("startup", self.at_startup, receive, send)
        await self._phase("shutdown", self.at_shutdown, receive, send)

    async def _phase(self, phase: str, way: str, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": f"lifespan.{phase}"}
        self.log.append(phase)
        if way == "raise":
            raise RuntimeError(f"{phase} raised")
        if way == "hang":
            await anyio.sleep_forever()
        if way == "failed":
            await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
        elif way == "failed silently":
            await send({"type": f"lifespan.{phase}.failed"})
        else:
            await send({"type": f"lifespan.{phase}.complete"})


def get(serving: Serving, served: Any) -> str:
    return serving.connect(served).get("/").text


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_before_serving_and_shutdown_after(serving: Serving, mode: str) -> None:
    app = App()
    served = serving(app, lifespan=mode)
    assert get(serving, served) == "startup"
    served.stop()
    served.wait()
    assert app.log == ["startup", "shutdown"]


def test_shutdown_comes_after_the_last_request(serving: Serving) -> None:
    order: list[str] = []
    gate: Any = None
    inside = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            inside.put(True)
            await gate.wait()
            order.append("request")
            await reply(send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        order.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    served = serving(app, lifespan="on")
    gate = serving.gate()
    client = serving.connect(served)
    stream = client.start()
    inside.take()
    served.stop()
    gate.open()
    assert client.response(stream).status == 200
    client.close()
    served.wait()
    assert order == ["request", "shutdown"]


def test_cancellation_runs_shutdown_too(serving: Serving) -> None:
    app = App()
    served = serving(app, lifespan="on")
    served.cancel()
    assert app.log == ["startup", "shutdown"]


def test_cancellation_during_startup_is_not_held_up(serving: Serving) -> None:
    """A startup that hangs can be cancelled although the lifespan is shielded."""

    async def main() -> bool:
        inside = anyio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            inside.set()
            await anyio.sleep_forever()

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serve, app, Config(bind=("127.0.0.1:0",), lifespan="on"))
                await inside.wait()
                scope.cancel()
        return scope.cancelled_caught

    assert serving.portal.call(main)


def test_off_does_not_call_the_application(serving: Serving) -> None:
    app = App()
    served = serving(app, lifespan="off")
    assert get(serving, served) == ""


def test_auto_goes_on_without_support(serving: Serving, records: Records) -> None:
    records.expect("serving without lifespan events")
    served = serving(App("unsupported"), lifespan="auto")
    assert get(serving, served) == ""
    assert any("only http here" in message for message in records.messages())


def test_auto_does_not_hide_a_startup_that_raised(serving: Serving, records: Records) -> None:
    records.expect("serving without lifespan events", "failed in its lifespan startup")
    served = serving(App("raise"), lifespan="auto")
    assert get(serving, served) == "startup"
    assert any(record.exc_info for record in records.records)


@pytest.mark.parametrize("way", ["raise", "unsupported"])
def test_on_does_not_serve_when_it_raised(serving: Serving, way: str) -> None:
    with pytest.raises(LifespanError, match="raised") as caught:
        serving(App(way), lifespan="on")
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_failed_stops_the_server(serving: Serving, mode: str) -> None:
    with pytest.raises(LifespanError, match="no database"):
        serving(App("failed"), lifespan=mode)
    with pytest.raises(LifespanError, match="no message given"):
        serving(App("failed silently"), lifespan=mode)


def test_startup_timeout(serving: Serving) -> None:
    with pytest.raises(LifespanError, match=r"startup_timeout = 0\.05 s"):
        serving(App("hang"), lifespan="on", startup_timeout=0.05)


def test_return_before_startup_complete(serving: Serving) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)

    with pytest.raises(LifespanError, match=r"lifespan\.startup\.complete"):
        serving(app, lifespan="on")


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("failed", "shutdown failed: no database"),
        ("raise", "lifespan failed"),
        ("hang", "shutdown_timeout"),
    ],
)
def test_shutdown_trouble_is_logged(
    serving: Serving, records: Records, way: str, said: str
) -> None:
    records.expect(said)
    served = serving(App(at_shutdown=way), lifespan="on", shutdown_timeout=0.1)
    served.stop()
    served.wait()
    assert any(said in message for message in records.messages())
