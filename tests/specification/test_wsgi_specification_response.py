"""start_response, write, the content and its end, files: PEP 3333."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wsgi_stage import WSGISite, WSGIStages

from helpers.clients import Client, open_socket
from helpers.serving import PATIENCE, Inbox, Loops, Records, eventually
from helpers.site import Certificate, Serving
from helpers.wsgi import TEXT, App, has

Environ = dict[str, Any]
CONTENT = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def wsgi_stages(loops: Loops, certificate: Certificate) -> Iterator[WSGIStages]:
    stages = WSGIStages(loops, certificate)
    with stages.stack:
        yield stages


@pytest.fixture
def wsgi(serving: Serving, wsgi_stages: WSGIStages) -> WSGISite:
    return WSGISite(serving, wsgi_stages)


def answering(content: Any, *fields: tuple[str, str], status: str = "200 OK") -> App:
    """An application that answers everything so; content may be a callable that makes it."""

    def app(environ: Environ, start_response: Any) -> Any:
        start_response(status, [*TEXT, *fields])
        return content() if callable(content) else content

    return app


# start_response


def test_status_and_fields(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "The start_response() Callable": the response has the status and the
    fields that are given, repeated ones each by itself and in order.

    must, PEP 3333 "The start_response() Callable": fields that the application leaves out and
    HTTP wants are added: Date and Server, if it gives none itself."""
    cookies = [("Set-Cookie", "b=1"), ("set-cookie", "a=2, c"), ("X-Latin", "\xe9")]
    client = wsgi.open(answering([b"x"], *cookies, status="404 Gone Fishing"), protocol)
    response = client.get("/")
    assert response.status == 404
    assert [value for name, value in response.headers if name == b"set-cookie"] == [
        b"b=1",
        b"a=2, c",
    ]
    assert response.header(b"x-latin") == b"\xe9"
    assert response.header(b"date")
    assert response.header(b"server")
    client = wsgi.open(answering([b"x"], ("DATE", "today"), ("Server", "mine")), protocol)
    response = client.get("/")
    assert (response.header(b"date"), response.header(b"server")) == (b"today", b"mine")


