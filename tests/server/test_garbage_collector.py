"""What ``gc_threshold`` does to the process that loads the application."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tricorn.application import load
from tricorn.config import Config


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def loaded(folder: Path, name: str, source: str, **options: int) -> tuple[int, int, int]:
    (folder / f"{name}.py").write_text(f"import gc\n{source}\nasync def app(s, r, t): pass\n")
    load(Config(application=f"{name}:app", app_dir=str(folder), **options))
    return gc.get_threshold()


def test_it_is_set_and_the_older_generations_keep_theirs(tmp_path: Path) -> None:
    before = gc.get_threshold()
    assert loaded(tmp_path, "gc_plain", "") == (10_000, *before[1:])


def test_it_is_set_where_the_mounts_hold_all_that_is_served() -> None:
    before = gc.get_threshold()
    assert load(Config(mounts=[{"path": "/old", "redirect": "/"}], gc_threshold=5000))[0] is None
    assert gc.get_threshold() == (5000, *before[1:])


def test_the_application_has_the_last_word(tmp_path: Path) -> None:
    source = "assert gc.get_threshold()[0] == 5000; gc.set_threshold(123, 4, 5)"
    assert loaded(tmp_path, "gc_own", source, gc_threshold=5000) == (123, 4, 5)


def test_0_leaves_pythons_own(tmp_path: Path) -> None:
    before = gc.get_threshold()
    assert loaded(tmp_path, "gc_left", "", gc_threshold=0) == before
