"""One daemon for each event loop, shared by all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme
from client_harness import HOST, WORKER_CLASSES, Certificate, Daemon, running_daemon


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    directory = tmp_path_factory.mktemp("certificate")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", HOST)
    made = Certificate(directory / "chain.pem", directory / "key.pem", directory / "ca.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(made.chain, append=True)
    issued.private_key_pem.write_to_path(made.key)
    authority.cert_pem.write_to_path(made.ca)
    return made


@pytest.fixture(scope="session", params=WORKER_CLASSES)
def worker_class(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def daemon(
    worker_class: str, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """With h2c upgrade, which is off by default."""
    directory = tmp_path_factory.mktemp(worker_class)
    with running_daemon(worker_class, certificate, directory, ["--h2c-upgrade"]) as running:
        yield running


@pytest.fixture(scope="session")
def strict_daemon(
    worker_class: str, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """Without WebSocket compression and h2c upgrade, with small messages and no push."""
    directory = tmp_path_factory.mktemp(f"{worker_class}-strict")
    options = [
        *("--no-websocket-compression", "--websocket-max-message-size", "64KiB"),
        *("--no-h2-server-push", "--no-early-hints-http1"),
    ]
    with running_daemon(worker_class, certificate, directory, options) as running:
        yield running


@pytest.fixture
def own_daemon(
    worker_class: str, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """For a test that ends its daemon."""
    directory = tmp_path_factory.mktemp(f"{worker_class}-own")
    with running_daemon(worker_class, certificate, directory) as running:
        yield running
