"""What is queued for the transport, handed out in bounded pieces."""

from __future__ import annotations


class WriteQueue:
    """Buffers in order; ``size`` is their sum (bytes)."""

    __slots__ = ("_buffers", "size")

    def __init__(self) -> None:
        self._buffers: list[bytes] = []
        self.size = 0

    def put(self, data: bytes) -> None:
        """Append a buffer; it is not copied."""
        if data:
            self._buffers.append(data)
            self.size += len(data)

    def take(self, limit: int) -> list[bytes]:
        """Buffers of about ``limit`` bytes at most, sliced without copying."""
        buffers = self._buffers
        if self.size <= limit:
            self._buffers = []
            self.size = 0
            return buffers
        taken: list[bytes] = []
        room = limit
        while room:
            piece = buffers[0]
            if len(piece) <= room:
                taken.append(buffers.pop(0))
            else:
                view = memoryview(piece)
                taken.append(view[:room])  # type: ignore[arg-type]
                buffers[0] = view[room:]  # type: ignore[call-overload]
            room -= len(taken[-1])
        self.size -= limit
        return taken
