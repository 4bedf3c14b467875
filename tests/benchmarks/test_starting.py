"""How servers are started and ended: ports, workers that stay, interrupts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

import pytest
from benchmarks.app import SMALL, TEN_K
from benchmarks.fleet import SERVERS
from benchmarks.servers import HOST, START_ATTEMPTS, PortTaken, ServerError

from benchmarks import processes, servers

CORE = str(min(os.sched_getaffinity(0)))

# A process that outlives its parent, and is heard of by the pipe that it holds open.
CRASHED_MASTER = """
import os, sys, time
if os.fork():
    os._exit(1)
os.write(1, b"worker")
time.sleep(600)
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda number, frame: os.write(1, b"asked"))
os.write(1, b"ready")
while True:
    time.sleep(600)
"""


Started = tuple[subprocess.Popen[bytes], int]
Start = Callable[[str], Started]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; its process, and the reading end of what it prints."""
    begun: list[Started] = []

    def program(text: str) -> Started:
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as output:
            main = processes.start([sys.executable, "-c", text], Path(), output, os.environ)
        begun.append((main, reader))
        return main, reader

    yield program
    for main, reader in begun:
        processes.stop(main)
        os.close(reader)


def test_workers_of_a_crashed_master_are_ended(start: Start) -> None:
    main, reader = start(CRASHED_MASTER)
    assert os.read(reader, 100) == b"worker"
    assert main.wait(20) == 1
    processes.stop(main)
    assert os.read(reader, 100) == b""  # nobody holds the other end any more


def test_an_interrupt_while_a_server_ends_leaves_none(start: Start) -> None:
    main, reader = start(STUBBORN)
    assert os.read(reader, 100) == b"ready"

    def interrupted(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def interrupt() -> None:
        assert os.read(reader, 100) == b"asked"
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupted)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            processes.stop(main)
    finally:
        thread.join(20)
        signal.signal(signal.SIGUSR1, before)
    assert main.poll() == -signal.SIGKILL


@pytest.mark.long
def test_a_port_that_somebody_took_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = partial(servers.running, cores=CORE, wire="http1", certificate=None)
    with socket.create_server((HOST, 0)) as other:
        taken, free = other.getsockname()[1], servers.free_port()
        monkeypatch.setattr(servers, "free_port", iter([taken, free]).__next__)
        with begin(SERVERS["tricorn-asyncio"]) as target:
            assert target.port == free
            assert target.took > 0
        monkeypatch.setattr(servers, "free_port", iter([taken] * START_ATTEMPTS).__next__)
        with pytest.raises(PortTaken, match="in use"), begin(SERVERS["tricorn-asyncio"]):
            pass


@pytest.mark.skipif(SERVERS["nginx"].missing() is not None, reason="needs nginx")
def test_nginx_has_the_small_answer_in_memory() -> None:
    with (
        servers.running(SERVERS["nginx"], CORE, "http1", None) as target,
        urllib.request.urlopen(target.url("/"), timeout=20) as small,
        urllib.request.urlopen(target.url("/10k"), timeout=20) as file,
    ):
        assert (small.read(), file.read()) == (SMALL, TEN_K)
        assert small.headers["content-type"] == file.headers["content-type"] == "text/plain"
        assert "last-modified" not in small.headers  # which nginx takes from a file
        assert "last-modified" in file.headers


def test_a_server_that_fails_for_another_reason_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = replace(
        SERVERS["tricorn-asyncio"], command=lambda listen: [sys.executable, "-c", "1/0"]
    )
    port = servers.free_port()
    monkeypatch.setattr(servers, "free_port", iter([port]).__next__)
    with (
        pytest.raises(ServerError, match="ZeroDivisionError") as raised,
        servers.running(broken, CORE, "http1", None),
    ):
        pass
    assert not isinstance(raised.value, PortTaken)
