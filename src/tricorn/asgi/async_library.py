"""Which event loop runs is for each thread to tell, not for a context."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def forget() -> None:
    """Take back the note that ``anyio.run`` has left of its event loop in this context.

    Copies of the context go into threads, ours for WSGI and those of ``asyncio.to_thread`` or
    asgiref. The note would tell of a loop there that runs elsewhere: ``anyio.run`` would refuse
    to start one, and libraries would take asyncio for trio. Without it sniffio asks the thread,
    and then looks.
    """
    sniffio = sys.modules.get("sniffio")  # anyio does without it where it is not installed
    if sniffio is not None:
        sniffio.current_async_library_cvar.set(None)


@contextmanager
def running_asyncio() -> Iterator[None]:
    """Have sniffio know that asyncio runs in this thread, as trio tells it of itself.

    To look takes it five times as long, and anyio asks it in every other function.
    """
    sniffio = sys.modules.get("sniffio")
    if sniffio is None:
        yield
        return
    local = sniffio.thread_local
    former, local.name = local.name, "asyncio"
    try:
        yield
    finally:
        local.name = former
