"""``--reload``: a thread that watches files, and wakes the supervisor when they change."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque

from tricorn.config import Config
from tricorn.reloader import FileWatch

# File names in a log line.
_NAMED = 3


class CodeWatch:
    """Edits of the application's files; ``fileno`` can be read when there is one.

    :raises ConfigError: if a directory to watch does not exist.
    """

    def __init__(self, config: Config) -> None:
        self._watch = FileWatch(config)
        self._edits: deque[str] = deque()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        threading.Thread(target=self._run, name="tricorn-reload", daemon=True).start()

    def describe(self) -> str:
        """What is watched, for the log."""
        roots = ", ".join(map(str, self._watch.roots))
        return f"watching {roots} ({self._watch.method})"

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._woken.fileno()

    def take(self) -> str:
        """What was edited since the last call, in words; empty if nothing."""
        try:
            while self._woken.recv(4096):
                pass
        except BlockingIOError:
            pass
        names: list[str] = []
        while self._edits:
            names.append(self._edits.popleft())
        return names[-1] if names else ""

    def close(self) -> None:
        """End the thread, soon."""
        self._watch.close()

    def _run(self) -> None:
        while paths := self._watch.wait():
            names = sorted(os.path.relpath(path) for path in paths)
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self._edits.append(f"{', '.join(names[:_NAMED])}{more} changed")
            self._wake.send(b".")
