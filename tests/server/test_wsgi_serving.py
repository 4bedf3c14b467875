"""Responses of WSGI applications: each rule of PEP 3333, on every backend."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from helpers.serving import Records, eventually
from helpers.site import Serving, Site
from helpers.websocket import WebSocketClient
from helpers.wsgi import TEXT, Open, failing, has, hello
from tricorn.asgi import wsgi_response

MIB = 2**20


@pytest.fixture
def wsgi(serving: Serving) -> Open:
    return Open(serving)


def test_one_element_gets_its_length(plain: Site) -> None:
    client = plain.open(hello)
    for _ in range(3):
        response = client.get("/")
        assert (response.status, response.text) == (200, "hello")
        assert response.header(b"content-length") == b"5"


@pytest.mark.parametrize("close", [False, True])
def test_no_other_content_gets_a_length_by_chance(wsgi: Open, close: bool) -> None:
    """Not even what ends at once (PEP 3333: the length is known of one element only)."""

    class Closing(list[bytes]):
        def close(self) -> None:
            pass

    kind = Closing if close else list
    contents = {
        "/generator": lambda: (piece for piece in [b"hello"]),
        "/generators": lambda: (piece for piece in [b"he", b"", b"llo"]),
        "/list": lambda: kind([b"he", b"llo"]),
        "/write": lambda: kind(),
        "/one": lambda: kind([b"hello"]),
        "/none": lambda: iter([]),
    }

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        write = start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/write":
            write(b"hello")
        return contents[environ["PATH_INFO"]]()

    client = wsgi(app, validate=False)
    lengths = {"/one": b"5", "/none": b"0"}
    for _ in range(20):
        for path in contents:
            response = client.get(path)
            assert response.text == ("" if path == "/none" else "hello")
            assert response.header(b"content-length") == lengths.get(path)


def test_the_peer_does_not_wait_behind_the_last_byte(plain: Site) -> None:
    """Where the application has told the length, the response is whole with it."""
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        yield b"he"
        yield b"llo"
        gate.wait(10)
        yield b""

    client = plain.open(validator(app), interface="wsgi")
    response = client.get("/")
    assert (response.complete, response.text) == (True, "hello")
    gate.set()


def test_head(plain: Site) -> None:
    client = plain.open(hello)
    response = client.response(client.start("HEAD"))
    assert (response.status, response.text) == (200, "")
    assert response.header(b"content-length") == b"5"
    assert client.get("/").text == "hello"


@pytest.mark.parametrize("content", [[], (), [b""], [b"", b""]])
def test_no_content_still_sends_the_head(wsgi: Open, content: Any) -> None:
    """Also where the iterable is empty (Hypercorn issue 331)."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("201 Created", [*TEXT, ("X-Made", "yes")])
        return content

    response = wsgi(app).get("/")
    assert (response.status, response.text, response.complete) == (201, "", True)
    assert response.header(b"x-made") == b"yes"


def test_204_has_no_length(wsgi: Open) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("204 No Content", [])
        return []

    response = wsgi(app).get("/")
    assert (response.status, response.header(b"content-length")) == (204, None)


def test_start_response_may_be_called_while_the_content_is_made(wsgi: Open) -> None:
    """Also behind empty pieces (Hypercorn issue 331)."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        yield b""
        yield b""
        start_response("202 Accepted", TEXT)
        yield b""
        yield b"hello"

    # The validator wants start_response before the first piece, which PEP 3333 does not.
    response = wsgi(app, validate=False).get("/")
    assert (response.status, response.text) == (202, "hello")


def test_head_waits_for_content(wsgi: Open) -> None:
    """Empty pieces do not send it: it may still be replaced (Hypercorn issue 331)."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("X-First", "yes")])
        yield b""
        yield b""
        try:
            raise KeyError("too late?")
        except KeyError:
            start_response("500 Oops", [*TEXT, ("X-Second", "yes")], sys.exc_info())
        yield b"sorry"

    response = wsgi(app).get("/")
    assert (response.status, response.text) == (500, "sorry")
    assert response.header(b"x-first") is None
    assert response.header(b"x-second") == b"yes"


def test_exc_info_is_raised_where_the_head_is_sent(plain: Site, records: Records) -> None:
    """``start_response`` itself raises it (Hypercorn issue 331)."""
    records.expect("application failed")
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"half"
        gate.wait(10)
        try:
            raise KeyError("too late")
        except KeyError:
            start_response("500 Oops", TEXT, sys.exc_info())
        yield b"never"

    client = plain.open(validator(app), interface="wsgi")
    stream = client.start()
    client.response(stream, has(b"half"))
    gate.set()
    response = client.response(stream)
    assert response.cut
    assert response.text == "half"
    (record,) = [record for record in records.records if record.exc_info]
    assert isinstance(record.exc_info[1], KeyError)  # type: ignore[index]


def test_start_response_twice_is_an_error(wsgi: Open, records: Records) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return [b"never"]

    assert "again without exc_info" in failing(wsgi, records, app)


@pytest.mark.parametrize("content", [[b"x"], [b""], []])
def test_no_start_response_is_an_error(wsgi: Open, records: Records, content: Any) -> None:
    words = failing(wsgi, records, lambda environ, start_response: content)
    assert words == "the application did not call start_response"


@pytest.mark.parametrize("name", ["Proxy-Authenticate", "transfer-encoding", "Upgrade", "Trailer"])
def test_hop_by_hop_fields_are_an_error(wsgi: Open, records: Records, name: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [*TEXT, (name, "x")])
        return [b"never"]

    assert f"{name!r} is hop-by-hop" in failing(wsgi, records, app)


