"""``serve`` as a library: addresses, shutdown, cancellation, several servers."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from helpers.apps import body, hello, reply, start
from helpers.clients import HTTP1Client, HTTP2Client, open_socket
from helpers.serving import BACKENDS, PATIENCE, Inbox, Records, address_of
from helpers.site import Serving, Site
from tricorn import Config, serve
from tricorn.exceptions import BindError, ConfigError
from tricorn.io.listener import another, bind_all
from tricorn.types import Receive, Scope, Send


async def tell_server(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, repr((scope["server"], scope["client"])).encode())


def fetch(address: tuple[str, int] | str) -> str:
    with open_socket(address) as sock:
        return HTTP1Client(sock).get("/").text


def test_urls_have_the_real_ports(serving: Serving) -> None:
    served = serving(tell_server, bind=["127.0.0.1:0", "[::1]:0"], insecure_bind=["127.0.0.1:0"])
    assert len(served.urls) == 3
    addresses = [address_of(url) for url in served.urls]
    assert len(set(addresses)) == 3
    assert served.urls[1].startswith("http://[::1]:")
    for address in addresses:
        assert address[1] > 0
        assert fetch(address).startswith(repr((address,))[:-2])


def test_insecure_bind_is_cleartext_beside_tls(serving: Serving) -> None:
    served = serving(hello, tls=True, insecure_bind=["127.0.0.1:0"])
    assert [url.partition(":")[0] for url in served.urls] == ["https", "http"]
    assert fetch(address_of(served.urls[1])) == "hello"
    assert serving.connect(served).get("/").text == "hello"


def test_every_interface_of_both_families(serving: Serving) -> None:
    served = serving(hello, bind=":0")
    ports = {address_of(url)[1] for url in served.urls}
    assert len(ports) == 1
    assert sorted(address_of(url)[0] for url in served.urls) == ["0.0.0.0", "::"]
    port = ports.pop()
    assert fetch(("127.0.0.1", port)) == fetch(("::1", port)) == "hello"


def link_local() -> tuple[str, str] | None:
    """An address of one link of this machine, and the link's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, scope, _, name = line.split()
            if scope == "20":
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), name
    return None


def test_an_address_of_one_link(serving: Serving) -> None:
    """RFC 4007 section 11: it means nothing without its zone."""
    # The system knows the zone; without one it would say that the argument is invalid.
    with pytest.raises(BindError, match="this machine has no such address"):
        serving(hello, bind=f"[fe80::dead%{socket.if_nameindex()[0][1]}]:0")
    found = link_local()
    if found is not None:
        host, link = found
        served = serving(hello, bind=f"[{host}%{link}]:0", reuse_port=True)
        info = socket.getaddrinfo(f"{host}%{link}", served.address[1], type=socket.SOCK_STREAM)
        assert fetch(info[0][4]) == "hello"
        [listener] = bind_all(served.config)
        with listener.socket, another(listener).socket as second:
            assert second.getsockname() == listener.socket.getsockname()


