"""The WSGI adapter without a server: environ, messages, threads."""

from __future__ import annotations

import contextvars
import gzip
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import check_environ

import anyio
import pytest

from helpers.serving import eventually
from tricorn.asgi.wsgi import WSGIAdapter
from tricorn.asgi.wsgi_environ import ErrorStream, build_environ
from tricorn.exceptions import InvalidMessage

SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [],
    "client": ("192.0.2.1", 50000),
    "server": ("192.0.2.2", 8000),
    "extensions": {},
}


@pytest.fixture(params=["asyncio", "trio"])
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def environ(**changes: Any) -> dict[str, Any]:
    return build_environ(SCOPE | changes, {})


def test_line_ends_of_the_error_stream(caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorStream()
    for text in ("one\r\ntwo\r\n", "\r\n", "three\r", "\n", "50 %\r60 %\n", "four\r"):
        errors.write(text)
    errors.flush()
    assert caplog.messages == ["one\ntwo", "three", "50 %\r60 %", "four"]


def test_threads_share_the_error_stream(caplog: pytest.LogCaptureFixture) -> None:
    errors = ErrorStream()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=write_many, args=(errors,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    errors.flush()
    assert "".join(caplog.messages).count("x") == 4 * 2000


def write_many(errors: ErrorStream) -> None:
    for _ in range(2000):
        errors.write("x")


def exchange(
    app: Callable[..., Any],
    *,
    loop: str = "asyncio",
    received: tuple[dict[str, Any], ...] = ({"type": "http.request"},),
    adapter: WSGIAdapter | None = None,
    **changes: Any,
) -> list[dict[str, Any]]:
    """The messages that one request makes."""
    sent: list[dict[str, Any]] = []
    messages = iter(received)

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        if "file" in message:
            await anyio.to_thread.run_sync(lambda: None)  # its thread has the time to run on
            assert not message["file"].closed
        sent.append(message)

    anyio.run(adapter or WSGIAdapter(app), SCOPE | changes, receive, send, backend=loop)
    return sent


# environ


def test_every_key_that_pep_3333_wants() -> None:
    found = environ(query_string=b"a=1&b=%20")
    assert {key: value for key, value in found.items() if "." not in key} == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "a=1&b=%20",
        "REQUEST_URI": "/?a=1&b=%20",
        "RAW_URI": "/?a=1&b=%20",
        "SERVER_NAME": "192.0.2.2",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "50000",
    }
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("204 No Content", [])
        return []

    exchange(app)
    check_environ(seen[0])
    assert seen[0]["wsgi.version"] == (1, 0)
    assert seen[0]["wsgi.multithread"] is seen[0]["wsgi.input_terminated"] is True
    assert seen[0]["wsgi.multiprocess"] is seen[0]["wsgi.run_once"] is False
    assert seen[0]["asgi.scope"]["type"] == "http"
    reference: dict[str, Any] = {}
    setup_testing_defaults(reference)
    assert reference.keys() - seen[0].keys() == {"HTTP_HOST"}
    exchange(app, adapter=WSGIAdapter(app, multiprocess=True))
    check_environ(seen[1])
    assert seen[1]["wsgi.multiprocess"] is True


@pytest.mark.parametrize(
    ("path", "raw_path", "root_path", "expected"),
    [
        ("/a/b", b"/a/b", "", ("", "/a/b")),
        ("/a/b", b"/a/b", "/a", ("/a", "/b")),
        ("/a/", b"/a/", "/a", ("/a", "/")),
        ("/a", b"/a", "/a", ("/a", "")),
        ("/a", b"/a", "/a/", ("/a", "")),
        ("/ab", b"/ab", "/a", ("/a", "/ab")),  # whole segments only
        ("/b", b"/b", "/a", ("/a", "/b")),  # the proxy took it off
        ("/é", b"/%C3%A9", "", ("", "/\xc3\xa9")),
        ("/é/ü", b"/%C3%A9/%C3%BC", "/é", ("/\xc3\xa9", "/\xc3\xbc")),
        ("/éa", b"/%C3%A9a", "/é", ("/\xc3\xa9", "/\xc3\xa9a")),
        ("/x/\ufffd", b"/x/%FF", "/x", ("/x", "/\xff")),
        ("/a b%", b"/a%20b%25", "", ("", "/a b%")),
        ("*", b"*", "", ("", "")),
    ],
)
def test_paths(path: str, raw_path: bytes, root_path: str, expected: tuple[str, str]) -> None:
    found = environ(path=path, raw_path=raw_path, root_path=root_path)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == expected
    assert found["REQUEST_URI"] == raw_path.decode()


def test_query_string_is_latin_1() -> None:
    assert environ(query_string=b"q=\xc3\xa9\xff")["QUERY_STRING"] == "q=\xc3\xa9\xff"


@pytest.mark.parametrize(
    ("version", "protocol"),
    [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2.0"), ("3", "HTTP/3.0")],
)
def test_server_protocol_has_a_minor_version(version: str, protocol: str) -> None:
    assert environ(http_version=version)["SERVER_PROTOCOL"] == protocol


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        (b"shop.example:8443", "https", ("shop.example", "8443")),
        (b"shop.example", "https", ("shop.example", "443")),
        (b"shop.example", "http", ("shop.example", "80")),
        (b"[2001:db8::1]", "http", ("[2001:db8::1]", "80")),
        (b"[2001:db8::1]:81", "http", ("[2001:db8::1]", "81")),
        (b"", "http", ("localhost", "80")),
        (None, "http", ("localhost", "80")),
    ],
)
@pytest.mark.parametrize("server", [("/run/app.sock", None), None])
def test_server_name_and_port_are_never_empty(
    host: bytes | None, scheme: str, expected: tuple[str, str], server: object
) -> None:
    headers = [] if host is None else [(b"host", host)]
    found = environ(server=server, client=None, headers=headers, scheme=scheme)
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == expected
    assert found["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in found


def test_fields() -> None:
    headers = [
        (b"host", b"shop.example"),
        (b"x-one", b"\xe9"),
        (b"x-many", b"a"),
        (b"X-Many", b"b"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"content-type", b"text/plain"),
        (b"content-length", b"5"),
        (b"x_many", b"spoofed"),
        (b"content_length", b"6"),
        (b"transfer-encoding", b"chunked"),  # the server has undone it
        (b"remote_user", b"root"),
    ]
    found = environ(headers=headers)
    fields = {key: value for key, value in found.items() if key.startswith(("HTTP_", "CONTENT_"))}
    assert fields == {
        "HTTP_HOST": "shop.example",
        "HTTP_X_ONE": "\xe9",
        "HTTP_X_MANY": "a,b",
        "HTTP_COOKIE": "a=1; b=2",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
    }
    assert "" not in found


# Messages


def test_content_known_whole_is_one_message(loop: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Two", "\xe9")])
        return [b"hello"]

    assert exchange(app, loop=loop) == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"x-two", b"\xe9")],
        },
        {"type": "http.response.body", "body": b"hello", "more_body": False},
    ]


