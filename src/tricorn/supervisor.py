"""The supervisor: owns the sockets, starts and replaces workers, heeds signals.

Theory of operation. One thread, one selector. Signals, messages of workers and ends of
processes wake it; about once a second it looks at what time has brought. It never imports
the application, TLS or an event loop, so it stays small and has little to fail with.

Its workers are the affair of the class above it (`supervisor_fleet`); here is what it is
told from outside. A reload makes a whole new set of workers beside the old one and swaps
them when every new one is ready (`supervisor_reload`).
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from tricorn import logs
from tricorn.config import Config
from tricorn.error_report import told
from tricorn.exceptions import ConfigError, TricornError
from tricorn.pid_file import PidFile
from tricorn.privileges import take_umask
from tricorn.standard_streams import Terminal
from tricorn.stop_signals import StopSignals
from tricorn.supervisor_certificates import KeyWatch
from tricorn.supervisor_fleet import Fleet
from tricorn.supervisor_handover import Handover, Origin
from tricorn.supervisor_orphans import reap_orphans
from tricorn.supervisor_reload import Reload
from tricorn.supervisor_signals import STOPS, SignalPipe
from tricorn.supervisor_slots import Slot, count_of
from tricorn.supervisor_sockets import Sockets
from tricorn.systemd import Notifier

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn.first_worker import FirstWorker
    from tricorn.supervisor_reloader import CodeWatch

_log = logging.getLogger("tricorn.error")

# Seconds between two looks at the clock.
_TICK = 0.5
# Seconds that what starts has at first, once something newer is asked for; doubled each time, so
# that what takes long comes about in the end.
_PATIENCE = 5.0


def supervise(
    config: Config, load: Callable[[], Config] | None = None, first: FirstWorker | None = None
) -> None:
    """Run the daemon until it is told to stop.

    :param load: reads the configuration again, for a reload; raises `ConfigError`.
    :param first: a process that waits to be the first worker; whoever gave it discards it if
        it never was.
    :raises TricornError: why the daemon could not start, as the worker had it.
    """
    supervisor = Supervisor(config, load)
    supervisor.first = first
    supervisor.run()


class Supervisor(Fleet):
    """One daemon's processes, and what it is told from outside."""

    def __init__(self, config: Config, load: Callable[[], Config] | None = None) -> None:
        super().__init__(config)
        self.load = load
        self._reload_again = ""  # the reason of one that has to wait
        self._patience = _PATIENCE
        self._began_at = 0.0  # what starts, last
        self._handover: Handover | None = None
        self._origin = Origin.take()  # the supervisor we succeed, if any
        self.notifier = Notifier(heir=bool(self._origin))
        self._pid_file = PidFile(config.pid_path)
        self._failure: TricornError | None = None
        self._stops = StopSignals()
        self._terminal = Terminal()
        self._signals = SignalPipe()
        self._looked = time.monotonic()
        self._beaten = 0.0
        self._code: CodeWatch | None = None
        self._keys = KeyWatch.create(config)
        self._waits_for_edit = False

    # The whole

    def run(self) -> None:
        """Start, serve, stop."""
        take_umask(self.config)
        inherited = self._origin.sockets(self.config)
        self.sockets = Sockets.bind(self.config, inherited)
        try:
            if inherited is not None:
                inherited.close(self.sockets)
            if not self._origin:
                self._pid_file.write()
            with self._signals:
                self._watch_code()
                self._begin()
                while self._turn():
                    pass
        finally:
            if self._code is not None:
                self._code.close()
            for worker in self.all_workers():
                worker.kill()
            self.sockets.release(None)
            self._pid_file.remove()
            self.notifier.close()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        """Start the first worker."""
        self._began_at = time.monotonic()
        self.slots = [Slot(number) for number in range(self.config.worker_count)]
        # It says the addresses in its own words; several saying so would be noise.
        self.start(self.slots[0], announce=not self._origin)

    def _watch_code(self) -> None:
        """Watch the files that the options name now."""
        former = self._code
        if former is None and not self.config.use_reloader:
            return
        from tricorn.supervisor_reloader import CodeWatch

        self._code = CodeWatch.create(self.config, former)
        if self._code is former:
            return
        if former is not None:
            self._reload_again = former.take() or self._reload_again
            former.close()
        _log.info("%s", self._code.describe() if self._code is not None else "watching no files")

    def _turn(self) -> bool:
        """Wait for something and deal with it; whether to go on."""
        # Not a selector kept open: workers come and go, and there are few.
        poll = select.poll()
        talkers = {w.channel.fileno(): w for w in self.all_workers() if not w.silent}
        if self._handover is not None and self._handover.silent_since is None:
            poll.register(self._handover.fileno(), select.POLLIN)
        if self._code is not None and not self._code.over:
            poll.register(self._code.fileno(), select.POLLIN)
        for fd in (self._signals.fileno(), *talkers):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_TICK * 1000)}
        now = time.monotonic()
        self._forgive_standstill(now)
        for fd in ready:
            if fd in talkers:
                self.hear(talkers[fd])
        if self._code is not None and self._code.fileno() in ready:
            edit = self._code.take()
            if edit:
                self.begin_reload(edit)
        # Those too that came meanwhile: workers may have ended of a signal to the whole group.
        for number in self._signals.take():
            self._on_signal(number)
        self.reap()
        if self._handover is not None:
            self._hear_successor(self._handover)
        self._reap_orphans()
        self._look(now)
        return bool(self.all_workers()) or not self.stopping

    def _reap_orphans(self) -> None:
        own = {worker.pid for worker in self.all_workers()}
        if self._handover is not None:
            own.add(self._handover.pid)
        reap_orphans(own)

    def _forgive_standstill(self, now: float) -> None:
        """Where we were stopped ourselves (a debugger, a suspended machine), nobody is late."""
        lost = now - self._looked - _TICK
        self._looked = now
        if lost > 1.0:
            for worker in self.all_workers():
                worker.heard += lost

    def give_up(self, exc: TricornError) -> None:
        """The daemon cannot start: end it, with the first reason."""
        if self._code is not None and not self.stopping:
            _log.error("%s; waiting for the next edit", told(exc))
            self._wait_for_edit()
            return
        if self._failure is None and not self.stopping:
            self._failure, self.given_up = exc, True
        self._stop_all(cut=True)

    def _wait_for_edit(self) -> None:
        self._waits_for_edit = True
        for worker in self.all_workers():
            worker.cut()
        self.leaving.update(self.all_workers())
        self.slots = []

    def began(self) -> None:
        """All of the first workers are ready."""
        self._patience = _PATIENCE
        self.sockets.keep_slots(len(self.slots))
        if self._origin:
            self._pid_file.write()
            self._origin.ready(self.sockets)
            self._take_access(self.config)
        self._pid_file.keep()
        self.say_serving()
        self.notifier.ready(count_of(self.slots))

    # Time

    def _look(self, now: float) -> None:
        """What time has brought."""
        self.look_after(now)
        if self.stopping:
            return
        if self._reload_again:
            self._make_way(now)
        if self._handover is None:
            self.replace_worn_out(now)
        if self._keys is not None and (changed := self._keys.changed(now)):
            self.begin_reload(changed)
        self._say_alive(now)

    def _make_way(self, now: float) -> None:
        """Begin the reload that waits; what has not started by now may never do so."""
        late = now - self._began_at >= self._patience
        if self.reload is not None and late:
            self._patience *= 2
            pids = ", ".join(str(worker.pid) for worker in self.reload.workers)
            wrong = f"it has not started (worker {pids}) and another reload is asked for"
            self.reload.fail(TricornError(wrong))
        elif self._code is not None and self.slots and not self.serving and late:
            self._patience *= 2
            _log.warning("the application has not started; another edit is there")
            self._wait_for_edit()
        if (self.serving or self._waits_for_edit) and self.reload is None and not self._handover:
            reason, self._reload_again = self._reload_again, ""
            self.begin_reload(reason)

    def _say_alive(self, now: float) -> None:
        interval = self.notifier.watchdog_interval
        if interval is not None and now - self._beaten >= interval - _TICK:
            self._beaten = now
            self.notifier.watchdog()

    # Signals

    def _on_signal(self, number: signal.Signals) -> None:
        if number in STOPS:
            self.stop(number.name)
        elif number is signal.SIGHUP and self._terminal.is_gone():
            if not self._stops.count:  # the shell and the system may both say so
                self.stop(number.name)
        elif number is signal.SIGUSR1:
            logs.reopen()
            for worker in self.all_workers():
                worker.reopen_logs()
            _log.info("SIGUSR1: log files opened anew")
        elif self.stopping or number is signal.SIGCHLD:
            return
        elif number is signal.SIGHUP:
            self.begin_reload("SIGHUP")
        elif number is signal.SIGTTIN:
            self.add_worker()
        elif number is signal.SIGTTOU:
            self.remove_worker()
        elif number is signal.SIGUSR2:
            self._hand_over()

    def stop(self, name: str) -> None:
        """Drain and end; the second time at once, the third time by force."""
        if not self._stops.counts(time.monotonic()):
            return
        if self._stops.count == 1:
            _log.info("%s: %s", name, logs.finishing(self.config))
            if self.stopping:
                return  # all are told already, and behind a successor the service goes on
            self.notifier.stopping()
            self._stop_all(cut=False)
        elif self._stops.count == 2:
            _log.warning("%s again: stopping at once", name)
            self._stop_all(cut=True)
        else:
            for worker in self.all_workers():
                worker.kill(f"{name} came {self._stops.count} times")

    def _stop_all(self, *, cut: bool) -> None:
        self.stopping = True
        # First ours: what comes until the workers close theirs is still accepted, and what comes
        # from then on is refused.
        self.sockets.close()
        if self._handover is not None:
            self._handover.cancel()
            self._handover = None
        if self.reload is not None:
            self.leaving.update(self.reload.abandon())
            self.reload = None
        for worker in self.all_workers():
            if cut:
                worker.cut()
            else:
                worker.drain(delay=self.config.drain_delay, stopping=True)
        self.leaving.update(self.all_workers())
        self.slots = []

    # Reload

    def begin_reload(self, reason: str) -> None:
        """Start new workers with the configuration as it is now; one reload at a time."""
        if self.stopping:
            return
        if self._waits_for_edit:
            self._begin_again(reason)
            return
        if self.reload is not None or self._handover is not None or not self.serving:
            self._reload_again = reason
            _log.info("%s: a reload waits for what starts", reason)
            return
        if self._keys is not None:
            self._keys.begins()
        self.notifier.reloading()
        self._began_at = time.monotonic()
        self.reload = Reload(self, reason)
        self.reload.begin()

    def load_again(self) -> Config:
        """The configuration as it is now.

        :raises ConfigError: if it cannot be read, or holds what only a restart can change.
        """
        with suppress(OSError):
            os.chdir(self.directory)  # by its name, which may lead elsewhere by now
        config = self.load() if self.load is not None else self.config
        if config.workers == 0:
            raise ConfigError("workers: 0 takes a restart")
        if config.reuse_port != self.config.reuse_port:
            raise ConfigError("reuse_port: the sockets are open already; it takes a restart")
        return config

    def _begin_again(self, reason: str) -> None:
        """Start as at first, behind an edit."""
        try:
            config = self.load_again()
            sockets = Sockets.bind(config, self.sockets)
        except Exception as exc:  # a configuration file in Python may raise what it likes
            _log.error("%s: %s; waiting for the next edit", reason, exc)
            return
        former, self.sockets = self.sockets, sockets
        former.release(sockets)
        if self._keys is not None:
            self._keys.begins()
        self._take_over_config(config)
        self._waits_for_edit = False
        _log.info("%s", reason)
        self._begin()

    def end_reload(self, reload: Reload, *, done: bool) -> None:
        """Called by the reload: swap in what is new, or forget it."""
        self.reload = None
        if not done:
            self.leaving.update(reload.abandon())
            if self._keys is not None:
                self._keys.failed()
            self.notifier.ready()
            return
        self._patience = _PATIENCE
        former, former_sockets = self.slots, self.sockets
        self.slots = [Slot(w.slot, current=w) for w in reload.workers]
        self.sockets = reload.sockets
        # First ours: what waits in the queue of an address that is gone is still accepted.
        former_sockets.release(self.sockets)
        self.sockets.keep_slots(len(self.slots))
        for slot in former:
            self.retire(*slot.workers())
        self._take_over_config(reload.config, reload.keys)
        self.say_serving()
        self.notifier.ready(count_of(self.slots))

    def _take_over_config(self, config: Config, keys: KeyWatch | None = None) -> None:
        take_umask(config)
        if config.pid_path != self.config.pid_path:
            self._pid_file.remove()
            self._pid_file = PidFile(config.pid_path)
        self.config = config
        self._keys = KeyWatch.create(config, self._keys, keys)
        try:
            logs.setup(config)
            logs.reopen()
            self._pid_file.write()
            self._pid_file.keep()
        except TricornError as exc:
            _log.error("%s", exc)
        self._take_access(config)
        try:
            self._watch_code()
        except (TricornError, OSError) as exc:  # OSError: of the working directory, for one
            _log.error("the former files are watched: %s", exc)

    def _take_access(self, config: Config) -> None:
        """Have the Unix sockets that stay as the options say it now."""
        try:
            self.sockets.take_access(config)
        except TricornError as exc:
            _log.error("%s", exc)

    # A new binary

    def _hand_over(self) -> None:
        if self._handover is not None or self.reload is not None or not self.serving:
            _log.warning("SIGUSR2 has no effect while processes start; send it again")
            return
        if os.getpid() == 1:
            _log.error("SIGUSR2: a container ends with its process 1, which this is; use SIGHUP")
            return
        try:
            self._handover = Handover(self.sockets, self.directory)
        except TricornError as exc:
            _log.error("SIGUSR2: %s", exc)
            return
        _log.info("SIGUSR2: supervisor %d starts beside this one", self._handover.pid)

    def _hear_successor(self, handover: Handover) -> None:
        outcome = handover.outcome()
        if outcome is None:
            return
        self._handover = None
        if not outcome:
            _log.error("the new supervisor %d %s; this one goes on", handover.pid, handover.death())
            return
        _log.info("supervisor %d serves; this one drains and ends", handover.pid)
        self.notifier.main_pid(handover.pid)
        handover.let_go(reload=bool(self._reload_again))
        self.sockets.own_paths(False)
        self.sockets.release(None)  # ours first, as in a stop
        self.stopping = True
        for worker in self.all_workers():
            worker.drain()
        self.leaving.update(self.all_workers())
        self.slots = []
