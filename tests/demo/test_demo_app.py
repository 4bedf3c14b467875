"""The demonstration application in memory, on asyncio and trio."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tricorn.demo import app

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "trio":
        pytest.importorskip("trio")
    return name


def http_scope(path: str = "/", method: str = "GET", **changes: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost:8000")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
        **changes,
    }


class Response:
    """What the application sent, checked against the order the ASGI specification sets."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        hints = [message for message in messages if message["type"].endswith("early_hint")]
        assert messages[: len(hints)] == hints
        start, *rest = messages[len(hints) :]
        assert start["type"] == "http.response.start"
        self.status: int = start["status"]
        self.headers = dict(start["headers"])
        assert len(self.headers) == len(start["headers"])
        assert all(name == name.lower() for name in self.headers)
        bodies = [message for message in rest if message["type"] == "http.response.body"]
        self.hints, self.pushes = hints, rest[: len(rest) - len(bodies)]
        assert rest == self.pushes + bodies
        assert all(message["more_body"] for message in bodies[:-1])
        assert not bodies[-1].get("more_body", False)
        self.body = b"".join(message.get("body", b"") for message in bodies)

    def json(self) -> Any:
        assert self.headers[b"content-type"] == b"application/json"
        return json.loads(self.body)


async def request(scope: dict[str, Any], body: tuple[bytes, ...] = (b"",)) -> Response:
    """Run one exchange; the peer stays until the response has ended."""
    sent: list[dict[str, Any]] = []
    pieces: Iterator[tuple[int, bytes]] = iter(enumerate(body, 1))

    async def receive() -> dict[str, Any]:
        for number, piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": number < len(body)}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    with anyio.fail_after(5):
        await app(scope, receive, send)
    response = Response(sent)
    if scope["method"] != "HEAD":
        assert int(response.headers[b"content-length"]) == len(response.body)
    return response


async def test_page_tells_the_protocol() -> None:
    response = await request(http_scope(http_version="2"))
    assert response.status == 200
    assert response.headers[b"content-type"] == b"text/html; charset=utf-8"
    assert response.headers[b"cache-control"] == b"no-store"
    page = response.body.decode()
    assert '<strong id="protocol">HTTP/2</strong>' in page
    assert '<strong id="tls" class="plain">without TLS</strong>' in page
    assert '<dd id="client">127.0.0.1:50000</dd>' in page
    assert "curl http://localhost:8000/connection.json" in page


@pytest.mark.parametrize(
    ("extensions", "phrase"),
    [
        ({}, "with TLS"),
        ({"tls": {}}, "with TLS"),
        ({"tls": {"tls_version": None, "cipher_suite": None}}, "with TLS"),
        ({"tls": {"tls_version": 0x0304, "cipher_suite": 0x1301}}, "with TLS 1.3"),
        ({"tls": {"tls_version": 0x0303, "cipher_suite": 0xC02F}}, "with TLS 1.2"),
        ({"tls": {"tls_version": 0x7F1C, "cipher_suite": "NAME"}}, "with 0x7F1C"),
    ],
)
async def test_page_names_the_tls_version_only_if_known(
    extensions: dict[str, Any], phrase: str
) -> None:
    response = await request(http_scope(scheme="https", extensions=extensions))
    assert f'<strong id="tls" class="good">{phrase}</strong>'.encode() in response.body
    assert b"curl -k https://localhost:8000/connection.json" in response.body


async def test_page_escapes_what_the_peer_chose() -> None:
    scope = http_scope(
        headers=[(b"host", b'"><script>alert(1)</script>')],
        extensions={"<b>": {}},
        client=("<i>", 1),
    )
    page = (await request(scope)).body
    assert b"<script>alert" not in page
    assert b"<b>" not in page
    assert b"<i>" not in page


async def test_page_needs_no_other_origin() -> None:
    page = (await request(http_scope())).body.decode()
    assert "https://" not in page
    assert "//" not in page.replace("http://localhost:8000/", "")
    policy = (await request(http_scope())).headers[b"content-security-policy"]
    assert b"default-src 'none'" in policy
    assert b"unsafe" not in policy


async def test_facts_as_json(anyio_backend: str) -> None:
    extensions: dict[str, Any] = {
        "tls": {"server_cert": None, "tls_version": 0x0304, "cipher_suite": 0x1302},
        "http.response.push": {},
    }
    scope = http_scope("/connection.json", http_version="2", scheme="https", extensions=extensions)
    response = await request(scope)
    assert response.headers[b"cache-control"] == b"no-store"
    assert response.json() == {
        "http_version": "2",
        "scheme": "https",
        "tls": {"version": "TLS 1.3", "cipher_suite": "TLS_AES_256_GCM_SHA384"},
        "client": "127.0.0.1:50000",
        "server": "127.0.0.1:8000",
        "extensions": ["http.response.push", "tls"],
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "event_loop": anyio_backend,
    }


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("::1", 80), "[::1]:80"),
        (["192.0.2.1", 80], "192.0.2.1:80"),
        (("/run/tricorn.sock", None), "/run/tricorn.sock"),
        (None, None),
    ],
)
async def test_addresses(address: Any, shown: str | None) -> None:
    facts = (await request(http_scope("/connection.json", client=address, server=address))).json()
    assert facts["client"] == facts["server"] == shown


