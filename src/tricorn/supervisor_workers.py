"""One worker process as its supervisor sees it: started, heard, told, and explained."""

from __future__ import annotations

import enum
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from tricorn.config import Config
from tricorn.control_channel import MOST_DESCRIPTORS, Channel, Message
from tricorn.counters import Counters
from tricorn.exceptions import (
    AppImportError,
    BindError,
    ConfigError,
    LifespanError,
    TricornError,
)
from tricorn.privileges import first_umask
from tricorn.supervisor_environment import CUT_TIME, DUMP_SIGNAL, worker_command
from tricorn.supervisor_sockets import to_worker

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    import subprocess
    from typing import Any

    from tricorn.first_worker import FirstWorker
    from tricorn.io.listener import Address, Listener

_log = logging.getLogger("tricorn.error")

# Seconds that a worker may be late with what it does by its own clock.
_MARGIN = 5.0
# Seconds for the dump to be written.
_DUMP_TIME = 1.0

_ERRORS = {
    error.exit_code: error for error in (ConfigError, LifespanError, AppImportError, BindError)
}


class State(enum.Enum):
    """Where a worker is in its life."""

    STARTING = "starts"
    READY = "serves"
    LEAVING = "finishes what is in flight"


class WorkerProcess:
    """A running worker.

    :param slot: whose place it has; its sockets are that slot's.
    :param counters: shared by all workers.
    :param first: a process that waits for what it is to do; else a new one is started.
    :raises ConfigError: if the configuration holds what cannot be handed over.
    """

    def __init__(
        self,
        slot: int,
        config: Config,
        sockets: list[tuple[Address, Listener]],
        counters: Counters,
        *,
        announce: bool,
        directory: str,
        first: FirstWorker | None = None,
    ) -> None:
        self.slot = slot
        self.config = config
        self.state = State.STARTING
        self.started = self.heard = time.monotonic()
        self.ready_at = self.started
        self.requests = 0
        self.rss = 0
        self.urls: list[str] = []
        self.failure: TricornError | None = None  # what it said it failed with
        self.verdict: str | None = None  # why we killed it
        self.kill_at: float | None = None
        self._drained_at: float | None = None  # when what is in flight has had its time
        self._unstarted: float | None = None  # the delay of a drain told while it started
        self._told_late = False
        self._begun = False  # by its own word, which we may act on later
        self.max_requests = _with_jitter(config)
        rows, fds = to_worker(sockets)
        start = _start_message(config, rows, announce=announce)
        self._lease = _leased(counters)
        if counters.fd is not None:
            start["counters"] = {"fd": counters.fd, "slot": self._lease}
            fds.append(counters.fd)
        self.silent = False  # it has closed its end of the channel
        self._process: subprocess.Popen[bytes] | FirstWorker
        if first is not None and len(fds) <= MOST_DESCRIPTORS:
            self._process, self.channel = first, first.channel
            self.channel.send("start", wait=True, descriptors=fds, passed=fds, **start)
            return
        try:
            self._process, self.channel = _started(directory, fds)
        except (OSError, ImportError) as exc:  # an import takes descriptors too
            counters.ended(self._lease)
            raise TricornError(f"cannot start a worker: {exc}") from None
        self.channel.send("start", wait=True, passed=[], **start)

    def __repr__(self) -> str:
        return f"<worker {self.pid} in slot {self.slot}: {self.state.value}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    # Hearing

    def receive(self) -> list[Message]:
        """What it said since the last call."""
        messages = self.channel.receive()
        if messages is None:
            self.silent = True
            return []
        for message in messages:
            self._note(message)
        return messages

    def _note(self, message: Message) -> None:
        self.heard = time.monotonic()
        match message["type"]:
            case "ready":
                self.ready_at = self.heard
                self.urls = message["urls"]
                self._has_started()
            case "shutdown":
                self._has_started()
            case "heartbeat":
                self.requests, self.rss = message["requests"], message["rss"]
            case "failed":
                kind = _ERRORS.get(message["code"], TricornError)
                self.failure = kind(message["reason"])
                self.failure.application_traceback = message["traceback"]
                self._kill_within(CUT_TIME + _MARGIN)  # it ends by itself, threads or not

    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int:
        """Of a process that is gone; negative for a signal."""
        code = self._process.returncode
        assert code is not None
        return code

    # Telling

    def drain(self, *, delay: float = 0.0, stopping: bool = False) -> None:
        """Have it finish what is in flight and end.

        :param delay: seconds it goes on accepting.
        :param stopping: the whole daemon stops, so it is not ready for balancers either.
        """
        if self.state is State.STARTING and not self._begun:
            self._unstarted = delay
            self._kill_within(CUT_TIME)
        elif self._unstarted is not None:
            self._unstarted = delay
        elif self.state is not State.LEAVING or self._drained_at is not None:
            self._limit_drain(delay)  # where it had not begun, it begins now
        self.state = State.LEAVING
        self.channel.send("drain", delay=delay, stopping=stopping)

    def _has_started(self) -> None:
        """It has more to end than it seemed, where it was told to: its application, at least."""
        self._begun = True
        delay, self._unstarted = self._unstarted, None
        if delay is not None:
            self.kill_at = None
            self._limit_drain(delay)

    def _limit_drain(self, delay: float) -> None:
        now, config = time.monotonic(), self.config
        if config.graceful_timeout is None or self.verdict is not None:
            return
        limit = now + delay + config.graceful_timeout + CUT_TIME
        self._drained_at = max(limit, self._drained_at or limit)
        if config.shutdown_timeout is not None:
            self.kill_at = self._drained_at + config.shutdown_timeout + _MARGIN

    def cut(self) -> None:
        """Have it end now; it is killed if it does not."""
        self.state, self._unstarted = State.LEAVING, None
        self.channel.send("cut")
        self._kill_within(CUT_TIME)

    def reopen_logs(self) -> None:
        """Have it open its log files anew."""
        self.channel.send("reopen-logs")

    def kill(self, verdict: str | None = None) -> None:
        """SIGKILL."""
        self.verdict = self.verdict or verdict
        self._process.kill()

    def dump_and_kill(self, verdict: str) -> None:
        """Have it write its stacks, and kill it a moment later."""
        self.verdict = verdict
        self._process.send_signal(DUMP_SIGNAL)
        self._kill_within(_DUMP_TIME)

    def _kill_within(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        self.kill_at = limit if self.kill_at is None else min(limit, self.kill_at)

    # Time

    def tick(self, now: float) -> None:
        """Kill it where it is due."""
        if self.ended():
            return
        if self.kill_at is not None and now >= self.kill_at:
            self.kill_at = None
            self.kill("it did not end in time")
        elif self._drained_at is not None and now >= max(self._drained_at, self.heard + _MARGIN):
            # The applications are cancelled by now, and its event loop does not even turn.
            self._drained_at = None
            self.dump_and_kill("it did not end in time")

    def is_hung(self, now: float) -> bool:
        """Whether its event loop stands still for too long."""
        limit = self.config.worker_heartbeat_timeout
        if limit is None or self.verdict is not None:
            return False
        if self.state is State.STARTING or self._unstarted is not None:
            return False
        return now - self.heard >= limit

    def is_late(self, now: float) -> bool:
        """Whether it has not started in ``startup_timeout``; true once.

        That ends neither an import nor a lifespan that holds up its event loop.
        """
        limit = self.config.startup_timeout
        if limit is None or self._told_late or self.state is not State.STARTING:
            return False
        self._told_late = now - self.started >= limit + _MARGIN
        return self._told_late

    def served(self, now: float) -> float:
        """For how long it has served (seconds); 0 while it starts."""
        return 0.0 if self.state is State.STARTING else now - self.ready_at

    def worn_out(self, now: float) -> tuple[str, str] | None:
        """The option by which it should be replaced and why, None while it need not be."""
        config = self.config
        if self.max_requests is not None and self.requests >= self.max_requests:
            return "max_requests", f"it has served {self.requests} requests"
        if config.worker_max_memory is not None and self.rss > config.worker_max_memory:
            return "worker_max_memory", f"it takes {self.rss / 2**20:.0f} MiB"
        limit = config.worker_max_lifetime
        if limit is not None and self.served(now) >= limit:
            return "worker_max_lifetime", f"it has served for {limit:g} s"
        return None

    def close(self, counters: Counters) -> None:
        """Let go of it, once it is gone."""
        self.channel.close()
        counters.ended(self._lease)

    # Explaining

    def death(self, kills_before: int) -> str:
        """How it ended, in words; ``kills_before`` is an earlier ``oom_kills()``."""
        if self.verdict is not None:
            return f"was killed: {self.verdict}"
        code = self.exit_code
        if code >= 0:
            return f"ended by itself with exit code {code}"
        words = f"was killed by {_signal_name(-code)}"
        if -code == signal.SIGKILL:
            if oom_kills() > kills_before:
                words += ": the system is out of memory (the kernel has counted an oom_kill)"
            else:
                words += ", by somebody else; if the memory is short, see the kernel's log"
        return words


def _leased(counters: Counters) -> int:
    try:
        return counters.lease()
    except ValueError as exc:
        raise TricornError(f"cannot start a worker: {exc}") from None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _with_jitter(config: Config) -> int | None:
    if config.max_requests is None:
        return None
    import random  # not above: few need it

    return config.max_requests + random.randint(0, config.max_requests_jitter)


def _start_message(config: Config, rows: Sequence[Message], *, announce: bool) -> dict[str, Any]:
    options = config.to_dict()
    for name, value in options.items():
        if not _is_plain(value):
            raise ConfigError(
                f"{name}: holds Python objects, which worker processes cannot get; write plain "
                "values, or set workers = 0"
            )
    # sys.path as it is here: the script that called run() has its directory in it. What is no str
    # there, a Path for one, Python passes over. sys.argv tells applications, and what traces them,
    # which command they run in.
    process = {
        "path": [entry for entry in sys.path if isinstance(entry, str)],
        "argv": [str(word) for word in sys.argv],
    }
    return {"config": options, "listeners": rows, "announce": announce, **process}


def _is_plain(value: object) -> bool:
    """Whether JSON brings it over unchanged."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _started(directory: str, fds: list[int]) -> tuple[subprocess.Popen[bytes], Channel]:
    """A new process, and our end of its channel."""
    import subprocess  # not above: most supervisors have the first worker only

    # The interpreter's own flags (-O, -W, -X), as multiprocessing hands them on.
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if not {"", os.getcwd()} & set(sys.path) and "-P" not in flags:
        flags.append("-P")  # else -m would put the working directory in front

    command, environ = worker_command()

    def start(end: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, *flags, *command, str(end)],
            pass_fds=[*fds, end],
            cwd=directory,
            env=environ,
            umask=first_umask(),
        )

    return Channel.to(start)


def oom_kills() -> int:
    """Processes that the kernel has killed for want of memory: in our cgroup, else in all."""
    try:
        group = _text("/proc/self/cgroup").partition("::")[2].strip()
        return _counted(_text(f"/sys/fs/cgroup{group}/memory.events"))
    except OSError:
        pass
    try:
        return _counted(_text("/proc/vmstat"))
    except OSError:
        return 0


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _counted(text: str) -> int:
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def working_directory() -> str:
    """The working directory by the name the shell has for it, which may be a symbolic link
    that a deployment moves."""
    here, named = os.getcwd(), os.environ.get("PWD", "")
    with suppress(OSError):
        if named and os.path.samefile(here, named):
            return named
    return here
