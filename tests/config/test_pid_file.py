"""The PID file: where it can be written, and what is left where it cannot."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import tricorn.exceptions
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.pid_file import PidFile

SOURCE = Path(tricorn.exceptions.__file__).parents[1]

# Root may write everywhere. What is imported later may be where only root reads.
_CHECK = """
import encodings.ascii
import os, sys
from tricorn.config import Config
from tricorn.config_check import check
from tricorn.exceptions import ConfigError
from tricorn.pid_file import PidFile

if os.geteuid() == 0:
    os.setresgid(54322, 54322, 54322)
    os.setresuid(54321, 54321, 54321)
config = Config(pid_path=sys.argv[1], worker_class="asyncio")
for step in lambda: check(config), PidFile(sys.argv[1]).write:
    try:
        step()
        print("right")
    except ConfigError as exc:
        print(exc)
"""


@pytest.mark.parametrize("directory", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("file", [None, False, True], ids=["none", "read-only", "writable"])
def test_its_directory_is_what_counts(directory: bool, file: bool | None) -> None:
    """It is written beside and renamed; the check says what the start will."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own is for its user alone
        path = Path(name, "pid")
        if file is not None:
            path.write_text("1\n")
            path.chmod(0o666 if file else 0o444)
        os.chmod(name, 0o777 if directory else 0o555)
        result = subprocess.run(
            [sys.executable, "-c", _CHECK, str(path)],
            env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        os.chmod(name, 0o777)
    checked, written = result.stdout.splitlines()
    if directory:
        assert checked == written == "right"
    else:
        assert checked == f"pid_path: cannot write '{path}'"
        assert written == f"pid_path: cannot write '{path}': Permission denied"


def test_one_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    with pytest.raises(ConfigError, match="pid_path: cannot write"):
        PidFile(str(path)).write()
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(ConfigError, match="pid_path: cannot write"):
        Config(pid_path=str(path)).check()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize("make", [_fifo, _socket, _device])
def test_what_is_no_file_stays(make: Callable[[Path], None], tmp_path: Path) -> None:
    """A root who names /dev/null keeps it."""
    path = tmp_path / "pid"
    make(path)
    before = path.lstat()
    for step in PidFile(str(path)).write, Config(pid_path=str(path), worker_class="asyncio").check:
        with pytest.raises(ConfigError) as refused:
            step()
        assert str(refused.value) == f"pid_path: '{path}' exists and is no file"
    assert path.lstat() == before
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "pid", tmp_path / "target"
    target.write_text("1\n")
    path.symlink_to(target)
    PidFile(str(path)).write()
    assert not path.is_symlink()
    assert path.read_text() == f"{os.getpid()}\n"
    assert target.read_text() == "1\n"


@pytest.mark.parametrize("held", ["", "none", "-1", "0", "9" * 30, "1 2", "\u0661", "self", "dead"])
def test_only_a_running_process_is_put_back(held: str, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    if held == "dead":
        with subprocess.Popen(["true"]) as ended:
            held = str(ended.pid)
    path.write_text(held.replace("self", str(os.getpid())), encoding="utf-8")
    file = PidFile(str(path))
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()
    assert not path.exists()


def test_a_server_that_serves_has_the_file_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    for serves in (False, True):
        path.write_text(f"{os.getppid()}\n")
        file = PidFile(str(path))
        file.write()
        if serves:
            file.keep()
        file.remove()
        assert path.exists() is not serves
    assert [*tmp_path.iterdir()] == []
