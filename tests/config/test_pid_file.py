"""The PID file: where it can be written, and what is left where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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
