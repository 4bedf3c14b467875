"""Signals in a process that the application forks: as in one that nobody has prepared.

A fork copies the handlers, and shares the pipe by which an event loop hears of signals: with
those, a SIGTERM to a child (``multiprocessing``'s ``terminate``, the end of its pools) does not
end the child, and drains the server.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from typing import Any

# By number: the server's handler, and what was there before it.
_taken: dict[int, tuple[Any, Any]] = {}
# Of a thread that forks just now: the signals that it had blocked.
_forking = threading.local()


@contextmanager
def open_signal_receiver(*numbers: signal.Signals) -> Iterator[AsyncIterator[signal.Signals]]:
    """``anyio.open_signal_receiver``, of which forked processes have nothing."""
    former = {number: signal.getsignal(number) for number in numbers}
    with anyio.open_signal_receiver(*numbers) as signals:
        keep_from_children(former)
        try:
            yield signals
        finally:
            for number in numbers:
                _taken.pop(number, None)


def keep_from_children(former: Mapping[signal.Signals, Any]) -> None:
    """Have forked processes know nothing of the handlers that these signals have now.

    :param former: what the signals had before, by their numbers.
    """
    for number, before in former.items():
        _taken[number] = signal.getsignal(number), before


def _ours() -> Iterable[int]:
    """The signals whose handlers nobody has replaced."""
    return [number for number, (ours, _) in _taken.items() if signal.getsignal(number) is ours]


def _before() -> None:
    # A child that is told to end at once has our handlers yet.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ours())


def _in_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _in_child() -> None:
    ours = _ours()
    if ours:
        signal.set_wakeup_fd(-1)
    for number in ours:
        if _taken[number][1] is signal.SIG_IGN:
            signal.signal(number, signal.SIG_IGN)
        elif number == signal.SIGINT:
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, signal.SIG_DFL)
    _taken.clear()
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
