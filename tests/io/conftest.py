"""What moves the bytes is also checked on the loop that it is not meant for."""

from __future__ import annotations

import pytest

from helpers.serving import BACKENDS
from tricorn.server import Server


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The event loop; asyncio-anyio serves asyncio through the transport that trio uses."""
    name: str = request.param
    monkeypatch.setattr(Server, "force_anyio_transport", name == "asyncio-anyio")
    return name
