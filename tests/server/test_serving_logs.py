"""What the running server logs: one line for each exchange, few about bad peers."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.apps import body, echo, hello, read_body, reply, start
from helpers.clients import HTTP2Client, open_socket
from helpers.codecs import present
from helpers.serving import Inbox, Records, eventually
from helpers.site import Serving, Site
from tricorn.types import Receive, Scope, Send

FORMAT = '%(h)s "%(r)s" %(s)s %(B)s'


def lines(records: Records, count: int) -> list[str]:
    """The access lines, once there are ``count``."""
    eventually(lambda: len(records.messages("tricorn.access")) >= count, f"{count} lines")
    return records.messages("tricorn.access")


def test_one_line_with_the_bytes_of_the_body(site: Site, records: Records) -> None:
    client = site.open(echo, accesslog="-", access_log_format=FORMAT)
    stream = client.start("POST", "/a?b=1", body=b"x" * 1234)
    assert client.response(stream).complete
    version = "2" if site.http2 else "1.1"
    assert lines(records, 1) == [f'127.0.0.1 "POST /a HTTP/{version}" 200 1234']
    assert client.get("/").complete
    assert len(lines(records, 2)) == 2


def test_request_fields_in_the_case_of_the_peer(serving: Serving, records: Records) -> None:
    """With h11_pass_raw_headers the scope has them as they came."""
    template = "%(u)s %(f)s %(a)s %({x-one}i)s"
    options = {"accesslog": "-", "access_log_format": template}
    served = serving(hello, h11_pass_raw_headers=True, **options)
    with open_socket(served.address) as sock:
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nUser-Agent: curl/8\r\n"
            b"Authorization: Basic YWxpY2U6c2VjcmV0\r\nX-One: 1\r\nConnection: close\r\n\r\n"
        )
        assert b"".join(iter(lambda: sock.recv(65536), b"")).startswith(b"HTTP/1.1 200 ")
    assert lines(records, 1) == ["alice http://r/ curl/8 1"]


def test_bytes_that_were_sent_before_the_peer_left(plain: Site, records: Records) -> None:
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"x" * 100, more=True)
        while (await receive())["type"] != "http.disconnect":
            pass
        await gate.wait()

    client = plain.open(app, accesslog="-", access_log_format=FORMAT)
    gate = plain.gate()
    stream = client.start()
    client.response(stream, lambda r: len(r.body) == 100)
    client.leave(stream)
    if not plain.http2:
        gate.open()
    (line,) = lines(records, 1)
    assert line.endswith(" 200 100")
    gate.open()


@pytest.mark.parametrize("accepts", [True, False])
def test_a_websocket_whose_peer_vanishes(site: Site, records: Records, accepts: bool) -> None:
    told = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if accepts:
            await send({"type": "websocket.accept"})
        told.put("there")
        while (await receive())["type"] != "websocket.disconnect":
            pass

    site.serve(app, accesslog="-", access_log_format="%(s)s %(disconnected)x %(close_code)x")
    client = site.websocket()
    assert told.take() == "there"
    if accepts:
        assert client.handshake() == 200
    client.leave()
    status = (200 if site.http2 else 101) if accepts else 499
    assert lines(records, 1) == [f"{status} True 1006"]


def test_failure_and_refusal_have_their_line(plain: Site, records: Records) -> None:
    records.expect("application failed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    client = plain.open(app, accesslog="-", access_log_format=FORMAT)
    assert client.get("/").status == 500
    (line,) = lines(records, 1)
    assert line.endswith(" 500 21")


def test_head_counts_no_body(plain: Site, records: Records) -> None:
    client = plain.open(hello, accesslog="-", access_log_format=FORMAT)
    client.response(client.start("HEAD"))
    (line,) = lines(records, 1)
    assert line.endswith(" 200 0")


def test_malformed_requests_share_one_line(serving: Serving, records: Records) -> None:
    served = serving(hello)
    for _ in range(5):
        with open_socket(served.address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 400 ")
    refused = [line for line in records.messages() if line.startswith("refused")]
    assert len(refused) == 1
    assert refused[0].endswith("from 127.0.0.1")
    # What was held back is counted at the end.
    served.stop()
    served.wait()
    refused = [line for line in records.messages() if line.startswith("refused")]
    assert len(refused) == 2
    assert "4 more" in refused[1]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n",
        b"GET http://%b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: %b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n",
        b"%b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n",
    ],
    ids=["Host", "target", "Content-Length", "Transfer-Encoding", "field", "request-line", "chunk"],
)
@pytest.mark.parametrize("codec", present("http1"))
def test_what_a_peer_sends_makes_neither_more_lines_nor_long_ones(
    serving: Serving, records: Records, codec: str, head: bytes
) -> None:
    served = serving(echo, http1_codec=codec)
    for number in range(3):
        with open_socket(served.address) as sock:
            sock.sendall(head % (b'"%d ' % number + b"'{" * 2000))
            while sock.recv(65536):
                pass
    refused = [line for line in records.messages() if line.startswith("refused")]
    assert len(refused) == 1
    assert len(refused[0]) < 400


@pytest.mark.parametrize("protocol", ["h2"])
@pytest.mark.parametrize(
    "name", [b":method", b":scheme", b":authority", b":path", b":protocol", b""]
)
def test_what_an_http2_peer_sends_makes_neither_more_lines_nor_long_ones(
    plain: Site, records: Records, name: bytes
) -> None:
    client = plain.open(hello)
    assert isinstance(client, HTTP2Client)
    for number in range(3):
        value = b"%d'\"{ " % number + b"x" * 2000
        head = {b":method": b"GET", b":scheme": b"http", b":authority": b"a", b":path": b"/"}
        if name == b":protocol":
            head[b":method"] = b"CONNECT"
        head |= {name: value} if name else {value: b"x"}
        client.response(client.start_raw(list(head.items())))
    refused = [line for line in records.messages() if line.startswith("refused")]
    assert len(refused) == 1
    assert len(refused[0]) < 400


@pytest.mark.parametrize("protocol", ["h2"])
def test_http2_connection_error_is_one_line(plain: Site, records: Records) -> None:
    client = plain.open(hello)
    assert isinstance(client, HTTP2Client)
    assert client.get("/").complete
    client.sock.sendall(b"\0\0\1\x06\0\0\0\0\0x")  # a PING of one byte
    client.until(lambda: client.closed)
    assert client.goaways[-1][1] == 6  # FRAME_SIZE_ERROR
    assert len([line for line in records.messages() if line.startswith("refused")]) == 1


def test_peers_that_come_and_go_are_not_logged(site: Site, records: Records) -> None:
    site.serve(hello)
    before = records.messages()
    for _ in range(3):
        site.connect().close()
    client = site.connect()
    assert client.get("/").complete
    client.close()
    assert site.connect().get("/").complete
    assert records.messages() == before


def test_application_failure_has_its_traceback(plain: Site, records: Records) -> None:
    records.expect("application failed: POST /a b")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("of the application")

    client = plain.open(app)
    assert client.response(client.start("POST", "/a%20b")).status == 500
    (record,) = [r for r in records.records if "application failed" in r.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError


def test_state_of_a_request_with_a_body_is_logged_once(plain: Site, records: Records) -> None:
    sizes = Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sizes.put(len(await read_body(receive)))
        await reply(send, b"done")

    client = plain.open(app, accesslog="-", access_log_format=FORMAT)
    assert client.response(client.start("POST", body=b"x" * 10)).complete
    assert sizes.take() == 10
    assert len(lines(records, 1)) == 1


def test_trailers_that_have_no_place_are_told_of_once(plain: Site, records: Records) -> None:
    records.expect("trailers of a response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = [] if scope["path"] == "/chunks" else [(b"content-length", b"1")]
        await start(send, 200, length, trailers=True)
        await body(send, b"x")
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"17")]})

    client = plain.open(app)
    te = [(b"te", b"trailers")]
    for path in ("/chunks", "/length", "/again"):
        sent = plain.http2 or path == "/chunks"
        assert client.get(path, te).trailers == ([(b"x-sum", b"17")] if sent else [])
        client.get(path)  # who takes none gets none
    told = [line for line in records.messages("tricorn.error") if "trailers" in line]
    one = "trailers of a response with Content-Length are not sent over HTTP/1.1 (GET /length)"
    assert told == ([] if plain.http2 else [one])
