"""What a daemon without a supervisor (``workers = 0``) does beside serving.

It writes its PID file, drops root and tells systemd how it is; with workers, they and the
supervisor do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio.abc

from tricorn.pid_file import PidFile
from tricorn.privileges import drop, take_umask
from tricorn.systemd import Notifier

if TYPE_CHECKING:
    from tricorn.server import Server


class OwnProcess(anyio.abc.TaskStatus[list[str]]):
    """Looks after the process that a server has to itself."""

    def __init__(self, server: Server, pid_file: PidFile) -> None:
        self._server = server
        self._pid_file = pid_file
        self._notifier = Notifier()
        self._beaten = float("-inf")
        self._stopping = False
        server.on_bound = self._bound
        if self._notifier.enabled:
            server.on_tick = self._tick
        if self._notifier.watchdog_interval is not None:
            server.tick_within = self._notifier.watchdog_interval / 2

    def _bound(self) -> None:
        # Not before: a process that cannot serve must not take the place of one that does. And
        # as root, whose the directory may be.
        take_umask(self._server.config)
        self._pid_file.write()
        drop(self._server.config)

    def close(self) -> None:
        """The server has ended."""
        self._notifier.close()

    def started(self, value: list[str] | None = None) -> None:
        """The server accepts connections at these URLs; without any it ends instead."""
        if value:
            self._pid_file.keep()
            self._notifier.ready(f"serving {' '.join(value)}")
            self._server.reloading = self._reloading

    @contextmanager
    def _reloading(self) -> Iterator[None]:
        """systemd may wait for the end of a reload; behind a stop it is told of none."""
        if not self._server.worker.ready:
            yield
            return
        self._notifier.reloading()
        try:
            yield
        finally:
            self._notifier.ready()

    def _tick(self, now: float) -> None:
        if not self._stopping and not self._server.worker.ready:
            self._stopping = True
            self._notifier.stopping()
        interval = self._notifier.watchdog_interval
        # The tick is coarse: rather early than late.
        if interval is not None and now - self._beaten >= interval / 2:
            self._beaten = now
            self._notifier.watchdog()
