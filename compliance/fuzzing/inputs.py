"""What a fuzzing input means: bytes on the wire, and choices behind them.

The last byte says how many of the bytes in front of it are choices; all before those is the
wire. So a file that ends in a zero byte is a plain conversation, and a mutation of the wire
leaves the choices alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")

MOST_CHOICES = 128
WHOLE = (1 << 30,)
BYTEWISE = (1,)


class Choices:
    """Bytes to choose by, one after the other; zeros once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        #: Chosen by their number, which leaves the others what they are.
        self.odd = len(data) % 2 == 1

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next byte."""
        at = self._at
        if at >= len(self._data):
            return 0
        self._at = at + 1
        return self._data[at]

    def pick(self, options: Sequence[_T]) -> _T:
        """One of these; the first where no choice is left."""
        return options[self.byte() % len(options)]

    def sizes(self) -> tuple[int, ...]:
        """Sizes of the pieces the wire is cut into, used in turn."""
        count = self.byte() % 6
        return tuple(self.byte() % 64 + 1 for _ in range(count)) or WHOLE


def split(data: bytes) -> tuple[bytes, Choices]:
    """The wire and the choices of an input."""
    if not data:
        return b"", Choices(b"")
    count = min(data[-1] % (MOST_CHOICES + 1), len(data) - 1)
    end = len(data) - 1 - count
    return data[:end], Choices(data[end:-1])


def join(wire: bytes, choices: bytes = b"") -> bytes:
    """The input that `split` takes apart so."""
    assert len(choices) <= MOST_CHOICES
    return wire + choices + bytes([len(choices)])


def chunks(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """``data`` in pieces of these sizes, used in turn."""
    start = turn = 0
    while start < len(data):
        size = sizes[turn % len(sizes)]
        yield data[start : start + size]
        start += size
        turn += 1