def test_unix_socket(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    user = pwd.getpwuid(os.getuid()).pw_name
    served = serving(tell_server, bind=f"unix:{path}", unix_socket_mode=0o640, user=user)
    assert served.url == f"http+unix:{path}"
    found = path.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert found.st_uid == os.getuid()
    assert fetch(str(path)) == repr(((str(path), None), None))
    served.stop()
    served.wait()
    assert not path.exists()


def test_unix_socket_umask(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    before = os.umask(0o022)
    os.umask(before)
    serving(hello, bind=f"unix:{path}", umask=0o077)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    now = os.umask(before)
    assert now == before


def test_stale_unix_socket_is_replaced_and_a_live_one_refused(
    serving: Serving, tmp_path: Path
) -> None:
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.exists()
    serving(hello, bind=f"unix:{path}")
    with pytest.raises(BindError, match=f"bind: cannot bind 'unix:{path}'"):
        serving(hello, bind=f"unix:{path}")
    assert fetch(str(path)) == "hello"


def test_unix_path_that_is_no_socket_is_left_alone(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(BindError, match="no socket"):
        serving(hello, bind=f"unix:{path}")
    assert path.read_text() == "data"


def test_a_replaced_unix_path_is_not_removed_on_exit(serving: Serving, tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    served = serving(hello, bind=f"unix:{path}")
    path.unlink()
    path.write_text("someone else's")
    served.stop()
    served.wait()
    assert path.read_text() == "someone else's"


def test_inherited_descriptor(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        served = serving(hello, bind=f"fd://{sock.fileno()}")
        assert served.address == sock.getsockname()
        assert fetch(served.address) == "hello"
        served.stop()
        served.wait()
        # The descriptor stays its owner's.
        assert sock.getsockname() == served.address


def test_wrong_descriptor(serving: Serving, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(BindError, match="fd://"):
        serving(hello, bind=f"fd://{file.fileno()}")


@pytest.mark.parametrize("option", ["bind", "insecure_bind"])
def test_port_in_use(serving: Serving, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        options: dict[str, Any] = {"tls": option == "insecure_bind", option: [address]}
        with pytest.raises(BindError) as caught:
            serving(hello, **options)
    assert str(caught.value) == (
        f"{option}: cannot bind '{address}': the address is in use by another process"
    )


def test_nothing_stays_bound_when_one_bind_fails(serving: Serving) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        binds = [f"127.0.0.1:{port}", f"127.0.0.1:{other.getsockname()[1]}"]
        with pytest.raises(BindError):
            serving(hello, bind=binds)
    socket.create_server(("127.0.0.1", port)).close()


def test_certificate_trouble_is_a_config_error(serving: Serving, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    with pytest.raises(ConfigError, match="certfile"):
        serving(hello, certfile=str(bad), keyfile=str(bad))


@pytest.mark.parametrize("callable_trigger", [False, True])
def test_shutdown_trigger(serving: Serving, callable_trigger: bool) -> None:
    served = serving(hello, callable_trigger=callable_trigger)
    client = serving.connect(served)
    assert client.get("/").text == "hello"
    served.stop()
    # An idle connection is closed at once, in order.
    assert client.sock.recv(1) == b""
    served.wait()
    with pytest.raises(ConnectionRefusedError):
        open_socket(served.address)


def test_drain_finishes_what_is_in_flight(site: Site) -> None:
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await start(send)
        await body(send, b"first", more=True)
        await gate.wait()
        await body(send, b" second")

    client = site.open(app)
    gate = site.gate()
    stream = client.start()
    client.response(stream, lambda r: len(r.body) > 0)
    site.served.stop()
    if isinstance(client, HTTP2Client):
        client.until(lambda: client.goaways)
    gate.open()
    response = client.response(stream)
    assert response.complete
    assert response.text == "first second"
    if isinstance(client, HTTP2Client):
        client.until(lambda: client.closed)
        assert [goaway for goaway in client.goaways if goaway[1] != 0] == []
        assert client.goaways[-1][0] == stream
    client.close()
    site.served.wait()


def test_drain_says_connection_close(serving: Serving) -> None:
    gate: Any = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await gate.wait()
        await reply(send, b"late")

    served = serving(app)
    gate = serving.gate()
    client = serving.connect(served)
    idle = serving.connect(served)
    idle.get("/")  # both are accepted now, not in the kernel's queue
    client.get("/")
    stream = client.start("GET", "/late")
    served.stop()
    assert idle.sock.recv(1) == b""
    gate.open()
    response = client.response(stream)
    assert response.text == "late"
    assert response.header(b"connection") == b"close"
    client.close()
    served.wait()


def test_graceful_timeout_cuts(plain: Site, records: Records) -> None:
    records.expect("still open after graceful_timeout")
    started, ended = Inbox(), Inbox()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.put(True)
        try:
            await anyio.sleep_forever()
        except BaseException as exc:
            ended.put(type(exc).__name__)
            raise

    client = plain.open(app, graceful_timeout=0.1)
    stream = client.start()
    started.take()
    plain.served.stop()
    plain.served.wait()
    assert ended.take() in ("CancelledError", "Cancelled")
    assert client.response(stream).status in (0, 500)


@pytest.mark.parametrize("turns", range(5))
def test_graceful_timeout_cuts_who_comes_with_the_stop(
    serving: Serving, records: Records, turns: int
) -> None:
    """A connection that is taken in one of the turns in which the server stops."""
    records.expect("still open after graceful_timeout")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    served = serving(app, graceful_timeout=0.1, drain_idle_timeout=PATIENCE)

    async def come() -> socket.socket | None:
        served.stop_here()
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        try:
            sock = open_socket(served.address)
            sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        except OSError:
            return None  # too late
        return sock

    sock = serving.portal.call(come)
    served.wait()
    if sock is not None:
        sock.close()


def test_cancellation_is_clean_and_quick(site: Site) -> None:
    ended = Inbox()
    started = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.put(True)

    client = site.open(app, graceful_timeout=30)
    stream = client.start()
    assert started.wait(5)
    before = time.monotonic()
    site.served.cancel()
    assert time.monotonic() - before < 10
    assert ended.take()
    assert not client.response(stream).complete or client.response(stream).status == 500


def test_cancelled_inside_a_callers_task_group(backend: str, records: Records) -> None:
    async def main() -> float:
        async with anyio.create_task_group() as tasks:
            config = Config(bind=("127.0.0.1:0",), graceful_timeout=30)
            urls = await tasks.start(serve, hello_with_lifespan, config)
            async with await anyio.connect_tcp(*address_of(urls[0])) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert b"200" in await stream.receive()
                before = time.monotonic()
                tasks.cancel_scope.cancel()
        return time.monotonic() - before

    name, options = BACKENDS[backend]
    assert anyio.run(main, backend=name, backend_options=options) < 10


async def hello_with_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await hello(scope, receive, send)


def test_two_servers_in_one_process(serving: Serving) -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"other")

    first, second = serving(hello), serving(other)
    assert fetch(first.address) == "hello"
    assert fetch(second.address) == "other"
    first.stop()
    first.wait()
    assert fetch(second.address) == "other"


def test_restart_on_the_same_port(serving: Serving) -> None:
    served = serving(hello)
    client = serving.connect(served)
    assert client.get("/").text == "hello"
    served.stop()
    served.wait()
    again = serving(hello, bind=f"127.0.0.1:{served.address[1]}")
    assert fetch(again.address) == "hello"


def test_server_names(serving: Serving, protocol: str) -> None:
    site = Site(serving, protocol, False)
    names = ["LocalHost", "example.org"]
    client = site.open(hello, server_names=names)
    assert client.get("/").status == 200
    site.open(hello, server_names=["example.org"])
    assert site.connect().get("/").status == 421
    if protocol == "http/1.1":
        with open_socket(site.served.address) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: Example.ORG:8000\r\nconnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
