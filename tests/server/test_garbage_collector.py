"""What ``gc_threshold`` does to the process that loads the application."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tricorn
from helpers.apps import hello
from tricorn.application import load
from tricorn.config import Config
from tricorn.exceptions import LifespanError
from tricorn.types import Receive, Scope, Send


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    # Python's own: what another test has loaded in this process may have set another.
    gc.set_threshold(2000 if sys.version_info >= (3, 13) else 700, *before[1:])
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


_FAILS = """
import gc

async def app(scope, receive, send):
    {}
    await send({{"type": "lifespan.startup.failed", "message": str(gc.get_threshold()[0])}})
"""


@pytest.mark.parametrize("named", [False, True], ids=["object", "name"])
@pytest.mark.parametrize(("own", "then"), [("", None), ("gc.set_threshold(123)", 123)])
def test_a_program_has_its_threshold_back(
    tmp_path: Path, named: bool, own: str, then: int | None
) -> None:
    """Unless its application has set another."""
    before = gc.get_threshold()
    name = f"gc_back_{named}_{then}"
    source = _FAILS.format(own)
    (tmp_path / f"{name}.py").write_text(source)
    space: dict[str, Any] = {}
    exec(source, space)
    config = Config(bind="127.0.0.1:0", workers=0, app_dir=str(tmp_path), gc_threshold=5000)
    with pytest.raises(LifespanError, match=f"{then or 5000}"):
        tricorn.run(f"{name}:app" if named else space["app"], config)
    assert gc.get_threshold() == (then or before[0], *before[1:])


@pytest.mark.parametrize("worker_class", ["asyncio", "trio"])
@pytest.mark.parametrize(("own", "then"), [(None, 5000), (123, 123)])
def test_an_application_object_is_served_with_it(
    worker_class: str, own: int | None, then: int
) -> None:
    """Unless the program has set its own, before it called ``run``."""
    before = gc.get_threshold()
    seen: list[tuple[int, ...]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(gc.get_threshold())
        await send({"type": "lifespan.startup.failed", "message": "seen"})

    if own is not None:
        gc.set_threshold(own)
    config = Config(bind="127.0.0.1:0", worker_class=worker_class, gc_threshold=5000)
    with pytest.raises(LifespanError):
        tricorn.run(app, config)
    assert seen == [(then, *before[1:])]


def test_a_program_that_serves_beside_its_own_work_keeps_its_threshold() -> None:
    before = gc.get_threshold()
    with tricorn.serve_in_thread(hello, Config(bind="127.0.0.1:0", lifespan="off")):
        assert gc.get_threshold() == before
