"""The lifespan exchange of ASGI lifespan 2.0, around a running server (specs/lifespan.rst)."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from specification_site import accept, refused

from helpers.apps import body, reply, start
from helpers.clients import Client, HTTP2Client, open_socket
from helpers.serving import BACKENDS, Inbox, Loops, Records, Served, running
from helpers.site import Certificate, Serving
from helpers.websocket import WebSocketClient
from tricorn import Config, logs
from tricorn.cli import main
from tricorn.exceptions import LifespanError
from tricorn.types import ASGIApplication, Message, Receive, Scope, Send

COMPLETE: dict[str, dict[str, Any]] = {
    phase: {"type": f"lifespan.{phase}.complete"} for phase in ("startup", "shutdown")
}


class Phases:
    """An application that answers each lifespan event with a message, and notes what it saw."""

    def __init__(self, serve: ASGIApplication | None = None, **answers: Message) -> None:
        self.answers = COMPLETE | answers
        self.scopes: list[Scope] = []
        self.seen: list[Any] = []
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await (self._serve or hello)(scope, receive, send)
            return
        self.scopes.append(scope)
        for phase in ("startup", "shutdown"):
            message = await receive()
            self.seen.append(message)
            await self.inside(phase, scope)
            await send(self.answers[phase])

    async def inside(self, phase: str, scope: Scope) -> None:
        """What there is to do in a phase."""


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers both kinds of exchange."""
    if scope["type"] == "websocket":
        await accept(receive, send)
    else:
        await reply(send, b"hello")


def stop(served: Served) -> None:
    """Stop the server in order."""
    served.stop()
    served.wait()


def open_and_close_websocket(serving: Serving, served: Served, protocol: str) -> None:
    """One WebSocket, from the handshake to the close of its connection."""
    client = serving.connect(served, protocol)
    assert WebSocketClient(client).handshake() == 200
    client.close()


def test_scope(serving: Serving) -> None:
    """must, lifespan "Scope": the application is called with a scope of type lifespan that
    has asgi["version"] and asgi["spec_version"].

    optional, lifespan "Scope": state is an empty namespace, a dict."""
    app = Phases()
    found: list[Any] = []

    async def inside(phase: str, scope: Scope) -> None:
        if phase == "startup":
            found.append(scope["state"].copy())
            assert type(scope["state"]) is dict

    app.inside = inside  # type: ignore[method-assign]
    stop(serving(app, lifespan="on"))
    (scope,) = app.scopes
    assert type(scope) is dict
    assert scope["type"] == "lifespan"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert found == [{}]


def test_events(serving: Serving) -> None:
    """must, lifespan "Startup": lifespan.startup is received first.

    must, lifespan "Shutdown": lifespan.shutdown is received when the server stops."""
    app = Phases()
    served = serving(app, lifespan="on")
    assert app.seen == [{"type": "lifespan.startup"}]
    assert serving.connect(served).get("/").text == "hello"
    assert app.seen == [{"type": "lifespan.startup"}]
    stop(served)
    assert app.seen == [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]


def test_one_for_the_loop_of_the_requests(serving: Serving) -> None:
    """must, lifespan "Scope": one lifespan for an event loop that serves requests, run in the
    loop that they run in."""
    mark: anyio.lowlevel.RunVar[object] = anyio.lowlevel.RunVar("mark")
    marks: list[object] = []
    own = object()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        marks.append(mark.get(None))
        await hello(scope, receive, send)

    class App(Phases):
        async def inside(self, phase: str, scope: Scope) -> None:
            if phase == "startup":
                mark.set(own)

    app = App(serve)
    served = serving(app, lifespan="on")
    for protocol in ("http/1.1", "h2"):
        client = serving.connect(served, protocol)
        assert client.get("/").text == client.get("/").text == "hello"
        client.close()
        open_and_close_websocket(serving, served, protocol)
    stop(served)
    assert len(app.scopes) == 1
    assert marks == [own] * 6


