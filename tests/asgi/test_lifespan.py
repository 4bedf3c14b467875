"""ASGI lifespan: every message in every state, and what startup makes of an application."""

import traceback

import anyio
import pytest

from tricorn.asgi.lifespan import Lifespan
from tricorn.config import Config
from tricorn.exceptions import InvalidMessage, LifespanError

COMPLETE = {"type": "lifespan.startup.complete"}
FAILED = {"type": "lifespan.startup.failed", "message": "no database"}
SHUT = {"type": "lifespan.shutdown.complete"}
SHUT_FAILED = {"type": "lifespan.shutdown.failed", "message": "no database"}
MESSAGES = [COMPLETE, FAILED, SHUT, SHUT_FAILED, {"type": "lifespan.startup"}, {"type": "http"},
            {"type": []}, {"type": None}, {}, None, 5, "lifespan.startup.complete"]  # fmt: skip
STATES = {
    "before lifespan.startup.complete": [COMPLETE, FAILED],
    "between startup and shutdown": [SHUT_FAILED],
    "before lifespan.shutdown.complete": [SHUT, SHUT_FAILED],
    "after lifespan.shutdown.complete": [],
}


def play(app, **options):
    """Start and stop the application's lifespan; the lifespan."""
    lifespan = error = None

    async def main():
        nonlocal lifespan, error
        lifespan = Lifespan(app, Config(**options))
        async with anyio.create_task_group() as tasks:
            try:
                await lifespan.startup(tasks)
                await lifespan.shutdown()
            except LifespanError as exc:
                error = exc
            tasks.cancel_scope.cancel()

    anyio.run(main)
    if error is not None:
        raise error
    return lifespan


def refusals(send, allowed):
    """The texts with which all other messages are refused."""

    async def collect():
        texts = []
        for message in MESSAGES:
            if message not in allowed:
                with pytest.raises(InvalidMessage) as caught:
                    await send(message)
                texts.append(str(caught.value))
        return texts

    return collect()


@pytest.mark.parametrize("state", STATES)
def test_every_other_message_is_refused_and_named(state):
    allowed = STATES[state]
    texts = []

    async def app(scope, receive, send):
        for step in STATES:
            if step == state:
                texts.extend(await refusals(send, allowed))
            if step == "before lifespan.startup.complete":
                await receive()
                await send(COMPLETE)
            elif step == "between startup and shutdown":
                await receive()
            elif step == "before lifespan.shutdown.complete":
                await send(SHUT)

    play(app)
    assert len(texts) == len(MESSAGES) - len(allowed)
    for text in texts:
        assert state in text
        assert all(repr(message["type"]) in text for message in allowed) or "nothing" in text


def test_a_message_behind_a_failed_startup_is_refused():
    refused = []

    async def app(scope, receive, send):
        await receive()
        await send(FAILED)
        with pytest.raises(InvalidMessage) as caught:
            await send(COMPLETE)
        refused.append(caught.value)

    with pytest.raises(LifespanError, match="no database"):
        play(app)
    assert len(refused) == 1


def test_the_state_is_shared_and_only_where_there_is_a_lifespan():
    async def app(scope, receive, send):
        scope["state"]["a"] = 1
        assert await receive() == {"type": "lifespan.startup"}
        await send(COMPLETE)
        assert await receive() == {"type": "lifespan.shutdown"}
        await send(SHUT)

    assert play(app).state == {"a": 1}

    async def without(scope, receive, send):
        raise NotImplementedError

    assert play(without).state is None
    assert play(app, lifespan="off").state is None


@pytest.mark.parametrize("raises", [True, False])
def test_on_means_that_there_must_be_a_lifespan(raises):
    async def app(scope, receive, send):
        if raises:
            raise ValueError("not for me")

    with pytest.raises(LifespanError):
        play(app, lifespan="on")


def test_a_startup_has_a_time_limit():
    async def app(scope, receive, send):
        await anyio.sleep_forever()

    with pytest.raises(LifespanError, match="startup_timeout"):
        play(app, startup_timeout=0.01)


def test_a_shutdown_has_a_time_limit(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(COMPLETE)
        await anyio.sleep_forever()

    play(app, shutdown_timeout=0.01)
    assert "shutdown_timeout" in caplog.text


def test_a_failed_shutdown_is_logged(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(COMPLETE)
        await receive()
        await send(SHUT_FAILED)

    play(app)
    assert "no database" in caplog.text


def test_a_lifespan_that_fails_while_it_has_nothing_to_do_is_told_as_it_says(caplog):
    async def app(scope, receive, send):
        await receive()
        await send(COMPLETE)
        try:
            raise ValueError("lost the broker")
        except ValueError:
            # As Starlette does it.
            await send(SHUT_FAILED | {"message": traceback.format_exc()})
            raise

    play(app)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("the application's lifespan failed:\nTraceback")
    assert second == "the application's lifespan failed: ValueError: lost the broker"
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("phase", ["startup", "serving", "shutdown"])
def test_a_cancellation_of_the_server_s_is_no_failure_of_the_application(caplog, phase):
    """Though it tells it as one, as Starlette does."""
    told = []

    async def app(scope, receive, send):
        kind = "startup"
        try:
            await receive()
            if phase == "startup":
                await anyio.sleep_forever()
            await send(COMPLETE)
            kind = "shutdown"
            await receive()
            await anyio.sleep_forever()
        except BaseException:
            told.append(kind)
            await send({"type": f"lifespan.{kind}.failed", "message": traceback.format_exc()})
            raise

    async def main():
        lifespan = Lifespan(app, Config(startup_timeout=0.01, shutdown_timeout=0.01))
        async with anyio.create_task_group() as tasks:
            if phase == "startup":
                with pytest.raises(LifespanError, match="startup_timeout"):
                    await lifespan.startup(tasks)
            else:
                await lifespan.startup(tasks)
            if phase == "serving":
                lifespan.cancel()
            elif phase == "shutdown":
                await lifespan.shutdown()

    anyio.run(main)
    assert told == ["startup" if phase == "startup" else "shutdown"]
    assert "failed" not in caplog.text
