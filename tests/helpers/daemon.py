"""The server as a process of its own, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tricorn.exceptions
from helpers.codecs import python_path

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
COMMAND = (sys.executable, "-m", "tricorn")
_URL = re.compile(r"http://127\.0\.0\.1:(\d+) speaks")


class Daemon:
    """``python -m tricorn``; ``errors`` collects its standard error."""

    def __init__(self, folder: Path, *argv: str, command: Sequence[str] = COMMAND) -> None:
        env = {name: value for name, value in os.environ.items() if "TRICORN" not in name}
        # Warnings in the server's own process are errors as they are here.
        env |= {"PYTHONPATH": python_path(SOURCE), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [*command, *argv],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.errors += line
                self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        """Wait until ``text`` is in its standard error."""
        with self._changed:
            found = self._changed.wait_for(lambda: text in self.errors, 20)
        assert found, self.errors

    def wait_until(self, happened: Callable[[str], object]) -> None:
        """Wait until ``happened`` is true of its standard error."""
        with self._changed:
            found = self._changed.wait_for(lambda: happened(self.errors), 20)
        assert found, self.errors

    @property
    def address(self) -> tuple[str, int]:
        """Where it serves, once it says so."""
        self.wait_for(" speaks ")
        match = _URL.search(self.errors)
        assert match is not None, self.errors
        return "127.0.0.1", int(match[1])

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def send_again(self, number: signal.Signals, text: str) -> None:
        """Send a signal that has come before until ``text`` is in its standard error: what comes
        within moments of the former one is taken for that."""
        with self._changed:
            for _ in range(200):
                if self._changed.wait_for(lambda: text in self.errors, 0.1):
                    return
                self.send(number)
        raise AssertionError(self.errors)

    def end(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(20)
        self._reader.join(20)
        return code


@contextmanager
def daemon(folder: Path, *argv: str, command: Sequence[str] = COMMAND) -> Iterator[Daemon]:
    """A server process that does not outlive its test; its workers end with it."""
    running = Daemon(folder, *argv, command=command)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.end()
        assert running.process.stderr is not None
        running.process.stderr.close()
