"""The end of a process whose tasks or threads do not end.

asyncio waits for every task before it lets go, trio for every nursery, and the interpreter
for its threads: one application that ignores its cancellation would hold them for ever.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from tricorn import logs

_log = logging.getLogger("tricorn.error")


class LastResort:
    """Ends the process, for whoever owns it.

    ``clean`` is called first: it removes what must not be left in the file system.
    """

    def __init__(self) -> None:
        self.clean: Callable[[], None] = lambda: None
        self._timers: list[threading.Timer] = []

    def end(self) -> None:
        """End the process now; what it was asked to stop is over, so its exit code is 0."""
        _log.error("ending the process with tasks or threads that do not end")
        with suppress(Exception):
            self.clean()
        logs.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(0)

    def end_after(self, seconds: float) -> None:
        """End the process then, if it is still there."""
        timer = threading.Timer(seconds, self.end)
        timer.daemon = True
        timer.start()
        self._timers.append(timer)

    def cancel(self) -> None:
        """It has come to its end by itself."""
        for timer in self._timers:
            timer.cancel()
