"""The supervisor as the first process of a container."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from workers_daemon import eventually, workers

from helpers.daemon import COMMAND, daemon

_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child")

_APP = """
import os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/jobs":
        for _ in range(3):
            os.system("true & sleep 0 &")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"1 1"})
"""


def _has_containers() -> bool:
    try:
        return (
            subprocess.run([*_CONTAINER, "true"], capture_output=True, timeout=10).returncode == 0
        )
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not _has_containers(), reason="no process namespaces here")


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_reaps_what_workers_have_left(tmp_path: Path) -> None:
    (tmp_path / "site_app.py").write_text(_APP)
    with workers(tmp_path, "--lifespan", "off", command=(*_CONTAINER, *COMMAND)) as site:
        (supervisor,) = _children(site.server.process.pid)
        (worker,) = _children(supervisor)
        site.get("/jobs")
        eventually(lambda: _children(supervisor) == [worker], "children that have ended are left")


def test_it_does_not_hand_over(tmp_path: Path) -> None:
    """The system ends all processes of the container where that one ends."""
    (tmp_path / "site_app.py").write_text(_APP)
    with workers(tmp_path, "--lifespan", "off", command=(*_CONTAINER, *COMMAND)) as site:
        (supervisor,) = _children(site.server.process.pid)
        os.kill(supervisor, signal.SIGUSR2)
        site.server.wait_for("SIGUSR2: a container ends with its process 1")
        assert len(_children(supervisor)) == 1
        assert site.get() == "1 1"


@pytest.mark.parametrize("container", [(), _CONTAINER])
def test_sigterm_ends_the_import_of_a_single_process(
    tmp_path: Path, container: tuple[str, ...]
) -> None:
    (tmp_path / "site_app.py").write_text(
        # In pieces: a signal that comes just before Python sleeps does not end the sleep.
        "import time\nprint('imports', file=__import__('sys').stderr)\n"
        "for _ in range(600): time.sleep(0.1)\n"
    )
    argv = ("site_app:app", "--bind", "127.0.0.1:0", "--workers", "0")
    with daemon(tmp_path, *argv, command=(*container, *COMMAND)) as server:
        server.wait_for("imports")
        pid = server.process.pid
        os.kill(_children(pid)[0] if container else pid, signal.SIGTERM)
        assert server.end() == 0
