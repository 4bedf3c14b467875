"""Handlers and runtimes for the tests, ended behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fake_runtime_api import FakeRuntimeAPI, Running
from lambda_gateways import GATEWAYS

from helpers.serving import Records
from tricorn.config import Config
from tricorn.serverless import LambdaHandler
from tricorn.serverless.runtime import RuntimeAPIError


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def handler_of(records: Records) -> Iterator[Callable[..., LambdaHandler]]:
    """Makes handlers; without lifespan unless a test wants one."""
    made: list[LambdaHandler] = []

    def make(app: Any, *, config: dict[str, Any] | None = None, **options: Any) -> LambdaHandler:
        quiet = {"include_date_header": False, "include_server_header": False}
        given = {"lifespan": "off", "worker_class": "asyncio", **quiet, **(config or {})}
        handler = LambdaHandler(app, Config(**given), **options)
        made.append(handler)
        return handler

    yield make
    for handler in made:
        handler.close()


@pytest.fixture
def make_api() -> Iterator[Callable[..., FakeRuntimeAPI]]:
    made: list[FakeRuntimeAPI] = []

    def make(**status: int) -> FakeRuntimeAPI:
        made.append(FakeRuntimeAPI(**status))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api: Callable[..., FakeRuntimeAPI]) -> FakeRuntimeAPI:
    return make_api()


@pytest.fixture
def run(
    handler_of: Callable[..., LambdaHandler], api: FakeRuntimeAPI
) -> Iterator[Callable[..., Running]]:
    """Starts a runtime for an app; it ends with the API."""
    started: list[Running] = []

    def start(app: Any, options: dict[str, Any] | None = None, **handler: Any) -> Running:
        started.append(Running(handler_of(app, **handler), api, **(options or {})))
        return started[-1]

    yield start
    api.close()
    for running in started:
        assert isinstance(running.ended(), RuntimeAPIError)
