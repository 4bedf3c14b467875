"""Clients for the checks, from the modules of ``compliance.frameworks``; they need httpx[http2]
and websockets in the workload's environment."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from compliance.frameworks.websocket import WebSocket, over_http1, over_http2
from compliance.frameworks.wire import HTTP1Client, HTTP2Client, connect
from compliance.workloads.checks import PATIENCE, Target


def trusting(target: Target) -> ssl.SSLContext:
    """A context that trusts the daemon's certificate."""
    return ssl.create_default_context(cafile=str(target.authority))


def http_options(target: Target) -> dict[str, object]:
    """What makes a client of httpx speak the target's protocol."""
    return {
        "http1": not target.is_http2,
        "http2": target.is_http2,
        "verify": trusting(target),
        "timeout": PATIENCE,
        "trust_env": False,
    }


def http_client(target: Target) -> httpx.Client:
    """A blocking client with the target as its base URL."""
    return httpx.Client(
        base_url=target.url(),
        http1=not target.is_http2,
        http2=target.is_http2,
        verify=trusting(target),
        timeout=PATIENCE,
        trust_env=False,
    )


@contextmanager
def wire(target: Target) -> Iterator[HTTP1Client | HTTP2Client]:
    """A connection of its own."""
    tls = trusting(target) if target.scheme == "https" else None
    if target.is_http2:
        with HTTP2Client(connect(target.port, tls, "h2")) as client:
            yield client
    else:
        with HTTP1Client(connect(target.port, tls, "http/1.1")) as plain:
            yield plain


@contextmanager
def websocket(target: Target, path: str, *offer: str) -> Iterator[WebSocket]:
    """A WebSocket that offers the subprotocols `offer`. Entering raises Refused."""
    if target.is_http2:
        with wire(target) as client:
            assert isinstance(client, HTTP2Client)
            with over_http2(client, path, offer) as opened:
                yield opened
    else:
        with over_http1(connect(target.port, None, "http/1.1"), path, offer) as opened:
            yield opened
