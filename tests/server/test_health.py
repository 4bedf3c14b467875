"""What the server itself answers: livez_path, readyz_path, metrics_path and health_bind."""

from __future__ import annotations

import socket
import time
from typing import Any

import anyio
import pytest

from helpers.apps import hello, reply
from helpers.clients import Client, HTTP1Client, HTTP2Client, Response, open_socket
from helpers.serving import BACKENDS, Gate, Inbox, Records, Served, address_of, eventually
from helpers.site import Serving, Site
from helpers.websocket import WebSocketClient
from tricorn import Config
from tricorn.exceptions import BindError, ConfigError
from tricorn.server import Server
from tricorn.types import Receive, Scope, Send

PATHS = {"livez_path": "/up", "readyz_path": "/ready", "metrics_path": "/numbers"}
APART = {"health_bind": "127.0.0.1:0"}


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that is not to be asked."""
    raise AssertionError(scope)


class Busy:
    """Answers once it is let; says that it has begun."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.begun = Inbox()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.put(True)
        await self.gate.wait()
        await reply(send, b"done")


def apart(plain: Site, served: Served | None = None) -> Client:
    """A connection to the address of ``health_bind``, which is the last one."""
    address = address_of((served or plain.served).urls[-1])
    return plain.serving.connect(plain.served, plain.protocol, address=address)


def answer(client: Client, method: str, path: str) -> Response:
    return client.response(client.start(method, path))


def test_paths_are_answered_by_the_server(plain: Site, records: Records) -> None:
    client = plain.open(nobody, **PATHS, accesslog="-", server_names=["example.org"])
    assert (client.get("/up").status, client.get("/up?verbose").text) == (200, "ok\n")
    ready = client.get("/ready")
    assert (ready.status, ready.text) == (200, "ready\n")
    assert ready.header(b"cache-control") == b"no-store"
    assert ready.header(b"content-type") == b"text/plain; charset=utf-8"
    numbers = client.get("/numbers")
    assert numbers.header(b"content-type") == b"text/plain; version=0.0.4; charset=utf-8"
    assert numbers.header(b"cache-control") == b"no-store"
    head = answer(client, "HEAD", "/ready")
    assert (head.status, head.text, head.header(b"content-length")) == (200, "", b"6")
    assert records.messages("tricorn.access") == []


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_other_methods_are_405(plain: Site, method: str) -> None:
    client = plain.open(nobody, **PATHS)
    found = client.response(client.start(method, "/up", body=b"x" * 100))
    assert (found.status, found.header(b"allow")) == (405, b"GET, HEAD")
    assert client.get("/up").status == 200


def test_a_websocket_to_such_a_path_is_405(plain: Site) -> None:
    plain.serve(nobody, **PATHS)
    assert WebSocketClient(plain.connect(), path="/up").handshake() == 405


def test_other_paths_are_the_applications(plain: Site) -> None:
    client = plain.open(hello, livez_path="/up")
    for path in ("/", "/up/", "/upper", "/ready", "/%75p", "/livez", "/metrics"):
        assert client.get(path).text == "hello"


def test_nothing_is_in_their_way(plain: Site) -> None:
    """Neither the limit on requests, nor the redirect, nor the mounts."""
    busy = Busy(plain.gate())
    options: dict[str, Any] = {"max_concurrent_requests": 1, **PATHS}
    client = plain.open(busy, **options)
    stream = client.start()
    busy.begun.take()
    other = plain.connect()
    assert other.get("/").status == 503
    assert [other.get(path).status for path in PATHS.values()] == [200, 200, 200]
    busy.gate.open()
    assert client.response(stream).text == "done"
    redirected = plain.open(nobody, https_redirect=True, **PATHS)
    assert [redirected.get(p).status for p in ("/", "/up")] == [308, 200]


def test_health_bind_answers_nothing_else(plain: Site) -> None:
    main = plain.open(hello, **APART)
    client = apart(plain)
    assert client.get("/livez").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    assert client.get("/metrics").text.startswith("# HELP tricorn_workers ")
    for path in ("/", "/livez/", "/app"):
        found = client.get(path)
        assert (found.status, found.header(b"cache-control")) == (404, b"no-store")
    assert answer(client, "POST", "/livez").status == 405
    assert answer(client, "POST", "/").status == 404
    # And the application has its paths for itself.
    assert [main.get(path).text for path in ("/livez", "/metrics")] == ["hello", "hello"]


