"""The file that holds the process id of the server: the supervisor's where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
        target = Path(self.path)
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            fresh.write_text(f"{os.getpid()}\n", "ascii")
            fresh.replace(target)
        except OSError as exc:
            raise ConfigError(f"pid_path: cannot write {self.path!r}: {exc.strerror}") from None

    def remove(self) -> None:
        """Remove it, unless another process has written itself there."""
        if self.path is None:
            return
        target = Path(self.path)
        with suppress(OSError):
            if target.read_text("ascii").strip() == str(os.getpid()):
                target.unlink()


@contextmanager
def pid_file(path: str | None) -> Iterator[None]:
    """The file for the time of the block."""
    file = PidFile(path)
    file.write()
    try:
        yield
    finally:
        file.remove()
