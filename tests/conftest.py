"""Fixtures for tests of the running server: every backend, protocol and wire by parameter."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator

import pytest

from helpers import codecs
from helpers.serving import BACKENDS, Loops, Records
from helpers.site import Certificate, Serving, Site
from tricorn.server import Server

if codecs.ONLY_PURE:
    codecs.hide_compiled()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector rest: what is made here are thousands of tests, and they stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def loops() -> Iterator[Loops]:
    loops = Loops()
    yield loops
    loops.close()


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The event loop; asyncio-anyio serves asyncio through the transport that trio uses."""
    name: str = request.param
    monkeypatch.setattr(Server, "force_anyio_transport", name == "asyncio-anyio")
    return name


@pytest.fixture(params=["http/1.1", "h2"])
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=[False, True], ids=["cleartext", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    flag: bool = request.param
    return flag


@pytest.fixture
def records() -> Iterator[Records]:
    """The server's log; the test fails on a warning it does not ``expect``."""
    with Records() as records:
        yield records
    assert records.faults() == []


@pytest.fixture
def serving(
    loops: Loops, backend: str, certificate: Certificate, records: Records
) -> Iterator[Serving]:
    """Servers on the parameter's backend."""
    serving = Serving(loops, backend, certificate)
    with serving.stack:
        yield serving


@pytest.fixture
def site(serving: Serving, protocol: str, tls: bool) -> Site:
    """Every backend, protocol and wire."""
    return Site(serving, protocol, tls)


@pytest.fixture
def plain(serving: Serving, protocol: str) -> Site:
    """Every backend and protocol, in cleartext."""
    return Site(serving, protocol, False)
