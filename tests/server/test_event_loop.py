"""The event loop that a configuration names."""

from __future__ import annotations

import anyio.to_thread
import pytest
import sniffio

from helpers.serving import LOOPS
from tricorn import Config
from tricorn.asgi import async_library
from tricorn.event_loop import run_on


@pytest.mark.parametrize("loop", LOOPS)
def test_its_thread_knows_it_and_no_other_does(loop: str) -> None:
    found: list[str | None] = []

    async def main() -> None:
        async_library.forget()
        found.append(sniffio.thread_local.name)
        found.append(sniffio.current_async_library())
        found.append(await anyio.to_thread.run_sync(lambda: sniffio.thread_local.name))

    run_on(Config(worker_class=loop), main)
    library = "trio" if loop == "trio" else "asyncio"
    assert found == [library, library, None]
    assert sniffio.thread_local.name is None
