"""The supervisor's look at keys that its workers cannot read any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tricorn.config import Config
from tricorn.supervisor_certificates import KeyWatch


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Any]:
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text(name)
    return {"certfile": str(tmp_path / "c.pem"), "keyfile": str(tmp_path / "k.pem")}


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_only_where_workers_give_up_root(
    pair: dict[str, Any], as_root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KeyWatch.create(Config(user=4711)) is None
    assert KeyWatch.create(Config(**pair)) is None
    assert KeyWatch.create(Config(**pair, user=0)) is None
    assert KeyWatch.create(Config(**pair, user=4711, certificate_watch=None)) is None
    watch = KeyWatch.create(Config(**pair, user=4711))
    assert watch is not None
    assert KeyWatch.create(Config(**pair, user=4711, workers=3), watch) is watch
    assert KeyWatch.create(Config(**pair, user=4711, certificate_watch=1), watch) is not watch
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert KeyWatch.create(Config(**pair, user=4711)) is None


def test_a_change_is_told_once_it_holds_still(
    pair: dict[str, Any], tmp_path: Path, as_root: None
) -> None:
    extra = tmp_path / "b.pem"
    extra.write_text("b")
    table = {"names": ["b.example"], "certfile": str(extra), "keyfile": str(extra)}
    watch = KeyWatch.create(Config(**pair, user=4711, certificates=[table]))
    assert watch is not None
    assert watch.changed(100.0) == ""
    extra.write_text("bb")
    assert watch.changed(109.9) == "", "a look every 10 s"
    assert watch.changed(110.0) == "", "it has just changed"
    Path(pair["keyfile"]).write_text("kk")
    assert watch.changed(110.5) == "", "it is still changing"
    assert watch.changed(111.0) == f"{pair['keyfile']}, {extra} changed"
    assert watch.changed(130.0) == ""
    Path(pair["keyfile"]).unlink()
    assert watch.changed(140.0) == ""
    assert watch.changed(140.5) == f"{pair['keyfile']} changed"
