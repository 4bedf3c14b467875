"""Pytest plugin: ``hypercorn.trio.serve`` and ``hypercorn.asyncio.serve`` are ``tricorn.serve``."""

from __future__ import annotations

from typing import Any

import hypercorn.asyncio
import hypercorn.trio

import tricorn

# Options of Hypercorn's that its tests set and Tricorn has by the same name.
_OPTIONS = ("bind", "keep_alive_max_requests", "root_path", "keep_alive_timeout")


async def serve(app: Any, config: Any, *, shutdown_trigger: Any = None, **_: Any) -> None:
    """Serve with those options."""
    options = {name: getattr(config, name) for name in _OPTIONS}
    await tricorn.serve(app, tricorn.Config(**options), shutdown_trigger=shutdown_trigger)


hypercorn.asyncio.serve = serve
hypercorn.trio.serve = serve