def test_health_bind_is_cleartext_beside_tls(serving: Serving, protocol: str) -> None:
    served = serving(hello, tls=True, readyz_path="/ready", **APART)
    assert [url.split(":")[0] for url in served.urls] == ["https", "http"]
    plain = Site(serving, protocol, False)
    plain.served = served
    with open_socket(address_of(served.urls[-1])) as sock:
        sock.sendall(b"GET /ready HTTP/1.1\r\nhost: 10.0.0.1\r\nconnection: close\r\n\r\n")
        assert b"".join(iter(lambda: sock.recv(4096), b"")).startswith(b"HTTP/1.1 200 ")
    client = serving.connect(served, protocol)
    assert client.get("/ready").text == "hello"


def test_what_listens_is_said(serving: Serving, records: Records) -> None:
    served = serving(hello, livez_path="/up", **APART)
    line = f"{served.urls[-1]} answers /up, /readyz, /metrics"
    assert line in records.messages()


def test_a_stop_is_told_until_the_end(plain: Site) -> None:
    """503 from the stop on, on new connections too, while the application's are closed."""
    busy = Busy(plain.gate())
    client = plain.open(busy, graceful_timeout=10.0, **APART)
    health = apart(plain)
    assert health.get("/readyz").status == 200
    stream = client.start()
    busy.begun.take()
    plain.served.stop()
    eventually(lambda: health.get("/readyz").status == 503, "not ready")
    assert health.get("/readyz").text == "stopping\n"
    assert [apart(plain).get(p).status for p in ("/livez", "/readyz", "/metrics")] == [
        200,
        503,
        200,
    ]
    eventually(lambda: refuses(plain.served.address), "refusal")
    assert apart(plain).get("/readyz").status == 503
    busy.gate.open()
    assert client.response(stream).text == "done"
    client.close()
    begun = time.monotonic()
    plain.served.wait()
    assert time.monotonic() - begun < 5.0, "an idle connection to health_bind holds the stop up"
    assert refuses(address_of(plain.served.urls[-1]))


