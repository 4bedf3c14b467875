"""Applications that do wrong, over every protocol and loop: each has one stated result.

The table is docs/reference/broken-applications.md. What is on the wire is always whole or
visibly cut, the log says what the application did, and the next request is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from serving_process import daemon

from helpers.apps import body, read_body, reply, start
from helpers.clients import HTTP1Client, HTTP2Client, open_socket
from helpers.serving import Inbox, Records, eventually
from helpers.site import Serving, Site
from tricorn.io import ending
from tricorn.types import Receive, Scope, Send

INTERNAL_ERROR = 2
_Case = Callable[[Receive, Send], Awaitable[None]]
CASES: dict[str, tuple[_Case, str, str]] = {}


def case(outcome: str, said: str = "application failed") -> Callable[[_Case], _Case]:
    """Register what an application does: with what the peer gets and what the log says.

    ``outcome`` is a status with a whole response, or ``cut`` behind its beginning.
    """

    def register(app: _Case) -> _Case:
        CASES[app.__name__] = (app, outcome, said)
        return app

    return register


class Broken(Exception):
    """What the applications raise."""


@case("500")
async def raises_before_start(receive: Receive, send: Send) -> None:
    raise Broken


@case("500")
async def raises_after_start(receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"x-held", b"1")])
    raise Broken


@case("cut")
async def raises_in_the_body(receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"part", more=True)
    raise Broken


@case("200")
async def raises_behind_the_end(receive: Receive, send: Send) -> None:
    await reply(send, b"whole")
    raise Broken


@case("500")
async def exits(receive: Receive, send: Send) -> None:
    raise SystemExit(3)


@case("500")
async def raises_a_group(receive: Receive, send: Send) -> None:
    raise BaseExceptionGroup("several", [Broken(), GeneratorExit()])


@case("500", "without a whole response")
async def returns_before_start(receive: Receive, send: Send) -> None:
    pass


@case("500", "without a whole response")
async def returns_after_start(receive: Receive, send: Send) -> None:
    await start(send)


@case("cut", "without a whole response")
async def returns_in_the_body(receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"part", more=True)


@case("500")
async def sends_the_body_first(receive: Receive, send: Send) -> None:
    await body(send, b"early")


@case("500")
async def starts_twice(receive: Receive, send: Send) -> None:
    await start(send)
    await start(send, 201)


@case("cut")
async def starts_in_the_body(receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"part", more=True)
    await start(send, 201)


@case("500")
async def sends_an_unknown_type(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.nonsense"})


@case("500")
async def sends_no_dict(receive: Receive, send: Send) -> None:
    await send(None)  # type: ignore[arg-type]


@case("500")
async def sends_a_wrong_status(receive: Receive, send: Send) -> None:
    await start(send, 1000)


@case("500")
async def splits_the_response(receive: Receive, send: Send) -> None:
    await reply(send, b"x", headers=[(b"x", b"1\r\nset-cookie: a=b")])


@case("500")
async def sends_text_as_body(receive: Receive, send: Send) -> None:
    await start(send)
    await send({"type": "http.response.body", "body": "text"})


@case("cut")
async def sends_too_little(receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"content-length", b"10")])
    await body(send, b"part")


@case("200", "longer than its content-length")
async def sends_too_much(receive: Receive, send: Send) -> None:
    await start(send, headers=[(b"content-length", b"5")])
    await body(send, b"whole and more")


@case("200", "")
async def sends_behind_the_end(receive: Receive, send: Send) -> None:
    await reply(send, b"whole")
    for _ in range(100):
        await body(send, b"late", more=True)
        await start(send)


@case("200", "")
async def never_reads(receive: Receive, send: Send) -> None:
    await reply(send, b"whole")


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/next":
        await reply(send, b"next")
    else:
        await CASES[scope["path"][1:]][0](receive, send)


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("with_body", [False, True], ids=["get", "post"])
def test_what_an_application_does_has_one_result(
    plain: Site, records: Records, name: str, with_body: bool
) -> None:
    _, outcome, said = CASES[name]
    records.expect("application failed", "without a whole response")
    client = plain.open(_serve, close_timeout=0.5)
    data = b"x" * 16_000 if with_body else b""
    response = client.response(client.start("POST" if data else "GET", f"/{name}", body=data))
    if outcome == "cut":
        assert (response.status, response.cut) == (200, True)
        assert b"part".startswith(response.body)
        assert response.reset_code == (INTERNAL_ERROR if plain.http2 else None)
    else:
        assert (str(response.status), response.complete) == (outcome, True)
        assert response.text == ("whole" if outcome == "200" else "Internal Server Error")
        assert response.header(b"x-held") is None
    if plain.http2:
        assert client.get("/next").text == "next"
    assert plain.connect().get("/next").text == "next"
    lines = [record for record in records.records if record.levelname == "ERROR"]
    assert len(lines) == (said != "")
    for record in lines:
        text = f"{record.getMessage()} {record.exc_info[1] if record.exc_info else ''}"
        assert said in text
        assert f"/{name} HTTP/" in text


def read_all(sock: socket.socket) -> bytes:
    """What comes until the server closes."""
    return b"".join(iter(lambda: sock.recv(4096), b""))


@pytest.mark.parametrize("protocol", ["http/1.1"])
@pytest.mark.parametrize("path", ["raises", "returns", "hangs", "waits", "ends"])
def test_half_a_response_of_http_1_0_is_no_whole_one(
    site: Site, records: Records, path: str
) -> None:
    """Without a Content-Length nothing but the end of the connection tells its end."""
    records.expect("application failed", "without a whole response", "after graceful_timeout")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"part", more=True)
        if path == "raises":
            raise Broken
        if path == "hangs":
            await anyio.sleep_forever()
        # The last is whole, and its client does not read: it is more than the system takes.
        if path in ("ends", "waits"):
            await body(send, b"" if path == "ends" else bytes(16 * 2**20))

    site.serve(app, graceful_timeout=0.1)
    sock = site.connect(receive_buffer=65536).sock
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    if path in ("hangs", "waits"):
        assert sock.recv(1) == b"H"
        site.served.stop()
        site.served.wait()
    if path == "ends":
        assert read_all(sock).endswith(b"\r\n\r\npart")
    else:
        if isinstance(sock, ssl.SSLSocket):
            sock.suppress_ragged_eofs = False  # an end without close_notify is an error
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            read_all(sock)


# WebSockets

_WebSocketCase = tuple[list[dict[str, Any] | type[Exception]], str, str]
WEBSOCKET_CASES: dict[str, _WebSocketCase] = {
    "raises before accept": ([Broken], "500", "application failed"),
    "returns before accept": ([], "500", "without a whole response: WEBSOCKET /"),
    "raises when open": ([{"type": "websocket.accept"}, Broken], "1011", "application failed"),
    "returns when open": ([{"type": "websocket.accept"}], "1000", ""),
    "sends before accept": (
        [{"type": "websocket.send", "text": "early"}], "500", "application failed"
    ),
    "accepts twice": ([{"type": "websocket.accept"}] * 2, "1011", "application failed"),
    "sends both kinds": (
        [{"type": "websocket.accept"}, {"type": "websocket.send", "text": "a", "bytes": b"b"}],
        "1011", "application failed",
    ),
    "closes with a wrong code": (
        [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 99}],
        "1011", "application failed",
    ),
    "splits the handshake": (
        [{"type": "websocket.accept", "headers": [(b"x", b"1\r\ny: z")]}],
        "500", "application failed",
    ),
    "sends http messages": (
        [{"type": "http.response.start", "status": 200}], "500", "application failed"
    ),
    "leaves a denial half done": (
        [{"type": "websocket.http.response.start", "status": 401, "headers": []}],
        "500", "without a whole response: WEBSOCKET /",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WEBSOCKET_CASES))
def test_what_a_websocket_application_does_has_one_result(
    plain: Site, records: Records, name: str
) -> None:
    messages, outcome, said = WEBSOCKET_CASES[name]
    records.expect("application failed", "without a whole response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await reply(send, b"next")
            return
        await receive()
        for message in messages:
            if isinstance(message, dict):
                await send(message)
            else:
                raise message

    plain.serve(app)
    peer = plain.websocket()
    status = peer.handshake()
    if len(outcome) == 3:
        assert str(status) == outcome
    else:
        assert status == 200
        assert peer.close_code() == int(outcome)
    assert plain.connect().get("/next").text == "next"
    lines = [record for record in records.records if record.levelname == "ERROR"]
    assert len(lines) == (said != "")
    assert all(said in record.getMessage() for record in lines)


# Without an end


def test_one_who_reads_or_sends_for_ever_leaves_the_others_their_turn(plain: Site) -> None:
    """Behind the disconnect ``receive`` and ``send`` come back at once."""
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await reply(send, b"next")
            return
        try:
            if scope["path"] == "/reads":
                while True:
                    await receive()
            if scope["path"] == "/sends-behind":
                await reply(send, b"whole")
                while True:
                    await body(send, b"late")
            await start(send)
            while True:
                with contextlib.suppress(OSError):
                    await body(send, b"" if scope["path"] == "/sends-nothing" else b"x", more=True)
        except BaseException as exc:
            ended.put(type(exc).__name__)
            raise

    client = plain.open(app, disconnect_grace=0.05)
    for method, path in (
        ("GET", "/reads"), ("GET", "/sends"), ("GET", "/sends-nothing"), ("HEAD", "/sends"),
    ):  # fmt: skip
        client = plain.connect()
        stream = client.start(method, path)
        if (method, path) == ("GET", "/sends"):
            client.response(stream, lambda r: len(r.body) > 0)
        else:
            assert plain.connect().get("/next").text == "next"
        client.sock.close()
        assert plain.connect().get("/next").text == "next"
        assert ended.take() in ("CancelledError", "Cancelled")
    client = plain.connect()
    assert client.get("/sends-behind").text == "whole"
    assert client.get("/next").text == "next"
    assert plain.connect().get("/next").text == "next"


def test_a_websocket_that_reads_for_ever_is_cancelled(plain: Site) -> None:
    ended = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await reply(send, b"next")
            return
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await receive()
        except BaseException as exc:
            ended.put(type(exc).__name__)
            raise

    plain.serve(app, disconnect_grace=0.05)
    peer = plain.websocket()
    assert peer.handshake() == 200
    peer.client.sock.close()
    assert plain.connect().get("/next").text == "next"
    assert ended.take() in ("CancelledError", "Cancelled")


class Stubborn:
    """Goes on whatever happens until its gate is open."""

    def __init__(self) -> None:
        self.started = Inbox()
        self.ended = Inbox()
        self.gate: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/stubborn":
            await reply(send, b"fine")
            return
        self.started.put(None)
        is_open = False
        while not is_open:
            with contextlib.suppress(BaseException), anyio.CancelScope(shield=True):
                await self.gate.wait()
                is_open = True
        self.ended.put(None)


def test_one_who_ignores_its_cancellation_is_told_of(
    plain: Site, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and its connection ends in order."""
    monkeypatch.setattr(ending, "CANCEL_TIME", 0.05)
    records.expect("ignores its cancellation")
    app = Stubborn()
    client = plain.open(app, response_timeout=0.05)
    app.gate = plain.gate()
    stream = client.start("GET", "/stubborn")
    assert client.response(stream).status == 504
    said = "the application ignores its cancellation: GET /stubborn HTTP/"

    def told() -> int:
        return sum(said in message for message in records.messages())

    eventually(told, "the line")
    if isinstance(client, HTTP2Client):
        client.until(lambda: client.closed)
        assert client.goaways[-1] == (stream, 0)
    elif isinstance(client, HTTP1Client):
        assert client.sock.recv(1) == b""
    assert plain.connect().get("/next").text == "fine"
    assert told() == 1
    app.gate.open()
    app.ended.take()


