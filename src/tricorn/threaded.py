"""A server in a thread of its own, for programs whose own thread has other work."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from tricorn.config import Config
from tricorn.event_loop import caller_from_threads, run_on
from tricorn.server import serve
from tricorn.types import Application

_log = logging.getLogger("tricorn.error")

# Seconds between two looks at whether the program is still there.
_LOOK = 0.5


_own = threading.local()  # of a server's thread
# In the contexts of what its event loop starts, in threads too.
_works_for: contextvars.ContextVar[ServerThread] = contextvars.ContextVar("tricorn.server_thread")


def current_server() -> ServerThread | None:
    """The server whose thread this is, or for which this thread works just now.

    A thread's ``ident`` does not tell: the next thread may have that of one that has ended.
    """
    server: ServerThread | None = getattr(_own, "server", None)
    return server or _works_for.get(None)


def serve_in_thread(app: Application | None, config: Config | None = None) -> ServerThread:
    """Start a server in a thread; returns once it accepts connections.

    Use the result in a ``with`` statement, or call its ``close``.

    :param app: as ``serve`` takes it.
    :param config: defaults to ``Config()``; ``worker_class`` names the thread's event loop.
    :raises ConfigError: if the event loop is not installed, and as ``serve`` does.
    :raises TricornError: as ``serve`` does: ``BindError``, ``LifespanError``.
    """
    server = ServerThread(app, config)
    server.start()
    return server


class ServerThread:
    """An application served in a thread with an event loop of its own.

    ``with`` and ``async with`` start it, unless it has been, and end it; the second does not
    hold up the event loop it is used on. Signals and logging are left alone. One object
    serves once.

    What is open at the end has ``graceful_timeout`` to finish. A program that ends without
    closing its server has it closed: the interpreter waits for that.
    """

    def __init__(self, app: Application | None, config: Config | None = None) -> None:
        self.config = config or Config()
        #: Where it serves (list of str), in the order of the options; empty before ``start``.
        self.urls: list[str] = []
        self._app = app
        self._thread = threading.Thread(target=self._run, name="tricorn")
        self._settled = threading.Event()  # it accepts connections, or has ended before
        self._error: BaseException | None = None
        # All below belong to the thread's event loop, but for the two flags.
        self._call: Callable[[Callable[[], object]], object] | None = None
        self._stop: anyio.Event
        self._scope: anyio.CancelScope
        self._lock = threading.RLock()  # a signal handler may come in between
        self._cancelled = False
        self._stopped = False

    @property
    def url(self) -> str:
        """The first of ``urls``.

        :raises RuntimeError: if it does not serve yet.
        """
        if not self.urls:
            raise RuntimeError("the server does not serve yet: call start()")
        return self.urls[0]

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_alive()

    @property
    def thread_id(self) -> int | None:
        """``ident`` of the thread, which its log records carry; None before ``start``."""
        return self._thread.ident

    @property
    def _begun(self) -> bool:
        return self._thread.ident is not None

    # For the thread that has the object

    def start(self) -> None:
        """Start the thread and wait until connections are accepted.

        :raises TricornError: what ``serve`` raises, with the type it has.
        """
        self._thread.start()
        try:
            self._wait_for_start()
        except BaseException:
            # Ours has ended the thread already; this is for Ctrl-C.
            self.cancel()
            self._thread.join()
            raise

    def stop(self) -> None:
        """Begin to drain; returns at once. For any thread, the server's own too."""
        with self._lock:
            self._stopped = True
            self._in_loop(lambda: self._stop.set())

    def cancel(self) -> None:
        """Cut what is open and end; returns at once. The lifespan still shuts down."""
        with self._lock:
            self._cancelled = True
            self._in_loop(lambda: self._scope.cancel())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server has ended, at most ``timeout`` seconds; whether it has.

        :raises BaseException: what ended the server; once.
        """
        self._refuse_own_thread()
        if not self._begun:
            return True
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self._raise_error()
        return True

    def close(self) -> None:
        """Drain, and wait for the end of the thread; again is no harm.

        An exception from outside, such as Ctrl-C, cuts the drain short.

        :raises BaseException: what ended the server, unless it was raised before.
        """
        self._refuse_own_thread()
        self.stop()
        try:
            self.wait()
        except BaseException:
            self.cancel()
            self._thread.join()
            raise

    def __enter__(self) -> Self:
        if not self._begun:
            self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # The same for tasks of another event loop

    async def aclose(self) -> None:
        """``close`` without holding up the caller's event loop; cancelled, it cuts."""
        self._refuse_own_thread()
        self.stop()
        await self._aside(self.wait)

    async def __aenter__(self) -> Self:
        if not self._begun:
            self._thread.start()
            await self._aside(self._wait_for_start)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _aside(self, wait: Callable[[], object]) -> None:
        try:
            await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)
        except BaseException:
            self.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._thread.join)
            raise

    def _wait_for_start(self) -> None:
        self._settled.wait()
        if not self.urls:
            self._thread.join()
            self._raise_error()
            raise RuntimeError("the server was stopped while it started")

    def _refuse_own_thread(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("the server's own thread cannot wait for its end; use stop()")

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _in_loop(self, action: Callable[[], object]) -> None:
        if self._call is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._call(action)

    # In the thread

    def _run(self) -> None:
        _own.server = self
        # A fresh context: nothing of the caller's, above all not its event loop.
        context = contextvars.Context()
        context.run(_works_for.set, self)
        try:
            context.run(run_on, self.config, self._main)
        except BaseException as exc:
            self._error = exc
        finally:
            self._settled.set()

    async def _main(self) -> None:
        with anyio.CancelScope() as self._scope:
            self._stop = anyio.Event()
            with self._lock:
                self._call = caller_from_threads()
                if self._cancelled:
                    self._scope.cancel()
                if self._stopped:
                    self._stop.set()
            await serve(
                self._app,
                self.config,
                shutdown_trigger=self._until_stopped,
                task_status=_Started(self._accepting),
            )

    def _accepting(self, urls: list[str]) -> None:
        self.urls = urls
        self._settled.set()

    async def _until_stopped(self) -> None:
        """Return when told to, or when the program has ended without a word.

        The interpreter waits for this thread, so that the application can shut down; a
        daemon thread would be cut anywhere.
        """
        main = threading.main_thread()
        while main.is_alive():
            with anyio.move_on_after(_LOOK):
                await self._stop.wait()
                return
        _log.warning("the program ends without closing its server; stopping")


class _Started(anyio.abc.TaskStatus[list[str]]):
    """Passes on the addresses."""

    def __init__(self, tell: Callable[[list[str]], None]) -> None:
        self._tell = tell

    def started(self, value: list[str] | None = None) -> None:
        self._tell(value or [])
