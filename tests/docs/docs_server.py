"""Runs what a page shows, in a process of its own on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LISTENING = re.compile(r"(https?://127\.0\.0\.1:\d+) speaks")

# Shows the server's log lines of a program that leaves logging alone.
_WITH_LOGS = (
    "import logging, runpy; logging.basicConfig(level=logging.INFO);"
    "runpy.run_path('program.py', run_name='__main__')"
)


@dataclass
class Serving:
    """A running server: its addresses, in the order of its start-up lines."""

    urls: list[str]
    process: subprocess.Popen[str]


@contextmanager
def command(folder: Path, *arguments: str, urls: int = 1) -> Iterator[Serving]:
    """``tricorn`` with ``arguments``, run in ``folder``; it must end with exit code 0."""
    with _running([sys.executable, "-m", "tricorn", *arguments], folder, urls) as serving:
        yield serving
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(20) == 0


@contextmanager
def program(folder: Path, text: str) -> Iterator[Serving]:
    """A program that serves; its port 8000 becomes a free one."""
    assert ":8000" in text
    (folder / "program.py").write_text(text.replace(":8000", ":0"), encoding="utf-8")
    with _running([sys.executable, "-c", _WITH_LOGS], folder, 1) as serving:
        yield serving


@contextmanager
def _running(arguments: list[str], folder: Path, urls: int) -> Iterator[Serving]:
    environment = {key: value for key, value in os.environ.items() if "TRICORN" not in key}
    environment["XDG_DATA_HOME"] = str(folder)
    process = subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Serving(_read_urls(process, urls), process)
        finally:
            process.kill()


def _read_urls(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stderr is not None
    found: list[str] = []
    seen: list[str] = []
    while len(found) < count:
        line = process.stderr.readline()
        assert line, f"the server ended:\n{''.join(seen)}"
        seen.append(line)
        found += _LISTENING.findall(line)
    return found