def test_the_head_waits_for_content(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "The start_response() Callable": headers are not sent before there is
    content that is not empty, or the end: until then exc_info replaces them.

    must, PEP 3333 "The start_response() Callable": behind that, start_response raises the
    exception that it is given."""
    raised = Inbox()

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("X-First", "1")])
        yield b""
        for status in ("500 First", "500 Second"):
            try:
                try:
                    raise KeyError("own")
                except KeyError:
                    start_response(status, [*TEXT, ("X-Second", "1")], sys.exc_info())
            except KeyError as exc:
                raised.put(exc.args)
            yield b"sorry"

    response = wsgi.open(app, protocol, validate=False).get("/")
    assert (response.status, response.text) == (500, "sorrysorry")
    assert (response.header(b"x-first"), response.header(b"x-second")) == (None, b"1")
    assert raised.take() == ("own",)
    assert raised.empty()


def twice(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


@pytest.mark.parametrize(
    "app",
    [
        twice,
        answering([b"x"], status="200 OK\r\nX-A: 1"),
        answering([b"x"], status="OK"),
        answering([b"x"], ("X-A", "a\r\nX-B: c")),
        answering([b"x"], ("X-A", "\u20ac")),
        answering([b"x"], ("Upgrade", "x")),
        answering([b"x"], ("Transfer-Encoding", "chunked")),
        answering(["text"]),
        answering([5]),
        lambda environ, start_response: [b"no start_response"],
    ],
    ids=[
        "twice", "status line", "no status", "control", "not latin-1", "hop-by-hop", "encoding",
        "str", "int", "none",
    ],
)  # fmt: skip
def test_what_is_an_error(wsgi: WSGISite, records: Records, app: App) -> None:
    """must, PEP 3333 "The start_response() Callable": a second call without exc_info is an
    error, and so is content without a call.

    must, PEP 3333 "Other HTTP Features": a hop-by-hop field that the server does not decide
    on anyway is an error.

    should, PEP 3333 "The start_response() Callable": a status or field that is malformed, or not
    of latin-1, is an error while it is the application's.

    should, PEP 3333 "Unicode Issues": content that is no bytes is an error."""
    records.expect("application failed")
    response = wsgi.open(app, validate=False).get("/")
    assert (response.status, response.complete) == (500, True)
    eventually(lambda: [r for r in records.records if r.exc_info], "the traceback")


# Content


def test_length_of_the_content(wsgi: WSGISite, protocol: str) -> None:
    """optional, PEP 3333 "Handling the Content-Length Header": where the iterable has one
    element, the server adds the length of that.

    must, PEP 3333 "Handling the Content-Length Header": without a length the content goes in
    chunks over HTTP/1.1, and the connection is kept."""
    client = wsgi.open(answering([b"hello"]), protocol, validate=False)
    assert client.get("/").header(b"content-length") == b"5"
    wsgi.serve(answering(lambda: iter([b"hel", b"lo"])))
    for _ in range(2):
        response = client.get("/")
        assert (response.text, response.complete) == ("hello", True)
        assert response.header(b"content-length") is None
        chunked = None if protocol == "h2" else b"chunked"
        assert response.header(b"transfer-encoding") == chunked


def test_length_over_http_1_0(wsgi: WSGISite) -> None:
    """must, PEP 3333 "Handling the Content-Length Header": over HTTP/1.0 the end of content of
    unknown length is that of the connection."""
    wsgi.serve(answering(lambda: iter([b"hel", b"lo"])))
    with open_socket(wsgi.served.address) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, content = answer.partition(b"\r\n\r\n")
    assert content == b"hello"
    assert b"chunked" not in head.lower()


def test_more_content_than_the_length(wsgi: WSGISite, records: Records, protocol: str) -> None:
    """must, PEP 3333 "Handling the Content-Length Header": no more is sent than the length that
    the application has told, and content beyond it is an error."""
    records.expect("application failed")
    length = ("Content-Length", "3")
    client = wsgi.open(answering(lambda: iter([b"hel", b"lo"]), length), protocol)
    response = client.get("/")
    assert response.text == "hel"
    eventually(lambda: [r for r in records.records if r.exc_info], "the error")


def test_pieces_are_not_held_back(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "Buffering and Streaming": each piece is on its way before the next one is
    asked for."""
    gate = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"one "
        gate.wait(PATIENCE)
        yield b"two"

    client = wsgi.open(answering(pieces), protocol)
    stream = client.start()
    client.response(stream, has(b"one "))
    gate.set()
    assert client.response(stream).text == "one two"


def test_write(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "The write() Callable": start_response returns a callable that sends bytes,
    before what the application returns, and without waiting for that."""
    gate = threading.Event()

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"")
        write(b"one ")
        gate.wait(PATIENCE)
        write(b"two ")
        return [b"three"]

    client = wsgi.open(app, protocol)
    stream = client.start()
    client.response(stream, has(b"one "))
    gate.set()
    assert client.response(stream).text == "one two three"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_responses_without_content(wsgi: WSGISite, protocol: str, status: str) -> None:
    """must, PEP 3333 "Other HTTP Features": a response that has no content by its status or
    method gets none."""
    client = wsgi.open(answering([], status=status), protocol, validate=False)
    response = client.get("/")
    assert (response.status, response.complete) == (int(status[:3]), True)
    assert response.body == b""
    wsgi.serve(answering([b"hello"]), validate=False)
    response = client.response(client.start("HEAD"))
    assert (bytes(response.body), response.complete) == (b"", True)
    assert response.header(b"content-length") == b"5"


# close


class Closing:
    """An iterable that tells of its close."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]]) -> None:
        self.pieces = pieces
        self.closed = Inbox()

    def __call__(self) -> Closing:
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces()

    def close(self) -> None:
        self.closed.put(True)


def endless() -> Iterator[bytes]:
    """Content without an end."""
    while True:
        yield CONTENT


def failing() -> Iterator[bytes]:
    """Content that ends with an error."""
    yield b"half"
    raise KeyError("no database")


def leave(client: Client) -> None:
    """Go while the content comes."""
    stream = client.start()
    client.response(stream, lambda r: len(r.body) > 0)
    client.leave(stream)


@pytest.mark.parametrize("end", ["complete", "HEAD", "error", "client"])
def test_close(wsgi: WSGISite, records: Records, protocol: str, end: str) -> None:
    """must, PEP 3333 "Specification Details": close of what the application has returned is
    called when the request is over, once: where it is complete, where it ends with an error, and
    where the client has gone."""
    records.expect("application failed")
    made = {"error": failing, "client": endless}.get(end, lambda: iter([b"a", b"b"]))
    content = Closing(made)
    client = wsgi.open(answering(content), protocol, validate=False)
    if end == "client":
        leave(client)
    else:
        client.response(client.start("HEAD" if end == "HEAD" else "GET"))
    assert content.closed.take()
    if end == "error":
        eventually(lambda: [r for r in records.records if r.exc_info], "the traceback")
    assert content.closed.empty()


# wsgi.file_wrapper


class Blocks:
    """What PEP 3333 wants of a file-like object at least."""

    def __init__(self, file: io.BufferedReader | io.BytesIO) -> None:
        self._file = file
        self.sizes: list[int] = []

    def read(self, size: int) -> bytes:
        self.sizes.append(size)
        return self._file.read(size)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ``CONTENT``."""
    path = tmp_path_factory.mktemp("files") / "data.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("kind", ["file", "memory", "read only"])
@pytest.mark.parametrize("length", [None, 5000])
def test_file_wrapper(
    wsgi: WSGISite, protocol: str, path: Path, kind: str, length: int | None
) -> None:
    """optional, PEP 3333 "Optional Platform-Specific File Handling": wsgi.file_wrapper makes of
    a file-like object, of which only read is wanted, the content of the response: from where the
    file stands to its end or the Content-Length.

    must, PEP 3333 "Optional Platform-Specific File Handling": close of the file is called when
    the request is over."""
    made: list[Any] = []

    def app(environ: Environ, start_response: Any) -> Any:
        file = path.open("rb") if kind == "file" else io.BytesIO(CONTENT)
        file.seek(100)
        made.append(file)
        fields = [*TEXT] if length is None else [*TEXT, ("Content-Length", str(length))]
        start_response("200 OK", fields)
        return environ["wsgi.file_wrapper"](Blocks(file) if kind == "read only" else file, 1000)

    client = wsgi.open(app, protocol, validate=False)
    for _ in range(2):
        response = client.get("/")
        assert response.complete
        assert bytes(response.body) == CONTENT[100 : None if length is None else 100 + length]
        if kind == "read only":
            made[-1].close()  # it has no close that the server could call
        eventually(lambda: made[-1].closed, "the close")


def test_file_wrapper_as_an_iterable(wsgi: WSGISite) -> None:
    """must, PEP 3333 "Optional Platform-Specific File Handling": what the wrapper returns is an
    iterable of blocks of the size that was given, for whoever uses it another way."""
    found = Inbox()

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        file = Blocks(io.BytesIO(b"one two three"))
        for block in environ["wsgi.file_wrapper"](file, 4):
            yield block.upper()
        found.put(set(file.sizes))
        default = environ["wsgi.file_wrapper"](io.BytesIO(b"!"))
        assert callable(default.close)
        yield from default

    assert wsgi.open(app, validate=False).get("/").text == "ONE TWO THREE!"
    assert found.take() == {4}
