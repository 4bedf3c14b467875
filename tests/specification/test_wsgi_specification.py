"""What a WSGI application is called with: PEP 3333, and "WSGI Compatibility" of ASGI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.util import request_uri
from wsgiref.validate import validator

import pytest
from wsgi_stage import WSGISite, WSGIStages

from helpers.clients import open_socket
from helpers.serving import PATIENCE, Inbox, Loops, Records, eventually
from helpers.site import Certificate, Serving
from helpers.wsgi import TEXT, hello
from tricorn.asgi.interface import adapt
from tricorn.config import Config

Environ = dict[str, Any]


@pytest.fixture(scope="module")
def wsgi_stages(loops: Loops, certificate: Certificate) -> Iterator[WSGIStages]:
    stages = WSGIStages(loops, certificate)
    with stages.stack:
        yield stages


@pytest.fixture
def wsgi(serving: Serving, wsgi_stages: WSGIStages) -> WSGISite:
    return WSGISite(serving, wsgi_stages)


class Teller:
    """Tells every environ, and what there was to read."""

    def __init__(self) -> None:
        self.environs = Inbox()

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        self.environs.put(environ)
        start_response("200 OK", TEXT)
        return [b"hello"]


def test_arguments(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "Specification Details": the application is called once for each request,
    with two positional arguments: a builtin dict, which it may change, and a callable."""
    seen = Inbox()

    def app(*arguments: Any, **more: Any) -> list[bytes]:
        environ, start_response = arguments
        seen.put((type(environ), more, "mine" in environ, environ.pop("PATH_INFO")))
        environ["mine"] = environ["wsgi.version"] = None
        start_response("200 OK", TEXT)
        return [b"x"]

    client = wsgi.open(app, protocol, validate=False)
    for path in ("/a", "/b"):
        assert client.get(path).complete
        assert seen.take() == (dict, {}, False, path)
    assert seen.empty()


