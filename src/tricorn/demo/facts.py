"""What a scope tells about its connection, as plain data and as words."""

from __future__ import annotations

import asyncio
from typing import Any

from tricorn.types import Scope

# The two-byte codes of the IANA TLS registry that servers meet today.
TLS_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
CIPHER_SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}


def connection_facts(scope: Scope) -> dict[str, Any]:
    """Return what an HTTP or WebSocket scope says, ready for JSON.

    Keys: ``http_version`` and ``scheme`` (str), ``tls`` (None without TLS, else a dict of
    ``version`` and ``cipher_suite``, each None where the server does not tell),
    ``client`` and ``server`` (str or None), ``extensions`` (sorted list of str), ``asgi``
    (dict), ``event_loop`` (str).
    """
    return {
        "http_version": scope["http_version"],
        "scheme": scope.get("scheme", "http"),
        "tls": _tls(scope),
        "client": _address(scope.get("client")),
        "server": _address(scope.get("server")),
        "extensions": sorted(scope.get("extensions") or {}),
        "asgi": dict(scope.get("asgi", {})),
        "event_loop": _event_loop(),
    }


def _tls(scope: Scope) -> dict[str, str | None] | None:
    """The ``tls`` extension is optional even over TLS, and so is each of its values."""
    extension = (scope.get("extensions") or {}).get("tls")
    if extension is None and scope.get("scheme") not in ("https", "wss"):
        return None
    extension = extension or {}
    return {
        "version": _named(extension.get("tls_version"), TLS_VERSIONS),
        "cipher_suite": _named(extension.get("cipher_suite"), CIPHER_SUITES),
    }


def _named(value: object, names: dict[int, str]) -> str | None:
    if isinstance(value, int):
        return names.get(value, f"0x{value:04X}")
    return None if value is None else str(value)


def _address(value: tuple[str, int | None] | None) -> str | None:
    if value is None:
        return None
    host, port = value
    if port is None:  # a Unix socket: only the path means something
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _event_loop() -> str:
    try:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]
    except RuntimeError:  # asyncio is not what runs us
        return "trio"
