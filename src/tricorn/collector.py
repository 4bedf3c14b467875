"""The garbage collector, at rest while a process starts.

Modules make many objects that stay, and the collector looks at all of them again and again: a
tenth of the time to start. What is there when it goes on is never looked at again.
"""

from __future__ import annotations

import gc

# The threshold of Python itself, by version.
_DEFAULTS = (700, 2000)

_paused = False


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
    if count and not (loaded and gc.get_threshold()[0] not in _DEFAULTS):
        gc.set_threshold(count, *gc.get_threshold()[1:])
