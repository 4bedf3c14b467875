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

from tricorn import error_report, logs
from tricorn.exceptions import TricornError, only_error

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import NoReturn

_log = logging.getLogger("tricorn.error")

#: Seconds that threads are waited for once all else of the process is over.
THREAD_TIME: float = 5.0
# Seconds for the last words; the logs alone may take two.
_LAST_WORDS = 3.0

_ENDING = "ending the process with tasks or threads that do not end"


def leave(code: int) -> None:
    """Have the process end with ``code``, although threads may keep the interpreter from it.

    To be called last in a process that is ours. Nothing is logged behind an error: that is the
    last line.
    """

    def say() -> None:
        if not code:
            _log.error(_ENDING)
        logs.shutdown()

    main = threading.main_thread()
    if any(not thread.daemon and thread is not main for thread in threading.enumerate()):
        timer = threading.Timer(THREAD_TIME, _exit, (code, say))
        timer.daemon = True
        with suppress(RuntimeError):  # the system gives no more threads
            timer.start()


def _exit(code: int, say: Callable[[], object]) -> NoReturn:
    """End the process. ``say`` has its time: a pipe may be full, a stream held by a thread."""

    def last_words() -> None:
        say()
        for stream in (sys.stderr, sys.stdout):
            with suppress(Exception):
                stream.flush()

    with suppress(RuntimeError):  # as above
        thread = threading.Thread(target=last_words, name="tricorn-end", daemon=True)
        thread.start()
        thread.join(_LAST_WORDS)
    os._exit(code)


class LastResort:
    """Ends the process, for whoever owns it.

    ``clean`` is called first: it removes what must not be left in the file system. ``tell``
    tells last what the process failed with.
    """

    def __init__(self) -> None:
        self.clean: Callable[[], None] = lambda: None
        self.tell: Callable[[TricornError], object] = error_report.report
        self._error: BaseException | None = None
        self._timers: list[threading.Timer] = []

    def failed(self, exc: Exception) -> None:
        """The process fails with this, which may not get out of its event loop any more."""
        error = only_error(exc) if isinstance(exc, ExceptionGroup) else None
        self._error = error or exc

    def end(self) -> None:
        """End the process now, with the exit code of what failed; 0 for what was asked to stop."""
        error = self._error
        told = error if isinstance(error, TricornError) else None

        def say() -> None:
            _log.error(_ENDING, exc_info=error if told is None else None)
            logs.shutdown()
            if told is not None:
                self.tell(told)

        with suppress(Exception):
            self.clean()
        _exit(told.exit_code if told is not None else int(error is not None), say)

    def end_after(self, seconds: float) -> None:
        """End the process then, if it is still there."""
        timer = threading.Timer(seconds, self.end)
        timer.daemon = True
        with suppress(RuntimeError):  # as above
            timer.start()
        self._timers.append(timer)

    def cancel(self) -> None:
        """It has come to its end by itself."""
        for timer in self._timers:
            timer.cancel()