async def test_optional_scope_keys_may_be_absent() -> None:
    scope = http_scope("/connection.json")
    for key in ("scheme", "root_path", "client", "server", "extensions", "raw_path"):
        del scope[key]
    facts = (await request(scope)).json()
    assert (facts["scheme"], facts["tls"], facts["client"]) == ("http", None, None)
    assert (await request({**scope, "path": "/"})).status == 200


async def test_assets_are_pushed_between_head_and_body() -> None:
    extensions: dict[str, Any] = {"http.response.push": {}, "http.response.early_hint": {}}
    response = await request(http_scope(http_version="2", extensions=extensions))
    assert [(push["type"], push["path"]) for push in response.pushes] == [
        ("http.response.push", "/style.css"),
        ("http.response.push", "/app.js"),
    ]
    assert response.hints == []
    assert b"were pushed" in response.body


async def test_assets_are_hinted_where_push_is_off() -> None:
    response = await request(http_scope(extensions={"http.response.early_hint": {}}))
    (hint,) = response.hints
    assert hint == {
        "type": "http.response.early_hint",
        "links": [
            b"</style.css>; rel=preload; as=style",
            b"</app.js>; rel=preload; as=script",
        ],
    }
    assert b"Early Hints response" in response.body


async def test_nothing_is_announced_without_the_extensions() -> None:
    response = await request(http_scope())
    assert response.pushes == response.hints == []
    assert b"in the ordinary way" in response.body


async def test_announced_paths_carry_the_root_path() -> None:
    scope = http_scope("/my app/", root_path="/my app", extensions={"http.response.push": {}})
    response = await request(scope)
    assert [push["path"] for push in response.pushes] == [
        "/my%20app/style.css",
        "/my%20app/app.js",
    ]


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/style.css", b"text/css; charset=utf-8"),
        ("/app.js", b"text/javascript; charset=utf-8"),
        ("/favicon.svg", b"image/svg+xml"),
    ],
)
async def test_assets(path: str, content_type: bytes) -> None:
    response = await request(http_scope(path))
    assert response.status == 200
    assert response.headers[b"content-type"] == content_type
    assert response.headers[b"x-content-type-options"] == b"nosniff"
    # A hinted or pushed response that may not be stored would be fetched twice.
    assert response.headers[b"cache-control"] == b"private, max-age=10"
    assert response.body


async def test_root_path_is_not_part_of_the_route() -> None:
    assert (await request(http_scope("/demo/style.css", root_path="/demo"))).status == 200
    assert (await request(http_scope("/demo", root_path="/demo"))).status == 200
    assert (await request(http_scope("/demonstration", root_path="/demo"))).status == 404


@pytest.mark.parametrize(
    "path", ["/", "/connection.json", "/style.css", "/bytes/100000", "/events"]
)
async def test_head_has_the_headers_of_get_and_no_content(path: str) -> None:
    extensions: dict[str, Any] = {"http.response.push": {}, "http.response.early_hint": {}}
    response = await request(http_scope(path, "HEAD", extensions=extensions))
    assert response.status == 200
    assert response.body == b""
    assert response.pushes == response.hints == []
    if path == "/events":
        assert b"content-length" not in response.headers
    else:
        get = await request(http_scope(path))
        assert response.headers.keys() == get.headers.keys()
    if path == "/bytes/100000":
        assert response.headers[b"content-length"] == b"100000"


@pytest.mark.parametrize("path", ["/nothing", "/bytes/", "/bytes/-1", "/bytes/²", "/bytes/1/2"])
async def test_unknown_paths(path: str) -> None:
    response = await request(http_scope(path))
    assert response.status == 404
    assert response.headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert path in response.body.decode()


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/", b"GET, HEAD"),
        ("DELETE", "/style.css", b"GET, HEAD"),
        ("PUT", "/bytes/1", b"GET, HEAD"),
        ("GET", "/upload", b"POST, PUT"),
        ("HEAD", "/upload", b"POST, PUT"),
    ],
)
async def test_wrong_methods(method: str, path: str, allow: bytes) -> None:
    response = await request(http_scope(path, method))
    assert response.status == 405
    assert response.headers[b"allow"] == allow
    assert (response.body == b"") is (method == "HEAD")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_upload_counts_bytes(method: str) -> None:
    response = await request(http_scope("/upload", method), (b"a" * 1000, b"", b"b" * 24))
    assert response.json()["bytes"] == 1024
    assert math.isfinite(response.json()["seconds"])


async def test_upload_ends_with_its_peer() -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b"half", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError("nobody is left to answer")

    await app(http_scope("/upload", "POST"), receive, send)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 200_000])
