"""Tells when something holds up the event loop, and where.

A thread asks the loop for a sign of life. Time counts in steps that the thread itself has
lived through: a process that was stopped, or a machine that slept, is no stall.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tricorn.event_loop import caller_from_threads

_log = logging.getLogger("tricorn.error")

# Steps in which the limit is counted.
_STEPS = 4
# Frames of the stack that are told, the innermost ones.
_MOST_FRAMES = 30


@contextmanager
def watching(limit: float | None, on_stall: Callable[[], None] | None = None) -> Iterator[None]:
    """Watch the running event loop; tells each stall once.

    :param limit: ``blocked_loop_warning`` (seconds), None not to watch.
    :param on_stall: called in a thread of the watch's own.
    """
    if limit is None:
        yield
        return
    watch = _Watch(limit, on_stall)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class _Watch(threading.Thread):
    """The thread; made and started by that of the loop."""

    def __init__(self, limit: float, on_stall: Callable[[], None] | None) -> None:
        super().__init__(name="tricorn-loop-watch", daemon=True)
        self._limit = limit
        self._on_stall = on_stall
        self._watched = threading.get_ident()
        # Log handlers may tell servers apart by it; _context is the thread's own since Python 3.14.
        self._starters = contextvars.copy_context()
        self._call = caller_from_threads()
        self._changed = threading.Condition()
        self._over = False
        self._turned = False

    def stop(self) -> None:
        """End the thread, and wait for it."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self.join()

    def run(self) -> None:
        self._starters.run(self._watch)

    def _watch(self) -> None:
        step = self._limit / _STEPS
        while not self._pause(step):
            self._turned = False
            try:
                self._call(self._sign)
            except RuntimeError:
                return  # the loop has ended
            if not any(self._wait(step) for _ in range(_STEPS)):
                self._tell()
                self._wait(None)

    def _pause(self, seconds: float) -> bool:
        """Rest; whether the watch is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over, seconds)

    def _sign(self) -> None:
        """In the loop: it turns."""
        with self._changed:
            self._turned = True
            self._changed.notify()

    def _wait(self, seconds: float | None) -> bool:
        """Wait for a sign of life; whether it came or the watch is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over or self._turned, seconds)

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._watched)
        if frame is None or self._over:
            return
        where = frame.f_code
        _log.warning(
            "the event loop has not turned for %g s (blocked_loop_warning): it is in %s, %s:%d\n%s",
            self._limit,
            where.co_qualname,
            where.co_filename,
            frame.f_lineno,
            _stack(frame),
        )
        if self._on_stall is not None:
            self._on_stall()


def _stack(frame: FrameType) -> str:
    """The innermost frames, the last one called at the end."""
    lines = traceback.format_stack(frame)[-_MOST_FRAMES:]
    return "".join(lines).rstrip()