def test_one_for_each_loop(loops: Loops) -> None:
    """must, lifespan "Scope": servers in several event loops have a lifespan each."""
    app = Phases()
    config = Config(bind=("127.0.0.1:0",), lifespan="on")
    with contextlib.ExitStack() as stack:
        for backend in list(BACKENDS)[:2]:
            stack.enter_context(running(loops.portal(backend), app, config))
        assert app.seen == [{"type": "lifespan.startup"}] * 2
    assert len({id(scope["state"]) for scope in app.scopes}) == 2
    assert app.seen[2:] == [{"type": "lifespan.shutdown"}] * 2


@pytest.mark.parametrize("when", ["call", "startup", "return"])
def test_an_exception_is_no_failure(serving: Serving, records: Records, when: str) -> None:
    """must, lifespan "Scope": where the application raises on the scope, or on
    lifespan.startup, the server goes on and sends it no lifespan events.

    optional, lifespan "Scope": the exception is logged all the same."""
    records.expect("serving without lifespan events", "failed in its lifespan startup")
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        if when == "return":
            return
        if when == "startup":
            await receive()
        raise KeyError("only requests here")

    served = serving(app, lifespan="auto")
    client = serving.connect(served)
    for _ in range(2):
        assert client.get("/").text == "hello"
    stop(served)
    assert [scope["type"] for scope in scopes] == ["lifespan", "http", "http"]
    assert "state" not in scopes[1]
    logged = "returned before" if when == "return" else "only requests here"
    assert any(logged in text for text in records.messages())


def test_no_connections_before_startup_complete(serving: Serving, tmp_path: Path) -> None:
    """must, lifespan "Startup": lifespan.startup is received before connections are accepted.

    must, lifespan "Startup Complete": the server waits for the message before it processes
    connections."""
    address = str(tmp_path / "socket")
    order: list[str] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        order.append("request")
        await reply(send, b"hello")

    class App(Phases):
        async def inside(self, phase: str, scope: Scope) -> None:
            if phase == "startup":
                for _ in range(3):
                    order.append(knock(lambda: open_socket(address)))
                    await anyio.lowlevel.checkpoint()
                order.append("complete")

    served = serving(App(serve), lifespan="on", bind=f"unix:{address}")
    assert serving.connect(served, address=address).get("/").text == "hello"
    assert order == ["refused"] * 3 + ["complete", "request"]
    stop(served)


def knock(connect: Callable[[], socket.socket]) -> str:
    """Whether a connection is accepted."""
    try:
        connect().close()
    except (ConnectionRefusedError, FileNotFoundError):
        return "refused"
    return "accepted"


def at_end(client: Client) -> bool:
    """Read to the end of a connection."""
    if isinstance(client, HTTP2Client):
        client.until(lambda: client.closed)  # answers the drain's PING
        return client.closed
    while client.sock.recv(65536):
        pass
    return True


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_failed(serving: Serving, records: Records, mode: str) -> None:
    """should, lifespan "Startup Failed": the server tells the message and exits.

    must, lifespan "Startup Failed": message may be left out."""
    failed = {"type": "lifespan.startup.failed"}
    for message in ({"message": "no database"}, {"message": ""}, {"message": None}, {}):
        app = Phases(startup=failed | message)
        with pytest.raises(LifespanError, match=message.get("message") or "no message given"):
            serving(app, lifespan=mode)
        assert app.seen[0] == {"type": "lifespan.startup"}


@contextlib.contextmanager
def own_logging() -> Iterator[None]:
    """Take back what the command does to the process's loggers."""
    loggers = [logging.getLogger(name) for name in ("tricorn.error", "tricorn.access")]
    before = [(log.level, log.propagate, log.disabled, log.handlers[:]) for log in loggers]
    try:
        yield
    finally:
        logs.shutdown()
        for log, (level, propagate, disabled, handlers) in zip(loggers, before, strict=True):
            log.setLevel(level)
            log.propagate, log.disabled = propagate, disabled
            log.handlers[:] = handlers


