"""What the anyio transport starts tasks with and waits by: anyio's means, on trio those below.

The rules are the same on both. Around each task anyio makes a handle, an event and a second
scope, and for each wait it looks the event loop up.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import anyio
import anyio.abc
import anyio.lowlevel

if TYPE_CHECKING:
    import trio

    Group: TypeAlias = anyio.abc.TaskGroup | trio.Nursery
    Scope: TypeAlias = anyio.CancelScope | trio.CancelScope


class Means(NamedTuple):
    """Of one event loop."""

    cancelled: type[BaseException]
    group: Callable[[], AbstractAsyncContextManager[Group]]
    scope: Callable[[], Scope]
    checkpoint: Callable[[], Awaitable[None]]
    wait_readable: Callable[[int], Awaitable[None]]


#: What streams and sockets raise where the connection is no more; TLS streams also raise
#: EndOfStream, from send and close too.
GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


def means() -> Means:
    """Those of the event loop that runs."""
    cancelled = anyio.get_cancelled_exc_class()
    if "trio" in sys.modules:
        import trio

        if cancelled is trio.Cancelled:
            return Means(
                cancelled,
                trio.open_nursery,
                trio.CancelScope,
                trio.lowlevel.checkpoint,
                trio.lowlevel.wait_readable,
            )
    return Means(
        cancelled,
        anyio.create_task_group,
        anyio.CancelScope,
        anyio.lowlevel.checkpoint,
        anyio.wait_readable,
    )
