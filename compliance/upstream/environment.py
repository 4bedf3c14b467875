"""Gets the source distributions and makes the environment that their tests run in."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from compliance.servers import ROOT
from compliance.upstream.projects import Project

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
# Attempts at what fails now and then for the network's sake, and seconds behind the first.
_ATTEMPTS = 3
_PAUSE = 5.0


class SetupFailed(Exception):
    """Something could not be had; the text says what."""


def default_directory() -> Path:
    """Where archives and environments are kept from run to run."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "tricorn" / "upstream"


def source(project: Project, directory: Path) -> Path:
    """The unpacked source distribution; fetched by pip, and refused if it is not the pinned one."""
    unpacked = directory / "src" / project.folder
    if unpacked.is_dir():
        return unpacked
    archive = directory / "sdist" / f"{project.folder}.tar.gz"
    if not archive.is_file():
        _download(project, archive.parent)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != project.sha256:
        raise SetupFailed(f"{archive.name} has the SHA-256 {found}, not {project.sha256}")
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when it is complete, so that an interrupted run leaves nothing half done.
    with tempfile.TemporaryDirectory(dir=unpacked.parent) as fresh:
        with tarfile.open(archive) as tar:
            tar.extractall(fresh, filter="data")
        (Path(fresh) / project.folder).rename(unpacked)
    return unpacked


def _download(project: Project, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pinned:
        pinned.write(f"{project.requirement} --hash=sha256:{project.sha256}\n")
        pinned.flush()
        options = ["--no-deps", "--no-binary", project.distribution, "--require-hashes"]
        _pip(sys.executable, "download", *options, "--dest", str(directory), "-r", pinned.name)


def python(directory: Path) -> Path:
    """The interpreter of the environment; made, or brought up to date, where it has to be."""
    venv = directory / "venv"
    executable = venv / "bin" / "python"
    stamp = venv / "requirements.sha256"
    wanted = hashlib.sha256(
        REQUIREMENTS.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    ).hexdigest()
    if stamp.is_file() and stamp.read_text("ascii") == wanted:
        return executable
    if not executable.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    _pip(str(executable), "install", "-r", str(REQUIREMENTS), "-e", f"{ROOT}[all]")
    stamp.write_text(wanted, "ascii")
    return executable


def _pip(executable: str, *arguments: str) -> None:
    command = [executable, "-m", "pip", *arguments]
    command += ["--quiet", "--disable-pip-version-check"]
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE * attempt)
        if subprocess.run(command, check=False).returncode == 0:
            return
        print(f"attempt {attempt + 1} failed: pip {arguments[0]}", flush=True)
    raise SetupFailed(f"pip {arguments[0]} failed")
