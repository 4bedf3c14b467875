"""What waits to be framed on one HTTP/2 stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tricorn.types import Headers


@dataclass(slots=True)
class SendBuffer:
    """Body bytes in the order given, and how they end. ``size`` is what waits (bytes)."""

    pieces: deque[bytes | memoryview] = field(default_factory=deque)
    size: int = 0
    sent: int = 0  # bytes taken so far
    ended: bool = False
    trailers: Headers | None = None

    def take(self, room: int) -> bytes | memoryview:
        """At most ``room`` bytes; small pieces are joined into one frame."""
        first = self.pieces[0]
        if len(first) > room:
            view = memoryview(first)
            self.pieces[0] = view[room:]
            self.size -= room
            return view[:room]
        self.pieces.popleft()
        self.size -= len(first)
        if not self.pieces or len(first) + len(self.pieces[0]) > room:
            return first
        joined = [first]
        room -= len(first)
        while self.pieces and len(self.pieces[0]) <= room:
            piece = self.pieces.popleft()
            joined.append(piece)
            room -= len(piece)
            self.size -= len(piece)
        return b"".join(joined)
