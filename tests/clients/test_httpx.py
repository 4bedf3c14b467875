"""httpx: sync and async, pools, streaming both ways."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Iterator

import httpx
import pytest
from client_app import content
from client_harness import Daemon

#: Name, HTTP/1.1 offered, HTTP/2 offered, over TLS, what is agreed on.
WAYS = {
    "http1-tls": (True, False, True, "HTTP/1.1"),
    "http1-clear": (True, False, False, "HTTP/1.1"),
    "http2-alpn": (True, True, True, "HTTP/2"),
    "http2-prior-knowledge": (False, True, False, "HTTP/2"),
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> tuple[bool, bool, bool, str]:
    return WAYS[request.param]


def client(daemon: Daemon, way: tuple[bool, bool, bool, str]) -> httpx.Client:
    http1, http2, secure, _ = way
    context = daemon.certificate.client_context()
    base = daemon.url(secure=secure)
    return httpx.Client(http1=http1, http2=http2, verify=context, base_url=base, trust_env=False)


def async_client(
    daemon: Daemon, way: tuple[bool, bool, bool, str], limits: httpx.Limits
) -> httpx.AsyncClient:
    http1, http2, secure, _ = way
    return httpx.AsyncClient(
        http1=http1,
        http2=http2,
        verify=daemon.certificate.client_context(),
        base_url=daemon.url(secure=secure),
        trust_env=False,
        timeout=20,
        limits=limits,
    )


def test_connection_is_pooled(daemon: Daemon, way: tuple[bool, bool, bool, str]) -> None:
    with client(daemon, way) as session:
        answers = [session.get("/scope") for _ in range(5)]
        assert {answer.http_version for answer in answers} == {way[3]}
        # The peer's port is the same: one connection served them all.
        assert len({tuple(answer.json()["client"]) for answer in answers}) == 1


def test_streamed_upload_and_download(daemon: Daemon, way: tuple[bool, bool, bool, str]) -> None:
    body = content(2_000_000)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 70_000):
            yield body[start : start + 70_000]

    with client(daemon, way) as session:
        facts = session.post("/digest", content=pieces()).json()
        assert (facts["size"], facts["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        digest = hashlib.sha256()
        with session.stream("GET", "/download/5000000") as answer:
            for piece in answer.iter_bytes():
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(content(5_000_000)).digest()
        # What was streamed leaves the connection fit for the next exchange.
        assert session.get("/hello").text == "hello"


def test_client_that_leaves_a_response_ends_it(
    daemon: Daemon, way: tuple[bool, bool, bool, str]
) -> None:
    """The application is told with an OSError, and the other clients do not feel it."""
    for _ in range(3):
        key = uuid.uuid4().hex
        # The whole client ends: httpx does not reset a single HTTP/2 stream it leaves.
        with client(daemon, way) as leaving, leaving.stream("GET", f"/endless/{key}") as answer:
            assert next(answer.iter_raw())
        with client(daemon, way) as other:
            assert other.get(f"/end/{key}").json() == "ClientDisconnected"


def test_response_without_reading_the_request(
    daemon: Daemon, way: tuple[bool, bool, bool, str]
) -> None:
    with client(daemon, way) as session:
        for _ in range(3):
            answer = session.post("/refuse", content=b"x" * 20_000)
            assert (answer.status_code, answer.text) == (413, "too large")


@pytest.mark.long
def test_hundred_requests_at_once(daemon: Daemon, way: tuple[bool, bool, bool, str]) -> None:
    async def main() -> set[tuple[str, int]]:
        limits = httpx.Limits(max_connections=10, max_keepalive_connections=10)
        async with async_client(daemon, way, limits) as session:

            async def one(number: int) -> tuple[str, int]:
                if number % 4 == 0:
                    body = content(10_000 + number)
                    answer = await session.post("/echo", content=body)
                    assert answer.content == body
                answer = await session.get("/scope", headers={"x-number": str(number)})
                facts = answer.json()
                assert dict(facts["headers"])["x-number"] == str(number)
                return facts["client"][0], facts["client"][1]

            return set(await asyncio.gather(*(one(number) for number in range(100))))

    peers = asyncio.run(main())
    if way[3] == "HTTP/2":
        assert len(peers) == 1
    else:
        assert 1 < len(peers) <= 10