@pytest.mark.parametrize("kind", ["list", "tuple", "generator", "iterable", "iterator", "old"])
def test_kinds_of_iterables(wsgi: WSGISite, kind: str) -> None:
    """must, PEP 3333 "The Application/Framework Side": what is returned may be any iterable of
    bytes."""
    pieces = [b"one ", b"", b"two"]

    class Iterable:
        def __iter__(self) -> Iterator[bytes]:
            return iter(pieces)

    class Old:
        def __getitem__(self, index: int) -> bytes:
            return pieces[index]

    kinds: dict[str, Any] = {
        "list": pieces, "tuple": tuple(pieces), "generator": (piece for piece in pieces),
        "iterable": Iterable(), "iterator": iter(pieces), "old": Old(),
    }  # fmt: skip

    def app(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        return kinds[kind]

    response = wsgi.open(app, validate=False).get("/")
    assert (response.text, response.complete) == ("one two", True)


# environ


def test_keys_of_the_environ(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "environ Variables": every variable that CGI wants of a server is there, a
    str; SERVER_NAME and SERVER_PORT are not empty.

    must, PEP 3333 "Unicode Issues": the strings are of type str, and hold code points of
    latin-1 only."""
    app = Teller()
    client = wsgi.open(app, protocol)
    fields = [(b"content-type", b"a/b"), (b"x-a", b"\xe9"), (b"accept", b"c/d")]
    stream = client.start("POST", "/%C3%A9?q=%20%C3", fields, b"12345")
    assert client.response(stream).complete
    environ = app.environs.take()
    host, port = wsgi.served.address
    expected = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/\xc3\xa9",
        "QUERY_STRING": "q=%20%C3", "CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "5",
        "SERVER_NAME": host, "SERVER_PORT": str(port), "HTTP_HOST": "localhost",
        "SERVER_PROTOCOL": "HTTP/2.0" if protocol == "h2" else "HTTP/1.1",
        "HTTP_X_A": "\xe9", "HTTP_ACCEPT": "c/d", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    assert environ | expected == environ
    assert not {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"} & environ.keys()
    for key, value in environ.items():
        assert type(key) is str
        if "." not in key:
            assert type(value) is str
            value.encode("latin-1")


def test_wsgi_keys(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "environ Variables": wsgi.version is the tuple (1, 0), wsgi.url_scheme the
    scheme of the URL.

    must, PEP 3333 "environ Variables": wsgi.multithread is true, since the application is called
    in several threads; wsgi.run_once is false, and so is wsgi.multiprocess with one process."""
    app = Teller()
    wsgi.open(app, protocol).get("/")
    environ = app.environs.take()
    assert environ["wsgi.version"] == (1, 0)
    assert type(environ["wsgi.version"]) is tuple
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"]
    assert not environ["wsgi.multiprocess"]
    assert not environ["wsgi.run_once"]


@pytest.mark.parametrize("several", [False, True])
def test_several_processes_are_told(serving: Serving, several: bool) -> None:
    """must, PEP 3333 "environ Variables": wsgi.multiprocess is true where other processes may run
    the application."""
    app = Teller()
    adapted = adapt(app, "wsgi", Config(), multiprocess=several)
    served = serving(adapted, lifespan="on", workers=4)  # which are for a supervisor to start
    serving.connect(served, "http/1.1").get("/")
    assert app.environs.take()["wsgi.multiprocess"] is several


def test_tls_variables(wsgi: WSGISite, serving: Serving) -> None:
    """should, PEP 3333 "environ Variables": over TLS the variables of Apache's mod_ssl that
    apply are there: HTTPS is on and SSL_PROTOCOL the version; in cleartext there are none."""
    app = Teller()
    names = ("HTTPS", "SSL_PROTOCOL", "wsgi.url_scheme")
    wsgi.open(app).get("/", [(b"https", b"on")])
    environ = app.environs.take()
    assert [environ.get(name) for name in names] == [None, None, "http"]
    served = serving(validator(app), interface="wsgi", tls=True)
    serving.connect(served).get("/")
    environ = app.environs.take()
    assert [environ.get(name) for name in names] == ["on", "TLSv1.3", "https"]


@pytest.mark.parametrize(
    "target", ["/", "/a/b", "/?q=1", "/caf%C3%A9/%20?q=%C3%A9&r", "//a//b", "/%25?%"]
)
def test_url_reconstruction(wsgi: WSGISite, protocol: str, target: str) -> None:
    """must, PEP 3333 "URL Reconstruction": the algorithm given there yields the URL that the
    client has asked for."""
    app = Teller()
    wsgi.open(app, protocol).get(target)
    assert request_uri(app.environs.take()) == f"http://localhost{target}"


def test_mapping_of_the_scope(serving: Serving, protocol: str) -> None:
    """must, WSGI "WSGI Compatibility": the environ's keys are those of the HTTP scope, as the
    specification maps them: SCRIPT_NAME is root_path, PATH_INFO what follows it in path."""
    app = Teller()
    served = serving(validator(app), interface="wsgi", root_path="/shop")
    client = serving.connect(served, protocol)
    client.response(client.start("PUT", "/shop/a?q=1", [(b"content-type", b"a/b")], b"abc"))
    environ = app.environs.take()
    scope = environ["asgi.scope"]
    assert environ["REQUEST_METHOD"] == scope["method"] == "PUT"
    assert environ["SCRIPT_NAME"] == scope["root_path"] == "/shop"
    assert environ["SCRIPT_NAME"] + environ["PATH_INFO"] == scope["path"]
    assert environ["QUERY_STRING"].encode() == scope["query_string"]
    assert environ["CONTENT_TYPE"].encode() == dict(scope["headers"])[b"content-type"]
    assert (environ["SERVER_NAME"], int(environ["SERVER_PORT"])) == scope["server"]
    assert (environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])) == scope["client"]
    assert environ["SERVER_PROTOCOL"].startswith(f"HTTP/{scope['http_version']}")
    assert environ["wsgi.url_scheme"] == scope["scheme"] == "http"


# wsgi.input and wsgi.errors


