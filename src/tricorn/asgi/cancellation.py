"""Tells a cancellation from a cancellation exception that an application raises itself."""

from __future__ import annotations

import asyncio


def requested(cancelled: type[BaseException]) -> bool:
    """Whether the current task is being cancelled, now that it has raised ``cancelled``.

    On asyncio anybody may raise ``CancelledError``; an application lets one out of a task it
    awaits. Trio's comes of a cancellation only.

    :param cancelled: the cancellation exception of the event loop in use.
    """
    if cancelled is not asyncio.CancelledError:
        return True
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def interrupted(exc: BaseException) -> bool:
    """Whether Ctrl-C is in it, which is meant for the program and not for an application.

    trio raises it in whatever task runs, so a nursery may have made a group of it.
    """
    if isinstance(exc, BaseExceptionGroup):
        return exc.subgroup(KeyboardInterrupt) is not None
    return isinstance(exc, KeyboardInterrupt)


def apart(exc: BaseException, cancelled: type[BaseException]) -> BaseException | None:
    """What has gone wrong besides a cancellation; None where nothing has.

    A nursery of trio's raises a group of what its tasks raised, each its own ``Cancelled``.
    """
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(cancelled)[1]
    return None if isinstance(exc, cancelled) else exc
