"""ASGI 2 applications: two calls, on the wire and off it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from helpers.apps import reply
from helpers.serving import Records
from helpers.site import Serving, Site
from tricorn.asgi.asgi2 import ASGI2Adapter
from tricorn.types import Receive, Send


class Instance:
    """One for each scope, as ASGI 2 has it."""

    def __init__(self, scope: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError("no lifespan here")
        if scope["path"] == "/early":
            raise RuntimeError("in the first call")
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        if self.scope["path"] == "/late":
            raise RuntimeError("in the second call")
        text = f"{self.scope['asgi']['version']} {self.scope['method']} {self.scope['path']}"
        await reply(send, text.encode())


def test_the_scope_then_the_callables() -> None:
    seen: list[Any] = []

    def app(scope: Any) -> Any:
        seen.append(scope)

        async def instance(receive: Any, send: Any) -> None:
            seen.extend((receive, send))

        return instance

    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}}
    shared = scope["asgi"]
    receive, send = object(), object()
    anyio.run(ASGI2Adapter(app), scope, receive, send)
    assert seen == [scope, receive, send]
    assert scope["asgi"] == {"version": "2.0", "spec_version": "2.5"}
    assert shared["version"] == "3.0"  # other scopes may have the same dict


def test_served(plain: Site) -> None:
    client = plain.open(Instance)
    assert client.get("/one").text == "2.0 GET /one"
    assert client.get("/two").text == "2.0 GET /two"


@pytest.mark.parametrize(("path", "where"), [("/early", "first"), ("/late", "second")])
def test_a_failure_in_either_call_is_a_500_and_logged(
    serving: Serving, records: Records, path: str, where: str
) -> None:
    records.expect("application failed")
    client = serving.connect(serving(Instance))
    assert client.get(path).status == 500
    (record,) = [record for record in records.records if record.exc_info]
    assert f"in the {where} call" in str(record.exc_info)


def test_lifespan_auto_goes_on_without(serving: Serving, records: Records) -> None:
    records.expect("serving without lifespan events")
    client = serving.connect(serving(Instance, lifespan="auto"))
    assert client.get("/").status == 200
