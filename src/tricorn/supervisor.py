"""The supervisor: owns the sockets, starts and replaces workers, heeds signals.

Theory of operation. One thread, one selector. Signals, messages of workers and ends of
processes wake it; about once a second it looks at what time has brought. It never imports
the application, TLS or an event loop, so it stays small and has little to fail with.

A slot is the place of one worker after the other. A replacement starts in the slot while
the former one serves; only once it is ready is the former one told to drain. What is told
to drain belongs to no slot any more. A reload makes a whole new set of slots beside the old
one and swaps them when every new worker is ready (`supervisor_reload`).
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from tricorn import logs
from tricorn.config import Config
from tricorn.error_report import told
from tricorn.exceptions import TricornError
from tricorn.pid_file import PidFile
from tricorn.supervisor_handover import Handover, Origin
from tricorn.supervisor_reload import Reload
from tricorn.supervisor_sockets import Sockets
from tricorn.supervisor_workers import State, WorkerProcess, oom_kills, worker_count
from tricorn.systemd import Notifier

if TYPE_CHECKING:
    from tricorn.supervisor_reloader import CodeWatch

_log = logging.getLogger("tricorn.error")

# Seconds between two looks at the clock.
_TICK = 0.5
# Seconds before a worker that failed is started again: nothing the first time, then doubled.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# A worker that served for so long (seconds) was all right.
_HEALTHY = 30.0

_SIGNALS = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1,
    signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD,
)  # fmt: skip
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass
class Slot:
    """The place of one worker after the other."""

    number: int
    current: WorkerProcess | None = None  # serves, or is the first to start here
    incoming: WorkerProcess | None = None  # starts to replace it
    failures: int = 0
    retry_at: float | None = None

    def pause(self, now: float) -> float:
        """Note a failure; the seconds to wait before the next attempt."""
        seconds = min(_FIRST_PAUSE * 2 ** (self.failures - 1), _LONGEST_PAUSE)
        seconds = seconds if self.failures else 0.0
        self.failures += 1
        self.retry_at = now + seconds
        return seconds


def supervise(config: Config, load: Callable[[], Config] | None = None) -> None:
    """Run the daemon until it is told to stop.

    :param load: reads the configuration again, for a reload; raises `ConfigError`.
    :raises TricornError: why the daemon could not start, as the worker had it.
    """
    Supervisor(config, load).run()


class Supervisor:
    """One daemon's processes."""

    def __init__(self, config: Config, load: Callable[[], Config] | None = None) -> None:
        self.config = config
        self.load = load
        self.notifier = Notifier()
        self.sockets: Sockets
        self.slots: list[Slot] = []
        self.leaving: set[WorkerProcess] = set()
        self.directory = _working_directory()
        self.reload: Reload | None = None
        self._reload_again = False
        self._handover: Handover | None = None
        self._origin = Origin.take()  # the supervisor we succeed, if any
        self._pid_file = PidFile(config.pid_path)
        self._serving = False  # all of the first workers have been ready
        self._stopping = 0  # how often we were told to stop
        self._failure: TricornError | None = None
        self._oom_kills = oom_kills()
        self._terminal = os.isatty(2)
        self._woken: socket.socket
        self._looked = time.monotonic()
        self._beaten = 0.0
        self._code: CodeWatch | None = None
        self._waits_for_edit = False

    # The whole

    def run(self) -> None:
        """Start, serve, stop."""
        inherited = self._origin.sockets(self.config)
        self.sockets = Sockets.bind(self.config, inherited)
        try:
            if inherited is not None:
                inherited.release(self.sockets)
            if not self._origin:
                self._pid_file.write()
            with self._signals():
                if self.config.use_reloader:
                    self._watch_code()
                self._begin()
                while self._turn():
                    pass
        finally:
            if self._code is not None:
                self._code.close()
            for worker in self._all_workers():
                worker.kill()
            self.sockets.release(None)
            self._pid_file.remove()
        if self._failure is not None:
            raise self._failure

    def _begin(self) -> None:
        """Start the first worker."""
        self.slots = [Slot(number) for number in range(worker_count(self.config))]
        self._start(self.slots[0], announce=True)

    def _watch_code(self) -> None:
        from tricorn.supervisor_reloader import CodeWatch

        self._code = CodeWatch(self.config)
        _log.info("%s", self._code.describe())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        self._woken, waker = socket.socketpair()
        with self._woken, waker:
            self._woken.setblocking(False)
            waker.setblocking(False)
            former = {number: signal.signal(number, _noted) for number in _SIGNALS}
            former_fd = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(former_fd)
                for number, handler in former.items():
                    signal.signal(number, handler)

    def _turn(self) -> bool:
        """Wait for something and deal with it; whether to go on."""
        # Not a selector kept open: workers come and go, and there are few.
        poll = select.poll()
        talkers = {w.channel.fileno(): w for w in self._all_workers() if not w.silent}
        if self._handover is not None:
            poll.register(self._handover.fileno(), select.POLLIN)
        if self._code is not None:
            poll.register(self._code.fileno(), select.POLLIN)
        for fd in (self._woken.fileno(), *talkers):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(_TICK * 1000)}
        now = time.monotonic()
        self._forgive_standstill(now)
        for fd in ready:
            if fd in talkers:
                self._hear(talkers[fd])
        if self._code is not None and self._code.fileno() in ready:
            edit = self._code.take()
            if edit:
                self.begin_reload(edit)
        if self._handover is not None and self._handover.fileno() in ready:
            self._hear_successor(self._handover)
        if self._woken.fileno() in ready:
            for number in self._woken.recv(4096):
                self._on_signal(signal.Signals(number))
        self._reap()
        self._look(now)
        return bool(self._all_workers()) or not self._stopping

    def _forgive_standstill(self, now: float) -> None:
        """Where we were stopped ourselves (a debugger, a suspended machine), nobody is late."""
        lost = now - self._looked - _TICK
        self._looked = now
        if lost > 1.0:
            for worker in self._all_workers():
                worker.heard += lost

    def _all_workers(self) -> list[WorkerProcess]:
        found = [w for slot in self.slots for w in (slot.current, slot.incoming) if w is not None]
        if self.reload is not None:
            found += self.reload.workers
        return [*found, *self.leaving]

    # Starting

    def spawn(
        self, slot: int, config: Config, sockets: Sockets, *, announce: bool = False
    ) -> WorkerProcess:
        """Start a worker process.

        :raises TricornError: if that fails.
        """
        # In its own words it says the addresses; several saying so would be noise.
        announce = announce and not self._origin
        listeners = sockets.of_slot(slot)
        return WorkerProcess(slot, config, listeners, announce=announce, directory=self.directory)

    def _start(self, slot: Slot, *, announce: bool = False) -> None:
        """Start a worker in a slot: its first, a replacement, or one more attempt."""
        slot.retry_at = None
        try:
            worker = self.spawn(slot.number, self.config, self.sockets, announce=announce)
        except TricornError as exc:
            self._could_not_start(slot, exc)
            return
        if slot.current is None:
            slot.current = worker
        else:
            slot.incoming = worker

    def _could_not_start(self, slot: Slot, exc: TricornError) -> None:
        if not self._serving:
            self._give_up(exc)
            return
        seconds = slot.pause(time.monotonic())
        _log.error("a worker could not start, the next attempt is in %g s: %s", seconds, told(exc))

    def _give_up(self, exc: TricornError) -> None:
        """The daemon cannot start: end it, with the first reason."""
        if self._code is not None and not self._stopping:
            self._waits_for_edit = True
            _log.error("%s; waiting for the next edit", told(exc))
            for worker in self._all_workers():
                worker.cut()
            self.leaving.update(self._all_workers())
            self.slots = []
            return
        if self._failure is None and not self._stopping:
            self._failure = exc
        self._stop_all(cut=True)

    # Hearing

    def _hear(self, worker: WorkerProcess) -> None:
        for message in worker.receive():
            if message["type"] == "ready" and worker.state is State.STARTING:
                self._on_ready(worker)
            elif message["type"] == "draining" and worker.state is State.READY:
                _log.info("worker %d was told to end by somebody else", worker.pid)
                self._take_out(worker)
                self._retire(worker)

    def _on_ready(self, worker: WorkerProcess) -> None:
        worker.state = State.READY
        _log.debug("worker %d is ready", worker.pid)
        if self.reload is not None and worker in self.reload.workers:
            self.reload.advance()
            return
        slot = next(s for s in self.slots if worker in (s.current, s.incoming))
        if slot.incoming is worker:
            former, slot.current, slot.incoming = slot.current, worker, None
            if former is not None:
                self._retire(former)
        if not self._serving:
            self._continue_start()

    def _continue_start(self) -> None:
        """The first worker starts alone: what is wrong with the application is wrong once."""
        for slot in self.slots:
            if slot.current is None:
                self._start(slot)
        if all(s.current is not None and s.current.state is State.READY for s in self.slots):
            self._serving = True
            if self._origin:
                self._pid_file.write()
                self._origin.ready()
            self.say_serving()
            self.notifier.ready(f"{_count(len(self.slots))}")

    def say_serving(self) -> None:
        """Tell the log who serves."""
        pids = ", ".join(str(s.current.pid) for s in self.slots if s.current is not None)
        text = _count(len(self.slots))
        _log.info("%s (%s) below supervisor %d", text, pids, os.getpid())

    def _take_out(self, worker: WorkerProcess) -> None:
        """The worker has its slot no more; another one is started there."""
        for slot in self.slots:
            if slot.current is worker:
                slot.current, slot.incoming = slot.incoming, None
                if slot.current is None:
                    slot.retry_at = time.monotonic()

    def _retire(self, worker: WorkerProcess) -> None:
        """Have a replaced worker drain."""
        self.leaving.add(worker)
        worker.drain()

    # Ends of processes

    def _reap(self) -> None:
        for worker in self._all_workers():
            if worker.ended():
                self._hear(worker)  # its last words
                worker.close()
                self._on_end(worker)
        if self._handover is not None and self._handover.ended():
            self._hear_successor(self._handover)

    def _on_end(self, worker: WorkerProcess) -> None:
        death = worker.death(self._oom_kills)
        self._oom_kills = oom_kills()
        if worker in self.leaving:
            self.leaving.discard(worker)
            if worker.exit_code and not self._failure and worker.state is State.LEAVING:
                _log.warning("worker %d, told to end, %s", worker.pid, death)
            return
        if self.reload is not None and worker in self.reload.workers:
            self.reload.fail(worker.failure or _unready(worker, death))
            return
        slot = next(s for s in self.slots if worker in (s.current, s.incoming))
        if slot.incoming is worker:
            slot.incoming = None
        else:
            slot.current, slot.incoming = slot.incoming, None
        if self._stopping:
            return
        if worker.state is State.STARTING:
            self._could_not_start(slot, worker.failure or _unready(worker, death))
            return
        self._replace_dead(slot, worker, death)

    def _replace_dead(self, slot: Slot, worker: WorkerProcess, death: str) -> None:
        now = time.monotonic()
        if worker.served(now) >= _HEALTHY:
            slot.failures = 0
        seconds = slot.pause(now) if slot.current is None else 0.0
        then = f"another one starts in {seconds:g} s" if seconds else "another one starts"
        _log.error("worker %d %s; %s", worker.pid, death, then)

    # Time

    def _look(self, now: float) -> None:
        """What time has brought."""
        for worker in self._all_workers():
            if worker.is_hung(now):
                limit = worker.config.worker_heartbeat_timeout
                reason = f"its event loop stood still for {limit:g} s (worker_heartbeat_timeout)"
                _log.error("worker %d is dumped and killed: %s", worker.pid, reason)
                worker.dump_and_kill(reason)
            worker.tick(now)
        if self._stopping:
            return
        for slot in self.slots:
            if slot.current is not None and slot.current.served(now) >= _HEALTHY:
                slot.failures = 0
            if slot.retry_at is not None and now >= slot.retry_at and slot.incoming is None:
                if slot.current is None:
                    self._start(slot)
                else:
                    slot.retry_at = None
        if self._reload_again and self._serving and self.reload is None:
            self._reload_again = False
            self.begin_reload("SIGHUP")
        self._replace_worn_out(now)
        self._say_alive(now)

    def _replace_worn_out(self, now: float) -> None:
        """Replace one worker that has reached a limit, if nothing else is going on."""
        if not self._serving or self.reload is not None or self._handover is not None:
            return
        if self.leaving or any(s.incoming or not s.current or s.retry_at for s in self.slots):
            return
        for slot in self.slots:
            assert slot.current is not None
            reason = slot.current.worn_out(now)
            if reason is not None:
                _log.info("worker %d is replaced: %s", slot.current.pid, reason)
                self._start(slot)
                return

    def _say_alive(self, now: float) -> None:
        interval = self.notifier.watchdog_interval
        if interval is not None and now - self._beaten >= interval - _TICK:
            self._beaten = now
            self.notifier.watchdog()

    # Signals

    def _on_signal(self, number: signal.Signals) -> None:
        if number in _STOPS or (number is signal.SIGHUP and self._terminal_is_gone()):
            self.stop(number.name)
        elif number is signal.SIGUSR1:
            logs.reopen()
            for worker in self._all_workers():
                worker.reopen_logs()
            _log.info("SIGUSR1: log files opened anew")
        elif self._stopping or number is signal.SIGCHLD:
            return
        elif number is signal.SIGHUP:
            self.begin_reload("SIGHUP")
        elif number is signal.SIGTTIN:
            self._add_worker()
        elif number is signal.SIGTTOU:
            self._remove_worker()
        elif number is signal.SIGUSR2:
            self._hand_over()

    def _terminal_is_gone(self) -> bool:
        """Whether this SIGHUP means that somebody closed the terminal."""
        return self._terminal and not os.isatty(2)

    def stop(self, name: str) -> None:
        """Drain and end; the second time at once, the third time by force."""
        self._stopping += 1
        if self._stopping == 1:
            _log.info("%s: %s", name, logs.finishing(self.config))
            self.notifier.stopping()
            self._stop_all(cut=False)
        elif self._stopping == 2:
            _log.warning("%s again: stopping at once", name)
            self._stop_all(cut=True)
        else:
            for worker in self._all_workers():
                worker.kill(f"{name} came {self._stopping} times")

    def _stop_all(self, *, cut: bool) -> None:
        self._stopping = self._stopping or 1
        if self._handover is not None:
            self._handover.cancel()
            self._handover = None
        if self.reload is not None:
            self.leaving.update(self.reload.abandon())
            self.reload = None
        for worker in self._all_workers():
            if cut:
                worker.cut()
            else:
                worker.drain(delay=self.config.drain_delay, stopping=True)
        self.leaving.update(self._all_workers())
        self.slots = []

    # Reload

    def begin_reload(self, reason: str) -> None:
        """Start new workers with the configuration as it is now; one reload at a time."""
        if self._stopping:
            return
        if self._waits_for_edit:
            self._begin_again(reason)
            return
        if self.reload is not None or self._handover is not None or not self._serving:
            self._reload_again = True
            return
        with suppress(OSError):
            os.chdir(self.directory)  # by its name, which may lead elsewhere by now
        self.notifier.reloading()
        self.reload = Reload(self, reason)
        self.reload.begin()

    def _begin_again(self, reason: str) -> None:
        """Start as at first, behind an edit."""
        try:
            config = self.load() if self.load is not None else self.config
            sockets = Sockets.bind(config, self.sockets)
        except TricornError as exc:
            _log.error("%s: %s; waiting for the next edit", reason, exc)
            return
        former, self.sockets = self.sockets, sockets
        former.release(sockets)
        self._take_over_config(config)
        self._waits_for_edit = False
        _log.info("%s", reason)
        self._begin()

    def end_reload(self, reload: Reload, *, done: bool) -> None:
        """Called by the reload: swap in what is new, or forget it."""
        self.reload = None
        if not done:
            self.leaving.update(reload.abandon())
            self.notifier.ready()
            return
        former, former_sockets = self.slots, self.sockets
        self.slots = [Slot(w.slot, current=w) for w in reload.workers]
        self.sockets = reload.sockets
        # First ours: what waits in the queue of an address that is gone is still accepted.
        former_sockets.release(self.sockets)
        for slot in former:
            for worker in (slot.current, slot.incoming):
                if worker is not None:
                    self._retire(worker)
        self._take_over_config(reload.config)
        self.say_serving()
        self.notifier.ready(f"{_count(len(self.slots))}")

    def _take_over_config(self, config: Config) -> None:
        if config.pid_path != self.config.pid_path:
            self._pid_file.remove()
            self._pid_file = PidFile(config.pid_path)
        self.config = config
        try:
            logs.setup(config)
            logs.reopen()
            self._pid_file.write()
        except TricornError as exc:
            _log.error("%s", exc)

    # More and fewer workers

    def _add_worker(self) -> None:
        if self.reload is not None or not self._serving:
            _log.warning("SIGTTIN has no effect while workers start; send it again")
            return
        slot = Slot(len(self.slots))
        self.slots.append(slot)
        self._start(slot)
        _log.info("SIGTTIN: %s", _count(len(self.slots)))

    def _remove_worker(self) -> None:
        if self.reload is not None or not self._serving:
            _log.warning("SIGTTOU has no effect while workers start; send it again")
            return
        if len(self.slots) == 1:
            _log.info("SIGTTOU: one worker is the least")
            return
        slot = self.slots.pop()
        # Ours first, so that the worker that leaves accepts all that waits in its queue.
        self.sockets.release(None, slot=slot.number)
        for worker in (slot.current, slot.incoming):
            if worker is not None:
                self._retire(worker)
        _log.info("SIGTTOU: %s", _count(len(self.slots)))

    # A new binary

    def _hand_over(self) -> None:
        if self._handover is not None or self.reload is not None or not self._serving:
            _log.warning("SIGUSR2 has no effect while processes start; send it again")
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
        handover.let_go()
        self.sockets.forget_paths()
        self._stopping = 1
        for worker in self._all_workers():
            worker.drain()
        self.leaving.update(self._all_workers())
        self.slots = []
        # Our descriptors of the shared sockets do no harm; queues of our own would.
        self.sockets.release(None)


def _noted(number: int, frame: FrameType | None) -> None:
    """Signals are read from the wake-up descriptor."""


def _count(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"


def _unready(worker: WorkerProcess, death: str) -> TricornError:
    error = TricornError(f"worker {worker.pid} {death} before the server had started")
    if worker.exit_code > 0:
        error.exit_code = worker.exit_code
    return error


def _working_directory() -> str:
    """The working directory by the name the shell has for it, which may be a symbolic link
    that a deployment moves."""
    here, named = os.getcwd(), os.environ.get("PWD", "")
    with suppress(OSError):
        if named and os.path.samefile(here, named):
            return named
    return here
