"""``--reload``: a thread that watches files, and wakes the supervisor when they change."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from contextlib import suppress

from tricorn.config import Config
from tricorn.exceptions import TricornError
from tricorn.reloader import FileWatch

_log = logging.getLogger("tricorn.error")

# File names in a log line.
_NAMED = 3


class CodeWatch:
    """Edits of the application's files; ``fileno`` can be read when there is one.

    :raises ConfigError: if a directory to watch does not exist.
    :raises TricornError: if the system gives no thread to watch in.
    """

    def __init__(self, config: Config) -> None:
        self._watch = FileWatch(config)
        self._directory = os.getcwd()  # asked for now: it may be gone when a file has changed
        self._edits: deque[str] = deque()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self.over = False  # nothing will be told any more, and ``fileno`` not be waited on
        try:
            threading.Thread(target=self._run, name="tricorn-reload", daemon=True).start()
        except RuntimeError as exc:
            self._wake.close()
            self._woken.close()
            raise TricornError(f"cannot watch files: {exc}") from None

    @classmethod
    def create(cls, config: Config, former: CodeWatch | None = None) -> CodeWatch | None:
        """For a configuration; None where it asks for none.

        :param former: goes on where it does the same.
        :raises ConfigError: if a directory to watch does not exist.
        :raises TricornError: if the system gives no thread to watch in.
        """
        if not config.use_reloader:
            return None
        if former is not None and not former.over and former._watch.suits(config):
            return former
        return cls(config)

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
            self.over = True
        except BlockingIOError:
            pass
        names: list[str] = []
        while self._edits:
            names.append(self._edits.popleft())
        return names[-1] if names else ""

    def close(self) -> None:
        """End the thread, soon."""
        self._watch.close()
        self._woken.close()

    def _run(self) -> None:
        try:
            self._tell_edits()
        except Exception:
            _log.exception("the files are not watched any more")
        finally:
            self._wake.close()

    def _tell_edits(self) -> None:
        while paths := self._watch.wait():
            names = sorted(os.path.relpath(path, self._directory) for path in paths)
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            self._edits.append(f"{', '.join(names[:_NAMED])}{more} changed")
            with suppress(BrokenPipeError):  # closed just now
                self._wake.send(b".")