async def test_bytes_streams_chunks(size: int) -> None:
    response = await request(http_scope(f"/bytes/{size}"))
    assert response.headers[b"content-length"] == str(size).encode()
    assert response.headers[b"content-type"] == b"application/octet-stream"
    chunks = [len(message["body"]) for message in response.messages[1:]]
    assert sum(chunks) == size
    assert max(chunks) <= 65536
    assert len(chunks) == max(1, math.ceil(size / 65536))


@pytest.mark.parametrize("wanted", [2**30, 2**30 + 1, 10**19])
async def test_bytes_stops_at_one_gibibyte(wanted: int) -> None:
    response = await request(http_scope(f"/bytes/{wanted}", "HEAD"))
    assert response.headers[b"content-length"] == str(2**30).encode()


async def test_bytes_ends_with_its_peer() -> None:
    sent = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            raise ConnectionResetError("the peer left")

    await app(http_scope("/bytes/1000000"), receive, send)
    assert len(sent) == 4


class EventPeer:
    """A client of /events that leaves after some messages."""

    def __init__(self, stay_for: int) -> None:
        self.stay_for = stay_for
        self.messages: list[dict[str, Any]] = []
        self.left = anyio.Event()
        self.requested = False

    async def receive(self) -> dict[str, Any]:
        if not self.requested:
            self.requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.left.is_set():
            return  # before ASGI HTTP 2.4 such a message was dropped without a word
        self.messages.append(message)
        if len(self.messages) > self.stay_for:
            self.left.set()

    async def run(self, **changes: Any) -> list[dict[str, str]]:
        with anyio.fail_after(5):
            await app(http_scope("/events", **changes), self.receive, self.send)
        start, *bodies = self.messages
        assert dict(start["headers"])[b"content-type"] == b"text/event-stream"
        assert dict(start["headers"])[b"cache-control"] == b"no-store"
        assert all(body["more_body"] for body in bodies)
        text = b"".join(body["body"] for body in bodies).decode()
        assert text.endswith("\n\n")
        return [
            dict(line.split(": ", 1) for line in block.split("\n"))
            for block in text.removesuffix("\n\n").split("\n\n")
        ]


async def test_events_count_until_the_peer_leaves() -> None:
    retry, *events = await EventPeer(2).run()
    assert retry == {"retry": "1000"}
    assert [event["id"] for event in events] == ["1", "2"]
    assert [json.loads(event["data"])["count"] for event in events] == [1, 2]


@pytest.mark.parametrize(
    ("last_event_id", "first"),
    [(b"41", 42), (b"-1", 1), (b"x", 1), (b"", 1), (b"9" * 100, 1), ("\u0661".encode(), 1)],
)
async def test_events_continue_after_a_reconnect(last_event_id: bytes, first: int) -> None:
    _, event = await EventPeer(1).run(headers=[(b"last-event-id", last_event_id)])
    assert json.loads(event["data"])["count"] == first


async def test_events_end_when_send_says_so_first() -> None:
    """Some servers raise from send() before receive() tells of the disconnect."""
    peer = EventPeer(100)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            peer.left.set()
            raise ConnectionResetError("the peer left")

    with anyio.fail_after(5):
        await app(http_scope("/events"), peer.receive, send)


async def websocket(path: str, received: list[dict[str, Any]]) -> list[dict[str, Any]]:
    scope = http_scope(path, type="websocket", scheme="wss", http_version="2", subprotocols=[])
    del scope["method"]
    messages = iter([{"type": "websocket.connect"}, *received])
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        if message.get("text") == "raise":
            raise ConnectionResetError("the peer left")
        sent.append(message)

    await app(scope, receive, send)
    assert not list(messages)
    return sent


async def test_websocket_says_what_it_runs_over_then_echoes() -> None:
    accept, greeting, *echoes = await websocket(
        "/echo",
        [
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.receive", "text": "", "bytes": None},
            {"type": "websocket.receive", "bytes": b"\x00", "text": None},
            {"type": "websocket.receive", "bytes": b""},
            {"type": "websocket.disconnect", "code": 1000},
        ],
    )
    assert accept == {"type": "websocket.accept"}
    facts = json.loads(greeting["text"])
    assert facts["http_version"] == "2"
    assert facts["tls"] == {"version": None, "cipher_suite": None}
    assert echoes == [
        {"type": "websocket.send", "text": "hello"},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.send", "bytes": b"\x00"},
        {"type": "websocket.send", "bytes": b""},
    ]


async def test_websocket_ends_quietly_when_the_peer_left() -> None:
    assert len(await websocket("/echo", [{"type": "websocket.receive", "text": "raise"}])) == 2


async def test_websocket_elsewhere_is_refused() -> None:
    assert await websocket("/", []) == [{"type": "websocket.close"}]


async def test_lifespan() -> None:
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_unknown_scope_types_are_refused() -> None:
    async def unused(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(ValueError, match="'gopher' is not supported"):
        await app({"type": "gopher"}, unused, unused)
