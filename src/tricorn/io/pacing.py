"""How much is read from a connection at a time, and when again.

What is cheap to send may be dear to take apart: frames and chunks of one byte, streams that are
reset at once. Budgets end most of that, but some of it is legal at any length. So what a read
costs decides how large the next one is: little from a connection that is new or dear, much from
one that sends what is cheap, such as an upload in large pieces. Dear connections go on one in a
turn of the loop, however many there are; the others, served in each turn, wait for one of them
at most.

And where more requests come in one turn of the loop than applications should begin in the next,
the connections that sent the others wait in a crowd.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel

from tricorn.asgi.host import Worker

FIRST_READ: Final = 4096
"""Bytes of a connection's first read."""
LARGEST_READ: Final = 262144
"""Bytes of any read."""
UNTIMED: Final = 1024
"""Bytes that are never dear."""
_SMALLEST_READ: Final = 2048
DEAR: Final = 0.002
"""Seconds that a read may take to be dealt with; below that only a full one is of interest."""
_CHEAP: Final = 0.0005
TOGETHER: Final = 64
"""Requests of one turn of the loop: of more, the first would be out of the processor's caches when
the last has been read and the first application begins."""
HANDSHAKES: Final = 2
"""TLS handshakes begun in one turn of the loop: each takes a millisecond or two, in which nobody
else is served."""


def next_size(size: int, full: bool, took: float) -> int:
    """Bytes to read next.

    :param size: what was asked for last.
    :param full: whether so much came.
    :param took: seconds in which it was dealt with.
    """
    if took > DEAR:
        return max(_SMALLEST_READ, size // 2)
    if full and took < _CHEAP:
        return min(LARGEST_READ, size * 2)
    return size


def is_dear(took: float) -> bool:
    """Whether a connection whose read took so long (seconds) has to queue for the next one."""
    return took > DEAR


class SlowLane:
    """Lets the dear connections of a worker go on one by one, each in a turn of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._lock = anyio.Lock(fast_acquire=True)

    def queue(self, go_on: Callable[[], object], soon: Callable[..., object]) -> None:
        """Have a connection go on in its turn.

        :param soon: calls a function in the next turn of the loop.
        """
        self._waiting.append(go_on)
        if len(self._waiting) == 1:
            soon(self._turn, soon)

    def _turn(self, soon: Callable[..., object]) -> None:
        go_on = self._waiting[0]
        try:
            go_on()
        finally:
            self._waiting.popleft()
            if self._waiting:
                soon(self._turn, soon)

    async def turn(self) -> None:
        """Wait for one's turn."""
        async with self._lock:
            await anyio.lowlevel.checkpoint()


class Crowd:
    """Lets the connections of a worker go on a few at a time when most of them send requests.

    An application that begins says that so many requests have got on (``Worker.caught_up``): of
    those read behind it in the same turn of the loop none has, and no callback is needed to know
    when the next turn begins.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def is_full(self, worker: Worker) -> bool:
        """Whether a connection has to queue for its next request to be looked at."""
        return worker.requests - worker.caught_up >= TOGETHER or bool(self._waiting)

    def queue(
        self, worker: Worker, go_on: Callable[[], object], soon: Callable[..., object]
    ) -> None:
        """Have a connection go on in its turn.

        :param soon: calls a function in the next turn of the loop.
        """
        self._waiting.append(go_on)
        if len(self._waiting) == 1:
            soon(self._turn, worker, soon)

    def _turn(self, worker: Worker, soon: Callable[..., object]) -> None:
        waiting = self._waiting
        worker.caught_up = worker.requests
        try:
            while waiting and worker.requests - worker.caught_up < TOGETHER:
                waiting.popleft()()
        finally:
            if waiting:
                soon(self._turn, worker, soon)
