"""The fixtures of the running server's tests, on standing servers: these tests are many."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from specification_site import SharedSite, Stages

from helpers.serving import Loops
from helpers.site import Certificate, Serving


@pytest.fixture(scope="module")
def stages(loops: Loops, certificate: Certificate) -> Iterator[Stages]:
    """The standing servers. They go with their module: what a server has to tell of its peers comes
    seconds later, and would stand in the log of another test."""
    stages = Stages(loops, certificate)
    with stages.stack:
        yield stages


@pytest.fixture
def plain(serving: Serving, protocol: str, stages: Stages) -> Iterator[SharedSite]:
    """Every backend and protocol, in cleartext."""
    site = SharedSite(serving, protocol, False, stages)
    yield site
    site.close()


@pytest.fixture
def site(serving: Serving, protocol: str, tls: bool, stages: Stages) -> Iterator[SharedSite]:
    """Every backend, protocol and wire."""
    site = SharedSite(serving, protocol, tls, stages)
    yield site
    site.close()
