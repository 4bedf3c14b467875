"""The life of a container: one event loop, one lifespan, limits in time, an orderly end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest
from lambda_gateways import Answer, InvocationContext, answer_of, event_for

from helpers.apps import body, read_body, reply, start
from helpers.serving import Records
from tricorn.exceptions import ConfigError, LifespanError
from tricorn.serverless import LambdaHandler
from tricorn.types import Receive, Scope, Send

HandlerOf = Callable[..., LambdaHandler]
WITH_LIFESPAN = {"lifespan": "on"}


def get(handler: LambdaHandler, context: Any = None, **request: Any) -> Answer:
    event = event_for("http-api-2.0", **request)
    return answer_of("http-api-2.0", handler(event, context))


class Living:
    """An application that notes its lifespan."""

    def __init__(self, fail: bool = False) -> None:
        self.events: list[str] = []
        self.fail = fail
        self.threads: set[int] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.threads.add(threading.get_ident())
        if scope["type"] == "http":
            state = scope["state"]
            answer = f"{state['common']['calls']} {state.get('own')}"
            state["common"]["calls"] += 1
            state["own"] = True
            await reply(send, answer.encode())
            return
        while True:
            kind = (await receive())["type"]
            self.events.append(kind)
            if self.fail and kind == "lifespan.startup":
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            scope["state"]["common"] = {"calls": 0}
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_lifespan_once(handler_of: HandlerOf, loop: str) -> None:
    app = Living()
    handler = handler_of(app, config=WITH_LIFESPAN | {"worker_class": loop})
    assert app.events == []
    # What lies in the state is shared; the state itself is each request's own copy.
    assert [get(handler).body for _ in range(3)] == [b"0 None", b"1 None", b"2 None"]
    assert app.events == ["lifespan.startup"]
    assert len(app.threads) == 1
    handler.close()
    handler.close()
    assert app.events == ["lifespan.startup", "lifespan.shutdown"]


def test_startup_in_the_init_phase(handler_of: HandlerOf) -> None:
    app = Living()
    handler = handler_of(app, config=WITH_LIFESPAN, startup="init")
    assert app.events == ["lifespan.startup"]
    handler.start()
    assert get(handler).status == 200
    assert app.events == ["lifespan.startup"]


def test_failed_startup_is_raised_and_tried_again(handler_of: HandlerOf) -> None:
    app = Living(fail=True)
    handler = handler_of(app, config=WITH_LIFESPAN)
    for _ in range(2):
        with pytest.raises(LifespanError, match="no database"):
            get(handler)
    app.fail = False
    assert get(handler).status == 200
    assert app.events == ["lifespan.startup"] * 3


def test_failed_startup_in_the_init_phase(handler_of: HandlerOf) -> None:
    before = threading.active_count()
    with pytest.raises(LifespanError, match="no database"):
        handler_of(Living(fail=True), config=WITH_LIFESPAN, startup="init")
    assert threading.active_count() == before


def test_application_without_lifespan(handler_of: HandlerOf, records: Records) -> None:
    records.expect('lifespan = "auto"')

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        assert "state" not in scope
        await reply(send, b"fine")

    handler = handler_of(app, config={"lifespan": "auto"})
    assert [get(handler).body for _ in range(2)] == [b"fine"] * 2
    assert len(records.messages()) == 1


def test_serves_again_behind_close(handler_of: HandlerOf) -> None:
    app = Living()
    handler = handler_of(app, config=WITH_LIFESPAN)
    get(handler)
    handler.close()
    assert get(handler).body == b"0 None"
    assert app.events == ["lifespan.startup", "lifespan.shutdown", "lifespan.startup"]


def test_stopping_is_told(handler_of: HandlerOf) -> None:
    told: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await reply(send)
            return
        signal = scope["extensions"]["tricorn.stopping"]["signal"]
        while True:
            kind = (await receive())["type"]
            told.append(signal.is_set())
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    handler = handler_of(app, config=WITH_LIFESPAN)
    get(handler)
    handler.close()
    assert told == [False, True]


@pytest.mark.parametrize("wrong", [{"startup": "later"}, {"timeout_margin": -1.0}])
def test_wrong_options(handler_of: HandlerOf, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        handler_of(Living(), **wrong)


# The application's side of an exchange


def test_disconnect_comes_with_the_end_of_the_response(handler_of: HandlerOf) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(receive)

        async def listen() -> None:
            seen.append((await receive())["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            seen.append("replying")
            await reply(send, b"fine")

    assert get(handler_of(app)).body == b"fine"
    assert seen == ["replying", "http.disconnect"]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_context_variables_of_the_caller(handler_of: HandlerOf, loop: str) -> None:
    """Tracing libraries wrap the handler and set them; each invocation changes its own copy."""
    variable = contextvars.ContextVar("variable", default="unset")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        was = variable.get()
        variable.set("changed")
        await reply(send, was.encode())

    handler = handler_of(app, config={"worker_class": loop})
    assert get(handler).body == b"unset"
    variable.set("traced")
    assert [get(handler).body for _ in range(2)] == [b"traced"] * 2


def test_what_runs_behind_the_response_is_waited_for(handler_of: HandlerOf) -> None:
    """The container is frozen as soon as the answer is given."""
    done: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"fine")
        await anyio.lowlevel.checkpoint()
        done.append(True)

    assert get(handler_of(app)).body == b"fine"
    assert done == [True]


def test_concurrent_invocations(handler_of: HandlerOf) -> None:
    meeting: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not meeting:
            meeting.append(anyio.Event())
            await meeting[0].wait()
        else:
            meeting[0].set()
        await reply(send, scope["path"].encode())

    handler = handler_of(app)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda path=path: found.append(get(handler, target=path).body))
        for path in ("/a", "/b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(found) == [b"/a", b"/b"]


# WSGI and ASGI 2


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1")])
    sent = environ["wsgi.input"].read()
    where = f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['QUERY_STRING']}|"
    return [where.encode("latin-1"), sent]


def test_wsgi(handler_of: HandlerOf, gateway: str) -> None:
    handler = handler_of(wsgi, base_path="/shop")
    event = event_for(gateway, "POST", "/shop/caf%C3%A9?q=1", body=b"sent")
    answer = answer_of(gateway, handler(event, InvocationContext()))
    assert (answer.status, answer.body) == (201, "/shop|/café|q=1|sent".encode())
    assert answer.values("set-cookie") == ["a=1"]


def test_failing_wsgi(handler_of: HandlerOf, records: Records) -> None:
    records.expect("application failed")

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        raise ValueError("in the application")

    assert get(handler_of(app)).status == 500


def test_asgi2(handler_of: HandlerOf) -> None:
    class App:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await reply(send, self.scope["path"].encode())

    assert get(handler_of(App)).body == b"/my/path"


# Options that hold here too


def test_mounts(handler_of: HandlerOf, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("static")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"app")

    mounts = [{"path": "/static", "directory": str(tmp_path)}]
    handler = handler_of(app, config={"mounts": mounts})
    assert get(handler, target="/static/a.txt").body == b"static"
    assert get(handler, target="/other").body == b"app"


def test_server_names(handler_of: HandlerOf) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"fine")

    assert get(handler_of(app, config={"server_names": ["shop.example"]})).status == 200
    answer = get(handler_of(app, config={"server_names": ["other.example"]}))
    assert (answer.status, answer.body) == (421, b"Misdirected Request")


def test_request_id(handler_of: HandlerOf) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["extensions"]["tricorn.request_id"]["id"].encode())

    answer = get(handler_of(app, config={"request_id": "generate"}))
    assert answer.values("x-request-id") == [answer.body.decode()]


def test_access_log(handler_of: HandlerOf, records: Records) -> None:
    records.expect("application failed", "is larger than")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/raise":
            await start(send)
            await body(send, b"half", more=True)
            raise ValueError
        await reply(send, b"x" * (7_000_000 if scope["path"] == "/large" else 5))

    options = {"accesslog": "-", "access_log_format": "%(m)s %(U)s %(s)s %(h)s"}
    handler = handler_of(app, config=options)
    for path in ("/fine", "/raise", "/large"):
        get(handler, target=path)
    assert records.messages("tricorn.access") == [
        "GET /fine 200 192.0.2.1",
        "GET /raise 500 192.0.2.1",
        "GET /large 500 192.0.2.1",
    ]


# Limits in time


async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
    await anyio.sleep_forever()


async def stuck_behind_start(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"content-length", b"10")])
    await anyio.sleep_forever()


async def stuck_in_the_body(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"half", more=True)
    await anyio.sleep_forever()


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("app", [stuck, stuck_behind_start, stuck_in_the_body])
def test_cancelled_before_the_end_of_the_time(
    handler_of: HandlerOf, records: Records, app: Any, loop: str
) -> None:
    records.expect("took too long")
    handler = handler_of(app, config={"worker_class": loop}, timeout_margin=0.5)
    answer = get(handler, InvocationContext(0.7))
    assert (answer.status, answer.body) == (504, b"Gateway Timeout")
    assert answer.values("content-length") == ["15"]


def test_there_is_time_left_for_the_answer(handler_of: HandlerOf, records: Records) -> None:
    records.expect("took too long")
    context = InvocationContext(1.2)
    assert get(handler_of(stuck, timeout_margin=0.6), context).status == 504
    assert 0 < context.get_remaining_time_in_millis() <= 600
    assert records.messages() == [
        "the application took too long: GET /my/path HTTP/1.1 from 192.0.2.1:0"
    ]


def test_head_that_takes_too_long(handler_of: HandlerOf, records: Records) -> None:
    records.expect("took too long")
    handler = handler_of(stuck, timeout_margin=0.15)
    answer = get(handler, InvocationContext(0.2), method="HEAD")
    assert (answer.status, answer.body) == (504, b"")


def test_response_stands_though_the_application_goes_on(handler_of: HandlerOf) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"fine")
        await anyio.sleep_forever()

    handler = handler_of(app, timeout_margin=0.15)
    assert get(handler, InvocationContext(0.2)).body == b"fine"


def test_application_may_answer_when_cancelled(handler_of: HandlerOf) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await reply(send, b"too slow", 503)

    handler = handler_of(app, timeout_margin=0.15)
    assert get(handler, InvocationContext(0.2)).status == 503


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_application_that_cancels_itself_took_no_time(
    handler_of: HandlerOf, records: Records, loop: str, begun: bool
) -> None:
    records.expect("was cancelled")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await start(send)
            await body(send, b"half", more=True)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await anyio.sleep_forever()

    handler = handler_of(app, config={"worker_class": loop})
    assert get(handler, InvocationContext(60)).status == 500
    assert records.messages() == [
        "the application was cancelled: GET /my/path HTTP/1.1 from 192.0.2.1:0"
    ]


def test_margin_larger_than_the_time(handler_of: HandlerOf) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()
        await reply(send, b"fine")

    assert get(handler_of(app, timeout_margin=60), InvocationContext(3)).body == b"fine"


def test_blocked_event_loop(handler_of: HandlerOf, records: Records) -> None:
    """The answer does not need the loop; the container serves on once it is free."""
    records.expect("blocks its event loop", "took too long", "application failed")
    free = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/block":
            free.wait(10)
        await reply(send, b"fine")

    handler = handler_of(app, timeout_margin=0.15)
    began = time.monotonic()
    assert get(handler, InvocationContext(0.2), target="/block").status == 504
    assert time.monotonic() - began < 5
    free.set()
    assert get(handler, InvocationContext()).body == b"fine"
