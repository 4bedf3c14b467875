"""The unit files of the documentation are such that systemd takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import DOCS

PAGE = DOCS / "how-to" / "systemd.md"
_FILE = re.compile(r"`/etc/systemd/system/([^`]+)`[^`]*?```ini\n(.*?)```", re.S)


def units(folder: Path) -> list[str]:
    """Write the units and their drop-ins; the names of the units."""
    names = []
    for name, text in _FILE.findall(PAGE.read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        # It looks for the program, the directory and the user, which are the reader's.
        text = text.replace("/srv/shop/.venv/bin/tricorn", sys.executable)
        path.write_text(text.replace("User=shop", "User=root"), encoding="utf-8")
        if path.parent == folder:
            names.append(name)
    return names


def test_there_are_units(tmp_path: Path) -> None:
    assert units(tmp_path) == ["shop.service", "shop.socket", "shop-http.socket"]
    drop_ins = {path.name for path in (tmp_path / "shop.service.d").iterdir()}
    assert drop_ins == {"sockets.conf", "hardening.conf"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    names = units(tmp_path)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    # What the machine's own units are blamed for is not ours.
    ours = [line for line in result.stderr.splitlines() if "shop" in line or str(tmp_path) in line]
    assert ours == []
