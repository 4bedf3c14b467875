"""What the anyio transport starts tasks with and waits by: anyio's means, on trio those below.

The rules are the same on both. Around each task anyio makes a handle, an event and a second
scope, and for each wait it looks the event loop up.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

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


def system_socket(stream: anyio.abc.ByteStream) -> socket.socket | None:
    """The socket below a stream, where no asyncio transport is between."""
    names: Any = anyio.abc.SocketAttribute
    raw = stream.extra(names.raw_socket, None)
    return raw if isinstance(raw, socket.socket) else None


class SocketReader:
    """Reads from a socket as anyio's stream of it does, and leaves nothing to the collector.

    On trio that stream keeps the exception of a read that was cancelled in its own traceback, and
    with it all of the connection.
    """

    __slots__ = ("_full", "_means", "_number", "_socket")

    def __init__(self, sock: socket.socket, means: Means) -> None:
        self._socket = sock
        self._means = means
        self._number = sock.fileno()
        self._full = False  # as much came as was asked for

    async def receive(self, size: int) -> bytes:
        """What is in the socket, at most ``size`` bytes, in another turn of the loop.

        :raises EndOfStream: at the end of what the peer sends.
        :raises OSError: if the connection is lost.
        """
        if self._full:
            # There is more, or so it seems.
            await self._means.checkpoint()
        else:
            await self._means.wait_readable(self._number)
        while True:
            try:
                data = self._socket.recv(size)
            except BlockingIOError:
                await self._means.wait_readable(self._number)
                continue
            if not data:
                raise anyio.EndOfStream
            self._full = len(data) == size
            return data
