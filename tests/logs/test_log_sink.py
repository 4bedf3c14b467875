"""The sink: bounded, never waiting, whole lines, reopening."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.programs import Program
from tricorn.log_sink import LINE_OVERHEAD, QUEUE_LIMIT, Sink

LINE = "x" * 200


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)
    os.close(reader)


def overfill(sink: Sink) -> int:
    """Write numbered lines beyond what queue and pipe hold; returns how many."""
    total = 3 * QUEUE_LIMIT // (len(LINE) + LINE_OVERHEAD)
    for number in range(total):
        sink.write(f"{number:06d} {LINE}")
    return total


def test_a_pipe_nobody_reads_costs_lines_and_never_time(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    told: list[str] = []
    reported = threading.Event()

    def report(sentence: str) -> None:
        told.append(sentence)
        reported.set()

    sink = Sink(fd=writer, report=report)
    started = time.thread_time()
    total = overfill(sink)
    assert time.thread_time() - started < 5
    assert sink.dropped > 0
    assert not sink.flush(0.05)
    assert not told

    received = bytearray()

    def read() -> None:
        while data := os.read(reader, 65536):
            received.extend(data)
            if data.endswith(b"end\n"):
                break

    thread = threading.Thread(target=read)
    thread.start()
    assert reported.wait(20)
    sink.write("end")
    assert sink.flush(20)
    thread.join(20)
    assert sink.stop(5)

    lines = received.decode().splitlines()[:-1]
    numbers = [int(line[:6]) for line in lines]
    assert all(line[7:] == LINE for line in lines)
    assert numbers == sorted(set(numbers))
    (sentence,) = told
    assert int(sentence.split()[0]) == total - len(lines)
    assert sink.dropped == 0


def test_stop_gives_up_on_a_stuck_pipe_in_time_and_ends_its_thread(pipe: tuple[int, int]) -> None:
    sink = Sink(fd=pipe[1])
    overfill(sink)
    thread = sink._thread
    assert thread is not None
    started = time.monotonic()
    assert not sink.stop(0.2)
    assert time.monotonic() - started < 5
    thread.join(5)
    assert not thread.is_alive()


def test_a_broken_pipe_only_drops() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = Sink(fd=writer)
    sink.write("nobody")
    assert sink.flush(5)
    assert sink.dropped == 1
    sink.close(5)
    os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="what stands for a full disk")
def test_a_full_disk_is_told_at_the_first_line_and_each_time_anew(tmp_path: Path) -> None:
    told: list[str] = []
    link = tmp_path / "log"
    link.symlink_to("/dev/full")
    sink = Sink(path=str(link), report=told.append)
    for _ in range(2):
        for _ in range(2):
            sink.write("lost")
            assert sink.flush(5)
        (said,) = told
        assert said == f"the log {link} takes no lines, they are dropped: No space left on device"
        assert sink.dropped == 2
        link.unlink()
        sink.write("kept")
        assert sink.flush(5)
        assert link.read_text() == "kept\n"
        assert told[1:] == [f"2 lines of the log {link} were dropped: it did not take them"]
        told.clear()
        link.unlink()
        link.symlink_to("/dev/full")
    sink.close(1)


def test_memory_is_bounded_by_characters_not_lines(pipe: tuple[int, int]) -> None:
    sink = Sink(fd=pipe[1])
    sink.write("y" * (QUEUE_LIMIT + 1))
    assert sink.dropped == 1
    sink.stop(5)


def test_writes_hold_whole_lines_and_are_small_enough_to_be_atomic() -> None:
    # A datagram socket keeps the bounds of each write.
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with reader, writer:
        sink = Sink(fd=writer.fileno())
        lines = [f"{number:03d}" + "z" * 997 for number in range(100)]
        for line in lines:
            sink.write(line)
        received: list[bytes] = []
        while sum(piece.count(b"\n") for piece in received) < len(lines):
            received.append(reader.recv(200_000))
        assert sink.stop(5)
    assert max(map(len, received)) <= select.PIPE_BUF
    assert all(piece.endswith(b"\n") for piece in received)
    assert b"".join(received).decode().splitlines() == lines


def test_reopen_splits_the_log_at_the_call(tmp_path: Path) -> None:
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    sink = Sink(path=str(path))
    sink.write("before")
    assert sink.flush(5)
    path.rename(old)
    sink.reopen()
    assert sink.flush(5)
    assert path.exists()
    sink.write("after")
    assert sink.flush(5)
    assert (old.read_text(), path.read_text()) == ("before\n", "after\n")
    sink.close(5)


def test_a_file_rotated_without_a_signal_is_followed(tmp_path: Path) -> None:
    path, old = tmp_path / "a.log", tmp_path / "a.log.1"
    sink = Sink(path=str(path))
    sink.write("one")
    assert sink.flush(5)
    path.rename(old)
    sink.write("two")
    assert sink.flush(5)
    assert (old.read_text(), path.read_text()) == ("one\n", "two\n")
    sink.close(5)


def test_a_file_that_cannot_be_reopened_is_said_once_and_the_old_one_kept(tmp_path: Path) -> None:
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    told: list[str] = []
    sink = Sink(path=str(folder / "a.log"), report=told.append)
    folder.rename(moved)
    for word in ("one", "two"):
        sink.write(word)
        assert sink.flush(5)
    assert (moved / "a.log").read_text() == "one\ntwo\n"
    assert len(told) == 1
    assert "No such file" in told[0]
    sink.close(5)


def test_writing_after_stop_starts_again_and_after_close_does_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    sink = Sink(path=str(path))
    for word in ("one", "two"):
        sink.write(word)
        assert sink.stop(5)
    sink.close(5)
    sink.write("three")
    assert path.read_text() == "one\ntwo\n"


def test_a_line_that_comes_as_the_thread_ends_is_written(tmp_path: Path) -> None:
    class Late(Sink):
        late = "late"

        def _next_batch(self) -> tuple[deque[str], bool] | None:
            taken = super()._next_batch()
            if taken is None and self.late:
                self.write(self.late)
                self.late = ""
            return taken

    path = tmp_path / "a.log"
    sink = Late(path=str(path))
    sink.write("one")
    assert sink.stop(5)
    assert sink.flush(5)
    assert path.read_text() == "one\nlate\n"
    sink.close(5)


def test_a_fifo_without_a_reader_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        Sink(path=str(tmp_path / "fifo"))


def test_a_forked_child_writes_its_own_lines_and_not_the_parents(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    program = (
        "import os, sys\n"
        "from tricorn.log_sink import Sink\n"
        "sink = Sink(path=sys.argv[1])\n"
        "sink.write('parent')\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    sink.write('child')\n"
        "    os._exit(0 if sink.flush(5) else 1)\n"
        "code = os.waitpid(pid, 0)[1]\n"
        "sink.close(5)\n"
        "sys.exit(code)\n"
    )
    # Newer interpreters warn of any fork beside a thread, which is the very thing tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, str(path)]
    assert subprocess.run(command, timeout=20, check=False).returncode == 0
    assert sorted(path.read_text().split()) == ["child", "parent"]


def test_a_process_with_a_stuck_standard_error_still_ends() -> None:
    program = (
        "import logging\n"
        "from tricorn import logs\n"
        "from tricorn.config import Config\n"
        "logs.setup(Config())\n"
        "for number in range(20000):\n"
        "    logging.getLogger('tricorn.error').info('%d %s', number, 'x' * 100)\n"
    )
    command = [sys.executable, "-c", program]
    with Program(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.readline().rstrip().endswith("INFO  0 " + "x" * 100)


def test_the_last_lines_are_written_at_exit_even_after_the_application_configured_logging(
    tmp_path: Path,
) -> None:
    path = tmp_path / "error.log"
    program = (
        "import logging.config, sys\n"
        "from tricorn import logs\n"
        "from tricorn.config import Config\n"
        "logs.setup(Config(errorlog=sys.argv[1]))\n"
        "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': False})\n"
        "logging.getLogger('tricorn.error').info('last')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], timeout=20, check=True)
    assert path.read_text().endswith("INFO  last\n")
