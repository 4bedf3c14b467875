"""When a worker that was told to end is killed: by its messages and the clock alone."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tricorn.config import Config
from tricorn.control_channel import Channel
from tricorn.counters import Counters
from tricorn.first_worker import FirstWorker
from tricorn.supervisor_environment import DUMP_SIGNAL
from tricorn.supervisor_fleet import Fleet
from tricorn.supervisor_slots import Slot
from tricorn.supervisor_workers import WorkerProcess

CONFIG = Config(drain_delay=100.0, graceful_timeout=1.0, shutdown_timeout=1.0)


class Worker:
    """A process that does nothing, as its supervisor has it, and its end of the channel."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("sleep")
        assert program is not None
        ours, self.channel = Channel.pair()
        # As one whose interpreter does not even write its stacks.
        former = signal.signal(DUMP_SIGNAL, signal.SIG_IGN)
        pid = os.posix_spawn(program, ["sleep", "600"], {})
        signal.signal(DUMP_SIGNAL, former)
        self.process = WorkerProcess(
            0,
            CONFIG,
            [],
            Counters.create(slots=2),
            announce=False,
            directory=str(folder),
            first=FirstWorker(pid, ours),
        )
        self.fleet = Fleet(CONFIG)
        self.fleet.slots = [Slot(0, current=self.process)]
        self.fleet.serving = True

    def say(self, kind: str, **fields: object) -> None:
        """Have the supervisor hear a message of it."""
        self.channel.send(kind, **fields)
        self.fleet.hear(self.process)

    def is_killed_after(self, seconds: float) -> bool:
        """Whether it is, at the time that is so many seconds from now."""
        self.process.tick(time.monotonic() + seconds)
        return self.process.verdict is not None


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Worker]:
    """One that is not ready yet."""
    made = Worker(tmp_path)
    yield made
    made.process.kill()
    while not made.process.ended():
        time.sleep(0.001)
    made.process.channel.close()
    made.channel.close()


@pytest.fixture
def worker(starting: Worker) -> Worker:
    """One that is."""
    starting.say("ready", urls=[])
    return starting


def test_one_that_is_told_to_end_by_somebody_else_has_its_drain_delay(worker: Worker) -> None:
    """It cannot know better, and drains as the whole daemon does."""
    worker.say("draining")
    assert worker.process in worker.fleet.leaving
    assert not worker.is_killed_after(100.0)
    assert worker.is_killed_after(130.0)


def test_one_that_is_replaced_has_none(worker: Worker) -> None:
    worker.fleet.retire(worker.process)
    assert not worker.is_killed_after(1.0)
    assert worker.is_killed_after(30.0)


def test_a_stop_begins_the_time_of_one_that_leaves_anew(worker: Worker) -> None:
    """It may be so late that it takes the second word for the first."""
    worker.fleet.retire(worker.process)
    worker.process.drain(delay=100.0, stopping=True)
    assert not worker.is_killed_after(100.0)
    assert worker.is_killed_after(130.0)


def test_the_later_word_takes_no_time_away(worker: Worker) -> None:
    worker.process.drain(delay=100.0, stopping=True)
    worker.process.drain()
    assert not worker.is_killed_after(100.0)
    assert worker.is_killed_after(130.0)


def test_one_that_starts_is_killed_soon(starting: Worker) -> None:
    """It has nothing to end, and no heartbeat yet."""
    starting.process.heard -= 1000.0
    starting.process.drain(delay=100.0, stopping=True)
    assert not starting.process.is_hung(time.monotonic())
    assert not starting.is_killed_after(4.0)
    assert starting.is_killed_after(6.0)


def test_one_that_was_quicker_than_the_word_drains_as_one_that_serves(starting: Worker) -> None:
    starting.process.drain(delay=100.0, stopping=True)
    starting.say("ready", urls=[])
    assert not starting.is_killed_after(100.0)
    assert starting.is_killed_after(130.0)


def test_one_that_has_started_has_the_time_to_shut_down(starting: Worker) -> None:
    starting.fleet.retire(starting.process)
    starting.say("shutdown")
    assert not starting.is_killed_after(5.5)
    assert starting.is_killed_after(30.0)


@pytest.mark.parametrize(("kind", "fields"), [("shutdown", {}), ("ready", {"urls": []})])
def test_one_whose_words_come_together_has_the_time(
    starting: Worker, kind: str, fields: dict[str, object]
) -> None:
    """It was told to end by somebody else, and had started meanwhile."""
    starting.channel.send("draining")
    starting.say(kind, **fields)
    assert starting.process in starting.fleet.leaving
    assert not starting.is_killed_after(100.0)
    assert starting.is_killed_after(130.0)


def test_a_replacement_that_ends_already_has_the_time_to_shut_down(starting: Worker) -> None:
    """Nobody told it to drain when it said so; a stop does afterwards."""
    slot = starting.fleet.slots[0]
    slot.current, slot.incoming = None, starting.process
    starting.say("draining")
    starting.say("shutdown")
    starting.process.drain(stopping=True)
    assert not starting.is_killed_after(5.5)
    assert starting.is_killed_after(30.0)


def test_one_that_is_cut_has_none_when_it_has_started(starting: Worker) -> None:
    starting.process.drain(delay=100.0, stopping=True)
    starting.process.cut()
    starting.say("ready", urls=[])
    assert starting.is_killed_after(6.0)


def test_one_that_is_about_to_be_killed_gets_no_time(worker: Worker) -> None:
    worker.process.dump_and_kill("it hangs")
    worker.process.drain(delay=100.0, stopping=True)
    worker.process.tick(time.monotonic() + 5.0)
    deadline = time.monotonic() + 15.0
    while not worker.process.ended():
        assert time.monotonic() < deadline, "it lives on"
        time.sleep(0.001)
