"""Where the counters are: in a process of its own, and in memory that processes share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from helpers.serving import Records
from tricorn import counters
from tricorn.counters import (
    CONNECTIONS,
    CONNECTIONS_OPEN,
    WORKER_STARTS,
    WORKERS,
    Counters,
)

WORKER = """
import os, signal, sys
from tricorn.counters import CONNECTIONS, CONNECTIONS_OPEN, Counters
counters = Counters.create(slot=int(sys.argv[1]), fd=int(sys.argv[2]))
counters.add(CONNECTIONS, 3)
counters.set(CONNECTIONS_OPEN, 2)
counters.limit("read_timeout")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def supervisor() -> Counters:
    made = Counters.create(slots=8)
    assert made.fd is not None
    return made


def total(of: Counters, place: int) -> int:
    return of.totals()[place]


def killed_worker(supervisor: Counters, slot: int) -> None:
    """Run a worker that counts and is killed."""
    assert supervisor.fd is not None
    command = [sys.executable, "-c", WORKER, str(slot), str(supervisor.fd)]
    ended = subprocess.run(command, pass_fds=[supervisor.fd], timeout=30, check=False)
    assert ended.returncode == -9


def test_one_process_counts_by_itself() -> None:
    alone = Counters.create()
    assert alone.fd is None
    alone.add(CONNECTIONS)
    alone.add(CONNECTIONS, 2)
    alone.limit("read_timeout")
    alone.limit("read_timeout")
    assert (total(alone, CONNECTIONS), alone.own(CONNECTIONS)) == (3, 3)
    assert alone.limit_count("read_timeout") == 2
    assert (total(alone, WORKERS), total(alone, WORKER_STARTS)) == (1, 1)


def test_an_unknown_limit_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        Counters.create().limit("no_such_option")


def test_counts_survive_their_worker(supervisor: Counters) -> None:
    slot = supervisor.lease()
    killed_worker(supervisor, slot)
    assert total(supervisor, CONNECTIONS) == 3
    assert (total(supervisor, CONNECTIONS_OPEN), total(supervisor, WORKERS)) == (2, 1)
    supervisor.ended(slot)
    assert total(supervisor, CONNECTIONS) == 3
    assert (total(supervisor, CONNECTIONS_OPEN), total(supervisor, WORKERS)) == (0, 0)
    # The next one in that slot goes on from there.
    assert supervisor.lease() == slot
    killed_worker(supervisor, slot)
    assert (total(supervisor, CONNECTIONS), total(supervisor, WORKER_STARTS)) == (6, 2)


def test_every_worker_answers_for_all(supervisor: Counters) -> None:
    workers = [Counters.create(slot=supervisor.lease(), fd=supervisor.fd) for _ in range(3)]
    for worker in workers:
        worker.add(CONNECTIONS)
    supervisor.limit("worker_heartbeat_timeout")
    assert [total(worker, CONNECTIONS) for worker in workers] == [3, 3, 3]
    assert [worker.own(CONNECTIONS) for worker in workers] == [1, 1, 1]
    line = b'tricorn_limit_total{limit="worker_heartbeat_timeout"} 1\n'
    assert all(line in worker.exposition() for worker in workers)


def test_a_gauge_begins_anew_with_its_worker(supervisor: Counters) -> None:
    slot = supervisor.lease()
    Counters.create(slot=slot, fd=supervisor.fd).set(CONNECTIONS_OPEN, 5)
    assert total(Counters.create(slot=slot, fd=supervisor.fd), CONNECTIONS_OPEN) == 0


def test_slots_are_lent_and_come_back(supervisor: Counters) -> None:
    assert [supervisor.lease() for _ in range(8)] == list(range(8))
    with pytest.raises(ValueError, match="more than 8 workers"):
        supervisor.lease()
    supervisor.ended(3)
    assert supervisor.lease() == 3


@pytest.mark.parametrize("slot", [-1, 8])
def test_a_slot_that_is_not_there(supervisor: Counters, slot: int) -> None:
    with pytest.raises(ValueError, match="slot"):
        Counters.create(slot=slot, fd=supervisor.fd)


def test_the_memory_of_another_version_is_left_alone(
    supervisor: Counters, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that is upgraded below a running supervisor has other series."""
    records.expect("another version")
    before = supervisor.totals()
    monkeypatch.setattr(counters, "_CHECKSUM", counters._CHECKSUM ^ 1)
    worker = Counters.create(slot=0, fd=supervisor.fd)
    worker.add(CONNECTIONS)
    assert worker.fd is None
    assert supervisor.totals() == before
    assert "the supervisor is of another version" in records.messages()[0]


def test_the_descriptor_is_not_left_to_other_processes(supervisor: Counters) -> None:
    assert supervisor.fd is not None
    assert not os.get_inheritable(supervisor.fd)
