"""The thread that watches files, as the supervisor sees it."""

from __future__ import annotations

import select
import shutil
import threading
import time
from pathlib import Path

import pytest

from helpers.serving import Records
from tricorn.config import Config
from tricorn.exceptions import TricornError
from tricorn.reloader import FileWatch
from tricorn.supervisor import Supervisor
from tricorn.supervisor_reloader import CodeWatch

PATIENCE = 10.0


def test_working_directory_that_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As deployments do it; names are told relative to where the server was started."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.py").write_text("x = 1\n")
    monkeypatch.chdir(project)
    code = CodeWatch(Config(reload_dirs=["."]))
    try:
        shutil.rmtree(project)
        assert edit_of(code) == "app.py changed"
        project.mkdir()
        (project / "app.py").write_text("x = 22\n")
        assert edit_of(code) == "app.py changed"
    finally:
        code.close()


def test_a_watch_that_fails_is_waited_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: Records
) -> None:
    """And the next reload makes another one."""
    records.expect("the files are not watched any more")
    config = Config(use_reloader=True, reload_dirs=[str(tmp_path)])
    supervisor = Supervisor(config)
    with monkeypatch.context() as failing:
        failing.setattr(FileWatch, "wait", lambda self: 1 / 0)
        supervisor._code = code = CodeWatch(config)
        select.select([code], [], [], PATIENCE)
    with supervisor._signals:
        supervisor._turn()
        before = time.monotonic()
        supervisor._turn()
    assert time.monotonic() - before > 0.3, "it does not wait"
    other = CodeWatch.create(config, code)
    assert other is not None
    try:
        assert other is not code
        (tmp_path / "app.py").write_text("x = 1\n")
        assert edit_of(other).endswith("app.py changed")
    finally:
        other.close()
        code.close()


def test_without_a_thread_nothing_is_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(TricornError, match="cannot watch files: can't start new thread"):
        CodeWatch(Config(reload_dirs=[str(tmp_path)]))


def edit_of(code: CodeWatch) -> str:
    ready, _, _ = select.select([code], [], [], PATIENCE)
    assert ready, "no edit is told"
    return code.take()
