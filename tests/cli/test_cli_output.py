"""Where what the command prints goes: a reader that leaves, a full disk, another encoding."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cli_process import Run

import tricorn.exceptions
from helpers.codecs import python_path

SOURCE = Path(tricorn.exceptions.__file__).parents[1]
PRINTS = {
    "check": ["--check-config", "shop:app"],
    "print": ["--print-config", "shop:app"],
    "version": ["--version"],
    "migrate": ["migrate", "-o", "-", "uvicorn shop:app"],
}


@pytest.fixture
def shop(work: Path) -> Path:
    (work / "shop.py").write_text("async def app(scope, receive, send): ...\n")
    return work


def printed(argv: list[str], folder: Path, to: int) -> tuple[int, str]:
    """The exit code, and what standard error has got."""
    env = {name: value for name, value in os.environ.items() if "TRICORN" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "tricorn", *argv],
        cwd=folder,
        env=env | {"PYTHONPATH": python_path(SOURCE)},
        stdout=to,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("argv", PRINTS.values(), ids=PRINTS)
def test_a_reader_that_has_seen_enough(argv: list[str], shop: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert printed(argv, shop, writer) == (0, "")
    finally:
        os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has none")
@pytest.mark.parametrize("argv", PRINTS.values(), ids=PRINTS)
def test_a_full_disk_is_one_line(argv: list[str], shop: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        code, errors = printed(argv, shop, full)
    finally:
        os.close(full)
    line = "tricorn: error: cannot write to standard output: No space left on device\n"
    assert (code, errors) == (1, line)


def test_toml_is_utf_8_whatever_the_locale(run: Run, shop: Path) -> None:
    done = run("migrate", "-o", "-", "--", "uvicorn", "shop:app", "--root-path", "/ü")
    plain = run(
        "migrate", "-o", "-", "--", "uvicorn", "shop:app", "--root-path", "/ü",
        PYTHONIOENCODING="ascii", PYTHONUTF8="0",
    )  # fmt: skip
    assert tomllib.loads(done.stdout)["root_path"] == "/ü"
    assert (plain.returncode, plain.stdout) == (0, done.stdout)
    printed = run("--print-config", "--root-path", "/ü", PYTHONIOENCODING="ascii")
    assert tomllib.loads(printed.stdout)["root_path"] == "/ü"
