"""What metrics_path counts, scraped from running servers."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.apps import body, hello, read_body, reply, start
from helpers.clients import open_socket
from helpers.metrics import OPTIONS, Metrics, fetch
from helpers.serving import Inbox, Records, Served, address_of, eventually
from helpers.site import Serving, Site
from helpers.websocket import WebSocketClient
from tricorn import Config
from tricorn.counters import METRICS
from tricorn.exceptions import LifespanError
from tricorn.server import Server
from tricorn.types import Receive, Scope, Send

LIMIT = 0.06
SOME = pytest.mark.parametrize("backend", ["asyncio", "trio"], indirect=True)
# The text format 0.0.4, line by line.
LINE = re.compile(
    r"# HELP [a-z_]+ [^\n\\]+|# TYPE [a-z_]+ (counter|gauge)"
    r'|[a-z_]+(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? [0-9]+'
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Does what its path says."""
    path = scope["path"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept" if path == "/" else "websocket.close"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    elif path == "/fail":
        raise RuntimeError("as asked")
    elif path == "/abort":
        await start(send)
        await body(send, b"half", more=True)
        raise RuntimeError("as asked")
    elif path == "/wait":
        await start(send)
        await body(send, b"half", more=True)
        while (await receive())["type"] != "http.disconnect":
            pass
    else:
        data = await read_body(receive)
        await reply(send, data, 200 if path == "/" else int(path[1:]))


def name_of(site: Site) -> str:
    return "http/2" if site.http2 else "http/1.1"


def test_the_text_format(serving: Serving) -> None:
    served = serving(app, **OPTIONS)
    text = fetch(address_of(served.urls[-1]))
    assert text.endswith("\n")
    assert [line for line in text.splitlines() if LINE.fullmatch(line) is None] == []
    families = list(text_string_to_metric_families(text))
    assert [family.type for family in families] == [metric.kind for metric in METRICS]
    assert [family.documentation for family in families] == [metric.help for metric in METRICS]
    assert all(family.samples for family in families)
    # The parser takes the suffix that counters must have off their names.
    names = [metric.name.removesuffix("_total") for metric in METRICS]
    assert [family.name for family in families] == names
    for metric in METRICS:
        assert metric.name.endswith("_total") is (metric.kind == "counter")


def test_a_server_that_has_done_nothing(plain: Site) -> None:
    metrics = Metrics(plain.serve(app, **OPTIONS))
    assert metrics.changed() == {"tricorn_workers": 1, "tricorn_worker_starts_total": 1}


def test_requests_by_protocol_and_status(plain: Site) -> None:
    client = plain.open(app, **OPTIONS)
    metrics = Metrics(plain.served)
    for path in ("/", "/", "/201", "/303", "/404", "/503", "/600", "/999"):
        client.response(client.start("POST", path, body=b"x" * 10))
    requests = f"tricorn_requests_total{{protocol={name_of(plain)},status="
    metrics.until(requests + "5xx}", 3)
    assert metrics.changed() == {
        "tricorn_workers": 1,
        "tricorn_worker_starts_total": 1,
        "tricorn_connections_total": 1,
        "tricorn_connections_open": 1,
        requests + "2xx}": 3,
        requests + "3xx}": 1,
        requests + "4xx}": 1,
        requests + "5xx}": 3,
        "tricorn_request_body_bytes_total": 80,
        "tricorn_response_body_bytes_total": 80,
    }
    client.close()
    metrics.until("tricorn_connections_open", 0)


def test_http10_has_its_own_name(serving: Serving) -> None:
    served = serving(app, **OPTIONS)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        b"".join(iter(lambda: sock.recv(4096), b""))
    Metrics(served).until("tricorn_requests_total{protocol=http/1.0,status=2xx}", 1)


def test_exchanges_that_are_cut(plain: Site, records: Records) -> None:
    records.expect("application failed")
    client = plain.open(app, **OPTIONS)
    metrics = Metrics(plain.served)
    assert client.get("/fail").status == 500
    assert client.get("/abort").cut
    metrics.until("tricorn_exchanges_cut_total{reason=aborted}", 1)
    metrics.until("tricorn_application_errors_total", 2)
    other = plain.connect()
    stream = other.start("GET", "/wait")
    other.response(stream, lambda r: len(r.body) == 4)
    metrics.until("tricorn_applications_running", 1)
    other.leave(stream)
    metrics.until("tricorn_exchanges_cut_total{reason=lost}", 1)
    metrics.until("tricorn_applications_running", 0)
    requests = f"tricorn_requests_total{{protocol={name_of(plain)},status="
    assert (metrics[requests + "2xx}"], metrics[requests + "5xx}"]) == (2, 1)


def test_a_websocket_is_open_from_its_acceptance_to_its_end(plain: Site) -> None:
    before, behind = plain.gate(), plain.gate()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await before.wait()
        await app(scope, receive, send)
        await behind.wait()

    metrics = Metrics(plain.serve(slow, **OPTIONS))
    client = plain.websocket()
    metrics.until("tricorn_applications_running", 1)
    assert metrics["tricorn_websockets_open"] == 0
    before.open()
    assert client.handshake() == 200
    metrics.until("tricorn_websockets_open", 1)
    client.close()
    assert client.close_code() == 1000
    metrics.until("tricorn_websockets_open", 0)
    assert metrics["tricorn_applications_running"] == 1
    behind.open()
    metrics.until("tricorn_applications_running", 0)


def test_websockets(plain: Site) -> None:
    metrics = Metrics(plain.serve(app, **OPTIONS))
    refused = WebSocketClient(plain.connect(), path="/no")
    assert refused.handshake() == 403
    accepted = plain.websocket()
    assert accepted.handshake() == 200
    accepted.send_text("hello")
    assert accepted.text() == "hello"
    protocol = name_of(plain)
    metrics.until("tricorn_websockets_open", 1)
    assert metrics["tricorn_applications_running"] == 1
    assert metrics[f"tricorn_websockets_total{{protocol={protocol}}}"] == 1
    accepted.close()
    assert accepted.close_code() == 1000
    metrics.until("tricorn_websockets_open", 0)
    metrics.until("tricorn_request_body_bytes_total", 11 + 8)
    # Only the one that was refused is a request.
    found = {key: value for key, value in metrics.changed().items() if "requests_total" in key}
    assert found == {f"tricorn_requests_total{{protocol={protocol},status=4xx}}": 1}


def test_asking_is_not_counted(plain: Site) -> None:
    client = plain.open(app, metrics_path="/numbers")
    for _ in range(3):
        text = client.get("/numbers").text
    assert "tricorn_connections_total 1\n" in text
    assert [line for line in text.splitlines() if line.startswith("tricorn_requests_total")
            and not line.endswith(" 0")] == []  # fmt: skip


def test_a_fault_is_counted_and_told_with_its_limit(plain: Site, records: Records) -> None:
    metrics = Metrics(plain.serve(app, max_header_count=20, **OPTIONS))
    client = plain.connect()
    fields = [(b"x-%d" % number, b"a") for number in range(30)]
    assert client.get("/", fields).status == 431
    metrics.until("tricorn_limit_total{limit=max_header_count}", 1)
    assert metrics["tricorn_peer_faults_total"] == 1
    (line,) = [m for m in records.messages() if m.startswith("refused ")]
    assert "(max_header_count) from 127.0.0.1" in line


def test_bounds_are_counted_without_metrics(serving: Serving) -> None:
    """The first look may come later; only what costs each request waits for the option."""
    served = serving(app, max_request_target_size=64)
    with open_socket(served.address) as sock:
        sock.sendall(b"GET /" + b"a" * 99 + b" HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"".join(iter(lambda: sock.recv(4096), b"")).startswith(b"HTTP/1.1 414 ")


# One conversation for each bound that the connections themselves do not know of


def not_reading(serving: Serving, served: Served) -> None:
    sock = open_socket(served.address, receive_buffer=16384)
    serving.stack.callback(sock.close)
    sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")


def leaving(serving: Serving, served: Served) -> None:
    client = serving.connect(served)
    client.response(client.start(), lambda r: r.status > 0)
    client.close()


def two_requests(serving: Serving, served: Served) -> None:
    for _ in range(2):
        sock = open_socket(served.address)
        serving.stack.callback(sock.close)
        sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")


def large_body(serving: Serving, served: Served) -> None:
    client = serving.connect(served)
    assert client.response(client.start("POST", body=b"x" * 100)).status == 413


def endless_body(serving: Serving, served: Served) -> None:
    client = serving.connect(served)
    client.offer(client.start("POST", more=True), 4 << 20)


def silent_body(serving: Serving, served: Served) -> None:
    client = serving.connect(served)
    client.start("POST", more=True)


def one_request(serving: Serving, served: Served) -> None:
    client = serving.connect(served)
    client.response(client.start())


def websocket(serving: Serving, served: Served) -> WebSocketClient:
    client = WebSocketClient(serving.connect(served))
    client.handshake()
    return client


def long_messages(serving: Serving, served: Served) -> None:
    client = websocket(serving, served)
    for _ in range(20):
        client.send_text("x" * 1000)


def no_handshake(serving: Serving, served: Served) -> None:
    serving.stack.callback(open_socket(served.address).close)


def tls_without_close(serving: Serving, served: Served) -> None:
    client = serving.connect(served)
    assert client.get("/").status == 200


async def patient(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    while True:
        await body(send, b"x" * 200_000, more=True)


async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"x", more=True)
    await anyio.sleep_forever()


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    await anyio.sleep_forever()


async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await anyio.sleep_forever()


async def sleeping(scope: Scope, receive: Receive, send: Send) -> None:
    time.sleep(5 * LIMIT)  # noqa: ASYNC251  (the fault in question)
    await reply(send)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["wsgi.input"].read()]


BOUNDS: list[tuple[str, Any, Callable[[Serving, Served], object], dict[str, Any]]] = [
    ("write_timeout", endless, not_reading, {"write_timeout": LIMIT}),
    (
        "write_buffer_high",
        endless,
        not_reading,
        # Whatever the socket leaves of a piece is more.
        {"write_timeout": 60.0, "write_buffer_low": 0, "write_buffer_high": 1},
    ),
    ("disconnect_grace", stubborn, leaving, {"disconnect_grace": LIMIT}),
    ("max_connections", silent, two_requests, {"max_connections": 1}),
    ("max_connections_per_address", silent, two_requests, {"max_connections_per_address": 1}),
    ("max_concurrent_requests", silent, two_requests, {"max_concurrent_requests": 1}),
    ("max_request_body_size", silent, large_body, {"max_request_body_size": 10}),
    ("request_buffer_size", silent, endless_body, {}),
    ("response_timeout", silent, one_request, {"response_timeout": LIMIT}),
    ("min_body_rate", patient, silent_body, {"min_body_rate_grace": LIMIT}),
    ("wsgi_max_body_size", wsgi, large_body, {"wsgi_max_body_size": 10, "interface": "wsgi"}),
    ("websocket_max_message_size", accepting, long_messages, {"websocket_max_message_size": 9}),
    ("websocket_max_queue_size", accepting, long_messages, {"websocket_max_queue_size": 2000}),
    ("websocket_handshake_timeout", silent, websocket, {"websocket_handshake_timeout": LIMIT}),
    ("ssl_handshake_timeout", hello, no_handshake, {"ssl_handshake_timeout": LIMIT, "tls": True}),
    (
        "ssl_shutdown_timeout",
        hello,
        tls_without_close,
        {"keep_alive_timeout": LIMIT, "ssl_shutdown_timeout": LIMIT, "tls": True},
    ),
    ("blocked_loop_warning", sleeping, one_request, {"blocked_loop_warning": LIMIT}),
]


@SOME
@pytest.mark.parametrize(("option", "served_app", "talk", "options"), BOUNDS)
def test_bounds(
    serving: Serving,
    records: Records,
    option: str,
    served_app: Any,
    talk: Callable[[Serving, Served], object],
    options: dict[str, Any],
) -> None:
    records.expect("the event loop has not turned")
    served = serving(served_app, **(options | OPTIONS))
    metrics = Metrics(served)
    assert metrics.limit(option) == 0
    talk(serving, served)
    eventually(lambda: metrics.limit(option) >= 1, option)
    if option.startswith("max_connections"):
        assert metrics["tricorn_connections_refused_total"] == 1
    if option == "ssl_handshake_timeout":
        assert metrics["tricorn_tls_handshakes_failed_total"] == 1


def test_a_handshake_that_fails(serving: Serving) -> None:
    served = serving(hello, tls=True, **OPTIONS)
    untrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLError):
        open_socket(served.address, untrusting).close()
    Metrics(served).until("tricorn_tls_handshakes_failed_total", 1)


