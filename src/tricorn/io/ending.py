"""The applications of a connection that have to end.

One whose peer has left is told so, and cancelled after ``disconnect_grace``. One that goes
on ``CANCEL_TIME`` seconds after its cancellation ignores it; nothing more can be done about
it in a running process than to say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from tricorn.asgi.exchange import BaseStream
from tricorn.asgi.host import TaskHandle
from tricorn.counters import Counters

#: Seconds a cancelled application is waited for. Not final: compiled, that would be a number in
#: the code, and the tests, which shorten it, would wait for it.
CANCEL_TIME: float = 5.0


class Ending:
    """Times those applications, by ticks. Keys are stream ids."""

    __slots__ = ("_cancelled", "_counters", "_left")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        # Since when (seconds); None until a tick has seen it, inf once it was told.
        self._left: dict[int, float | None] = {}
        self._cancelled: dict[int, float | None] = {}

    def left(self, stream_id: int) -> None:
        """The peer has left this exchange; its application has its grace from now on."""
        if stream_id not in self._cancelled:
            self._left.setdefault(stream_id, None)

    def cancel(self, stream_id: int, task: TaskHandle) -> None:
        """End an application now."""
        self._left.pop(stream_id, None)
        self._cancelled.setdefault(stream_id, None)
        task.cancel()

    def released(self, stream_id: int) -> None:
        """It has ended."""
        self._left.pop(stream_id, None)
        self._cancelled.pop(stream_id, None)

    def tick(self, now: float, grace: float | None, streams: Mapping[int, BaseStream]) -> list[int]:
        """Let time pass (seconds, monotonic); those that ignore their cancellation, each once."""
        if grace is not None:
            for stream_id, since in list(self._left.items()):
                stream = streams.get(stream_id)
                task = stream.task if stream is not None else None
                if stream is None or task is None or not stream.abandoned:
                    del self._left[stream_id]
                elif since is None:
                    self._left[stream_id] = now
                elif now - since >= grace:
                    self._counters.limit("disconnect_grace")
                    self.cancel(stream_id, task)
        stubborn = []
        for stream_id, since in self._cancelled.items():
            if since is None:
                self._cancelled[stream_id] = now
            elif now - since >= CANCEL_TIME:
                self._cancelled[stream_id] = float("inf")
                stubborn.append(stream_id)
        return stubborn