def test_startup_failed_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """should, lifespan "Startup Failed": the command prints the message and exits with a
    status of its own, 3."""
    (tmp_path / "failing_startup.py").write_text(
        "async def app(scope, receive, send):\n"
        "    assert scope['type'] == 'lifespan'\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.failed', 'message': 'no database'})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with own_logging():
        assert main(["failing_startup:app", "--bind", "127.0.0.1:0"]) == 3
    captured = capsys.readouterr()
    assert "no database" in captured.err


def test_a_message_of_another_type_is_a_failure_too(serving: Serving) -> None:
    """optional, lifespan "Startup Failed": a message that is no str does not turn the failure
    into an exception, with which the server would go on: it is told as str() has it."""
    app = Phases(startup={"type": "lifespan.startup.failed", "message": OSError("no disk")})
    with pytest.raises(LifespanError, match="no disk"):
        serving(app, lifespan="auto")


def test_shutdown_comes_last(serving: Serving, protocol: str) -> None:
    """must, lifespan "Shutdown": lifespan.shutdown is received when the server accepts no more
    connections and has closed all that there were."""
    order: list[str] = []
    inside, answered = Inbox(), Inbox()
    gate = serving.gate()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":
            await reply(send)
            return
        await start(send)
        await body(send, b"half", more=True)
        inside.put(True)
        await gate.wait()
        await body(send, b" whole")
        order.append("request")

    class App(Phases):
        async def inside(self, phase: str, scope: Scope) -> None:
            if phase == "shutdown":
                order.append(knock(lambda: open_socket(served.address)))
                answered.take()  # before that, the test reads from the same socket
                order.append("closed" if at_end(busy) else "open")

    app = App(serve)
    served = serving(app, lifespan="on")
    idle = serving.connect(served, protocol)
    assert idle.get("/").complete
    busy = serving.connect(served, protocol)
    stream = busy.start("GET", "/slow")
    inside.take()
    served.stop()
    assert at_end(idle)
    idle.close()
    gate.open()
    assert busy.response(stream).text == "half whole"
    busy.sock.shutdown(socket.SHUT_WR)
    answered.put(True)
    served.wait()
    assert order == ["request", "refused", "closed"]


def test_the_end_waits_for_shutdown_complete(serving: Serving) -> None:
    """must, lifespan "Shutdown Complete": the server waits for the message before it ends."""
    gate = serving.gate()
    shutting_down = Inbox()

    class App(Phases):
        async def inside(self, phase: str, scope: Scope) -> None:
            if phase == "shutdown":
                shutting_down.put(True)
                await gate.wait()

    served = serving(App(), lifespan="on")
    served.stop()
    shutting_down.take()
    with pytest.raises(TimeoutError):
        served._future.result(0.02)
    gate.open()
    served.wait()


@pytest.mark.parametrize("message", [{"message": "no disk"}, {"message": ""}, {}])
def test_shutdown_failed(serving: Serving, records: Records, message: dict[str, Any]) -> None:
    """should, lifespan "Shutdown Failed": the server logs the message and ends.

    must, lifespan "Shutdown Failed": message may be left out."""
    records.expect("shutdown failed")
    stop(serving(Phases(shutdown={"type": "lifespan.shutdown.failed"} | message), lifespan="on"))
    (text,) = records.messages(level=40)
    assert (message.get("message") or "no message given") in text


@pytest.mark.parametrize("phase", ["between", "shutdown"])
def test_an_exception_after_startup(serving: Serving, records: Records, phase: str) -> None:
    """should, core "Error Handling": an application whose lifespan raises behind the startup is
    reported, gets no more events, and holds up neither the serving nor the end."""
    records.expect("lifespan failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        if phase == "shutdown":
            await receive()
        raise RuntimeError("broken")

    served = serving(app, lifespan="on")
    assert serving.connect(served).get("/").text == "hello"
    stop(served)
    (record,) = [r for r in records.records if "lifespan failed" in r.getMessage()]
    assert record.exc_info is not None


def test_state_is_copied_for_each_call(serving: Serving) -> None:
    """must, lifespan "Lifespan State": each call of the application gets a shallow copy of the
    namespace: keys of its own, the objects shared.

    must, lifespan "Lifespan State": the server does nothing with what is in it but copy it."""
    states = Inbox()

    class Pool:
        """Nothing may be asked of it."""

        __slots__ = ()

        def __copy__(self) -> None:
            raise AssertionError

        __deepcopy__ = __reduce__ = __copy__  # type: ignore[assignment]

    pool = Pool()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        states.put(scope["state"].copy())
        scope["state"]["mine"] = scope["path"]
        del scope["state"]["count"]
        if scope["path"] == "/page":
            await send({"type": "http.response.push", "path": "/pushed", "headers": []})
        await hello(scope, receive, send)

    class App(Phases):
        async def inside(self, phase: str, scope: Scope) -> None:
            if phase == "startup":
                scope["state"].update({"pool": pool, "count": 1, 5: "any key"})

    app = App(serve)
    served = serving(app, lifespan="on")
    for protocol in ("http/1.1", "h2"):
        client = serving.connect(served, protocol)
        assert client.get("/").text == client.get("/page").text == "hello"
        client.close()
        open_and_close_websocket(serving, served, protocol)
    # Three calls over each protocol, and the promised request.
    found = [states.take() for _ in range(7)]
    stop(served)
    assert found == [{"pool": pool, "count": 1, 5: "any key"}] * 7
    assert all(state["pool"] is pool for state in found)
    assert app.scopes[0]["state"] == found[0]


def test_what_comes_later_into_the_state(serving: Serving) -> None:
    """must, lifespan "Lifespan State": what the application puts into the namespace while it
    serves is in the copies of later requests."""
    app = Phases(state := _StateEcho())
    served = serving(app, lifespan="on")
    client = serving.connect(served)
    client.get("/")
    app.scopes[0]["state"]["late"] = True
    client.get("/")
    stop(served)
    assert state.found == [False, True]


class _StateEcho:
    """Tells whether a key is in the state."""

    def __init__(self) -> None:
        self.found: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.found.append("late" in scope["state"])
        await reply(send)


def test_messages_out_of_place(serving: Serving) -> None:
    """should, core "Error Handling": a lifespan message that its state does not allow, or that
    is none, raises out of send, and the application can go on.

    must, core "Error Handling": additional keys in a lifespan message are no error."""
    found: list[list[bool]] = []
    other: list[Any] = [
        {"type": "http.response.start", "status": 200}, {"type": "lifespan.startup"},
        {"type": "lifespan.nonsense"}, {"type": None}, {}, None, "lifespan.startup.complete",
    ]  # fmt: skip
    startup: list[Message] = [COMPLETE["startup"], {"type": "lifespan.startup.failed"}]
    shutdown: list[Message] = [COMPLETE["shutdown"], {"type": "lifespan.shutdown.failed"}]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def all_refused(*messages: Any) -> None:
            found.append([await refused(send, message) for message in messages])

        await receive()
        await all_refused(*other, *shutdown)
        await send(COMPLETE["startup"] | {"extra": 1})
        await all_refused(*other, *startup, COMPLETE["shutdown"])
        await receive()
        await all_refused(*other, *startup)
        await send(COMPLETE["shutdown"] | {"extra": None})
        await all_refused(*other, *startup, *shutdown)

    stop(serving(app, lifespan="on"))
    assert [len(part) for part in found] == [9, 10, 9, 11]
    assert all(all(part) for part in found)


def test_extensions_of_the_scope(serving: Serving, certificate: Certificate) -> None:
    """must, core "Extensions": the lifespan's scope has none of the extensions of connections."""
    app = Phases()
    stop(serving(app, lifespan="on", tls=True, debug=True))
    assert set(app.scopes[0].get("extensions", {})) == {"tricorn.stopping"}
