"""A reload under way: new workers with the new configuration beside the old ones.

The first of them starts alone and is the check of application and configuration; then the
others start. Only once all are ready are they swapped in. Whatever fails before leaves the
old workers and the old configuration as they are, and one line says why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tricorn.config import Config
from tricorn.error_report import told
from tricorn.exceptions import ConfigError, TricornError
from tricorn.supervisor_certificates import KeyWatch
from tricorn.supervisor_sockets import Sockets
from tricorn.supervisor_workers import State, WorkerProcess

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn.supervisor import Supervisor

_log = logging.getLogger("tricorn.error")


class Reload:
    """One reload.

    :param reason: what asked for it, for the log.
    """

    def __init__(self, supervisor: Supervisor, reason: str) -> None:
        self.workers: list[WorkerProcess] = []
        self.config: Config
        self.keys: KeyWatch | None = None  # of that configuration
        self.sockets: Sockets
        self._supervisor = supervisor
        self._reason = reason
        self._count = 0
        self._bound = False

    def begin(self) -> None:
        """Read the configuration, bind what is new, start the first worker."""
        supervisor = self._supervisor
        try:
            self.config = supervisor.load_again()
            self.keys = KeyWatch.create(self.config)
            self._count = self._workers_wanted(supervisor.config)
            self.sockets = Sockets.bind(self.config, supervisor.sockets)
            self._bound = True
            self._start(0)
        except TricornError as exc:
            self.fail(exc)
        except Exception as exc:  # a configuration file in Python may raise what it likes
            self.fail(ConfigError(f"{type(exc).__name__}: {exc}"))
        else:
            _log.info("%s: worker %d starts with it", self._reason, self.workers[0].pid)

    def _workers_wanted(self, former: Config) -> int:
        if self.config.workers == former.workers:
            return len(self._supervisor.slots)  # as SIGTTIN and SIGTTOU have left it
        return self.config.worker_count

    def _start(self, slot: int) -> None:
        self.workers.append(self._supervisor.spawn(slot, self.config, self.sockets))

    def advance(self) -> None:
        """One more worker is ready."""
        try:
            for slot in range(len(self.workers), self._count):
                self._start(slot)
            if not all(worker.state is State.READY for worker in self.workers):
                return
            self.sockets.check_paths(self._supervisor.sockets)
        except TricornError as exc:
            self.fail(exc)
        else:
            self._supervisor.end_reload(self, done=True)

    def fail(self, exc: TricornError) -> None:
        """End it; all stays as it was."""
        _log.error(
            "%s: the reload failed, the former workers and configuration stay: %s",
            self._reason,
            told(exc),
        )
        self._supervisor.end_reload(self, done=False)

    def abandon(self) -> Iterable[WorkerProcess]:
        """Let go of what was made; the workers, of which some may be dead and not reaped yet."""
        if self._bound:
            self.sockets.release(self._supervisor.sockets)
        left, self.workers = self.workers, []
        for worker in left:
            worker.drain()
        return left
