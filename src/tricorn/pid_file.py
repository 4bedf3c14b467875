"""The file that holds the process id of the server: the supervisor's where there is one."""

from __future__ import annotations

import os
import stat
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
        refuse_other(self.path)
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


def refuse_other(path: str) -> None:
    """Refuse what is no file: one that is renamed to ``/dev/null`` takes the place of the device.

    :raises ConfigError: for a device, a FIFO or a socket.
    """
    with suppress(OSError):
        mode = os.lstat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
            raise ConfigError(f"pid_path: {path!r} exists and is no file")


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """The file for the time of the block."""
    file = PidFile(path)
    file.write()
    try:
        yield
    finally:
        file.remove()
