"""What signals do to a server that no supervisor watches over."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import anyio.lowlevel

from tricorn import logs
from tricorn.exceptions import ConfigError
from tricorn.forked_children import open_signal_receiver
from tricorn.io import ending
from tricorn.standard_streams import Terminal
from tricorn.stop_signals import StopSignals

if TYPE_CHECKING:
    from tricorn.server import Server

_log = logging.getLogger("tricorn.error")

# Where asyncio's and uvloop's handlers are from, which know nothing without their loop.
_OF_LOOPS = ("asyncio.unix_events", "uvloop.loop")
# Turns of the event loop in which a signal comes to who waits for it, and some more.
_TURNS = 16


def check_thread() -> None:
    """See that signals can be taken.

    :raises ConfigError: in any thread but the main one, the only one that gets them.
    """
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "only the main thread can take signals; in another one use serve_in_thread, or serve "
            "without install_signal_handlers"
        )


@asynccontextmanager
async def taken(
    server: Server, stop: anyio.Event, starting: anyio.CancelScope
) -> AsyncIterator[None]:
    """Take signals up to the end of the block: of an application, too, that is slow to go.

    :param stop: see `watch`, as for ``starting``.
    """
    async with anyio.create_task_group() as tasks:
        await tasks.start(watch, server, stop, starting, tasks.cancel_scope)
        yield
        tasks.cancel_scope.cancel()


async def watch(
    server: Server,
    stop: anyio.Event,
    starting: anyio.CancelScope,
    scope: anyio.CancelScope,
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    """Take signals until the second that asks for an end.

    :param stop: set by the first of these.
    :param starting: that of the application's start-up.
    :param scope: of the whole server.
    """
    terminal = Terminal()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    stops = StopSignals()
    with _lent(numbers), open_signal_receiver(*numbers) as signals:
        task_status.started()
        async for number in signals:
            name = signal.Signals(number).name
            hung_up = number == signal.SIGHUP and terminal.is_gone()
            if hung_up and stop.is_set():
                continue  # the shell and the system may both say so
            if number in (signal.SIGHUP, signal.SIGUSR1) and not hung_up:
                _reopen(server, name)
            elif not stops.counts(anyio.current_time()):
                continue
            elif stop.is_set():
                _log.warning("%s again: stopping at once", name)
                server.hurry()
                scope.cancel()
                return
            else:
                _log.info("%s: %s", name, logs.finishing(server.config))
                server.opening.close()
                stop.set()
                # As long as a supervisor gives a worker that starts.
                starting.deadline = anyio.current_time() + ending.CANCEL_TIME


@contextmanager
def _lent(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Give the program its handlers back, which trio does by itself.

    asyncio and uvloop leave the system's default: the next SIGTERM would kill a program that
    cleans up behind its server. What was set through the loop is lost, as is its callback.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is None or getattr(handler, "__module__", "") in _OF_LOOPS:
                continue  # None: set by something else than Python
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


async def catch_up() -> None:
    """Have `watch` take the signals that came while something held up the event loop."""
    for _ in range(_TURNS):
        await anyio.lowlevel.checkpoint()


def _reopen(server: Server, name: str) -> None:
    """What a signal to reload can do where no supervisor starts new processes."""
    if name == "SIGUSR1":
        logs.reopen()
        _log.info("%s: log files opened anew", name)
        return
    with server.reloading():
        logs.reopen()
        server.reload_certificates()
    _log.info(
        "%s: log files and certificates opened anew; the rest of the configuration and the "
        "application stay until a restart (workers = 0)",
        name,
    )
