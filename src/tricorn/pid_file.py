"""The file that holds the process id of the server: the supervisor's where there is one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tricorn.exceptions import ConfigError


class PidFile:
    """Written whole, and removed only while it still names this process.

    A process that ends before it has served puts back what named another running one.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._former: int | None = None

    def write(self) -> None:
        """Write the id of this process.

        :raises ConfigError: if that is not possible.
        """
        if self.path is None:
            return
        refuse_other(self.path)
        former = _named(self.path)
        try:
            _write(self.path, os.getpid())
        except OSError as exc:
            raise ConfigError(f"pid_path: cannot write {self.path!r}: {exc.strerror}") from None
        self._former = former if former != os.getpid() and _runs(former) else None

    def keep(self) -> None:
        """This process serves: whoever was named before is not named again."""
        self._former = None

    def remove(self) -> None:
        """Remove it, unless another process has written itself there."""
        if self.path is None or _named(self.path) != os.getpid():
            return
        with suppress(OSError):
            if self._former is not None and _runs(self._former):
                _write(self.path, self._former)
            else:
                os.unlink(self.path)


def _write(path: str, pid: int) -> None:
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="ascii") as file:
            file.write(f"{pid}\n")
        os.replace(fresh, path)
    except OSError:
        with suppress(OSError):
            os.unlink(fresh)
        raise


def _named(path: str) -> int | None:
    """The process id that a file holds, if it does."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(32))
    except (OSError, ValueError):
        return None


def _runs(pid: int | None) -> bool:
    if pid is None or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


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