def test_end_of_the_input(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "Input and Error Streams": the input ends where the body ends, with or
    without a Content-Length; reading on gives nothing."""
    found = Inbox()

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        stream = environ["wsgi.input"]
        found.put([stream.read(2), stream.read(100), stream.read(1), stream.readline()])
        start_response("200 OK", TEXT)
        return [b"x"]

    client = wsgi.open(app, protocol)
    client.response(client.start("POST", body=b"body"))
    assert found.take() == [b"bo", b"dy", b"", b""]
    stream = client.start("POST", body=b"bo", more=True)
    client.send(stream, b"dy", more=False)
    client.response(stream)
    assert found.take() == [b"bo", b"dy", b"", b""]
    client.get("/")
    assert found.take() == [b""] * 4


def test_methods_of_the_input(wsgi: WSGISite) -> None:
    """must, PEP 3333 "Input and Error Streams": read, readline, readlines and iteration work,
    with and without their arguments."""
    found = Inbox()

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        stream = environ["wsgi.input"]
        path = environ["PATH_INFO"]
        if path == "/read":
            found.put([stream.read(1), stream.read(0), stream.read(), stream.read()])
        elif path == "/line":
            found.put([stream.readline(1), stream.readline(), *stream.readlines(1), stream.read()])
        else:
            found.put([next(iter(stream)), *stream.readlines()])
        start_response("200 OK", TEXT)
        return [b"x"]

    client = wsgi.open(app, validate=False)
    for path, expected in {
        "/read": [b"a", b"", b"b\nc\nd", b""],
        "/line": [b"a", b"b\n", b"c\n", b"d"],
        "/lines": [b"ab\n", b"c\n", b"d"],
    }.items():
        client.response(client.start("POST", path, body=b"ab\nc\nd"))
        assert found.take() == expected


def test_input_that_is_not_read(wsgi: WSGISite, protocol: str) -> None:
    """must, PEP 3333 "Input and Error Streams": an application need not read its input; the next
    request is whole all the same."""
    client = wsgi.open(hello, protocol)
    for _ in range(2):
        # A longer one that is still on its way behind the answer costs its connection.
        response = client.response(client.start("POST", body=b"x" * 60_000))
        assert (response.text, response.complete) == ("hello", True)


def test_error_stream(wsgi: WSGISite, records: Records) -> None:
    """must, PEP 3333 "Input and Error Streams": wsgi.errors takes text by write and writelines,
    and has flush; what is written is in the server's log."""
    records.expect("trouble")

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        errors = environ["wsgi.errors"]
        errors.write("trouble: \u20ac\n")
        errors.writelines(["trouble ", "again\n"])
        errors.flush()
        start_response("200 OK", TEXT)
        return [b"x"]

    assert wsgi.open(app).get("/").complete
    assert records.messages(level=40) == ["trouble: \u20ac", "trouble again"]


def test_expect_continue(wsgi: WSGISite) -> None:
    """must, PEP 3333 "HTTP 1.1 Expect/Continue": a request that expects it is told 100 Continue
    before its body is waited for; one of HTTP/1.0 is not."""

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read(4)]

    wsgi.serve(app)
    head = b"POST / HTTP/1.%d\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    with open_socket(wsgi.served.address) as sock:
        sock.sendall(head % 1)
        with sock.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert answer.readline() == b"\r\n"
            sock.sendall(b"body")
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
    with open_socket(wsgi.served.address) as sock:
        sock.sendall(head % 0 + b"body")
        answered = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answered.endswith(b"\r\n\r\nbody")


# Threads


def test_threads(wsgi: WSGISite, protocol: str) -> None:
    """must, WSGI "WSGI Compatibility": applications run in a pool of threads, not in that of the
    event loop.

    must, PEP 3333 "Thread Support": with wsgi.multithread true, requests run at the same time,
    those of one HTTP/2 connection included."""
    both = threading.Barrier(2, timeout=PATIENCE)
    threads = Inbox()

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        threads.put(threading.get_ident())
        both.wait()
        start_response("200 OK", TEXT)
        return [b"met"]

    loop = wsgi.serving.portal.call(threading.get_ident)
    first = wsgi.open(app, protocol)
    second = first if protocol == "h2" else wsgi.connect()
    streams = [first.start(), second.start()]
    assert first.response(streams[0]).text == "met"
    assert second.response(streams[1]).text == "met"
    assert len({threads.take(), threads.take(), loop}) == 3


def test_an_application_that_raises(wsgi: WSGISite, records: Records, protocol: str) -> None:
    """must, PEP 3333 "Error Handling": where the application raises before its headers have been
    sent, the client gets an error page and the log the traceback; the next request is served."""
    records.expect("application failed")

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/broken":
            start_response("200 OK", TEXT)
            raise KeyError("no database")
        return hello(environ, start_response)

    client = wsgi.open(app, protocol)
    response = client.get("/broken")
    assert (response.status, response.complete) == (500, True)
    assert "database" not in response.text
    assert client.get("/").text == "hello"
    eventually(lambda: [r for r in records.records if r.exc_info], "the traceback")
