"""``wsgi.input``: the request body as a file that ends where the body ends (PEP 3333)."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO


class _Body(io.RawIOBase):
    """The raw file below a buffered reader."""

    def __init__(self, first: bytes, fetch: Callable[[], bytes]) -> None:
        self._piece = memoryview(first)
        self._fetch = fetch
        self._ended = False

    def readable(self) -> bool:
        return True

    def _more(self) -> bool:
        """Whether there are bytes; waits for them."""
        if not self._piece and not self._ended:
            data = self._fetch()
            self._piece = memoryview(data)
            self._ended = not data
        return not self._ended

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._more():
            return 0
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def readall(self) -> bytes:
        found = []
        while self._more():
            found.append(bytes(self._piece))
            self._piece = memoryview(b"")
        return b"".join(found)


def open_input(first: bytes, more: bool, fetch: Callable[[], bytes]) -> BinaryIO:
    """The body that begins with ``first``.

    :param more: whether it goes on behind that.
    :param fetch: waits for the next bytes; b"" at the end only; raises an OSError where
        there will be no end.
    """
    if not more:
        return io.BytesIO(first)
    return io.BufferedReader(_Body(first, fetch))
