"""Applications whose start never ends, and what is asked for meanwhile."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from workers_daemon import APP, eventually, workers

from helpers.daemon import daemon

# It is read in the supervisor.
_CONFIG = """
import tricorn.supervisor, tricorn.supervisor_workers

tricorn.supervisor._PATIENCE = 0.2
tricorn.supervisor_workers._MARGIN = 0.2
"""
# To the end of the test.
_HANGS = """
import os, sys, time

print("never ends", file=sys.stderr, flush=True)
while not os.path.exists("over"):
    time.sleep(0.05)
"""


@pytest.mark.parametrize("watched", [False, True])
def test_a_reload_that_hangs_makes_way_for_the_next(tmp_path: Path, watched: bool) -> None:
    (tmp_path / "settings.py").write_text(_CONFIG)
    with workers(tmp_path, "-c", "settings.py", *["--reload"] * watched) as site:
        for text, awaited in (
            (_HANGS, "never ends"),
            (APP.replace("VERSION = 1", "VERSION = 22"), "it has not started (worker "),
        ):
            (tmp_path / "site_app.py").write_text(text)
            if not watched:
                site.server.send(signal.SIGHUP)
            site.server.wait_for(awaited)
        site.wait_said(2)
        assert site.version() == "22"
        (tmp_path / "over").touch()


def test_the_first_start_makes_way_for_an_edit(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(_CONFIG)
    (tmp_path / "site_app.py").write_text(_HANGS)
    argv = ("-c", "settings.py", "site_app:app", "--bind", "127.0.0.1:0", "--reload")
    with daemon(tmp_path, *argv) as server:
        server.wait_for("never ends")
        (tmp_path / "site_app.py").write_text(APP)
        server.wait_for("1 worker (")
        (tmp_path / "over").touch()


def test_an_edit_while_the_start_fails_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text(
        "import os, time\n"
        "open('starts', 'x').close()\n"
        "while not os.path.exists('fails'):\n"
        "    time.sleep(0.01)\n"
        "1 / 0\n"
    )
    with daemon(tmp_path, "site_app:app", "--bind", "127.0.0.1:0", "--reload") as server:
        server.wait_for("watching")
        eventually((tmp_path / "starts").exists, "it does not start")
        (tmp_path / "site_app.py").write_text(APP)
        server.wait_for("a reload waits for what starts")
        (tmp_path / "fails").touch()
        server.wait_for("waiting for the next edit")
        server.wait_for("1 worker (")


def test_a_worker_that_does_not_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(_CONFIG)
    (tmp_path / "site_app.py").write_text(_HANGS)
    argv = ("-c", "settings.py", "site_app:app", "--bind", "127.0.0.1:0")
    with daemon(tmp_path, *argv, "--startup-timeout", "0.5") as server:
        server.wait_for(" s; kill -QUIT ")
        (tmp_path / "over").touch()
        assert server.end() == 4
    assert server.errors.count("has not started") == 1
