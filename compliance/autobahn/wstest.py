"""Find the ``wstest`` program, or make one.

Autobahn|Testsuite runs on CPython 2.7 alone, so it lives in a virtualenv of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
VIRTUALENV = "virtualenv>=20.21,<20.22"
"""The last virtualenv that can make an environment for CPython 2.7."""

ACCELERATOR = "wsaccel==0.6.6"
"""Masking and UTF-8 checks in C; the suite uses it where it is there. It changes no outcome."""

INSTALL_TIMEOUT = 900.0


class WstestMissing(Exception):
    """There is no CPython 2.7, or no wstest."""


def default_directory() -> Path:
    """Where ``--install`` puts the virtualenv when it is not told."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "tricorn" / "autobahn"


def find_wstest(given: str | None = None) -> Path:
    """The program: `given`, else $WSTEST, else PATH, else the one ``--install`` made.

    Raises WstestMissing, with what was looked for.
    """
    for name in (given, os.environ.get("WSTEST")):
        if name:
            found = shutil.which(name)
            if found is None:
                raise WstestMissing(f"no program at {name}")
            return Path(found)
    found = shutil.which("wstest") or shutil.which(str(default_directory() / "bin" / "wstest"))
    if found is None:
        raise WstestMissing(
            "no wstest: neither --wstest, $WSTEST, PATH nor "
            f"{default_directory()} has one; make one with --install"
        )
    return Path(found)


def find_python27() -> Path:
    """A CPython 2.7 that runs, from PATH or pyenv's versions. Raises WstestMissing."""
    for candidate in _candidates():
        if _is_python27(candidate):
            return candidate
    raise WstestMissing("no CPython 2.7 on PATH nor under pyenv's versions")


def _candidates() -> Iterator[Path]:
    for name in ("python2.7", "python2"):
        if found := shutil.which(name):
            yield Path(found)
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in sorted((root / "versions").glob("2.7*"), reverse=True):
        yield version / "bin" / "python2.7"


def _is_python27(program: Path) -> bool:
    # A pyenv shim is on PATH even where it would only say "command not found".
    code = "import platform, sys; print(platform.python_implementation(), sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(program), "-c", code], capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == b"('CPython', (2, 7))"


def install(directory: Path) -> Path:
    """Make the virtualenv in `directory` and return its wstest.

    Raises WstestMissing without a CPython 2.7, subprocess.CalledProcessError where a package
    will not install.
    """
    python = find_python27()
    print(f"autobahn: {python} -> {directory}", flush=True)
    with tempfile.TemporaryDirectory(prefix="virtualenv-") as name:
        maker = Path(name) / "bin" / "python"
        venv.create(name, with_pip=True)
        _run(maker, "-m", "pip", "install", "--quiet", VIRTUALENV)
        _run(maker, "-m", "virtualenv", "--quiet", "--python", str(python), str(directory))
    own = directory / "bin" / "python"
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(own, *pip, "--requirement", str(REQUIREMENTS))
    try:
        _run(own, *pip, ACCELERATOR)
    except subprocess.CalledProcessError:
        # It needs a C compiler. Without it the suite masks in Python and takes longer.
        print(f"autobahn: {ACCELERATOR} did not build, going on without it", file=sys.stderr)
    return directory / "bin" / "wstest"


def _run(program: Path, *arguments: str) -> None:
    # Variables of the environment we run in would point CPython 2.7 at modules of CPython 3.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "PYTHONHOME")
    }
    environment["PYTHONWARNINGS"] = "ignore"
    subprocess.run([str(program), *arguments], check=True, timeout=INSTALL_TIMEOUT, env=environment)
