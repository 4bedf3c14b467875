"""Where log lines end up: a descriptor behind a bounded queue and one writing thread.

A write to a pipe that nobody reads waits for ever, and a server that waits in its log has
stopped serving. So the serving threads only append to a bounded queue; what does not fit is
counted and dropped, and the count is reported once lines flow again.

1. ``write`` never waits for the descriptor and never raises.
2. Only the writing thread writes to the descriptor and reopens it.
3. Lines leave whole: at most PIPE_BUF bytes to a call where the target is not a regular
   file, since that is what POSIX writes atomically when several processes share a pipe.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator

# Characters waiting, and what a line costs besides its characters: a stuck pipe may hold
# about 4 MiB of memory (some 16,000 access lines), whatever the length of the lines.
QUEUE_LIMIT = 4 * 1024 * 1024
LINE_OVERHEAD = 64

# Seconds the writer lets lines gather: without it each line costs a thread switch.
GATHER = 0.02
# Seconds between looks at "give up" while the target takes nothing.
POLL = 0.1
FILE_CHUNK = 64 * 1024
PIPE_CHUNK = select.PIPE_BUF

_live: weakref.WeakSet[Sink] = weakref.WeakSet()


class Sink:
    """One log target: a standard descriptor, or a file that can be reopened.

    :param path: file to append to (created if absent), or None for ``fd``.
    :param fd: descriptor to use as it is; never closed here.
    :param report: called in the writing thread with a sentence (str) the operator should
        read: lines were dropped, the file could not be opened again. Must not wait.
    :param prepare: called before the file is opened anew: in the caller's thread before
        ``reopen`` returns, in the writing thread where the path has moved. Must not raise.
    :raises OSError: the file cannot be opened.
    """

    def __init__(
        self,
        *,
        path: str | None = None,
        fd: int = -1,
        report: Callable[[str], None] = lambda sentence: None,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._fd = fd if path is None else _open(path)
        self._report = report
        self.prepare = prepare
        self.name = path or {1: "stdout", 2: "stderr"}.get(fd, f"descriptor {fd}")
        self._chunk = FILE_CHUNK if stat.S_ISREG(os.fstat(self._fd).st_mode) else PIPE_CHUNK
        self._torn = False  # the last write stopped inside a line
        self._stranded = False  # the path has moved and cannot be opened
        self._failing = False  # the last write was refused, which has been told
        self._reset()
        _live.add(self)

    def __repr__(self) -> str:
        return f"<Sink {self.name} waiting={len(self._lines)} dropped={self.dropped}>"

    def _reset(self) -> None:
        # Re-entrant, because a signal handler may log while its own thread is in write().
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._lines: deque[str] = deque()
        self._cost = 0
        self._thread: threading.Thread | None = None
        self._idle = False
        self._busy = False
        self._hurry = False
        self._reopen = False
        self._stopping = False
        self._abandoned = False
        self.dropped = 0
        """Lines (int) dropped and not yet reported."""

    @property
    def is_terminal(self) -> bool:
        return os.isatty(self._fd)

    def write(self, line: str) -> None:
        """Queue one line (no line end); drop it if the queue is full. Never waits or raises."""
        cost = len(line) + LINE_OVERHEAD
        with self._lock:
            if self._cost + cost > QUEUE_LIMIT:
                self.dropped += 1
                return
            self._cost += cost
            self._lines.append(line)
            if self._idle:
                self._idle = False
                self._changed.notify_all()
            elif self._thread is None:
                self._start()

    def flush(self, limit: float) -> bool:
        """Wait until all is written; False if ``limit`` seconds were not enough."""
        deadline = time.monotonic() + limit
        with self._lock:
            while self._lines or self._busy or self._reopen:
                if threading.current_thread() is self._thread:
                    return False
                left = deadline - time.monotonic()
                if self._thread is None or left <= 0:
                    return False
                self._hurry = True
                self._changed.notify_all()
                self._changed.wait(left)
            return True

    def reopen(self) -> None:
        """Open the file anew, after the lines queued so far (log rotation). Does not wait."""
        if self.path is None:
            return
        self.prepare()
        with self._lock:
            self._reopen = self._hurry = True
            self._changed.notify_all()
            if self._thread is None:
                self._start()

    def tell_dropped(self) -> None:
        """Report what was dropped and is not reported yet."""
        with self._lock:
            told, self.dropped = self.dropped, 0
        if told:
            self._report(f"{told} lines of the log {self.name} were dropped: it did not take them")

    def stop(self, limit: float) -> bool:
        """Flush and end the writing thread within about ``limit`` seconds.

        A later ``write`` starts it again, so nothing is lost by stopping early.
        Returns False where lines had to be left behind.
        """
        flushed = self.flush(limit)
        with self._lock:
            thread = self._thread
            self._stopping = True
            self._abandoned = not flushed
            self._changed.notify_all()
        if thread is not None:
            thread.join(2 * POLL)
        else:
            self._stopping = self._abandoned = False
        return flushed

    def close(self, limit: float) -> None:
        """Stop, and close the file if it is ours."""
        self.stop(limit)
        _live.discard(self)
        # A thread caught in a write keeps the descriptor: the number could be reused.
        with self._lock:
            self._cost = QUEUE_LIMIT + 1  # a late line finds no room
            if self.path is not None and self._thread is None:
                os.close(self._fd)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="tricorn-log", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # no more threads: the process is at its limit, or is ending
            self._thread = None

    def _run(self) -> None:
        # A terminal that stops background jobs would take no line of ours, and signal all processes
        # of the job for as long as we try.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
        try:
            while (taken := self._next_batch()) is not None:
                self._write_batch(*taken)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._let_go()

    def _let_go(self) -> None:
        self._thread = None
        self._idle = self._busy = self._stopping = self._abandoned = False
        self._changed.notify_all()

    def _next_batch(self) -> tuple[deque[str], bool] | None:
        """Wait for lines; returns them and whether to reopen afterwards; None: end."""
        with self._lock:
            while not (self._lines or self._reopen):
                if self._stopping:
                    self._let_go()  # at once: a line that comes now has another thread started
                    return None
                self._hurry = False
                self._idle = True
                self._changed.wait()
                self._idle = False
            if not (self._hurry or self._stopping):
                self._changed.wait(GATHER)
            batch, self._lines = self._lines, deque()
            reopen, self._reopen, self._busy = self._reopen, False, True
            return batch, reopen

    def _write_batch(self, batch: deque[str], reopen: bool) -> None:
        if self.path is not None and not reopen and self._moved(self.path):
            self.prepare()
            self._open_again(self.path)
        lost = self._write_chunks(batch)
        if self.path is not None and reopen:
            # After the write: what was queued before the rotation belongs to the old file.
            self._open_again(self.path)
        with self._lock:
            # Lines being written count as waiting, so the limit holds for both together.
            self._cost -= sum(map(len, batch)) + LINE_OVERHEAD * len(batch)
            self.dropped += lost
        if not lost:
            self.tell_dropped()
        with self._lock:
            self._busy = False
            self._changed.notify_all()

    def _write_chunks(self, batch: deque[str]) -> int:
        """Write the lines; returns how many (int) were lost."""
        lost = 0
        for count, data in _chunks(batch, self._chunk):
            if not self._write_all(b"\n" + data if self._torn else data):
                lost += count
        return lost

    def _write_all(self, data: bytes) -> bool:
        rest = data
        try:
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            while rest:
                if self._abandoned:
                    break
                # Waiting in poll rather than in write keeps the thread able to give up.
                if poll.poll(POLL * 1000):
                    try:
                        rest = rest[os.write(self._fd, rest) :]
                    except BlockingIOError:
                        time.sleep(POLL / 10)
        except OSError as exc:  # broken pipe, full disk: the caller counts the lines as lost
            if not self._failing:
                self._failing = True
                refused = f"the log {self.name} takes no lines, they are dropped"
                self._report(f"{refused}: {exc.strerror}")
        else:
            self._failing = self._failing and bool(rest)
        if len(rest) < len(data):
            self._torn = bool(rest)
        return not rest

    def _moved(self, path: str) -> bool:
        """Whether the path names another file than the open one (rotated without a signal)."""
        try:
            there, here = os.stat(path), os.fstat(self._fd)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _open_again(self, path: str) -> None:
        try:
            fd = _open(path)
        except OSError as exc:
            # Keep the old file, a moved log is better than none; and say so once.
            if not self._stranded:
                self._stranded = True
                self._report(f"cannot open the log {path} again: {exc.strerror}")
            return
        os.close(self._fd)
        self._fd = fd
        self._torn = self._stranded = False


def _open(path: str) -> int:
    # Non-blocking, so that a FIFO nobody reads is an error now and not a wait for ever.
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)


def _chunks(lines: deque[str], size: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines in pieces of at most ``size`` bytes; a longer line is a piece alone."""
    piece: list[bytes] = []
    length = 0
    for line in lines:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if piece and length + len(data) > size:
            yield len(piece), b"".join(piece)
            piece, length = [], 0
        piece.append(data)
        length += len(data)
    if piece:
        yield len(piece), b"".join(piece)


def _after_fork_in_child() -> None:
    # Threads do not survive a fork, locks may be held for ever, and the lines that wait are
    # the parent's to write.
    for sink in list(_live):
        sink._reset()


os.register_at_fork(after_in_child=_after_fork_in_child)
