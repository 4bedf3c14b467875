"""The codecs under test, by parameter."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar

import pytest
from playbook import codec_under_test
from playbook_http2 import http2_codec_under_test
from playbook_websocket import websocket_codec_under_test

from helpers.codecs import present


def _under_test(variable: ContextVar[str], name: str) -> Iterator[str]:
    token = variable.set(name)
    yield name
    variable.reset(token)


@pytest.fixture(params=present("http1"), scope="module")
def http1_codec(request: pytest.FixtureRequest) -> Iterator[str]:
    """The HTTP/1.1 codec of connections that ``playbook.http1`` makes."""
    yield from _under_test(codec_under_test, request.param)


@pytest.fixture(params=present("http2"), scope="module")
def http2_codec(request: pytest.FixtureRequest) -> Iterator[str]:
    """The HTTP/2 codec of connections that ``playbook_http2`` makes."""
    yield from _under_test(http2_codec_under_test, request.param)


@pytest.fixture(params=present("websocket"), scope="module")
def websocket_codec(request: pytest.FixtureRequest) -> Iterator[str]:
    """The codec of WebSockets that ``playbook_websocket`` makes."""
    yield from _under_test(websocket_codec_under_test, request.param)