# What a server comes to at its own start and end


class Slow:
    """Takes its time in one phase of the lifespan, and with requests."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.begun = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self.begun.put(True)
            await anyio.sleep_forever()
        for phase in ("startup", "shutdown"):
            await receive()
            if phase == self.phase:
                await anyio.sleep_forever()
            await send({"type": f"lifespan.{phase}.complete"})


@pytest.mark.parametrize(
    ("option", "phase"),
    [("startup_timeout", "startup"), ("shutdown_timeout", "shutdown"), ("graceful_timeout", "")],
)
def test_bounds_of_start_and_end(records: Records, option: str, phase: str) -> None:
    records.expect("shutdown_timeout", "graceful_timeout")
    slow = Slow(phase)
    server = Server(slow, Config(bind="127.0.0.1:0", lifespan="on", **{option: LIMIT}))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            urls = await tasks.start(server.run, stop, False)
            async with await anyio.connect_tcp(*address_of(urls[0])) as stream:
                if option == "graceful_timeout":
                    await stream.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    await anyio.to_thread.run_sync(slow.begun.take)
                stop.set()

    if phase == "startup":
        with pytest.raises(BaseExceptionGroup) as caught:
            anyio.run(main)
        assert caught.value.split(LifespanError)[1] is None
    else:
        anyio.run(main)
    assert server.worker.counters.limit_count(option) == 1
