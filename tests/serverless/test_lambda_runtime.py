"""The runtime for containers against a Runtime API on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_runtime_api import FakeRuntimeAPI, Running, prelude_and_body
from lambda_gateways import answer_of, event_for, recorded

from helpers.apps import read_body, reply
from helpers.programs import Program
from helpers.serving import PATIENCE, Records
from tricorn.serverless import LambdaHandler, runtime
from tricorn.types import Receive, Scope, Send

HandlerOf = Callable[..., LambdaHandler]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, await read_body(receive), 200, [(b"content-type", b"text/plain")])


Run = Callable[..., Running]


def test_answers(run: Run, api: FakeRuntimeAPI, gateway: str) -> None:
    run(echo)
    for text in ("first λ", "second"):
        api.invoke(event_for(gateway, "POST", body=text.encode()))
        post = api.post()
        assert post.path == "invocation/id-1/response"
        assert post.headers["content-type"] == "application/json"
        assert answer_of(gateway, post.json()).body == text.encode()


def test_context(run: Run, api: FakeRuntimeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        context = scope["aws.context"]
        seen.append((context, os.environ.get("_X_AMZN_TRACE_ID")))
        assert 5000 < context.get_remaining_time_in_millis() <= 10_000
        await reply(send)

    run(app)
    api.invoke(
        event_for("function-url"),
        Lambda_Runtime_Trace_Id="Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
        Lambda_Runtime_Client_Context='{"client": {"app_title": "x"}}',
    )
    api.post()
    api.invoke(event_for("function-url"))
    api.post()
    context, trace = seen[0]
    assert (context.aws_request_id, context.function_name) == ("id-1", "shop")
    assert context.memory_limit_in_mb == "128"
    assert context.invoked_function_arn.endswith("function:custom-runtime")
    assert context.client_context == {"client": {"app_title": "x"}}
    assert trace == "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700"
    assert seen[1][1] is None


@pytest.mark.parametrize("event", [recorded("sqs"), recorded("websocket-api"), "not JSON"])
def test_event_that_cannot_be_handled(
    run: Run, api: FakeRuntimeAPI, records: Records, event: Any
) -> None:
    records.expect("the invocation id-1 failed")
    run(echo)
    api.invoke(event)
    post = api.post()
    assert post.path == "invocation/id-1/error"
    report = post.json()
    assert report["errorType"] in ("EventError", "JSONDecodeError")
    assert post.headers["lambda-runtime-function-error-type"] == f"Tricorn.{report['errorType']}"
    assert report["errorMessage"]
    assert report["stackTrace"]
    api.invoke(event_for("rest-api"))
    assert api.post().json()["statusCode"] == 200


def test_application_that_raises_is_no_failed_invocation(
    run: Run, api: FakeRuntimeAPI, records: Records
) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    run(app)
    api.invoke(event_for("rest-api"))
    post = api.post()
    assert (post.path, post.json()["statusCode"]) == ("invocation/id-1/response", 500)


def test_timeout_by_the_deadline(run: Run, api: FakeRuntimeAPI, records: Records) -> None:
    records.expect("took too long", "blocks its event loop")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    run(app, timeout_margin=0.1)
    api.invoke(event_for("rest-api"), seconds=0.3)
    assert api.post().json()["statusCode"] == 504


@pytest.mark.parametrize("status", [413, 400])
def test_refused_answer_is_logged(
    handler_of: HandlerOf, make_api: Any, records: Records, status: int
) -> None:
    records.expect("refused the answer of id-1")
    api = make_api(response=status)
    running = Running(handler_of(echo), api)
    for _ in range(2):
        api.invoke(event_for("rest-api"))
        api.post()
    api.close()
    running.ended()


def test_broken_api_ends_the_runtime(handler_of: HandlerOf, make_api: Any) -> None:
    api = make_api(response=500)
    running = Running(handler_of(echo), api)
    api.invoke(event_for("rest-api"))
    assert "500" in str(running.ended())


def test_failed_startup_is_an_init_error(handler_of: HandlerOf, api: FakeRuntimeAPI) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    running = Running(handler_of(app, config={"lifespan": "on"}), api)
    post = api.post()
    assert post.path == "init/error"
    assert post.headers["lambda-runtime-function-error-type"] == "Tricorn.LifespanError"
    assert "no database" in post.json()["errorMessage"]
    assert "no database" in str(running.ended())
    assert api.asked.empty()


# The command

APP = """
import logging
from tricorn.serverless import LambdaHandler

