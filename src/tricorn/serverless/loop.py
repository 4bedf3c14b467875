"""The event loop of a container: one thread, one lifespan, for all its invocations."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import FrameType
from typing import TypeVar

import anyio
import anyio.abc
from anyio.from_thread import BlockingPortal

from tricorn.asgi.host import Worker
from tricorn.asgi.lifespan import Lifespan
from tricorn.event_loop import run_on
from tricorn.exceptions import TricornError

_log = logging.getLogger("tricorn.error")
_T = TypeVar("_T")

# Seconds beyond shutdown_timeout that the loop has to tell it is done.
_SLACK = 1.0
# Seconds after which the main thread is told again of a signal it has not seen: doubled each time.
_REMINDERS = tuple(0.01 * 2**number for number in range(10))


class ContainerLoop:
    """Runs the application's event loop in a thread of its own.

    The handler's thread keeps its hands free: it can answer although the application blocks
    the loop, and the loop may be any that Tricorn serves on.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._stop: anyio.Event
        self._portal: Future[BlockingPortal] = Future()
        self._lifespan: Future[None] | None = None
        self._thread = threading.Thread(target=self._main, name="tricorn-lambda", daemon=True)

    def start(self) -> None:
        """Start the loop and the application's lifespan.

        :raises LifespanError: if the application's startup failed.
        :raises ConfigError: if ``worker_class`` cannot be had.
        """
        self._thread.start()
        portal = self._portal.result()
        try:
            self._lifespan, _ = portal.start_task(self._serve)
        except BaseException:
            self._end(portal)
            raise

    def soon(self, function: Callable[..., Awaitable[_T]], *args: object) -> Future[_T]:
        """Call an async function in the loop, in a copy of the caller's context."""
        return self._portal.result().start_task_soon(function, *args)

    def close(self) -> None:
        """Shut the application down and end the loop; waits ``shutdown_timeout`` at most."""
        if self._lifespan is None or not self._thread.is_alive():
            return
        limit = self._worker.config.shutdown_timeout
        portal = self._portal.result()
        try:
            portal.start_task_soon(self._begin_stop)
            self._lifespan.result(None if limit is None else limit + _SLACK)
        except TimeoutError:
            # The thread is a daemon: it ends with the process.
            _log.error("the application blocks its event loop; it is not shut down")
            return
        self._end(portal)

    def _end(self, portal: BlockingPortal) -> None:
        portal.start_task_soon(portal.stop, True)
        self._thread.join(_SLACK)

    def _main(self) -> None:
        try:
            run_on(self._worker.config, self._hold_portal)
        except BaseException as exc:
            if self._portal.done():
                _log.critical("the event loop of the application ended", exc_info=exc)
            else:
                self._portal.set_exception(exc)

    async def _hold_portal(self) -> None:
        async with BlockingPortal() as portal:
            self._portal.set_result(portal)
            await portal.sleep_until_stopped()

    async def _begin_stop(self) -> None:
        self._worker.stopping.set()
        self._stop.set()

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """The lifespan, from startup to shutdown."""
        worker = self._worker
        self._stop = anyio.Event()
        lifespan = Lifespan(worker.app, worker.config, worker.stopping)
        failure: TricornError | None = None
        async with anyio.create_task_group() as task_group:
            try:
                await lifespan.startup(task_group)
            except TricornError as exc:
                failure = exc  # not inside the task group, which would wrap it
            else:
                worker.state = lifespan.state
                task_status.started()
                await self._stop.wait()
                await lifespan.shutdown()
        if failure is not None:
            raise failure from failure.__cause__


def close_on_sigterm(close: Callable[[], None]) -> None:
    """Have ``close`` called on SIGTERM, and end the process then.

    Lambda sends it to functions with an extension, some 300 ms before SIGKILL. The managed
    runtime waits for events in native code, where no Python signal handler runs, so a thread
    learns of it through the wake-up descriptor. Does nothing where the program has a handler
    of its own, or outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    ours = _Sigterm(close)
    read, write = os.pipe()
    os.set_blocking(write, False)
    previous = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if previous != -1:
        # Somebody's event loop lives on it.
        signal.set_wakeup_fd(previous)
        os.close(read)
        os.close(write)
    else:
        threading.Thread(
            target=ours.watch, args=(read,), name="tricorn-sigterm", daemon=True
        ).start()
    signal.signal(signal.SIGTERM, ours.handle)


class _Sigterm:
    """What is done about the signal, by whoever learns of it first."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._seen = threading.Event()  # by the main thread

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self._seen.is_set():
            return  # told again in the moment that we saw it
        self._seen.set()
        self._close()
        raise SystemExit(0)

    def watch(self, read: int) -> None:
        """Read the wake-up descriptor, in a thread of its own."""
        while numbers := os.read(read, 64):
            if signal.SIGTERM in numbers and not self._seen.is_set():
                self._close()
                self._remind()

    def _remind(self) -> None:
        """Interrupt the system call that the main thread waits in.

        A signal that another thread gets, or that comes just before the call, leaves it waiting.
        """
        main = threading.main_thread().ident
        assert main is not None
        for pause in _REMINDERS:
            # A handler that has taken our place is told once, by whoever sent the signal.
            if self._seen.wait(pause) or signal.getsignal(signal.SIGTERM) != self.handle:
                return
            signal.pthread_kill(main, signal.SIGTERM)
