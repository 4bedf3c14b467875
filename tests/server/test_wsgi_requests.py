"""What WSGI applications see of requests: environ and input, on every backend."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from helpers.serving import PATIENCE, Inbox, Records
from helpers.site import Serving, Site
from helpers.wsgi import TEXT, Open, has
from tricorn.asgi.wsgi import COLLECTED
from tricorn.exceptions import ClientDisconnected

MIB = 2**20
# What begins a body without a length that is not waited for to its end.
BEGINNING = b"x" * (COLLECTED + 1)


@pytest.fixture
def wsgi(serving: Serving) -> Open:
    return Open(serving)


def test_environ(plain: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]

    plain.serve(validator(app), interface="wsgi", root_path="/shop")
    client = plain.connect()
    fields = [
        (b"x-a", b"1"),
        (b"x-a", b"2"),
        (b"x_a", b"3"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"content-type", b"text/plain"),
    ]
    stream = client.start("POST", "/shop/caf%C3%A9?q=%20x", fields, b"12345")
    found = json.loads(client.response(stream).text)
    _, port = plain.served.address
    expected = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/caf\xc3\xa9",
        "QUERY_STRING": "q=%20x",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/2.0" if plain.http2 else "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(client.sock.getsockname()[1]),
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "HTTP_X_A": "1,2",
        "HTTP_COOKIE": "a=1; b=2",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
    }
    assert found | expected == found
    assert "HTTP_CONTENT_TYPE" not in found
    assert "HTTP_CONTENT_LENGTH" not in found


def test_no_credentials_below_keys_that_do_not_say_so(wsgi: Open) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        scope = environ["asgi.scope"]
        assert (b"authorization", b"Bearer s3cret") in scope["headers"]
        assert scope.get("type") == dict(scope)["type"] == "http"
        scope["mine"] = 1
        assert scope.pop("mine") == 1
        start_response("200 OK", TEXT)
        # Django hides values by their keys, in dicts below a key too, and prints all others.
        return [key.encode() + b"\n" for key, value in environ.items() if "s3cret" in repr(value)]

    fields = [(b"authorization", b"Bearer s3cret"), (b"cookie", b"sessionid=s3cret")]
    assert wsgi(app).get("/", fields).text.split() == ["HTTP_AUTHORIZATION", "HTTP_COOKIE"]


def test_environ_of_a_unix_socket(serving: Serving, tmp_path: Path) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return ["{SERVER_NAME}:{SERVER_PORT}<{REMOTE_ADDR}>".format(**environ).encode()]

    address = str(tmp_path / "socket")
    served = serving(validator(app), interface="wsgi", bind=f"unix:{address}")
    client = serving.connect(served, address=address)
    assert client.get("/").text == "localhost:80<>"
    served.stop()
    served.wait()


def test_tls_is_https(serving: Serving) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["wsgi.url_scheme"].encode()]

    served = serving(validator(app), tls=True, interface="wsgi")
    assert serving.connect(served, "h2").get("/").text == "https"


@pytest.mark.parametrize("chunked", [False, True])
def test_input_is_read_in_every_way(wsgi: Open, chunked: bool) -> None:
    found: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        found.extend((environ.get("CONTENT_LENGTH"), environ["wsgi.input_terminated"]))
        found.extend((body.read(3), body.readline(2), body.readline(), body.readline(100)))
        found.append(body.readlines(1))
        found.append(next(iter(body)))
        found.extend((body.read(1000), body.read(1), body.readline()))
        start_response("200 OK", TEXT)
        return [b"done"]

    client = wsgi(app)
    data = b"abcdef\nsecond\nthird\nfourth\nthe rest"
    if chunked:
        stream = client.start("POST", body=data[:10], more=True)
        client.send(stream, data[10:20])
        client.send(stream, data[20:], more=False)
    else:
        stream = client.start("POST", body=data)
    assert client.response(stream).text == "done"
    assert found == [
        *(str(len(data)), True),
        *(b"abc", b"de", b"f\n", b"second\n"),
        [b"third\n"],
        b"fourth\n",
        *(b"the rest", b"", b""),
    ]


def test_whole_input_without_a_length(wsgi: Open) -> None:
    """wsgi.input_terminated: ``read()`` ends where the body does."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()]

    client = wsgi(app, validate=False)
    data = bytes(range(256)) * 2000
    stream = client.start("POST", body=data[:1], more=True)
    client.send(stream, data[1:], more=False)
    assert client.response(stream).text == hashlib.sha256(data).hexdigest()