@pytest.mark.parametrize("count", [None, 10, 10_000])
def test_a_real_file_is_sent_by_the_system(loop: str, count: int | None) -> None:
    """From where it stands to its end, or for the declared length; then it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
    file.write(b"x" * 100_000)
    file.seek(0)
    file.read(7)  # the descriptor is further on than the file is

    def app(environ: Any, start_response: Any) -> Any:
        length = [] if count is None else [("Content-Length", str(count))]
        start_response("200 OK", [("Content-Type", "text/plain"), *length])
        return environ["wsgi.file_wrapper"](file)

    extensions: dict[str, Any] = {"http.response.zerocopysend": {}}
    head, body = exchange(app, loop=loop, extensions=extensions)
    assert head["type"] == "http.response.start"
    assert body == {
        "type": "http.response.zerocopysend",
        "file": file,
        "offset": 7,
        "count": 100_000 - 7 if count is None else count,
        "more_body": False,
    }
    assert file.closed


def test_a_named_temporary_file_is_sent_by_the_system() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"hello")
        file.seek(0)

        def app(environ: Any, start_response: Any) -> Any:
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](file, 512)

        extensions: dict[str, Any] = {"http.response.zerocopysend": {}}
        _, body = exchange(app, extensions=extensions)
        assert (body["type"], body["count"]) == ("http.response.zerocopysend", 5)


class Unclosable:
    """No more than PEP 3333 asks of a file."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def gzipped(data: bytes) -> gzip.GzipFile:
    """Has a descriptor, which gives other bytes than it does."""
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    with gzip.GzipFile(name, "wb") as file:
        file.write(data)
    found = gzip.GzipFile(name, "rb")
    os.unlink(name)
    return found


class Backwards(io.BufferedReader):
    """A file of the system's, but not its bytes."""

    def read(self, size: int | None = -1) -> bytes:
        return bytes(reversed(super().read(size)))


def backwards(data: bytes) -> Backwards:
    descriptor, name = tempfile.mkstemp()
    with open(descriptor, "wb") as file:
        file.write(b"".join(bytes(reversed(data[at : at + 1000])) for at in range(0, 50_000, 1000)))
    found = Backwards(io.FileIO(name))
    os.unlink(name)
    return found


