"""The table of attacks and limits says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tricorn.config import OPTIONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "limits.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Attack")
]


def test_there_are_rows() -> None:
    assert len(ROWS) > 50


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_names_what_there_is(row: list[str]) -> None:
    attack, bound, option, default, source, test = row
    assert all((attack, bound, source))
    if option == "-":
        assert default == "-"
    else:
        value = OPTIONS[option.strip("`")].default
        said = "not set" if value is None else f"`{json.dumps(value)}`"
        assert default == said
    found = re.fullmatch(r"`([a-z0-9_/]+\.py)::(\w+)`", test)
    assert found is not None
    path, name = found.groups()
    text = (ROOT / "tests" / path).read_text(encoding="utf-8")
    assert re.search(rf"def {name}\(", text), test


@pytest.mark.parametrize("section", ["Timeouts", "Limits"])
def test_every_limit_has_a_row_or_is_explained(section: str) -> None:
    pages = PAGE.read_text(encoding="utf-8")
    pages += (ROOT / "docs" / "explanation" / "limits.md").read_text(encoding="utf-8")
    missing = [
        row.name
        for row in OPTIONS.values()
        if row.section == section and f"`{row.name}`" not in pages
    ]
    assert set(missing) <= {"drain_delay", "drain_idle_timeout", "retry_after"}