def is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def refuses(address: tuple[str, int]) -> bool:
    try:
        open_socket(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was closed just now, with this connection in its queue
    return False


def test_not_ready_while_connections_still_come(plain: Site) -> None:
    """Behind the stop and within drain_delay, at the application's own address too."""
    client = plain.open(hello, drain_delay=60.0, **PATHS)
    assert client.get("/ready").status == 200
    plain.served.stop()
    eventually(lambda: plain.connect().get("/ready").status == 503, "not ready")
    late = plain.connect()
    assert (late.get("/").text, late.get("/up").status) == ("hello", 200)


def test_a_peer_of_health_bind_has_its_time_limits(plain: Site) -> None:
    plain.serve(hello, header_timeout=0.06, close_timeout=0.06, **APART)
    with open_socket(address_of(plain.served.urls[-1])) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        assert b"".join(iter(lambda: sock.recv(4096), b"")).startswith(b"HTTP/1.1 408 ")


def test_connections_to_health_bind_are_bounded(serving: Serving) -> None:
    """The longest idle one makes room, so an idle crowd locks nobody out."""
    served = serving(hello, header_timeout=60.0, keep_alive_timeout=60.0, **APART)
    address = address_of(served.urls[-1])
    crowd = []
    for _ in range(70):
        sock = open_socket(address)
        serving.stack.callback(sock.close)
        sock.sendall(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        sock.setblocking(False)
        crowd.append(sock)
    eventually(lambda: sum(map(is_closed, crowd)) == 70 - 64, "room")


@pytest.mark.parametrize("late", [False, True], ids=["told", "told-late"])
def test_a_worker_that_is_replaced_stays_ready(backend: str, records: Records, late: bool) -> None:
    """It leaves the address of health_bind at once: its successor answers there."""
    name, backend_options = BACKENDS[backend]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await goes_on.wait()
        await reply(send, b"done")

    async def main() -> None:
        # No other test's server takes the port of an address that only this one has.
        options = {"bind": "127.0.0.1:0", "health_bind": "127.0.0.3:0"}
        config = Config(lifespan="off", readyz_path="/ready", **options)
        server = Server(app, config)
        server.replaced = not late
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            urls = await tasks.start(server.run, stop, False)
            health = address_of(urls[-1])
            async with await anyio.connect_tcp(*address_of(urls[0])) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                await begun.wait()
                stop.set()
                if late:
                    await server.worker.stopping.wait()
                    assert not server.worker.ready
                    assert not refuses(health)
                    server.replaced = True
                    server.tell_balancers()
                await anyio.to_thread.run_sync(eventually, lambda: refuses(health), "refusal")
                assert server.worker.ready
                goes_on.set()
                assert (await stream.receive()).endswith(b"done")

    async def events() -> None:
        nonlocal begun, goes_on
        begun, goes_on = anyio.Event(), anyio.Event()
        await main()

    begun = goes_on = anyio.Event()
    anyio.run(events, backend=name, backend_options=backend_options)


def test_what_is_asked_of_a_worker_that_is_replaced_is_answered(
    backend: str, records: Records, protocol: str
) -> None:
    """Its connections come to their end as the application's do: a request may be on its way."""
    name, backend_options = BACKENDS[backend]

    def ask(client: Client) -> int:
        return client.get("/readyz").status

    async def main() -> None:
        config = Config(lifespan="off", bind="127.0.0.1:0", health_bind="127.0.0.3:0")
        server = Server(hello, config)
        server.replaced = True
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            health = address_of((await tasks.start(server.run, stop, False))[-1])
            with open_socket(health) as sock, open_socket(health) as silent:
                client: Client = (HTTP2Client if protocol == "h2" else HTTP1Client)(sock)
                assert await anyio.to_thread.run_sync(ask, client) == 200
                stop.set()
                await anyio.to_thread.run_sync(eventually, lambda: refuses(health), "refusal")
                assert await anyio.to_thread.run_sync(ask, client) == 200
                client = HTTP1Client(silent)
                assert await anyio.to_thread.run_sync(ask, client) == 200

    anyio.run(main, backend=name, backend_options=backend_options)


def test_it_answers_until_its_drain_delay_is_over(backend: str, records: Records) -> None:
    """Somebody told it to end, so its successor only starts, and nobody else answers."""
    name, backend_options = BACKENDS[backend]

    def ready(address: tuple[str, int]) -> int:
        with open_socket(address) as sock:
            return HTTP1Client(sock).get("/readyz").status

    async def main() -> None:
        config = Config(lifespan="off", bind="127.0.0.1:0", drain_delay=60.0, **APART)
        server = Server(hello, config)
        async with anyio.create_task_group() as tasks:
            stop = anyio.Event()
            urls = await tasks.start(server.run, stop, False)
            health = address_of(urls[-1])
            stop.set()
            await anyio.to_thread.run_sync(eventually, lambda: ready(health) == 503, "a stop")
            server.replaced = True
            server.tell_balancers()
            assert await anyio.to_thread.run_sync(ready, health) == 200
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=name, backend_options=backend_options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"livez_path": "up"}, "livez_path: expected a path such as /livez, got 'up'"),
        ({"readyz_path": "/a?b"}, "readyz_path: expected a path such as /readyz, got '/a?b'"),
        ({"metrics_path": "/a b"}, "metrics_path: expected a path such as /metrics, got '/a b'"),
        (
            {"livez_path": "/a", "readyz_path": "/a"},
            "livez_path and readyz_path are the same path, '/a'",
        ),
        (
            {"livez_path": "/metrics", **APART},
            "livez_path and metrics_path are the same path, '/metrics'",
        ),
        (
            {"bind": "127.0.0.1:9000", "health_bind": "127.0.0.1:9000"},
            "health_bind: '127.0.0.1:9000' is one of bind and insecure_bind",
        ),
        (
            {"bind": "a.example:9000", "health_bind": "A.example:9000"},
            "health_bind: 'A.example:9000' is one of bind and insecure_bind",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**options)
    assert str(caught.value) == words


def test_an_address_that_cannot_be_bound_is_named(serving: Serving) -> None:
    taken = serving(hello)
    host, port = taken.address
    with pytest.raises(BindError, match=f"^health_bind: cannot bind '{host}:{port}': .*in use"):
        serving(hello, health_bind=f"{host}:{port}")
