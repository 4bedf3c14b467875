"""Responses become what each source takes, without losing a byte or a field."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from lambda_gateways import GATEWAYS, Answer, answer_of, event_for

from helpers.apps import body, reply, start
from helpers.serving import Records
from tricorn.serverless import LambdaHandler
from tricorn.serverless.exchange import MemoryConnection
from tricorn.types import ASGIApplication, Headers, Receive, Scope, Send

HandlerOf = Callable[..., LambdaHandler]
TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
BINARY = bytes(range(256))
# Six bytes of JSON for each.
WIDE = "\u0001"


def replying(
    data: bytes = b"", status: int = 200, headers: Sequence[tuple[bytes, bytes]] = TEXT
) -> ASGIApplication:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, data, status, headers)

    return app


def get(handler: LambdaHandler, gateway: str, method: str = "GET") -> Answer:
    return answer_of(gateway, handler(event_for(gateway, method), None))


@pytest.mark.parametrize("data", [b"", b"hello", "λ €".encode(), b'{"a": 1}'])
def test_text(handler_of: HandlerOf, gateway: str, data: bytes) -> None:
    raw = handler_of(replying(data))(event_for(gateway), None)
    assert raw["isBase64Encoded"] is False
    answer = answer_of(gateway, raw)
    assert (answer.status, answer.body) == (200, data)
    assert answer.values("content-type") == ["text/plain; charset=utf-8"]
    assert answer.values("content-length") == [str(len(data))]


BODIES: list[tuple[bytes, Headers, bool]] = [
    (BINARY, [(b"content-type", b"image/png")], True),
    (b"\x89PNG", [(b"content-type", b"image/png")], True),
    (b"ascii", [(b"content-type", b"application/octet-stream")], True),
    (gzip.compress(b"x"), [*TEXT, (b"content-encoding", b"gzip")], True),
    (b"x", [*TEXT, (b"content-encoding", b"identity")], False),
    (b"x", [*TEXT, (b"content-encoding", b"br")], True),
    (BINARY, TEXT, True),
    ("é".encode("latin-1"), [(b"content-type", b"text/plain; charset=latin-1")], True),
    (b"x", [(b"content-type", b'text/plain; charset="UTF-8"')], False),
    (b"<svg/>", [(b"content-type", b"image/svg+xml")], False),
    (b"{}", [(b"content-type", b"Application/Problem+JSON")], False),
    (b"x", [], False),
    (BINARY, [], True),
    (b"", [(b"content-type", b"image/png")], False),
]


def test_binary(handler_of: HandlerOf, gateway: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        data, headers, _ = BODIES[int(scope["query_string"].rstrip(b"="))]
        await reply(send, data, 200, headers)

    handler = handler_of(app)
    for number, (data, headers, is_base64) in enumerate(BODIES):
        raw = handler(event_for(gateway, target=f"/?{number}="), None)
        assert raw["isBase64Encoded"] is is_base64, headers
        assert answer_of(gateway, raw).body == data


def test_text_mime_types(handler_of: HandlerOf) -> None:
    app = replying(b"x", headers=[(b"content-type", b"application/x-note")])
    for types, is_base64 in (
        ((), True),
        (("application/x-note",), False),
        (("Application/",), False),
        (("+note",), True),
    ):
        raw = handler_of(app, text_mime_types=types)(event_for("rest-api"), None)
        assert raw["isBase64Encoded"] is is_base64, types


def test_repeated_fields_and_cookies(handler_of: HandlerOf, gateway: str) -> None:
    cookies = ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "c=3"]
    headers = [
        *TEXT,
        *((b"set-cookie", cookie.encode()) for cookie in cookies),
        (b"vary", b"accept"),
        (b"vary", b"origin"),
    ]
    answer = get(handler_of(replying(b"x", headers=headers)), gateway)
    assert sorted(answer.values("set-cookie")) == sorted(cookies)
    assert ",".join(answer.values("vary")).replace(" ", "") == "accept,origin"


def test_one_cookie_has_its_plain_name(handler_of: HandlerOf) -> None:
    app = replying(headers=[(b"set-cookie", b"a=1")])
    assert handler_of(app)(event_for("load-balancer"), None)["headers"]["set-cookie"] == "a=1"


def test_field_values_beyond_ascii(handler_of: HandlerOf, gateway: str) -> None:
    headers = [(b"x-utf8", "é".encode()), (b"x-latin", "é".encode("latin-1"))]
    answer = get(handler_of(replying(headers=headers)), gateway)
    assert (answer.values("x-utf8"), answer.values("x-latin")) == (["é"], ["é"])


def test_fields_of_connections_are_left_out(handler_of: HandlerOf, gateway: str) -> None:
    headers = [(b"connection", b"close"), (b"keep-alive", b"5"), (b"transfer-encoding", b"chunked")]
    answer = get(handler_of(replying(b"x", headers=headers)), gateway)
    assert not {"connection", "keep-alive", "transfer-encoding"} & {n for n, _ in answer.headers}


def test_excluded_fields(handler_of: HandlerOf, gateway: str) -> None:
    app = replying(b"x", headers=[*TEXT, (b"x-powered-by", b"us")])
    answer = get(handler_of(app, exclude_headers=["X-Powered-By"]), gateway)
    assert answer.values("x-powered-by") == []
    assert answer.values("content-type")


def test_fields_of_the_server_are_an_option(handler_of: HandlerOf, records: Records) -> None:
    records.expect('lifespan = "auto"')
    with_them = {"include_date_header": True, "include_server_header": True}
    names = {name for name, _ in get(handler_of(replying(), config=with_them), "rest-api").headers}
    assert {"date", "server"} <= names
    without = LambdaHandler(replying())
    names = {name for name, _ in get(without, "rest-api").headers}
    without.close()
    assert not {"date", "server"} & names


def test_streamed_body_is_joined(handler_of: HandlerOf, gateway: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, 201, TEXT)
        for piece in (b"one ", b"two ", b"three"):
            await body(send, piece, more=True)
        await body(send)

    answer = get(handler_of(app), gateway)
    assert (answer.status, answer.body) == (201, b"one two three")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_responses_without_content(
    handler_of: HandlerOf, records: Records, method: str, status: int
) -> None:
    records.expect("has no content")
    for gateway in GATEWAYS:
        answer = get(handler_of(replying(b"content", status)), gateway, method)
        assert (answer.status, answer.body) == (status, b"")
        assert answer.values("content-length") == (["7"] if method == "HEAD" else [])


@pytest.mark.parametrize(
    ("status", "text"), [(200, "200 OK"), (404, "404 Not Found"), (799, "799 Unknown")]
)
def test_status_description(handler_of: HandlerOf, status: int, text: str) -> None:
    answer = handler_of(replying(status=status))(event_for("load-balancer"), None)
    assert (answer["statusCode"], answer["statusDescription"]) == (status, text)


# Sizes


@pytest.mark.parametrize(
    ("gateway", "limit"),
    [("rest-api", 6_291_556), ("http-api-2.0", 6_291_556), ("load-balancer", 1_048_576)],
)
def test_too_large(handler_of: HandlerOf, records: Records, gateway: str, limit: int) -> None:
    """Base64 counts: what the source takes is JSON."""
    records.expect("is larger than")
    binary = [(b"content-type", b"image/png")]
    room = (limit - 1000) * 3 // 4
    answer = get(handler_of(replying(b"\xff" * room, headers=binary)), gateway)
    assert (answer.status, len(answer.body)) == (200, room)
    answer = get(handler_of(replying(b"\xff" * (room + 1000), headers=binary)), gateway)
    assert (answer.status, answer.body) == (
        500,
        b"Internal Server Error: the response is too large",
    )
    assert len(records.messages()) == 1
    assert str(limit) in records.messages()[0]


@pytest.mark.parametrize("runtime", ["AWS_Lambda_python3.11", "AWS_Lambda_python3.13", ""])
def test_size_is_that_of_the_json_which_the_runtime_makes(
    handler_of: HandlerOf, records: Records, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    records.expect("is larger than")
    monkeypatch.setenv("AWS_EXECUTION_ENV", runtime)
    text = "λ" * 300_000  # 600 kB of UTF-8, 1.8 MB of escapes
    answer = handler_of(replying(text.encode()))(event_for("load-balancer"), None)
    assert answer["statusCode"] == (200 if runtime.endswith("13") else 500)
    escaped = not runtime.endswith("13")
    assert len(json.dumps(answer, ensure_ascii=escaped).encode()) <= 1_048_576


def test_control_characters_count_as_escapes(handler_of: HandlerOf, records: Records) -> None:
    records.expect("is larger than")
    app = replying((WIDE * 300_000).encode())
    assert get(handler_of(app), "load-balancer").status == 500


def test_nothing_is_kept_of_a_body_that_is_too_large() -> None:
    connection = MemoryConnection("1.1", limit=10)
    for _ in range(3):
        connection.send_data(1, b"12345678")
    assert connection.overflow
    assert connection.take_data() == b""


def test_an_endless_response_is_cut(handler_of: HandlerOf, records: Records) -> None:
    """Memory is bounded: the application is told that nobody takes the rest."""
    records.expect("is larger than")
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send, headers=TEXT)
        while True:
            await body(send, b"x" * 65536, more=True)
            sent.append(65536)

    assert get(handler_of(app), "load-balancer").status == 500
    assert sum(sent) < 1_200_000
    assert len(records.messages()) == 1  # not the application's OSError as well


# What goes wrong in the application


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("in the application")


async def raising_behind_start(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=TEXT)
    raise ValueError("in the application")


async def raising_in_the_body(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=TEXT)
    await body(send, b"half", more=True)
    raise ValueError("in the application")


async def exiting(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(3)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def stopping_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=TEXT)
    await body(send, b"half", more=True)


async def short(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, headers=[*TEXT, (b"content-length", b"10")])
    await body(send, b"half")


@pytest.mark.parametrize(
    "app",
    [raising, raising_behind_start, raising_in_the_body, exiting, silent, stopping_half_way, short],
)
def test_failing_application(
    handler_of: HandlerOf, records: Records, gateway: str, app: Any
) -> None:
    records.expect("application failed", "without a whole response")
    handler = handler_of(app)
    answer = get(handler, gateway)
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert len(records.messages()) == 1
    assert "GET /my/path HTTP/1.1" in records.messages()[0]


def test_container_survives_a_failure(handler_of: HandlerOf, records: Records) -> None:
    records.expect("application failed")
    calls: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        await reply(send, b"fine")

    handler = handler_of(app)
    assert [get(handler, "rest-api").status for _ in range(2)] == [500, 200]


def test_files(handler_of: HandlerOf, gateway: str, tmp_path: Any) -> None:
    """What frameworks send as http.response.pathsend is read."""
    path = tmp_path / "file.bin"
    path.write_bytes(BINARY * 600)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "http.response.pathsend" in scope["extensions"]
        await start(send, headers=[(b"content-type", b"image/png")])
        await send({"type": "http.response.pathsend", "path": str(path)})

    assert get(handler_of(app), gateway).body == BINARY * 600
