"""What the command prints for who asked for it, on standard output."""

from __future__ import annotations

import os
import sys

from tricorn.exceptions import TricornError


def show(text: str) -> int:
    """Print it, one line end behind it; the exit code.

    :raises TricornError: if it cannot be written.
    """
    stream = sys.stdout
    if stream is None:  # started with it closed
        return 0
    line = text.rstrip("\n") + "\n"
    try:
        try:
            stream.write(line)
        except UnicodeEncodeError:  # TOML and JSON are UTF-8, whatever the locale
            stream.flush()
            stream.buffer.write(line.encode())
        stream.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        _forget(stream.fileno())
    except OSError as exc:
        _forget(stream.fileno())
        raise TricornError(f"cannot write to standard output: {exc.strerror}") from None
    return 0


def _forget(descriptor: int) -> None:
    """What is left of it, written at the interpreter's end, would fail and change the code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
