"""Streamed responses, against a Runtime API on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest
from fake_runtime_api import FakeRuntimeAPI, Running, prelude_and_body
from lambda_gateways import answer_of, event_for

from helpers.apps import body, read_body, reply, start
from helpers.serving import PATIENCE, Records
from tricorn.serverless import LambdaHandler
from tricorn.types import Receive, Scope, Send

HandlerOf = Callable[..., LambdaHandler]
Run = Callable[..., Running]
STREAMING = {"streaming": True}
TEXT = [(b"content-type", b"text/plain")]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, await read_body(receive), 200, TEXT)


class Paced:
    """Streams a piece, and the next one when the test lets it."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*TEXT, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"vary", b"x"),
                   (b"vary", b"y")]  # fmt: skip
        await start(send, 201, headers)
        await body(send, b"first", more=True)
        await anyio.to_thread.run_sync(self.go.wait, PATIENCE)
        await body(send, b"\xff\x00second", more=True)
        await body(send, b"", more=False)


@pytest.mark.parametrize("gateway", ["function-url", "rest-api"])
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_streamed_response(run: Run, api: FakeRuntimeAPI, gateway: str, loop: str) -> None:
    app = Paced()
    run(app, STREAMING, config={"worker_class": loop})
    api.invoke(event_for(gateway))
    first = api.chunks.get(timeout=PATIENCE)
    app.go.set()  # only now: the first piece has arrived before the second was made
    prelude, rest = prelude_and_body(first)
    assert rest == b"first"
    assert prelude["statusCode"] == 201
    assert prelude["cookies"] == ["a=1", "b=2"]
    if gateway == "function-url":
        assert prelude["headers"] == {"content-type": "text/plain", "vary": "x, y"}
        assert "multiValueHeaders" not in prelude
    else:
        assert prelude["headers"] == {"content-type": "text/plain"}
        assert prelude["multiValueHeaders"] == {"vary": ["x", "y"]}
    post = api.post()
    assert post.path == "invocation/id-1/response"
    assert post.chunks[1:] == [b"\xff\x00second"]
    assert post.trailers == {}
    assert post.closed
    assert post.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert post.headers["content-type"] == "application/vnd.awslambda.http-integration-response"
    assert post.headers["transfer-encoding"] == "chunked"
    declared = post.headers["trailer"].lower()
    assert declared == "lambda-runtime-function-error-type, lambda-runtime-function-error-body"


def test_whole_response_is_one_chunk(run: Run, api: FakeRuntimeAPI) -> None:
    run(echo, STREAMING)
    for data in (b"hello", b""):
        api.invoke(event_for("function-url", "POST", body=data))
        post = api.post()
        assert len(post.chunks) == 1
        prelude, rest = prelude_and_body(post.body)
        assert (prelude["statusCode"], rest) == (200, data)
        assert prelude["headers"]["content-length"] == str(len(data))


@pytest.mark.parametrize(
    "gateway", ["http-api-1.0", "http-api-2.0", "load-balancer", "load-balancer-multi-value"]
)
def test_sources_that_cannot_stream_get_whole_answers(
    run: Run, api: FakeRuntimeAPI, gateway: str
) -> None:
    run(echo, STREAMING)
    api.invoke(event_for(gateway, "POST", body=b"hello"))
    post = api.post()
    assert "lambda-runtime-function-response-mode" not in post.headers
    assert answer_of(gateway, post.json()).body == b"hello"


def test_large_streamed_response(run: Run, api: FakeRuntimeAPI) -> None:
    """The limit of whole answers does not hold."""
    piece = b"x" * 500_000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=TEXT)
        for _ in range(20):
            await body(send, piece, more=True)
        await body(send)

    run(app, STREAMING)
    api.invoke(event_for("function-url"))
    _, rest = prelude_and_body(api.post().body)
    assert rest == piece * 20


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("in the application")


async def raising_in_the_body(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=TEXT)
    await body(send, b"half", more=True)
    raise ValueError("in the application")


def test_failure_before_the_stream(run: Run, api: FakeRuntimeAPI, records: Records) -> None:
    records.expect("application failed")
    run(raising, STREAMING)
    api.invoke(event_for("function-url"))
    post = api.post()
    prelude, rest = prelude_and_body(post.body)
    assert (prelude["statusCode"], rest) == (500, b"Internal Server Error")
    assert post.trailers == {}


def error_of(trailers: dict[str, str]) -> tuple[str, dict[str, str]]:
    report = base64.b64decode(trailers["lambda-runtime-function-error-body"])
    return trailers["lambda-runtime-function-error-type"], json.loads(report)


def test_failure_in_the_stream(run: Run, api: FakeRuntimeAPI, records: Records) -> None:
    records.expect("application failed")
    run(raising_in_the_body, STREAMING)
    api.invoke(event_for("function-url"))
    post = api.post()
    assert prelude_and_body(post.body)[1] == b"half"
    kind, report = error_of(post.trailers)
    assert kind == report["errorType"] == "Tricorn.ApplicationError"
    assert "in the application" not in report["errorMessage"]  # it goes to the client
    api.invoke(event_for("function-url"))
    api.post()


@pytest.mark.parametrize("started", [False, True])
def test_stream_that_takes_too_long(
    run: Run, api: FakeRuntimeAPI, records: Records, started: bool
) -> None:
    records.expect("took too long", "blocks its event loop")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=TEXT)
        if started:
            await body(send, b"half", more=True)
        await anyio.sleep_forever()

    run(app, STREAMING, timeout_margin=0.1)
    api.invoke(event_for("function-url"), seconds=0.3)
    post = api.post()
    prelude, rest = prelude_and_body(post.body)
    if started:
        assert (prelude["statusCode"], rest) == (200, b"half")
        assert error_of(post.trailers)[0] == "Tricorn.Timeout"
    else:
        assert (prelude["statusCode"], rest) == (504, b"Gateway Timeout")
        assert post.trailers == {}


def test_stream_that_is_cut(run: Run, api: FakeRuntimeAPI, records: Records) -> None:
    """The application is told, and the next invocation is served."""
    records.expect("the response stream broke")
    told: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=TEXT)
        try:
            while scope["path"] == "/endless":
                await body(send, b"x" * 65536, more=True)
        except OSError as exc:
            told.append(exc)
            raise
        await body(send, b"fine")

    run(app, STREAMING)
    api.cut.set()
    api.invoke(event_for("function-url", target="/endless"))
    api.chunks.get(timeout=PATIENCE)
    for _ in range(2):
        api.asked.get(timeout=PATIENCE)
    api.cut.clear()
    api.invoke(event_for("function-url"))
    assert prelude_and_body(api.post().body)[1] == b"fine"
    assert len(told) == 1


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_send_waits_until_a_piece_is_taken(handler_of: HandlerOf, loop: str) -> None:
    steps: list[str] = []

    class Sink:
        def write(self, data: bytes) -> None:
            steps.append(f"write {data[-1:].decode()}")
            steps.append("written")

        def close(self, error: tuple[str, str] | None) -> None:
            steps.append(f"close {error}")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        for piece in (b"a", b"b"):
            await body(send, piece, more=True)
            steps.append("sent")
        await body(send)
        steps.append("returned")

    handler = handler_of(app, config={"worker_class": loop})
    assert handler.invoke(event_for("function-url"), None, Sink) is None
    assert steps == [
        "write a", "written", "sent", "write b", "written", "sent", "returned", "close None"
    ]  # fmt: skip
