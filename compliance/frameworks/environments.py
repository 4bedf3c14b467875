"""A virtual environment for every framework, with this checkout of Tricorn in it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from compliance.frameworks.catalogue import Framework
from compliance.servers import ROOT

ATTEMPTS = 3
PAUSE = 5.0
INSTALL_TIMEOUT = 600.0
STAMP = "installed.sha256"

_VERSION = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"


class InstallError(Exception):
    """pip failed; the text holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that is ready."""

    python: Path
    version: str
    """Of the framework."""


def prepare(framework: Framework, directory: Path) -> Environment:
    """Make the environment `directory`/<name>, or take the one of an earlier run.

    It is made anew where the requirements, Tricorn's own or the Python have changed. pip resolves
    both together, so that a framework that cannot live beside Tricorn is told from one that can.
    Raises InstallError.
    """
    folder = directory / framework.name
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = _fingerprint(framework)
    if not (stamp.is_file() and stamp.read_text(encoding="ascii") == wanted):
        # Without pip: the one that runs this installs from outside, which saves seconds.
        venv.create(folder, clear=True, with_pip=False, symlinks=True)
        _install(python, framework.requirements)
        stamp.write_text(wanted, encoding="ascii")
    command = [str(python), "-c", _VERSION, framework.distribution]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise InstallError(f"{framework.distribution} is not installed: {found.stderr[-500:]}")
    return Environment(python, found.stdout.strip())


def _fingerprint(framework: Framework) -> str:
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in (ROOT / "pyproject.toml", framework.requirements):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _install(python: Path, requirements: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    command += ["--disable-pip-version-check", "-e", f"{ROOT}[all]", "-r", str(requirements)]
    output = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * attempt)
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=INSTALL_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            output = f"pip did not end within {INSTALL_TIMEOUT:.0f} s"
            continue
        if done.returncode == 0:
            return
        output = done.stdout[-2000:]
    raise InstallError(f"pip failed {ATTEMPTS} times:\n{output}")
