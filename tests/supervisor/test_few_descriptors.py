"""A supervisor that has no descriptors left for one more process."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from workers_daemon import APP, workers

from helpers.daemon import COMMAND, daemon
from helpers.descriptors import leave_all_descriptors, leave_descriptors

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="only there limits can be set"),
]

# Its import waits until the other end of the pipe is closed.
GATED = f"""
with open("gate") as gate:
    gate.read()
{APP}"""
TOO_MANY = "[Errno 24] Too many open files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "gate")
    return tmp_path


# With 3 of them there is a channel, and no process for its other end.
@pytest.mark.parametrize("left", [1, 3])
def test_a_start_that_gave_up_is_never_ready(folder: Path, left: int) -> None:
    (folder / "site_app.py").write_text(GATED)
    argv = "site_app:app", "--bind", "127.0.0.1:0", "--workers", "3"
    command = ("env", f"NOTIFY_SOCKET={folder}/notify", *COMMAND)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/notify")
        with daemon(folder, *argv, command=command) as server:
            with (folder / "gate").open("w"):
                leave_descriptors(server.process.pid, left)
            assert server.end() == 1
        with pytest.raises(BlockingIOError):
            manager.recv(1024, socket.MSG_DONTWAIT)
    last = server.errors.splitlines()[-1]
    assert last == f"tricorn: error: cannot start a worker: {TOO_MANY}"
    assert "below supervisor" not in server.errors
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("left", [1, 3])
def test_a_successor_that_gave_up_succeeds_nobody(folder: Path, left: int) -> None:
    with workers(folder, "--workers", "2", "--pid-path", "pid") as site:
        (former, old) = site.said[0]
        (folder / "site_app.py").write_text(GATED)
        site.server.send(signal.SIGUSR2)
        with (folder / "gate").open("w"):
            site.server.wait_for(" starts beside this one")
            found = re.search(r"supervisor (\d+) starts beside this one", site.server.errors)
            assert found is not None
            leave_descriptors(int(found[1]), left)
        site.server.wait_for("ended with exit code 1 before it served; this one goes on")
        assert site.worker() in former
        assert (folder / "pid").read_text() == f"{old}\n"
        assert f"cannot start a worker: {TOO_MANY}" in site.server.errors


# One more is left once the channel of the dead worker is closed.
@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_worker_that_cannot_be_replaced_yet(tmp_path: Path, left: int) -> None:
    with workers(tmp_path) as site:
        ((first,), supervisor) = site.said[0]
        leave_descriptors(supervisor, left)
        os.kill(first, signal.SIGKILL)
        site.server.wait_for("a worker could not start, the next attempt is in ")
        leave_all_descriptors(supervisor)
        assert site.worker() != first
    assert f"cannot start a worker: {TOO_MANY}" in site.server.errors


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_successor_that_cannot_be_started(tmp_path: Path, left: int) -> None:
    with workers(tmp_path) as site:
        ((first,), supervisor) = site.said[0]
        leave_descriptors(supervisor, left)
        site.server.send(signal.SIGUSR2)
        site.server.wait_for(f"SIGUSR2: cannot start another supervisor: {TOO_MANY}")
        assert site.worker() == first
        leave_all_descriptors(supervisor)
        site.server.send(signal.SIGTERM)
        assert site.server.end() == 0
