"""How an error that ends the daemon is told: one line, behind the application's traceback."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import suppress

from tricorn.exceptions import AppImportError, LifespanError, TricornError

# Frames that lead from here to the application.
_HERE = os.path.dirname(__file__)
_OURS = (
    os.path.join(_HERE, "app_loader.py"),
    importlib.__file__,
    os.path.join(_HERE, "asgi", "lifespan.py"),
)


def last_line(exc: TricornError) -> str:
    """The line (str, no line end) that says what is wrong."""
    return f"tricorn: error: {' '.join(str(exc).split())}"


def application_traceback(exc: TricornError) -> str:
    """The application's own traceback (str with line ends), empty where there is none."""
    if exc.application_traceback:
        return exc.application_traceback
    cause = exc.__cause__
    told = isinstance(exc, AppImportError | LifespanError)
    if not told or cause is None or cause.__traceback__ is None:
        return ""
    return _without_ours(cause)


def report(exc: TricornError) -> None:
    """Print both to standard error, where somebody reads it; the exit code is told in any case."""
    stream = sys.stderr
    if stream is None:  # started with it closed
        return
    try:
        stream.write(f"{application_traceback(exc)}{last_line(exc)}\n")
        stream.flush()
    except (OSError, ValueError):  # its reader is gone, or the application has closed it
        # What is left of it, written at the interpreter's end, would fail and change the code.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def told(exc: TricornError) -> str:
    """The same for the log of a daemon that goes on: the traceback comes below."""
    trace = application_traceback(exc).rstrip("\n")
    return f"{exc}\n{trace}" if trace else str(exc)


def _without_ours(exc: BaseException) -> str:
    """The traceback of ``exc`` without the frames that led from here to the application."""
    found: traceback.TracebackException | None = traceback.TracebackException.from_exception(exc)
    report = found
    while found is not None:
        found.stack = traceback.StackSummary.from_list(
            [
                frame
                for frame in found.stack
                if frame.filename not in _OURS
                and not frame.filename.startswith("<frozen importlib")
            ]
        )
        found = found.__cause__ or found.__context__
    return "".join(report.format()) if report is not None else ""
