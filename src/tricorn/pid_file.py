"""The file that holds the process id of the server: the supervisor's where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tricorn.exceptions import ConfigError


class PidFile:
    """Written whole, and removed only while it still names this process."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    def write(self) -> None:
        """Write the id of this process.

        :raises ConfigError: if that is not possible.
        """
        if self.path is None:
            return
        fresh = f"{self.path}.{os.getpid()}"
        try:
            with open(fresh, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")
            os.replace(fresh, self.path)
        except OSError as exc:
            with suppress(OSError):
                os.unlink(fresh)
            raise ConfigError(f"pid_path: cannot write {self.path!r}: {exc.strerror}") from None

    def remove(self) -> None:
        """Remove it, unless another process has written itself there."""
        if self.path is None:
            return
        with suppress(OSError):
            with open(self.path, encoding="ascii") as file:
                written = file.read().strip()
            if written == str(os.getpid()):
                os.unlink(self.path)


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """The file for the time of the block."""
    file = PidFile(path)
    file.write()
    try:
        yield
    finally:
        file.remove()
