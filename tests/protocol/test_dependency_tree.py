"""RFC 7540 priorities: shape, shares, and what hostile signals cannot do."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.protocol.dependency_tree import MAX_DEPTH
from tricorn.protocol.scheduler import (
    DependencyTreeScheduler,
    SelfDependencyError,
    StreamScheduler,
)


def fill(scheduler: StreamScheduler, *stream_ids: int) -> None:
    for stream_id in stream_ids:
        scheduler.insert(stream_id)
        scheduler.ready(stream_id)


def served(scheduler: StreamScheduler, n: int) -> list[int | None]:
    return [scheduler.next() for _ in range(n)]


def assert_drains(scheduler: StreamScheduler, ready: set[int]) -> None:
    """Whatever happened, each ready stream is served once those before it are done."""
    for _ in range(len(ready)):
        stream_id = scheduler.next()
        assert stream_id in ready
        ready.discard(stream_id)
        scheduler.blocked(stream_id)
    assert scheduler.next() is None


def test_parent_goes_before_its_dependents_and_does_not_stall_them():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3, 5)
    scheduler.reprioritize(3, 1)
    scheduler.reprioritize(5, 3)
    assert served(scheduler, 3) == [1, 1, 1]
    scheduler.blocked(1)
    assert served(scheduler, 3) == [3, 3, 3]
    scheduler.ready(1)
    scheduler.blocked(3)
    assert scheduler.next() == 1
    scheduler.remove(1)
    assert scheduler.next() == 5


def test_siblings_share_by_weight():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3, 5)
    scheduler.reprioritize(1, 0, 64)
    scheduler.reprioritize(3, 0, 128)
    scheduler.reprioritize(5, 0, 64)
    shares = Counter(served(scheduler, 400))
    assert shares[3] == pytest.approx(200, abs=4)
    assert shares[1] == pytest.approx(100, abs=4)


def test_exclusive_takes_over_the_siblings():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3, 5)
    scheduler.reprioritize(5, 0, 16, True)
    assert served(scheduler, 2) == [5, 5]
    scheduler.blocked(5)
    assert Counter(served(scheduler, 4)) == {1: 2, 3: 2}


def test_self_dependency_is_reported_and_changes_nothing():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3)
    for stream_id in (1, 9):
        with pytest.raises(SelfDependencyError):
            scheduler.reprioritize(stream_id, stream_id, 200)
    assert scheduler.known == 2
    assert Counter(served(scheduler, 10)) == {1: 5, 3: 5}


def test_cycle_moves_the_dependent_up_with_its_own_dependents():
    # RFC 7540 section 5.3.3, figure 5: A(B, C(D, E(), F)), A made dependent on D.
    a, b, c, d, e, f = range(1, 13, 2)
    scheduler = DependencyTreeScheduler()
    fill(scheduler, a, b, c, d, e, f)
    for child, parent in ((b, a), (c, a), (d, c), (e, c), (f, d)):
        scheduler.reprioritize(child, parent)
    scheduler.reprioritize(a, d)
    assert scheduler.next() == d
    scheduler.blocked(d)
    assert Counter(served(scheduler, 10)) == {a: 5, f: 5}
    scheduler.blocked(a)
    assert Counter(served(scheduler, 20)) == {f: 10, b: 5, c: 5}
    scheduler.remove(f)
    assert Counter(served(scheduler, 10)) == {b: 5, c: 5}
    scheduler.blocked(c)
    assert Counter(served(scheduler, 10)) == {b: 5, e: 5}


def test_cycle_with_exclusive_puts_all_below():
    # The same, exclusive: D(A(B, C(E), F)).
    a, b, c, d, e, f = range(1, 13, 2)
    scheduler = DependencyTreeScheduler()
    fill(scheduler, a, b, c, d, e, f)
    for child, parent in ((b, a), (c, a), (d, c), (e, c), (f, d)):
        scheduler.reprioritize(child, parent)
    scheduler.reprioritize(a, d, 16, True)
    scheduler.blocked(d)
    assert served(scheduler, 2) == [a, a]
    scheduler.blocked(a)
    assert Counter(served(scheduler, 9)) == {b: 3, c: 3, f: 3}


def test_idle_streams_group_others_and_survive_their_dependents():
    # How Firefox shaped its tree: idle streams as groups, weighted against each other.
    scheduler = DependencyTreeScheduler(closed_limit=4)
    scheduler.reprioritize(3, 0, 200)
    scheduler.reprioritize(5, 0, 100)
    for stream_id in range(15, 61, 4):  # far more than are remembered
        fill(scheduler, stream_id, stream_id + 2)
        scheduler.reprioritize(stream_id, 3, 32)
        scheduler.reprioritize(stream_id + 2, 5, 32)
        shares = Counter(served(scheduler, 300))
        assert shares[stream_id] == pytest.approx(200, abs=4)
        scheduler.remove(stream_id)
        scheduler.remove(stream_id + 2)
    assert scheduler.known <= 4


def test_priority_before_the_stream_opens_is_kept():
    scheduler = DependencyTreeScheduler()
    scheduler.reprioritize(3, 1, 16)
    fill(scheduler, 3, 5, 1)
    scheduler.blocked(5)
    assert served(scheduler, 2) == [1, 1]


def test_a_group_named_by_idle_streams_is_not_the_oldest():
    scheduler = DependencyTreeScheduler(closed_limit=2)
    scheduler.reprioritize(3, 0, 240)
    for stream_id in range(5, 25, 2):
        scheduler.reprioritize(stream_id, 3, 16)
    fill(scheduler, 1, 23)
    scheduler.reprioritize(1, 0, 80)
    assert Counter(served(scheduler, 400))[23] == pytest.approx(300, abs=4)


def test_closed_parent_keeps_its_place_while_remembered():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3, 5)
    scheduler.reprioritize(3, 1, 16)
    scheduler.remove(3)
    scheduler.remove(1)
    fill(scheduler, 1, 7)
    scheduler.reprioritize(7, 3)  # 3 stands below 1 still
    assert Counter(served(scheduler, 10)) == {1: 5, 5: 5}
    scheduler.blocked(1)
    assert Counter(served(scheduler, 10)) == {7: 5, 5: 5}


def test_unknown_parent_means_default_priority():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3)
    scheduler.reprioritize(3, 1001, 256)
    assert Counter(served(scheduler, 10)) == {1: 5, 3: 5}


@pytest.mark.parametrize(("stream_id", "depends_on"), [(0, 0), (0, 1), (-1, 1), (1, -5)])
def test_senseless_ids_are_harmless(stream_id, depends_on):
    scheduler = DependencyTreeScheduler()
    fill(scheduler, 1, 3)
    scheduler.reprioritize(stream_id, depends_on, 16)
    assert scheduler.known == 2
    assert Counter(served(scheduler, 10)) == {1: 5, 3: 5}


def test_a_long_chain_of_remembered_streams_is_harmless():
    scheduler = DependencyTreeScheduler(closed_limit=3000)
    for stream_id in range(3, 5003, 2):
        scheduler.reprioritize(stream_id, stream_id - 2)
    fill(scheduler, 5001, 4999, 1)
    assert Counter(served(scheduler, 4)) == {4999: 2, 1: 2}
    scheduler.blocked(4999)
    assert Counter(served(scheduler, 4)) == {5001: 2, 1: 2}


def test_remembered_places_that_refer_to_each_other_are_harmless():
    scheduler = DependencyTreeScheduler()
    scheduler.reprioritize(3, 7)
    scheduler.reprioritize(5, 3)
    scheduler.reprioritize(7, 5)
    fill(scheduler, 3, 5, 7)
    assert_drains(scheduler, {3, 5, 7})


@pytest.mark.parametrize("exclusive", [False, True])
def test_flood_of_idle_streams_stays_bounded(exclusive):
    scheduler = DependencyTreeScheduler(closed_limit=20)
    fill(scheduler, 1, 3)
    for stream_id in range(5, 3005, 2):
        scheduler.reprioritize(stream_id, stream_id - 2, 1 + stream_id % 256, exclusive)
        assert scheduler.known <= 22
    assert scheduler.next() in (1, 3)


@pytest.mark.parametrize("exclusive_on_root", [False, True])
def test_more_streams_than_the_recursion_limit_in_one_chain(exclusive_on_root):
    scheduler = DependencyTreeScheduler()
    ids = range(1, 2801, 2)
    for before, stream_id in pairwise([0, *ids]):
        scheduler.insert(stream_id)
        scheduler.reprioritize(stream_id, 0 if exclusive_on_root else before, 16, True)
    for stream_id in ids[:MAX_DEPTH]:
        scheduler.ready(stream_id)
    assert_drains(scheduler, set(ids[:MAX_DEPTH]))


def test_a_long_connection_of_chained_streams_does_not_wear_out_the_depth():
    # Each stream exclusively below the one before, as Chrome did, six open at a time.
    scheduler = DependencyTreeScheduler()
    for stream_id in range(1, 1001, 2):
        fill(scheduler, stream_id)
        scheduler.reprioritize(stream_id, max(stream_id - 2, 0), 16, True)
        scheduler.remove(stream_id - 12)
        assert scheduler.next() == max(1, stream_id - 10)
        assert scheduler.known <= 106


def test_more_streams_than_the_library_takes():
    scheduler = DependencyTreeScheduler()
    fill(scheduler, *range(1, 3001, 2))
    assert len(scheduler) == 1500
    assert set(served(scheduler, 1500)) == set(range(1, 3001, 2))


@given(
    signals=st.lists(
        st.tuples(st.integers(1, 8), st.integers(0, 8), st.integers(1, 256), st.booleans()).filter(
            lambda signal: signal[0] != signal[1]
        ),
        max_size=40,
    )
)
def test_order_is_that_of_the_rfc(signals):
    """Against a plain model: nobody is served before a ready stream it depends on."""
    scheduler = DependencyTreeScheduler()
    fill(scheduler, *range(1, 9))
    parents = dict.fromkeys(range(1, 9), 0)
    for stream_id, depends_on, weight, exclusive in signals:
        scheduler.reprioritize(stream_id, depends_on, weight, exclusive)
        if stream_id in chain(parents, depends_on):
            parents[depends_on] = parents[stream_id]
        if exclusive:
            parents.update({s: stream_id for s, p in parents.items() if p == depends_on})
        parents[stream_id] = depends_on
    ready = set(parents)
    while ready:
        # No frame goes to a stream that has a ready ancestor; all others get their share.
        allowed = {s for s in ready if not ready & set(chain(parents, s))}
        weights = 256 * len(allowed) * 10
        seen: set[int | None] = set()
        while seen != allowed and weights:
            seen.add(scheduler.next())
            weights -= 1
            assert seen <= allowed
        first = min(allowed)
        ready.remove(first)
        scheduler.blocked(first)


def chain(parents: dict[int, int], stream_id: int) -> list[int]:
    """The streams that ``stream_id`` depends on, without the root."""
    found = []
    while stream_id and (stream_id := parents[stream_id]):
        found.append(stream_id)
    return found
