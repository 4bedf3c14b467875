"""A directory to work in, and the command as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import Run

import tricorn.exceptions
from helpers.codecs import python_path

SOURCE = Path(tricorn.exceptions.__file__).parents[1]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; modules and paths added meanwhile are forgotten after."""
    for name in [name for name in os.environ if name.startswith("TRICORN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    # The importer keeps directory listings; a stale one hides a file written a moment later.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def run(work: Path) -> Run:
    """Run ``python -m tricorn`` in the working directory."""

    def run(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if "TRICORN" not in name}
        env["PYTHONPATH"] = python_path(SOURCE)
        return subprocess.run(
            [sys.executable, "-m", "tricorn", *argv],
            cwd=work,
            env=env | environ,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run