logging.getLogger("mine").warning("imported")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            if kind.endswith("shutdown"):
                print("shut down", flush=True)
            await send({"type": f"{kind}.complete"})
    text = f"{scope['root_path']}|{scope['path']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})

handler = LambdaHandler(app, base_path="/own")
"""


class Command:
    """``python -m tricorn.serverless`` in a folder with ``main.py``."""

    def __init__(self, folder: Path, api: FakeRuntimeAPI) -> None:
        self.folder = folder
        self.address = api.address
        (folder / "main.py").write_text(APP)

    def start(self, *arguments: str, **environ: str) -> Program:
        source = Path(runtime.__file__).parents[2]
        kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(source)}
        return Program(
            [sys.executable, "-W", "error", "-m", "tricorn.serverless", *arguments],
            cwd=self.folder,
            env={**kept, "AWS_LAMBDA_RUNTIME_API": self.address, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def command(tmp_path: Path, api: FakeRuntimeAPI) -> Command:
    return Command(tmp_path, api)


@pytest.mark.parametrize(
    ("arguments", "environ", "text", "streams"),
    [
        (["main:app"], {}, "|/x", False),
        (["main:handler"], {}, "/own|/own/x", False),
        ([], {"_HANDLER": "main.app"}, "|/x", False),
        ([], {"_HANDLER": "main:app", "LAMBDA_BASE_PATH": "/shop"}, "/shop|/shop/x", False),
        (["main:app", "--base-path", "/shop", "--streaming"], {}, "/shop|/shop/x", True),
        (["main:app"], {"LAMBDA_RESPONSE_STREAMING": "true"}, "|/x", True),
        ([], {"TRICORN_APPLICATION": "main:app", "TRICORN_ROOT_PATH": "/r"}, "/r|/r/x", False),
    ],
)
def test_command(
    command: Command, api: FakeRuntimeAPI, arguments: list[str], environ: dict[str, str],
    text: str, streams: bool,
) -> None:  # fmt: skip
    with command.start(*arguments, **environ) as process:
        api.invoke(event_for("function-url", target="/x"))
        post = api.post()
        for _ in range(2):  # it waits for the next event, and is not just connecting for it
            api.asked.get(timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=20)
    if streams:
        prelude, data = prelude_and_body(post.body)
        assert data == text.encode()
        names = prelude["headers"].keys()
    else:
        assert post.json()["body"] == text
        names = post.json()["headers"].keys()
    assert not {"date", "server"} & names
    assert (process.returncode, output) == (0, "shut down\n")
    assert errors.rstrip().endswith("WARNING imported")


@pytest.mark.parametrize(
    ("arguments", "code", "error", "kind"),
    [
        (["nothing:app"], 4, "nothing", "AppImportError"),
        ([], 2, "no application", "ConfigError"),
        (["main:app", "--base-path", "shop"], 2, "base_path", "ConfigError"),
        (["main:app", "-c", "missing.toml"], 2, "missing.toml", "ConfigError"),
    ],
)
def test_command_that_cannot_start(
    command: Command, api: FakeRuntimeAPI, arguments: list[str], code: int, error: str, kind: str
) -> None:
    with command.start(*arguments) as process:
        post = api.post()
        _, errors = process.communicate(timeout=20)
    assert process.returncode == code
    assert errors.splitlines()[-1].startswith("tricorn: error: ")
    assert error in errors
    assert (post.path, post.json()["errorType"]) == ("init/error", kind)


def test_json_log_lines(command: Command, api: FakeRuntimeAPI) -> None:
    with command.start("main:app", AWS_LAMBDA_LOG_FORMAT="JSON") as process:
        api.asked.get(timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert json.loads(errors)["message"] == "imported"


def test_outside_lambda(command: Command) -> None:
    with command.start("main:app", AWS_LAMBDA_RUNTIME_API="") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "AWS_LAMBDA_RUNTIME_API" in errors
