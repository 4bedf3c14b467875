"""The news that the server is stopping, for applications that stream without end."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

#: Where an application finds it: ``scope["extensions"]["tricorn.stopping"]["signal"]``.
EXTENSION: Final = "tricorn.stopping"


class Stopping:
    """Set once, when the server begins to drain; any number of tasks may wait for it."""

    def __init__(self) -> None:
        self._set = False
        self._events: set[anyio.Event] = set()

    def is_set(self) -> bool:
        """Whether the server is stopping."""
        return self._set

    async def wait(self) -> None:
        """Wait until the server begins to stop; returns at once where it has."""
        if self._set:
            await anyio.lowlevel.checkpoint()
            return
        event = anyio.Event()
        self._events.add(event)
        try:
            await event.wait()
        finally:
            self._events.discard(event)

    def set(self) -> None:
        """Tell everybody. Called by the server."""
        self._set = True
        for event in self._events:
            event.set()