def test_tasks_that_are_left_behind_are_no_matter_of_the_server(serving: Serving) -> None:
    if serving.backend == "trio":
        pytest.skip("trio has no tasks without a nursery that waits for them")
    tasks: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(3600)))
        await reply(send, b"fine")

    served = serving(app)
    client = serving.connect(served)
    assert [client.get().text for _ in range(3)] == ["fine"] * 3
    served.stop()
    served.wait()
    assert [task.done() for task in tasks] == [False] * 3
    for task in tasks:
        serving.portal.call(task.cancel)


_STUBBORN = """
import contextlib
import sys
import anyio
import tricorn.io.ending

tricorn.io.ending.CANCEL_TIME = 0.2

async def stubborn():
    while True:
        with contextlib.suppress(BaseException), anyio.CancelScope(shield=True):
            await anyio.sleep(1)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("shutdown told", file=sys.stderr)
        await send({"type": "lifespan.shutdown.complete"})
        if LIFESPAN:
            await stubborn()
        return
    if scope["path"] == "/leaves":
        import asyncio
        app.task = asyncio.create_task(stubborn())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    if scope["path"] == "/stubborn":
        await stubborn()
    await send({"type": "http.response.body", "body": b""})
"""


@pytest.mark.long
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize(("path", "twice"), [("/stubborn", False), ("/stubborn", True), ("/", 0)])
def test_the_process_ends_all_the_same(tmp_path: Path, loop: str, path: str, twice: bool) -> None:
    """With an application, a task or a lifespan that ignores its cancellation; exit code 0."""
    code = _STUBBORN.replace("LIFESPAN", str(path == "/"))
    (tmp_path / "site_app.py").write_text(code)
    pid, sock_path = tmp_path / "pid", tmp_path / "socket"
    argv = ["site_app:app", "--bind", "127.0.0.1:0", "--insecure-bind", f"unix:{sock_path}"]
    argv += ["--workers", "0", "--graceful-timeout", "0.2", "--pid", str(pid), "-k", loop]
    path = "/leaves" if path == "/" and loop != "trio" else path
    with daemon(tmp_path, *argv) as server:
        with open_socket(server.address) as sock:
            client = HTTP1Client(sock)
            client.response(client.start("GET", path), lambda r: len(r.body) == 5)
            server.send(signal.SIGTERM)
            server.wait_for("finishing what is in flight")
            if twice:
                server.send_again(signal.SIGTERM, "stopping at once")
            assert server.end() == 0
        assert "Traceback" not in server.errors
        assert "tasks or threads that do not end" in server.errors
        if path == "/stubborn" and not twice:
            assert "ignores its cancellation: GET /stubborn" in server.errors
            assert "shutdown told" in server.errors
    assert not pid.exists()
    assert not sock_path.exists()


def test_a_body_that_nobody_reads_costs_its_connection_only(plain: Site) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/reads":
            await reply(send, b"%d" % len(await read_body(receive)))
        else:
            await reply(send, b"whole")

    client = plain.open(app, close_timeout=0.5)
    for _ in range(2):
        stream = client.start("POST", "/", more=True)
        with contextlib.suppress(OSError):
            client.send(stream, b"x" * 200_000, more=True)
        assert client.response(stream).text == "whole"
        if not plain.http2:
            client = plain.connect()
    assert client.response(client.start("POST", "/reads", body=b"abc")).text == "3"
