"""All of IPv6 is all of IPv4 too, unless IPv4 is named; and IPv4 has one spelling."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from helpers import proxy_header
from helpers.apps import hello, reply
from helpers.clients import HTTP1Client, open_socket
from helpers.serving import Records, address_of, eventually
from helpers.site import Serving
from tricorn.exceptions import BindError
from tricorn.types import Receive, Scope, Send


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, f"{scope['client'][0]} {scope['server']}".encode())


def fetch(address: tuple[str, int]) -> str:
    with open_socket(address) as sock:
        return HTTP1Client(sock).get("/").text


@pytest.mark.parametrize("host", ["[::]", "[0::0]"])
@pytest.mark.parametrize("option", ["bind", "insecure_bind"])
@pytest.mark.parametrize("free", [False, True], ids=["port", "port 0"])
def test_all_of_ipv6_is_all_of_ipv4_too(
    serving: Serving, port: int, host: str, option: str, free: bool
) -> None:
    options: dict[str, Any] = {"bind": [], option: [f"{host}:{0 if free else port}"]}
    served = serving(tell, **options)
    assert {address_of(url)[0] for url in served.urls} == {"::", "0.0.0.0"}
    (port,) = {address_of(url)[1] for url in served.urls}
    for address in "127.0.0.1", "::1":
        assert fetch((address, port)) == f"{address} {(address, port)}"


@pytest.mark.parametrize("other", ["0.0.0.0", "127.0.0.1"])
def test_a_named_ipv4_address_has_its_own(serving: Serving, port: int, other: str) -> None:
    insecure = [f"{other}:{port}"]
    served = serving(hello, tls=True, bind=f"[::]:{port}", insecure_bind=insecure)
    assert served.urls == [f"https://[::]:{port}", f"http://{other}:{port}"]
    assert fetch(("127.0.0.1", port)) == "hello"


def test_a_name_of_ipv4_addresses_counts(serving: Serving, port: int) -> None:
    served = serving(hello, bind=[f"[::]:{port}", f"127.1:{port}"])
    assert served.urls == [f"http://[::]:{port}", f"http://127.0.0.1:{port}"]


def test_an_inherited_socket_counts(serving: Serving, port: int) -> None:
    with socket.socket() as passed:
        passed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        passed.bind(("127.0.0.1", port))
        served = serving(hello, bind=[f"[::]:{port}", f"fd://{passed.fileno()}"])
        assert served.urls == [f"http://[::]:{port}", f"http://127.0.0.1:{port}"]
        assert fetch(("127.0.0.1", port)) == "hello"


def test_other_ports_do_not_count(serving: Serving, port: int) -> None:
    served = serving(hello, bind=[f"[::]:{port}", "127.0.0.1:0"])
    assert len(served.urls) == 3


@pytest.mark.parametrize("other", ["0.0.0.0", "127.0.0.1"])
def test_another_process_in_the_way(serving: Serving, port: int, other: str) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((other, port))
        sock.listen()
        with pytest.raises(BindError, match=rf"^bind: cannot bind '\[::\]:{port}': .*in use"):
            serving(hello, bind=f"[::]:{port}")


@pytest.mark.parametrize("named", ["all", "[::]"])
def test_the_proxy_protocol_is_asked_for_in_both(
    serving: Serving, records: Records, port: int, named: str
) -> None:
    named = named if named == "all" else f"{named}:{port}"
    trusted = ["127.0.0.1", "::1"]
    serving(tell, bind=f"[::]:{port}", proxy_protocol=named, trusted_proxies=trusted)
    for address in "127.0.0.1", "::1":
        with open_socket((address, port)) as sock:
            sock.sendall(proxy_header.line("TCP4", "192.0.2.7", "198.51.100.2", 4711, 443))
            assert HTTP1Client(sock).get("/").text == "192.0.2.7 ('198.51.100.2', 443)"
        with open_socket((address, port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
    assert any("without a PROXY" in line for line in records.messages())


@pytest.fixture
def of_both() -> Iterator[socket.socket]:
    """A socket of both families, as systemd makes them."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        yield sock


def test_clients_at_one_socket_of_both(
    serving: Serving, records: Records, of_both: socket.socket
) -> None:
    """They are not ``::ffff:127.0.0.1``, at either end and in the access log."""
    options: dict[str, Any] = {"accesslog": "-", "access_log_format": "%(h)s"}
    serving(tell, bind=f"fd://{of_both.fileno()}", **options)
    port = of_both.getsockname()[1]
    for address in "127.0.0.1", "::1":
        assert fetch((address, port)) == f"{address} {(address, port)}"
        eventually(lambda: records.messages("tricorn.access"), "nothing is logged")
        assert records.messages("tricorn.access")[-1] == address
        records.records.clear()
