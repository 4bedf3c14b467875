"""The event loop a configuration names: started, and called from other threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from tricorn.asgi import async_library
from tricorn.config import Config
from tricorn.config_check import check_event_loop


def run_on(config: Config, main: Callable[[], Awaitable[None]]) -> None:
    """Run ``main`` on the loop that ``worker_class`` names; returns when it has.

    :raises ConfigError: if that loop is not installed.
    """
    check_event_loop(config)
    loop = config.event_loop
    if loop == "trio":
        anyio.run(main, backend="trio")
        return

    async def known() -> None:
        with async_library.running_asyncio():
            await main()

    options: dict[str, Any] = {"use_uvloop": loop == "uvloop", "debug": config.debug}
    anyio.run(known, backend="asyncio", backend_options=options)


def caller_from_threads() -> Callable[[Callable[[], object]], object]:
    """A function that has the running loop call another one, soon; for any thread.

    It does not wait and gives no result. It raises RuntimeError once the loop has ended.
    """
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        return asyncio.get_running_loop().call_soon_threadsafe
    import trio

    return trio.lowlevel.current_trio_token().run_sync_soon
