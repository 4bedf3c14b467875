"""Descriptors 0 to 2, which a program may be started without, or lose with its terminal."""

from __future__ import annotations

import os
import sys


def fill_standard_streams() -> None:
    """Have what is closed of them lead to nowhere; to be called before anything is opened.

    Else the numbers are given to sockets and files, which programs that we start would take for
    their streams and write to; and libuv ends a process that has it close one of them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free
    if sys.__stderr__ is None:
        # Without it there is no error log, and nobody could be told that there is none.
        sys.stderr = sys.__stderr__ = os.fdopen(2, "w", closefd=False)  # type: ignore[misc]


class Terminal:
    """The terminal that the errors of a server go to, if they do."""

    def __init__(self) -> None:
        self._was_there = os.isatty(2)

    def is_gone(self) -> bool:
        """Whether it was there and was closed since, of which a SIGHUP tells."""
        return self._was_there and not os.isatty(2)
