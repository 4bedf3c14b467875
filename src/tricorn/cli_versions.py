"""What ``--version`` prints: ours, Python's, and those of codecs and libraries."""

from __future__ import annotations

import importlib
import json
import platform
import ssl
from typing import Any

from tricorn import compilation
from tricorn.codecs import choice

LIBRARIES = ("anyio", "h11", "h2", "hpack", "priority", "wsproto", "trio", "uvloop", "httptools")


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _codecs() -> dict[str, dict[str, Any]]:
    """By slot: the codec that auto takes, with its version, and all that are installed."""
    return {
        slot: {"in_use": choice.choose(slot).describe(), "available": names}
        for slot, names in choice.available().items()
    }


def version_text(form: str) -> str:
    """The lines, or with ``form`` "json" an object."""
    own = _version("tricorn") or getattr(importlib.import_module("tricorn"), "__version__", None)
    libraries = {name: _version(name) for name in LIBRARIES}
    codecs = _codecs()
    if form == "json":
        python = {"version": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
        return json.dumps(
            {
                "tricorn": own,
                "python": python,
                "driver": compilation.driver(),
                "codecs": codecs,
                "libraries": libraries,
            },
            indent=2,
        )
    shown = [
        f"{slot} codec: {row['in_use']}; available: {', '.join(row['available'])}"
        for slot, row in codecs.items()
    ]
    return "\n".join(
        [
            f"tricorn {own or 'unknown'}",
            f"{platform.python_implementation()} {platform.python_version()}",
            ssl.OPENSSL_VERSION,
            f"{compilation.driver()} driver",
            *shown,
            *(f"{name} {version or 'is not installed'}" for name, version in libraries.items()),
        ]
    )
