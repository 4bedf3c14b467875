"""The application under load: counts what it answers, and tells at its end."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"3")]
_counted = 0


def _tell() -> None:
    with Path(os.environ["RESTARTS_COUNTS"]).open("a") as file:
        file.write(f"{_counted}\n")


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """``ok`` to every request."""
    global _counted
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        _tell()
        await send({"type": "lifespan.shutdown.complete"})
        return
    _counted += 1
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"ok\n"})
