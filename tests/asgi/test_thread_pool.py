"""The pool of threads, and the way from them into the event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable

import anyio
import pytest
import trio

from helpers.serving import BACKENDS, LOOPS, PATIENCE, eventually
from tricorn.asgi.threads import LoopCalls, ThreadPool


def nothing() -> None:
    pass


def pool_threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name + "-")]


def test_pool_starts_threads_when_they_are_needed_and_no_more_than_its_size() -> None:
    pool = ThreadPool(3, "test-size")
    gate, started = threading.Event(), threading.Semaphore(0)

    def job() -> Callable[[], None]:
        started.release()
        gate.wait(PATIENCE)
        return nothing

    for count in (1, 2, 3):
        pool.submit(job)
        assert started.acquire(timeout=PATIENCE)  # each runs although the others do not end
        assert len(pool_threads("test-size")) == count
    pool.submit(job)
    assert len(pool_threads("test-size")) == 3
    assert pool.running == 4
    assert not started.acquire(timeout=0.02)
    gate.set()
    assert started.acquire(timeout=PATIENCE)
    eventually(lambda: pool.running == 0)
    pool.stop()
    eventually(lambda: not pool_threads("test-size"))


def test_pool_reuses_a_thread() -> None:
    pool = ThreadPool(3, "test-reuse")
    done = threading.Semaphore(0)
    for _ in range(20):
        pool.submit(lambda: done.release)
        assert done.acquire(timeout=PATIENCE)
        assert pool.running == 0
    assert len(pool_threads("test-reuse")) == 1
    pool.stop()
    pool.submit(lambda: done.release)  # stopped is not broken
    assert done.acquire(timeout=PATIENCE)
    pool.stop()


def test_a_job_is_told_that_it_has_to_wait() -> None:
    pool = ThreadPool(2, "test-postponed")
    gate = threading.Event()
    told: list[int] = []

    def blocks() -> Callable[[], None]:
        gate.wait(PATIENCE)
        return nothing

    for number in range(4):
        pool.submit(blocks, lambda number=number: told.append(number))  # type: ignore[misc]
    assert told == [2, 3]
    gate.set()
    eventually(lambda: pool.running == 0)
    pool.submit(blocks, lambda: told.append(4))
    assert told == [2, 3]
    pool.stop()


def no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_thread_that_does_not_start_costs_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool(2, "test-limit")
    done = threading.Semaphore(0)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_more_threads)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="can't start new thread"):
                pool.submit(lambda: done.release)
    assert pool.running == 0
    pool.submit(lambda: done.release)
    assert done.acquire(timeout=PATIENCE)
    pool.stop()


def test_jobs_wait_for_the_threads_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ThreadPool(2, "test-few")
    gate, done = threading.Event(), threading.Semaphore(0)

    def blocks() -> Callable[[], None]:
        gate.wait(PATIENCE)
        return done.release

    pool.submit(blocks)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", no_more_threads)
        pool.submit(lambda: done.release)
    assert pool.running == 2
    gate.set()
    assert done.acquire(timeout=PATIENCE)
    assert done.acquire(timeout=PATIENCE)
    assert len(pool_threads("test-few")) == 1
    gate.clear()
    pool.submit(blocks)
    pool.submit(lambda: done.release)  # has a thread again
    assert done.acquire(timeout=PATIENCE)
    assert len(pool_threads("test-few")) == 2
    gate.set()
    pool.stop()


def test_a_forgotten_pool_ends_its_threads() -> None:
    pool = ThreadPool(3, "test-forgotten")
    pool.submit(lambda: nothing)
    assert pool_threads("test-forgotten")
    del pool
    gc.collect()
    eventually(lambda: not pool_threads("test-forgotten"))


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_calls_from_many_threads_arrive_in_the_loop(loop: str) -> None:
    """None is lost, each thread's come in order, and the loop's own thread makes them."""
    made: list[tuple[int, int, threading.Thread]] = []

    async def main() -> None:
        calls = LoopCalls.current()
        assert LoopCalls.current() is calls
        finished = calls.waiter()

        def call(number: int, count: int) -> Callable[[], None]:
            return lambda: made.append((number, count, threading.current_thread()))

        def post(number: int) -> None:
            for count in range(300):
                calls.post(call(number, count))

        def post_all() -> None:
            threads = [threading.Thread(target=post, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            calls.post(finished.set)

        threading.Thread(target=post_all).start()
        with anyio.fail_after(PATIENCE):
            await finished.wait()

    anyio.run(main, backend=loop)
    assert {thread for _, _, thread in made} == {threading.current_thread()}
    for number in range(4):
        assert [count for owner, count, _ in made if owner == number] == list(range(300))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_has_ended_is_not_kept(loop: str) -> None:
    async def main() -> weakref.ref[object]:
        calls = LoopCalls.current()
        assert LoopCalls.current(calls) is LoopCalls.current() is calls
        if loop == "trio":
            return weakref.ref(trio.lowlevel.current_trio_token())
        return weakref.ref(asyncio.get_running_loop())

    backend, options = BACKENDS[loop]
    ended = anyio.run(main, backend=backend, backend_options=options)
    gc.collect()
    assert ended() is None


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_call_into_a_loop_that_has_ended_is_an_error(loop: str) -> None:
    async def main() -> LoopCalls:
        return LoopCalls.current()

    calls = anyio.run(main, backend=loop)
    with pytest.raises(RuntimeError):
        calls.post(nothing)