@pytest.mark.parametrize("name", ["Connection", "keep-alive"])
def test_fields_that_recipes_for_event_streams_have_are_left_out(
    wsgi: Open, records: Records, name: str
) -> None:
    wsgi_response._field_name.cache_clear()
    records.expect("is left out")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [*TEXT, (name, "keep-alive")])
        return [b"served"]

    client = wsgi(app, validate=False)
    for _ in range(2):
        response = client.get("/")
        assert (response.status, response.text) == (200, "served")
        assert (name.lower().encode(), b"keep-alive") not in response.headers
    assert len([text for text in records.messages() if name in text]) == 1


def test_a_field_that_would_split_the_response_is_an_error(wsgi: Open, records: Records) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [*TEXT, ("X-Name", "a\r\nSet-Cookie: b")])
        return [b"never"]

    assert "x-name" in failing(wsgi, records, app).lower()


def test_an_exception_before_the_head_is_a_500(wsgi: Open, records: Records) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b""
        raise RuntimeError("no database")

    assert failing(wsgi, records, app, validate=True) == "no database"


def test_system_exit_does_not_end_the_server(wsgi: Open, records: Records) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        raise SystemExit("gone")

    assert failing(wsgi, records, app) == "gone"


def test_write(plain: Site) -> None:
    """What is written goes at once, before what is returned."""
    gate = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"one ")
        gate.wait(10)
        write(b"two ")
        return [b"three"]

    client = plain.open(validator(app), interface="wsgi")
    stream = client.start()
    client.response(stream, has(b"one "))
    gate.set()
    assert client.response(stream).text == "one two three"


def test_pieces_go_as_they_are_made(plain: Site) -> None:
    gates = [threading.Event() for _ in range(3)]

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for number, gate in enumerate(gates):
            yield b"piece %d;" % number
            gate.wait(10)

    client = plain.open(validator(app), interface="wsgi")
    stream = client.start()
    for number, gate in enumerate(gates):
        client.response(stream, has(b"piece %d;" % number))
        gate.set()
    response = client.response(stream)
    assert response.complete
    assert response.text == "piece 0;piece 1;piece 2;"


def test_content_of_many_kinds_arrives_whole(wsgi: Open) -> None:
    data = bytes(range(256)) * 3000

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for at in range(0, 1000):
            yield data[at : at + 1]
        yield data[1000:300_000]
        yield b""
        for at in range(300_000, len(data), 7000):
            yield data[at : at + 7000]

    assert bytes(wsgi(app).get("/").body) == data


@pytest.mark.parametrize(("length", "cut"), [("5", True), ("3", False)])
def test_content_unlike_its_length_is_an_error(
    wsgi: Open, records: Records, length: str, cut: bool
) -> None:
    records.expect("application failed")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", length)])
        return [b"four"]

    response = wsgi(app).get("/")
    assert b"four"[: int(length)].startswith(response.body)
    assert response.cut is cut
    eventually(lambda: len(records.messages(level=40)) == 1, "the log's line")


def test_content_behind_its_length_is_an_error(wsgi: Open, records: Records) -> None:
    records.expect("application failed")

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [*TEXT, ("Content-Length", "3")])
        yield b"one"
        yield b"two"

    response = wsgi(app).get("/")
    assert (response.complete, response.text) == (True, "one")
    eventually(lambda: len(records.messages(level=40)) == 1, "the log's line")
    assert "longer than its content-length" in str(records.records[-1].exc_info)


@pytest.mark.parametrize("tls", [False, True])
def test_file_wrapper(plain: Site, tmp_path: Path, tls: bool) -> None:
    data = bytes(range(256)) * 2000
    (tmp_path / "data").write_bytes(data)
    kinds: dict[str, Callable[[], Any]] = {
        "/real": lambda: open(tmp_path / "data", "rb"),  # noqa: SIM115 (the server closes it)
        "/memory": lambda: io.BytesIO(data),
    }
    files: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        file = kinds[environ["PATH_INFO"]]()
        files.append(file)
        file.seek(100)
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](file, 4096)

    plain.tls = tls
    client = plain.open(app)
    for path in kinds:
        response = client.get(path)
        assert response.complete
        assert bytes(response.body) == data[100:]
        eventually(lambda: files[-1].closed)
    response = client.get("/real")
    assert response.header(b"content-length") == b"%d" % (len(data) - 100)
    response = client.response(client.start("HEAD", "/real"))
    assert (bytes(response.body), response.status) == (b"", 200)
    assert client.get("/memory").complete


def test_errors_go_to_the_log(wsgi: Open, records: Records) -> None:
    records.expect("trouble", "half a line")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        errors = environ["wsgi.errors"]
        errors.write("trouble: ")
        errors.write("one\n")
        errors.writelines(["trouble: two\n", "half "])
        errors.write("a line")
        errors.flush()
        errors.write("trouble: at the end")
        start_response("200 OK", TEXT)
        return [b"x"]

    assert wsgi(app).get("/").complete
    expected = ["trouble: one", "trouble: two", "half a line", "trouble: at the end"]
    eventually(lambda: records.messages(level=40) == expected)


def test_websocket_is_refused(plain: Site) -> None:
    plain.serve(hello)
    websocket = WebSocketClient(plain.connect())
    websocket.handshake()
    assert websocket.status == 403


def test_lifespan_on(serving: Serving) -> None:
    served = serving(hello, lifespan="on")
    assert serving.connect(served).get("/").text == "hello"
    served.stop()
    served.wait()
