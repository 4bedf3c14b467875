"""The garbage collector, at rest while a process starts.

Modules make many objects that stay, and the collector looks at all of them again and again: a
tenth of the time to start. What is there when it goes on is never looked at again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# The threshold of Python itself, by version.
_DEFAULTS = (700, 2000)

_paused = False
_set = 0  # the threshold that was set here last


def pause() -> None:
    """Let it rest; whoever has turned it off himself is left alone."""
    global _paused
    if gc.isenabled():
        gc.disable()
        _paused = True


def resume() -> None:
    """Let it go on; before code of others is imported, which may rely on it."""
    global _paused
    if _paused:
        _paused = False
        gc.freeze()
        gc.enable()


def set_threshold(count: int, *, loaded: bool = False) -> None:
    """What ``gc_threshold`` says.

    :param count: objects; 0 leaves all as it is.
    :param loaded: the application is there already, and may have set its own.
    """
    global _set
    if count and not (loaded and gc.get_threshold()[0] not in _DEFAULTS):
        _set = count
        gc.set_threshold(count, *gc.get_threshold()[1:])


@contextmanager
def lent() -> Iterator[None]:
    """A program has its threshold back behind this, unless another than ours was set meanwhile."""
    global _set
    _set, before = 0, gc.get_threshold()
    try:
        yield
    finally:
        if _set and _set == gc.get_threshold()[0]:
            gc.set_threshold(*before)
