"""Threads beside the event loop: a pool of them, and the way back into the loop.

anyio's worker threads cost an event loop callback, a future and a system call for each
call and its result; here the results of one turn share one callback.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel

from tricorn.asgi.host import Waiter

Call = Callable[[], object]
# What it returns is called once its thread counts as free.
Job = Callable[[], Call]


class FutureWaiter:
    """A one-shot signal on an asyncio future."""

    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        """Wake whoever waits."""
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        """Wait for ``set``."""
        return self._future


class LoopCalls:
    """Calls from threads into one event loop."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._scheduled = False
        self.waiter: Callable[[], Waiter]
        self._call_soon: Callable[[Call], Any]
        self._loop: asyncio.AbstractEventLoop | None = None
        if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
            loop = self._loop = asyncio.get_running_loop()
            self.waiter = lambda: FutureWaiter(loop)
            self._call_soon = loop.call_soon_threadsafe
        else:
            import trio

            self.waiter = trio.Event
            self._call_soon = trio.lowlevel.current_trio_token().run_sync_soon

    @classmethod
    def current(cls, likely: LoopCalls | None = None) -> LoopCalls:
        """Those into the running event loop, which stay the same for as long as anybody has them.

        :param likely: what it was last time; to look it up takes ten times as long.
        """
        if likely is not None and likely._loop is not None:
            try:
                if asyncio.get_running_loop() is likely._loop:
                    return likely
            except RuntimeError:
                pass  # this one is trio's
        known = _current.get(None)
        calls = None if known is None else known()
        if calls is None:
            calls = cls()
            _current.set(weakref.ref(calls))
        return calls

    def post(self, call: Call) -> None:
        """From any thread: run ``call`` in the loop soon.

        :raises RuntimeError: if the loop has ended.
        """
        self._calls.append(call)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        # First: what is appended from here on either is seen below or schedules again.
        self._scheduled = False
        calls = self._calls
        while calls:
            calls.popleft()()


# Weak: they know their loop, which would have what is kept for it for as long as that has it.
_current: anyio.lowlevel.RunVar[weakref.ref[LoopCalls]] = anyio.lowlevel.RunVar(
    "tricorn_loop_calls"
)


class ThreadPool:
    """At most ``size`` threads that run jobs in the order they come.

    Threads start when there is a job for them and stay. They are daemons: what runs in
    one cannot be interrupted and must not hold the end of the process.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._busy = _Busy()
        self._threads = 0
        # A pool that is forgotten ends its threads, which know nothing of it.
        self._finalizer = weakref.finalize(self, _end, self._jobs, size)
        self._finalizer.atexit = False

    @property
    def running(self) -> int:
        """Jobs that run or wait for a thread."""
        return self._busy.count

    def submit(self, job: Job, postponed: Call | None = None) -> None:
        """Run ``job``, which must not raise, in a thread.

        :param postponed: called before that, where none is free for it now.
        :raises RuntimeError: if the system gives no thread and there is none that could run it.
        """
        jobs = self._busy.add(1)
        if jobs > self._threads and self._threads < self._size:
            try:
                self._start()
            except RuntimeError:
                if not self._threads:
                    self._busy.add(-1)
                    raise
        if postponed is not None and jobs > self._threads:
            postponed()
        self._jobs.put(job)

    def _start(self) -> None:
        name = f"{self._name}-{self._threads + 1}"
        arguments = (self._jobs, self._busy)
        threading.Thread(target=_work, args=arguments, name=name, daemon=True).start()
        self._threads += 1

    def stop(self) -> None:
        """End the threads once the jobs are done; a later job starts new ones."""
        _end(self._jobs, self._threads)
        self._jobs, self._busy, self._threads = queue.SimpleQueue(), _Busy(), 0
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, _end, self._jobs, self._size)
        self._finalizer.atexit = False


class _Busy:
    """How many jobs are not done."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self, number: int) -> int:
        with self._lock:
            self.count += number
            return self.count


def _work(jobs: queue.SimpleQueue[Job | None], busy: _Busy) -> None:
    while (job := jobs.get()) is not None:
        finish = job()
        busy.add(-1)
        finish()
        # Not kept until the next one comes: they hold a request.
        del job, finish


def _end(jobs: queue.SimpleQueue[Job | None], threads: int) -> None:
    for _ in range(threads):
        jobs.put(None)
