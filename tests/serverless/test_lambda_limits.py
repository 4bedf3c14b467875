"""Limits on requests and the server's own answers: as on a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.from_thread
import pytest
from fake_runtime_api import FakeRuntimeAPI, Running, prelude_and_body
from lambda_gateways import Answer, InvocationContext, answer_of, event_for

from helpers.apps import body, read_body, reply, start
from helpers.serving import PATIENCE, Records
from tricorn.serverless import LambdaHandler
from tricorn.types import Receive, Scope, Send

HandlerOf = Callable[..., LambdaHandler]


def call(handler: LambdaHandler, *args: Any, **request: Any) -> Answer:
    event = event_for("function-url", *args, **request)
    return answer_of("function-url", handler(event, InvocationContext()))


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"%d" % len(await read_body(receive)))


# Of bodies


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_body_above_its_limit(
    handler_of: HandlerOf, records: Records, loop: str, declared: bool
) -> None:
    limits = {"max_request_body_size": 10, "max_request_body_sizes": {"/upload": 20}}
    handler = handler_of(length, config={"worker_class": loop, "accesslog": "-", **limits})

    def post(target: str, size: int) -> Answer:
        fields = [("content-length", str(size))] if declared else []
        return call(handler, "POST", target, headers=fields, body=b"x" * size)

    assert post("/", 10).body == b"10"
    answer = post("/", 11)
    assert (answer.status, answer.body) == (413, b"Content Too Large")
    assert post("/upload/a", 20).body == b"20"
    assert post("/upload/a", 21).status == 413
    refused = "refused too large a request body (max_request_body_size) from 123.123.123.123"
    assert records.messages() == [refused] * 2
    assert [line.split('" ')[1][:3] for line in records.messages("tricorn.access")] == [
        "200", "413", "200", "413"
    ]  # fmt: skip


def test_streamed_answer_to_a_large_body(run: Callable[..., Running], api: FakeRuntimeAPI) -> None:
    run(length, {"streaming": True}, config={"max_request_body_size": 10})
    api.invoke(event_for("function-url", "POST", body=b"x" * 11))
    post = api.post()
    prelude, rest = prelude_and_body(post.body)
    assert (prelude["statusCode"], rest) == (413, b"Content Too Large")
    assert post.trailers == {}


# Of how many at once


@pytest.mark.parametrize("failing", [False, True])
def test_requests_above_their_number(
    handler_of: HandlerOf, records: Records, failing: bool
) -> None:
    records.expect("application failed")
    waits, go = threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/wait":
            waits.set()
            await anyio.to_thread.run_sync(go.wait, PATIENCE)
            if failing:
                raise ValueError
        await reply(send, b"fine")

    handler = handler_of(app, config={"max_concurrent_requests": 1, "retry_after": 3})
    found: list[Answer] = []
    first = threading.Thread(target=lambda: found.append(call(handler, target="/wait")))
    first.start()
    assert waits.wait(PATIENCE)
    answer = call(handler)
    assert (answer.status, answer.values("retry-after")) == (503, ["3"])
    go.set()
    first.join(PATIENCE)
    assert found[0].status == (500 if failing else 200)
    assert call(handler).status == 200  # its place is free again


# Of time


async def thinks(scope: Scope, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await anyio.sleep_forever()


async def thinks_behind_start(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await anyio.sleep_forever()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("app", [thinks, thinks_behind_start])
def test_response_that_does_not_begin_in_time(
    handler_of: HandlerOf, records: Records, app: Any, loop: str
) -> None:
    cancelled: list[type[BaseException]] = []

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as exc:
            cancelled.append(type(exc))
            raise

    handler = handler_of(noted, config={"worker_class": loop, "response_timeout": 0.1})
    for data in (b"", b"a body"):
        answer = call(handler, "POST", body=data)
        assert (answer.status, answer.body) == (504, b"Gateway Timeout")
    assert len(cancelled) == 2
    late = "refused a request without a response in time (response_timeout) from 123.123.123.123"
    assert records.messages() == [late] * 2


def test_streamed_answer_in_its_place(run: Callable[..., Running], api: FakeRuntimeAPI) -> None:
    run(thinks_behind_start, {"streaming": True}, config={"response_timeout": 0.1})
    api.invoke(event_for("function-url"))
    post = api.post()
    prelude, rest = prelude_and_body(post.body)
    assert (prelude["statusCode"], rest) == (504, b"Gateway Timeout")
    assert post.trailers == {}


def test_response_that_has_begun_may_take_its_time(handler_of: HandlerOf) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first ", more=True)
        await anyio.sleep(0.5)  # five times the limit
        await body(send, b"last")

    handler = handler_of(app, config={"response_timeout": 0.1})
    assert call(handler).body == b"first last"


def test_failure_below_a_limit(handler_of: HandlerOf, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("in the application")

    assert call(handler_of(app, config={"response_timeout": 10})).status == 500


def test_invocation_may_end_before_its_response_has_to_begin(
    handler_of: HandlerOf, records: Records
) -> None:
    records.expect("took too long", "blocks its event loop")
    handler = handler_of(thinks, timeout_margin=0.15, config={"response_timeout": 10})
    event = event_for("function-url")
    assert handler(event, InvocationContext(0.2))["statusCode"] == 504


# What the server answers itself


@pytest.mark.parametrize("apart", [{}, {"health_bind": ["0.0.0.0:9000"]}], ids=["", "health_bind"])
def test_health(handler_of: HandlerOf, records: Records, apart: dict[str, object]) -> None:
    """At an address of its own or not, as a configuration that a server shares says."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["path"].encode())

    health = {"livez_path": "/livez", "readyz_path": "/readyz", "metrics_path": "/metrics"} | apart
    hosts = {"server_names": ["other.example"]}
    handler = handler_of(app, config=health | {"accesslog": "-"})
    assert (call(handler, target="/livez").body, call(handler, target="/readyz").body) == (
        b"ok\n",
        b"ready\n",
    )
    assert call(handler, "POST", "/livez").status == 405
    assert call(handler, target="/metrics").body == b"/metrics"
    assert len(records.messages("tricorn.access")) == 1
    handler = handler_of(app, config=health | hosts)
    assert call(handler, target="/livez").status == 200
    assert call(handler, target="/").status == 421
