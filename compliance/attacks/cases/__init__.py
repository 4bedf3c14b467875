"""The attacks, a module for each kind; importing this package registers them all."""

from compliance.attacks.cases import (
    connections,
    http1_floods,
    http1_slow,
    http1_smuggling,
    http2_floods,
    http2_headers,
    http2_resets,
    http2_stalls,
    tls,
    websocket,
)

__all__ = [
    "connections",
    "http1_floods",
    "http1_slow",
    "http1_smuggling",
    "http2_floods",
    "http2_headers",
    "http2_resets",
    "http2_stalls",
    "tls",
    "websocket",
]
