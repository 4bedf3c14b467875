"""Sends pieces of files by ``os.sendfile``: from the page cache to the socket, uncopied."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

import anyio

from tricorn.exceptions import FileUnavailable
from tricorn.protocol.flow import FileRegion

AVAILABLE: Final = hasattr(os, "sendfile")
# One step (bytes): other connections get their turn between two.
_STEP: Final = 2**20
# The connection's end; all else is wrong with the file or its file system, which have errors of
# many kinds. EBADF is of a socket that was closed meanwhile: the file's descriptor is our own.
_OF_THE_CONNECTION: Final = frozenset(
    {
        errno.EBADF,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ETIMEDOUT,
    }
)


def send_some(descriptor: int, region: FileRegion) -> bool:
    """Send what a non-blocking socket takes at once; whether the piece is complete.

    :raises BlockingIOError: if the socket takes nothing now.
    :raises FileUnavailable: if the file cannot be read or has become too short; the region
        has it as its ``failure``.
    :raises OSError: if the connection is gone.
    """
    try:
        sent = os.sendfile(descriptor, region.fd, region.offset, min(region.count, _STEP))
    except OSError as exc:
        if isinstance(exc, BlockingIOError) or exc.errno in _OF_THE_CONNECTION:
            raise
        raise _failed(region, f"cannot read a file being sent: {exc}") from exc
    if not sent:
        raise _failed(region, "a file shrank while it was sent")
    region.advance(sent)
    return not region.count


def _failed(region: FileRegion, why: str) -> FileUnavailable:
    region.failure = error = FileUnavailable(why)
    return error


async def send_region(sock: socket.socket, region: FileRegion) -> None:
    """Send a whole piece, waiting for the socket in between; raises as ``send_some``."""
    while True:
        try:
            if send_some(sock.fileno(), region):
                return
        except BlockingIOError:
            pass
        await anyio.wait_writable(sock)


class FileSender:
    """Sends one piece on the socket below an asyncio transport whose buffer is empty."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        region: FileRegion,
        ended: Callable[[Exception | None], None],
    ) -> None:
        """
        :param ended: told of the end: None, or why the piece was not sent whole; not
            called if the first ``step`` completes it.
        """
        self._loop = loop
        self._socket = sock
        self._ended = ended
        self._watched = -1
        self.region = region

    def step(self) -> bool:
        """Send what the socket takes now; whether that was all."""
        error: Exception | None = None
        try:
            if not self._send_some():
                self._watch()
                return False
        except (OSError, FileUnavailable) as exc:
            error = exc
        watched = self._watched >= 0
        self.close()
        if watched or error is not None:
            self._ended(error)
        return error is None and not watched

    def _send_some(self) -> bool:
        try:
            return send_some(self._socket.fileno(), self.region)
        except BlockingIOError:
            return False

    def _watch(self) -> None:
        if self._watched >= 0:
            return
        try:
            # asyncio keeps the transport's own descriptor to itself.
            self._watched = os.dup(self._socket.fileno())
            self._loop.add_writer(self._watched, self.step)
        except OSError as exc:  # out of descriptors
            raise _failed(self.region, f"cannot go on with a file being sent: {exc}") from exc

    def close(self) -> None:
        """Let go of everything; a second time does nothing."""
        watched, self._watched = self._watched, -1
        if watched >= 0:
            self._loop.remove_writer(watched)
            os.close(watched)
        self.region.close()
