"""Servers on any event loop, in a thread beside the test, and what their tests see of them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import anyio.from_thread

from tricorn import Config, serve
from tricorn.types import Application

# Seconds after which a test gives up on what must happen.
PATIENCE = 10.0

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
    "asyncio-anyio": ("asyncio", {"use_uvloop": False}),
}
# What users have; the last serves asyncio through the transport that trio uses, as a cross-check.
LOOPS = ("asyncio", "uvloop", "trio")


class Loops:
    """One event loop thread for each backend, started on first use."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._portals: dict[str, anyio.from_thread.BlockingPortal] = {}

    def portal(self, backend: str) -> anyio.from_thread.BlockingPortal:
        """The way into the loop of ``backend``, a key of ``BACKENDS``."""
        if backend not in self._portals:
            name, options = BACKENDS[backend]
            portal = anyio.from_thread.start_blocking_portal(name, backend_options=options)
            self._portals[backend] = self._stack.enter_context(portal)
        return self._portals[backend]

    def close(self) -> None:
        """Stop all loops."""
        self._stack.close()


class Records(logging.Handler):
    """Log records of the server and of asyncio; what is at WARNING or above must be expected."""

    _LOGGERS = ("tricorn.error", "tricorn.access", "asyncio")

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self._expected: list[str] = []
        self._saved: list[tuple[logging.Logger, int, bool]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def messages(self, logger: str = "tricorn.error", level: int = logging.INFO) -> list[str]:
        """Messages of ``logger`` at ``level`` or above."""
        return [
            record.getMessage()
            for record in self.records
            if record.name == logger and record.levelno >= level
        ]

    def expect(self, *parts: str) -> None:
        """Messages with one of these in them are no fault."""
        self._expected += parts

    def faults(self) -> list[str]:
        """Unexpected messages at WARNING or above."""
        found = []
        for record in self.records:
            text = record.getMessage()
            if record.levelno >= logging.WARNING and not any(p in text for p in self._expected):
                found.append(f"{record.name}: {text} {record.exc_info or ''}")
        return found

    def __enter__(self) -> Records:
        for name in self._LOGGERS:
            logger = logging.getLogger(name)
            self._saved.append((logger, logger.level, logger.disabled))
            logger.addHandler(self)
            logger.setLevel(logging.DEBUG if name != "asyncio" else logging.WARNING)
            logger.disabled = False
        return self

    def __exit__(self, *exc: object) -> None:
        for logger, level, disabled in self._saved:
            logger.removeHandler(self)
            logger.setLevel(level)
            logger.disabled = disabled


class Served:
    """A running server."""

    def __init__(
        self,
        portal: anyio.from_thread.BlockingPortal,
        app: Application | None,
        config: Config,
        *,
        callable_trigger: bool = False,
    ) -> None:
        self.portal = portal
        self.config = config
        self._app = app
        self._ended = threading.Event()
        self._stop: anyio.Event = portal.call(anyio.Event)
        self._trigger = self._stop.wait if callable_trigger else self._stop
        self._future: concurrent.futures.Future[None]
        self.urls: list[str]
        self._future, self.urls = portal.start_task(self._main)
        self.url = self.urls[0]

    async def _main(self, *, task_status: anyio.abc.TaskStatus[list[str]]) -> None:
        try:
            await serve(
                self._app, self.config, shutdown_trigger=self._trigger, task_status=task_status
            )
        finally:
            self._ended.set()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the first bind."""
        return address_of(self.url)

    def stop(self) -> None:
        """Pull the shutdown trigger; returns at once."""
        self.portal.call(self.stop_here)

    def stop_here(self) -> None:
        """As ``stop``, in the thread of the event loop."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until ``serve`` has returned; raises what it raised."""
        self._future.result(PATIENCE)

    def cancel(self) -> None:
        """Cancel ``serve`` and wait until it has ended."""
        self._future.cancel()
        assert self._ended.wait(PATIENCE), "serve() does not end when it is cancelled"


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@contextlib.contextmanager
def running(
    portal: anyio.from_thread.BlockingPortal,
    app: Application | None,
    config: Config,
    *,
    callable_trigger: bool = False,
) -> Iterator[Served]:
    """Serve ``app`` on the portal's event loop; cancelled at the end unless it ended before."""
    served = Served(portal, app, config, callable_trigger=callable_trigger)
    try:
        yield served
    finally:
        served.cancel()


class Gate:
    """Lets a test release an application that waits on the server's event loop."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal) -> None:
        self._portal = portal
        self._event: anyio.Event = portal.call(anyio.Event)

    async def wait(self) -> None:
        """For the application: wait for ``open``."""
        await self._event.wait()

    def open(self) -> None:
        """For the test: let the application go on."""
        self._portal.call(self._event.set)


class Inbox(queue.Queue[Any]):
    """What an application tells its test; ``take`` fails after ``PATIENCE``."""

    def take(self) -> Any:
        """The next item."""
        return self.get(timeout=PATIENCE)


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} never held"
        time.sleep(0.002)


def settled(value: Callable[[], int], quiet: float = 0.1) -> int:
    """The value of a counter once it has stood still for ``quiet`` seconds."""
    last, since = value(), time.monotonic()
    deadline = since + PATIENCE
    while time.monotonic() - since < quiet:
        assert time.monotonic() < deadline, "the counter does not come to rest"
        time.sleep(0.01)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
    return last
