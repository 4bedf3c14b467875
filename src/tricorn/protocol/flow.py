"""What is queued for the transport, handed out in bounded pieces."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from tricorn.compilation import mypyc_attr
from tricorn.exceptions import FileUnavailable


@mypyc_attr(allow_interpreted_subclasses=True)
class FileRegion:
    """A piece of a regular file that the transport sends without reading it.

    Owns its descriptor: ``close`` is called by whoever has sent it, and by the end of
    its life where it was never sent. ``count`` (bytes, also ``len``) is what is left, and
    ``failure`` says why that was not sent.
    """

    __slots__ = ("count", "failure", "fd", "offset")

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count
        self.failure: FileUnavailable | None = None

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<FileRegion fd={self.fd} offset={self.offset} count={self.count}>"

    def advance(self, sent: int) -> None:
        """``sent`` bytes are done."""
        self.offset += sent
        self.count -= sent

    def close(self) -> None:
        """Give the descriptor back; a second time does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        # What a lost connection had queued is freed with it, without being asked.
        self.close()


Buffer: TypeAlias = bytes | FileRegion


class WriteQueue:
    """Buffers in order; ``size`` is their sum (bytes)."""

    __slots__ = ("_buffers", "_files", "size")

    def __init__(self) -> None:
        self._buffers: list[Any] = []
        self._files = 0
        self.size = 0

    def put(self, data: bytes) -> None:
        """Append a buffer; it is not copied."""
        if data:
            self._buffers.append(data)
            self.size += len(data)

    def put_file(self, region: FileRegion) -> None:
        """Append a piece of a file."""
        if region.count:
            self._buffers.append(region)
            self._files += 1
            self.size += region.count

    def take(self, limit: int) -> list[Buffer]:
        """Buffers of about ``limit`` bytes at most, sliced without copying.

        A piece of a file comes whole and alone.
        """
        buffers = self._buffers
        if self._files:
            return self._take_up_to_file(limit)
        if self.size <= limit:
            self._buffers = []
            self.size = 0
            return buffers
        return self._take_bytes(limit)

    def _take_bytes(self, limit: int) -> list[Buffer]:
        buffers = self._buffers
        taken: list[Any] = []
        room = limit
        while room and buffers:
            piece = buffers[0]
            if len(piece) <= room:
                taken.append(buffers.pop(0))
            else:
                view = memoryview(piece)
                taken.append(view[:room])
                buffers[0] = view[room:]
            room -= len(taken[-1])
        self.size -= limit - room
        return taken

    def _take_up_to_file(self, limit: int) -> list[Buffer]:
        buffers = self._buffers
        if buffers[0].__class__ is FileRegion:
            self._files -= 1
            self.size -= len(buffers[0])
            return [buffers.pop(0)]
        index = next(i for i, piece in enumerate(buffers) if piece.__class__ is FileRegion)
        held, self._buffers = buffers[index:], buffers[:index]
        taken = self._take_bytes(limit)
        self._buffers += held
        return taken