@pytest.mark.parametrize("make", [io.BytesIO, Unclosable, gzipped, backwards])
@pytest.mark.parametrize("length", [None, 30_000])
def test_other_files_are_read(make: Callable[[bytes], Any], length: int | None) -> None:
    data = bytes(range(250)) * 200

    def app(environ: Any, start_response: Any) -> Any:
        fields = [] if length is None else [("Content-Length", str(length))]
        start_response("200 OK", fields)
        return environ["wsgi.file_wrapper"](make(data), 1000)

    extensions: dict[str, Any] = {"http.response.zerocopysend": {}}
    _, *bodies = exchange(app, extensions=extensions)
    assert b"".join(message["body"] for message in bodies) == data[:length]
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]


def test_a_file_is_read_where_the_server_cannot_send_it() -> None:
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the server closes it)
    file.write(b"hello")
    file.seek(1)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    _, *bodies = exchange(app)
    assert b"".join(message["body"] for message in bodies) == b"ello"
    assert file.closed


def test_head_makes_no_content_of_a_stream(loop: str) -> None:
    """Nor a Content-Length of its first piece."""
    events: list[str] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        try:
            for number in range(1_000_000):
                events.append(str(number))
                yield b"x"
        finally:
            events.append("closed")

    sent = exchange(app, loop=loop, method="HEAD")
    assert sent[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]
    assert events == ["0", "closed"]


def test_websocket_is_refused(loop: str) -> None:
    received = ({"type": "websocket.connect"},)
    sent = exchange(lambda e, s: [], loop=loop, type="websocket", received=received)
    assert sent == [{"type": "websocket.close"}]


def test_lifespan_is_answered(loop: str) -> None:
    received = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    sent = exchange(lambda e, s: [], loop=loop, type="lifespan", received=received)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_lifespan_shutdown_ends_the_threads(loop: str) -> None:
    before = set(threading.enumerate())
    adapter = WSGIAdapter(echo_query)
    exchange(echo_query, loop=loop, adapter=adapter)
    started = set(threading.enumerate()) - before
    assert started
    received = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    exchange(echo_query, loop=loop, adapter=adapter, type="lifespan", received=received)
    eventually(lambda: not any(thread.is_alive() for thread in started))
    assert exchange(echo_query, loop=loop, adapter=adapter)[0]["status"] == 200


def test_unknown_scopes_are_an_error() -> None:
    with pytest.raises(ValueError, match="scope type 'telepathy'"):
        exchange(lambda e, s: [], type="telepathy")


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        ("200", [("Content-Length", 5)]),
        ("OK", []),
        ("2000 OK", []),
        ("100 Continue", []),
        ("200 OK\r\nX: y", []),
        (200, []),
        (b"200 OK", []),
        ("200 OK", [("X", "\u20ac")]),
        ("200 OK", [(b"X", b"y")]),
        ("200 OK", [("transfer-encoding", "chunked")]),
        ("200 OK", [("Upgrade", "h2c")]),
    ],
)
def test_what_start_response_refuses(status: Any, fields: Any) -> None:
    caught: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            start_response(status, fields)
        except BaseException as exc:
            caught.append(exc)
            raise
        return [b"hello"]

    with pytest.raises(InvalidMessage, match="start_response"):
        exchange(app)
    assert len(caught) == 1  # the application sees it too


@pytest.mark.parametrize("content", [["text"], "text", [1], [bytearray(b"x")]])
def test_content_is_bytes(content: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return content

    with pytest.raises(InvalidMessage, match="not bytes"):
        exchange(app)


# Threads


def test_the_thread_runs_in_a_copy_of_the_context(loop: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        seen.append(variable.get())
        variable.set("by the application")
        yield b"x"
        seen.append(variable.get())

    async def outer() -> None:
        variable.set("by the server")
        adapter = WSGIAdapter(app)

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            seen.append(message["type"])

        await adapter(dict(SCOPE), receive, send)
        assert variable.get() == "by the server"

    anyio.run(outer, backend=loop)
    assert [entry for entry in seen if "http" not in entry] == [
        "by the server",
        "by the application",
    ]


def test_many_at_a_time(loop: str) -> None:
    """Hundreds of requests through few threads, each with its own answer."""
    adapter = WSGIAdapter(echo_query, threads=8)
    answers: dict[int, bytes] = {}

    async def one(number: int) -> None:
        body = b""

        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            nonlocal body
            body += message.get("body", b"")
            await anyio.lowlevel.checkpoint()

        await adapter(SCOPE | {"query_string": b"%d" % number}, receive, send)
        answers[number] = body

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(300):
                tasks.start_soon(one, number)

    anyio.run(main, backend=loop)
    assert answers == {number: b"%d;" % number * 3 for number in range(300)}


def echo_query(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    for _ in range(3):
        yield environ["QUERY_STRING"].encode() + b";"
