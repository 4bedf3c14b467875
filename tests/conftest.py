"""Fixtures for tests of the running server: every backend, protocol and wire by parameter."""

from __future__ import annotations

import gc
import socket
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from helpers import codecs
from helpers.serving import LOOPS, Loops, Records
from helpers.site import Certificate, Serving, Site

if codecs.ONLY_PURE:
    codecs.hide_compiled()

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("tricorn", deadline=None)
hypothesis.settings.load_profile("tricorn")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector rest: what is made here are thousands of tests, and they stay.

    Nor does it look at them later, when a test has it collect.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def loops() -> Iterator[Loops]:
    loops = Loops()
    yield loops
    loops.close()


@pytest.fixture(params=LOOPS)
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop."""
    name: str = request.param
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
def port() -> Iterator[int]:
    """A port that no other test gets: it is bound, and nobody listens."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 0))
        yield sock.getsockname()[1]


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