def test_no_input(plain: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [repr(environ["wsgi.input"].read(10)).encode()]

    client = plain.open(validator(app), interface="wsgi")
    assert client.get("/").text == "b''"


@pytest.mark.parametrize("length", [None, len(BEGINNING) + 6])
def test_input_is_streamed(plain: Site, length: int | None) -> None:
    """The application reads a first piece before the second is sent."""
    seen = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        seen.put(environ.get("CONTENT_LENGTH"))
        seen.put(len(body.read(len(BEGINNING))))
        while data := body.read(4):
            seen.put(data)
        start_response("200 OK", TEXT)
        return [b"done"]

    client = plain.open(validator(app), interface="wsgi")
    fields = [] if length is None else [(b"content-length", b"%d" % length)]
    stream = client.start("POST", "/", fields, BEGINNING, more=True)
    assert seen.take() == (None if length is None else str(length))
    assert seen.take() == len(BEGINNING)
    client.send(stream, b"abcd")
    assert seen.take() == b"abcd"
    client.send(stream, b"ef", more=False)
    assert client.response(stream).text == "done"
    assert seen.take() == b"ef"


def say_length(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer what CONTENT_LENGTH says and how much there is."""
    start_response("200 OK", TEXT)
    size = 0
    while data := environ["wsgi.input"].read(65536):
        size += len(data)
    assert "HTTP_TRANSFER_ENCODING" not in environ
    return [f"{environ.get('CONTENT_LENGTH')} {size}".encode()]


@pytest.mark.parametrize("size", [1, COLLECTED - 1, COLLECTED, COLLECTED + 1, 5 * COLLECTED])
def test_a_body_without_a_length_gets_one_up_to_64_kib(plain: Site, size: int) -> None:
    """However it comes: frameworks take a request without CONTENT_LENGTH for empty."""
    client = plain.open(validator(say_length), interface="wsgi")
    expected = f"{size if size <= COLLECTED else None} {size}"
    for first in {0, 1, size // 2, size}:
        stream = client.start("POST", body=b"x" * first, more=True)
        client.send(stream, b"x" * (size - first), more=False)
        assert client.response(stream).text == expected


def test_an_empty_body_without_a_length_has_none(plain: Site) -> None:
    client = plain.open(validator(say_length), interface="wsgi")
    stream = client.start("POST", more=True)
    client.send(stream, b"", more=False)
    assert client.response(stream).text == "None 0"
    assert client.get("/").text == "None 0"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_peer_that_waits_to_be_asked_is_asked(wsgi: Open, chunked: bool) -> None:
    """Expect: 100-continue (RFC 9110 section 10.1.1), before the application is called."""
    client = wsgi(say_length)
    fields = [(b"expect", b"100-continue")]
    if not chunked:
        fields.append((b"content-length", b"5"))
    stream = client.start("POST", "/", fields, more=True)
    response = client.response(stream, lambda seen: bool(seen.informational))
    assert [status for status, _ in response.informational] == [100]
    client.send(stream, b"hello", more=False)
    assert client.response(stream).text == "5 5"


def test_a_peer_that_leaves_a_body_half_sent_calls_nothing(plain: Site) -> None:
    called = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.put(environ["PATH_INFO"])
        start_response("200 OK", TEXT)
        return [b"x"]

    client = plain.open(app, wsgi_threads=1)
    for fields in ([], [(b"content-length", b"10")]):
        client = plain.connect()
        client.leave(client.start("POST", "/left", fields, b"half", more=True))
    assert plain.connect().get("/next").text == "x"
    assert called.take() == "/next"
    assert called.empty()


def test_a_body_that_stands_still_is_given_up(plain: Site, records: Records) -> None:
    """By ``read_timeout``, and no thread has waited for it."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise AssertionError("called")

    client = plain.open(app, read_timeout=0.1)
    response = client.response(client.start("POST", body=b"half", more=True))
    assert response.cut if plain.http2 else response.status == 408
    assert records.messages(level=40) == []


def test_a_body_that_stands_still_behind_the_response_frees_its_thread(
    plain: Site, records: Records
) -> None:
    raised = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        if environ["REQUEST_METHOD"] == "GET":
            yield b"another"
            return
        yield environ["wsgi.input"].read(len(BEGINNING))
        try:
            environ["wsgi.input"].read(1)
        except OSError as exc:
            raised.put(type(exc))
            raise

    client = plain.open(app, interface="wsgi", wsgi_threads=1, read_timeout=0.2)
    response = client.response(client.start("POST", body=BEGINNING, more=True))
    assert (response.status, len(response.body), response.cut) == (200, len(BEGINNING), True)
    assert raised.take() is ClientDisconnected
    assert plain.connect().get("/").text == "another"
    assert records.messages(level=40) == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"], indirect=True)
def test_large_upload_stays_on_the_wire_until_it_is_read(plain: Site) -> None:
    """Bounded memory: what is not read yet is not taken from the peer either."""
    total = 20 * MIB
    gate = threading.Event()
    seen = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        size = len(body.read(len(BEGINNING)))
        seen.put("reading")
        gate.wait(10)
        while data := body.read(65536):
            size += len(data)
        start_response("200 OK", TEXT)
        return [b"%d" % size]

    client = plain.open(validator(app), interface="wsgi")
    stream = client.start("POST", body=BEGINNING, more=True)
    assert seen.take() == "reading"
    taken = client.offer(stream, 64 * MIB)
    if plain.http2:
        assert taken <= 262144 + 16384  # one h2_stream_window_size
    else:
        assert taken < 40 * MIB  # what the kernel holds: far from everything
    gate.set()
    left = max(0, total - taken - len(BEGINNING))
    client.send(stream, b"x" * left, more=False)
    assert client.response(stream).text == str(len(BEGINNING) + taken + left)


def test_a_slow_peer_holds_no_thread(wsgi: Open, serving: Serving) -> None:
    called = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.put(environ["REQUEST_METHOD"])
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read(5)]

    served = serving(validator(app), interface="wsgi", wsgi_threads=1)
    slow = [serving.connect(served) for _ in range(3)]
    streams = [client.start("POST", headers=[(b"content-length", b"5")], more=True)
               for client in slow]  # fmt: skip
    quick = serving.connect(served)
    for _ in range(3):
        assert quick.get("/").status == 200
        assert called.take() == "GET"
    assert called.empty()
    for client, stream in zip(slow, streams, strict=True):
        client.send(stream, b"hello", more=False)
        assert client.response(stream).text == "hello"


def test_body_above_the_limit_is_refused_by_its_length(plain: Site) -> None:
    called: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append(environ["PATH_INFO"])
        start_response("200 OK", TEXT)
        return [b"%d" % len(environ["wsgi.input"].read(10_000))]

    client = plain.open(validator(app), interface="wsgi", wsgi_max_body_size=1000)
    stream = client.start("POST", "/fits", [(b"content-length", b"1000")], b"x" * 1000)
    assert client.response(stream).text == "1000"
    stream = client.start("POST", "/large", [(b"content-length", b"1001")], more=True)
    response = client.response(stream)
    assert (response.status, response.text) == (413, "Content Too Large")
    assert called == ["/fits"]


def test_body_that_grows_above_the_limit_is_refused(plain: Site, records: Records) -> None:
    seen = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"]
        seen.put(len(body.read(len(BEGINNING))))
        try:
            body.read(100_000)
        except OSError as exc:
            seen.put(exc)
            raise ValueError("as a framework reports it") from exc
        raise AssertionError("read beyond the limit")

    limit = len(BEGINNING) + 999
    client = plain.open(validator(app), interface="wsgi", wsgi_max_body_size=limit)
    stream = client.start("POST", body=BEGINNING, more=True)
    assert seen.take() == len(BEGINNING)
    client.send(stream, b"x" * 1000)
    response = client.response(stream)
    assert (response.status, response.text) == (413, "Content Too Large")
    assert f"above {limit} bytes" in str(seen.take())
    assert records.messages(level=30) == []  # the peer's doing, no failure of the application


@pytest.mark.parametrize("first", [11, 5])
def test_a_small_body_above_the_limit_is_refused_without_a_thread(wsgi: Open, first: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise AssertionError("called")

    client = wsgi(app, wsgi_max_body_size=10)
    stream = client.start("POST", body=b"x" * first, more=True)
    if first < 11:
        client.send(stream, b"x" * (11 - first))
    assert client.response(stream).status == 413


def test_growing_above_the_limit_cuts_a_response_that_has_begun(plain: Site) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"begun"
        environ["wsgi.input"].read(100_000)
        yield b"never"

    limit = len(BEGINNING) + 999
    client = plain.open(validator(app), interface="wsgi", wsgi_max_body_size=limit)
    stream = client.start("POST", body=BEGINNING, more=True)
    client.response(stream, has(b"begun"))
    client.send(stream, b"x" * 1000)
    response = client.response(stream)
    assert response.cut
    assert response.text == "begun"


def test_reading_from_a_peer_that_left_is_an_oserror(plain: Site) -> None:
    seen = Inbox()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.put(len(environ["wsgi.input"].read(len(BEGINNING))))
        try:
            environ["wsgi.input"].read(100)
        except OSError as exc:
            seen.put(exc)
            raise
        raise AssertionError("a body without an end ended")

    client = plain.open(validator(app), interface="wsgi")
    stream = client.start("POST", body=BEGINNING, more=True)
    assert seen.take() == len(BEGINNING)
    client.leave(stream)
    assert isinstance(seen.take(), ClientDisconnected)


def test_a_thread_of_the_application_s_gets_no_input_behind_the_request(wsgi: Open) -> None:
    """It is told so, and does not wait for ever."""
    found = Inbox()
    started, over = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        def read() -> None:
            body = environ["wsgi.input"]
            body.read(len(BEGINNING))
            started.set()
            over.wait(PATIENCE)
            try:
                body.read()
            except OSError as exc:
                found.put(exc)

        threading.Thread(target=read, daemon=True).start()
        assert started.wait(PATIENCE)
        start_response("202 Accepted", TEXT)
        return [b"later"]

    client = wsgi(app, validate=False)
    stream = client.start("POST", body=BEGINNING, more=True)
    assert client.response(stream, has(b"later")).status == 202
    over.set()
    assert isinstance(found.take(), OSError)
