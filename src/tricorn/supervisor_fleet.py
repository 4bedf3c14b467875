"""The workers of a daemon: started, replaced one by one, and counted.

A slot is the place of one worker after the other. A replacement starts in the slot while
the former one serves; only once it is ready is the former one told to drain. What is told
to drain belongs to no slot any more.
"""

from __future__ import annotations

import logging
import os
import time

from tricorn.config import Config
from tricorn.counters import WORKER_DEATHS, Counters
from tricorn.error_report import told
from tricorn.exceptions import BindError, TricornError
from tricorn.supervisor_slots import Slot, count_of, unready
from tricorn.supervisor_sockets import Sockets
from tricorn.supervisor_workers import State, WorkerProcess, oom_kills, working_directory

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn.first_worker import FirstWorker
    from tricorn.supervisor_reload import Reload

_log = logging.getLogger("tricorn.error")

# A worker that served for so long (seconds) was all right.
_HEALTHY = 30.0
# Workers that may be there at once, those that drain and start included.
_MOST_WORKERS = 4096


class Fleet:
    """All workers there are. What a failure means for the daemon is for the class below."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sockets: Sockets
        self.slots: list[Slot] = []
        self.leaving: set[WorkerProcess] = set()
        self.reload: Reload | None = None
        #: A process that waits to be the first worker.
        self.first: FirstWorker | None = None
        self.directory = working_directory()
        self.serving = False  # all of the first workers have been ready
        self.stopping = False  # the daemon ends, for whatever reason
        self.given_up = False  # the daemon ends because it could not start
        self.counters = Counters.create(slots=_MOST_WORKERS)
        self._oom_kills = oom_kills()

    def give_up(self, exc: TricornError) -> None:
        """A worker cannot start before all have served."""
        raise NotImplementedError

    def began(self) -> None:
        """All of the first workers are ready."""
        raise NotImplementedError

    def all_workers(self) -> list[WorkerProcess]:
        found = [worker for slot in self.slots for worker in slot.workers()]
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
        first, self.first = self.first, None
        worker = WorkerProcess(
            slot,
            config,
            sockets.of_slot(slot),
            self.counters,
            announce=announce,
            directory=self.directory,
            first=first,
        )
        if first is not None and worker.pid != first.pid:
            first.discard()
        return worker

    def start(self, slot: Slot, *, announce: bool = False) -> None:
        """Start a worker in a slot: its first, a replacement, or one more attempt."""
        if slot not in self.slots:
            return  # the daemon has given up over the slot before it
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
        if not self.serving:
            self.give_up(exc)
            return
        seconds = slot.pause(time.monotonic())
        _log.error("a worker could not start, the next attempt is in %g s: %s", seconds, told(exc))

    # Hearing

    def hear(self, worker: WorkerProcess) -> None:
        for message in worker.receive():
            if message["type"] == "ready" and worker.state is State.STARTING:
                self._on_ready(worker)
            elif message["type"] == "draining" and any(s.current is worker for s in self.slots):
                _log.info("worker %d was told to end by somebody else", worker.pid)
                self._take_out(worker)
                self.retire(worker, delay=worker.config.drain_delay)  # as it does by itself

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
                self.retire(former)
        if not self.serving:
            self._continue_start()

    def _continue_start(self) -> None:
        """The first worker starts alone: what is wrong with the application is wrong once."""
        for slot in self.slots:
            if slot.current is None:
                self.start(slot)
        if not self.slots:
            return  # one could not, and the daemon has given up
        if all(s.current is not None and s.current.state is State.READY for s in self.slots):
            try:
                self.sockets.check_paths()
            except BindError as exc:
                self.give_up(exc)
                return
            self.serving = True
            self.began()

    def say_serving(self) -> None:
        """Tell the log who serves."""
        pids = ", ".join(str(s.current.pid) for s in self.slots if s.current is not None)
        text = count_of(self.slots)
        _log.info("%s (%s) below supervisor %d", text, pids, os.getpid())

    def _take_out(self, worker: WorkerProcess) -> None:
        """The worker has its slot no more; another one is started there."""
        for slot in self.slots:
            if slot.current is worker:
                slot.current, slot.incoming = slot.incoming, None
                if slot.current is None:
                    slot.retry_at = time.monotonic()

    def retire(self, *workers: WorkerProcess, delay: float = 0.0) -> None:
        """Have replaced workers drain, ``delay`` (seconds) from now on."""
        for worker in workers:
            self.leaving.add(worker)
            worker.drain(delay=delay)

    # Ends of processes

    def reap(self) -> None:
        """Deal with the workers that are gone."""
        for worker in self.all_workers():
            if worker.ended():
                self.hear(worker)  # its last words
                worker.close(self.counters)
                self._on_end(worker)

    def _on_end(self, worker: WorkerProcess) -> None:
        death = worker.death(self._oom_kills)
        self._oom_kills = oom_kills()
        if worker in self.leaving:
            self.leaving.discard(worker)
            if worker.exit_code and worker.failure is None and not self.given_up:
                _log.warning("worker %d, told to end, %s", worker.pid, death)
            return
        if self.reload is not None and worker in self.reload.workers:
            self.reload.workers.remove(worker)
            self.reload.fail(worker.failure or unready(worker, death))
            return
        slot = next((s for s in self.slots if worker in (s.current, s.incoming)), None)
        if slot is None:
            return  # nothing waits for it, and nothing takes its place
        if slot.incoming is worker:
            slot.incoming = None
        else:
            slot.current, slot.incoming = slot.incoming, None
        if self.stopping:
            return
        if worker.state is State.STARTING:
            self._could_not_start(slot, worker.failure or unready(worker, death))
            return
        self._replace_dead(slot, worker, death)

    def _replace_dead(self, slot: Slot, worker: WorkerProcess, death: str) -> None:
        now = time.monotonic()
        self.counters.add(WORKER_DEATHS)
        if worker.served(now) >= _HEALTHY:
            slot.failures = 0
        seconds = slot.pause(now) if slot.current is None else 0.0
        then = f"another one starts in {seconds:g} s" if seconds else "another one starts"
        _log.error("worker %d %s; %s", worker.pid, death, then)

    # Time

    def look_after(self, now: float) -> None:
        """Kill and replace what is due."""
        for worker in self.all_workers():
            if worker.is_hung(now):
                limit = worker.config.worker_heartbeat_timeout
                reason = f"its event loop stood still for {limit:g} s (worker_heartbeat_timeout)"
                self.counters.limit("worker_heartbeat_timeout")
                _log.error("worker %d is dumped and killed: %s", worker.pid, reason)
                worker.dump_and_kill(reason)
            elif worker.is_late(now):
                pid, seconds = worker.pid, now - worker.started
                hint = f"kill -QUIT {pid} has it write where it is"
                _log.warning("worker %d has not started for %.0f s; %s", pid, seconds, hint)
            worker.tick(now)
        if self.stopping:
            return
        for slot in self.slots:
            if slot.current is not None and slot.current.served(now) >= _HEALTHY:
                slot.failures = 0
            if slot.retry_at is not None and now >= slot.retry_at and slot.incoming is None:
                if slot.current is None:
                    self.start(slot)
                else:
                    slot.retry_at = None

    def replace_worn_out(self, now: float) -> None:
        """Replace one worker that has reached a limit, if nothing else is going on."""
        if not self.serving or self.reload is not None:
            return
        if self.leaving or any(s.incoming or not s.current or s.retry_at for s in self.slots):
            return
        for slot in self.slots:
            assert slot.current is not None
            worn = slot.current.worn_out(now)
            if worn is not None:
                option, reason = worn
                self.counters.limit(option)
                _log.info("worker %d is replaced: %s (%s)", slot.current.pid, reason, option)
                self.start(slot)
                return

    # More and fewer workers

    def add_worker(self) -> None:
        if self.reload is not None or not self.serving:
            _log.warning("SIGTTIN has no effect while workers start; send it again")
            return
        slot = Slot(len(self.slots))
        self.slots.append(slot)
        self.start(slot)
        _log.info("SIGTTIN: %s", count_of(self.slots))

    def remove_worker(self) -> None:
        if self.reload is not None or not self.serving:
            _log.warning("SIGTTOU has no effect while workers start; send it again")
            return
        if len(self.slots) == 1:
            _log.info("SIGTTOU: one worker is the least")
            return
        slot = self.slots.pop()
        # Ours first, so that the worker that leaves accepts all that waits in its queue.
        self.sockets.release(None, slot=slot.number)
        self.retire(*slot.workers())
        _log.info("SIGTTOU: %s", count_of(self.slots))
