"""Who writes next: order, fairness, carry-over, and what hostile signals cannot do."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tricorn.protocol.scheduler import (
    DependencyTreeScheduler,
    PriorityDispatcher,
    RoundRobinScheduler,
    SelfDependencyError,
    StreamScheduler,
    UrgencyScheduler,
)

ALL = [RoundRobinScheduler, UrgencyScheduler, DependencyTreeScheduler, PriorityDispatcher]


def fill(scheduler: StreamScheduler, *stream_ids: int) -> None:
    for stream_id in stream_ids:
        scheduler.insert(stream_id)
        scheduler.ready(stream_id)


def served(scheduler: StreamScheduler, n: int) -> list[int | None]:
    return [scheduler.next() for _ in range(n)]


# Every scheduler


@pytest.mark.parametrize("make", ALL)
def test_nothing_ready(make):
    scheduler: StreamScheduler = make()
    assert scheduler.next() is None
    assert not scheduler.has_ready
    assert len(scheduler) == 0
    scheduler.insert(1)
    assert scheduler.next() is None
    assert len(scheduler) == 1


@pytest.mark.parametrize("make", ALL)
def test_calls_are_idempotent_and_unknown_ids_are_fine(make):
    scheduler: StreamScheduler = make()
    for _ in range(2):
        scheduler.remove(7)
        scheduler.ready(7)
        scheduler.blocked(7)
    assert scheduler.next() is None
    for _ in range(2):
        fill(scheduler, 1, 3)
    assert len(scheduler) == 2
    assert Counter(served(scheduler, 1)) <= Counter([1, 3])
    for _ in range(2):
        scheduler.blocked(1)
        assert served(scheduler, 3) == [3, 3, 3]
    for _ in range(2):
        scheduler.remove(3)
        assert scheduler.next() is None
    assert scheduler.streams() == [1]
    assert scheduler.ready_streams() == []
    scheduler.ready(3)
    assert scheduler.next() is None


@pytest.mark.parametrize("make", ALL)
def test_inserting_a_stream_again_does_not_block_it(make):
    scheduler: StreamScheduler = make()
    fill(scheduler, 1)
    scheduler.insert(1)
    assert scheduler.next() == 1


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["insert", "remove", "ready", "ready", "blocked", "next", "next"]),
            st.integers(1, 12),
        ),
        st.tuples(
            st.just("reprioritize"),
            st.integers(0, 14),
            st.integers(0, 14),
            st.sampled_from([-1, 0, 1, 16, 17, 256, 300]),
            st.booleans(),
        ),
        st.tuples(st.just("prioritize"), st.integers(1, 14), st.integers(-1, 9), st.booleans()),
        st.tuples(st.just("disable_rfc7540")),
    ),
    max_size=120,
)


@pytest.mark.parametrize("limit", [0, 1, 3, None])
@pytest.mark.parametrize("make", ALL)
@settings(max_examples=80)
@given(operations=OPERATIONS)
def test_any_sequence_names_a_ready_stream_or_none(make, limit, operations):
    takes_limit = make in (UrgencyScheduler, DependencyTreeScheduler)
    scheduler = make(limit) if takes_limit and limit is not None else make()
    inserted: set[int] = set()
    ready: set[int] = set()
    for name, *arguments in operations:
        if not hasattr(scheduler, name):
            continue
        try:
            result = getattr(scheduler, name)(*(arguments if name != "next" else ()))
        except SelfDependencyError:
            assert arguments[0] == arguments[1]
            continue
        assert name != "reprioritize" or arguments[0] == 0 or arguments[0] != arguments[1]
        if name == "insert":
            inserted.add(arguments[0])
        elif name == "remove":
            inserted.discard(arguments[0])
            ready.discard(arguments[0])
        elif name == "ready" and arguments[0] in inserted:
            ready.add(arguments[0])
        elif name == "blocked":
            ready.discard(arguments[0])
        elif name == "next":
            assert result in ready if ready else result is None
        assert scheduler.has_ready == bool(ready)
        assert set(scheduler.streams()) == inserted
        assert len(scheduler) == len(inserted)
        assert sorted(scheduler.ready_streams()) == sorted(ready)
        if isinstance(scheduler, DependencyTreeScheduler):
            assert scheduler.known <= len(inserted) + (100 if limit is None else limit)
    assert_drains(scheduler, ready)


def assert_drains(scheduler: StreamScheduler, ready: set[int]) -> None:
    """Whatever happened, each ready stream is served once those before it are done."""
    for _ in range(len(ready)):
        stream_id = scheduler.next()
        assert stream_id in ready
        ready.discard(stream_id)
        scheduler.blocked(stream_id)
    assert scheduler.next() is None


# Round robin


def test_round_robin_takes_turns():
    scheduler = RoundRobinScheduler()
    fill(scheduler, 5, 1, 3)
    assert served(scheduler, 7) == [5, 1, 3, 5, 1, 3, 5]


def test_round_robin_ready_twice_keeps_the_place():
    scheduler = RoundRobinScheduler()
    fill(scheduler, 1, 3)
    scheduler.ready(1)
    assert served(scheduler, 2) == [1, 3]


@given(
    operations=st.lists(
        st.tuples(st.sampled_from(["ready", "blocked", "remove", "next"]), st.integers(1, 9)),
        max_size=200,
    )
)
@pytest.mark.parametrize("incremental", [False, True])
def test_a_ready_stream_waits_for_one_frame_of_each_other_at_most(incremental, operations):
    scheduler = UrgencyScheduler() if incremental else RoundRobinScheduler()
    waiting = Counter[int]()
    for name, stream_id in operations:
        scheduler.insert(stream_id)
        if isinstance(scheduler, UrgencyScheduler):
            scheduler.prioritize(stream_id, 3, True)
        if name != "next":
            getattr(scheduler, name)(stream_id)
            if name != "ready":
                del waiting[stream_id]
            continue
        turn = scheduler.next()
        for other in scheduler.ready_streams():
            waiting[other] += 1
            assert waiting[other] <= 9
        if turn is not None:
            waiting[turn] = 0


# Urgency


def test_lower_urgency_first():
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3, 5)
    scheduler.prioritize(1, 7, False)
    scheduler.prioritize(5, 0, True)
    assert served(scheduler, 3) == [5, 5, 5]
    scheduler.blocked(5)
    assert served(scheduler, 2) == [3, 3]
    scheduler.remove(3)
    assert served(scheduler, 2) == [1, 1]
    scheduler.ready(5)
    assert scheduler.next() == 5


def test_default_is_urgency_3_not_incremental():
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3, 5, 7)
    scheduler.prioritize(3, 2, False)
    scheduler.prioritize(5, 4, False)
    order = []
    while (stream_id := scheduler.next()) is not None:
        order.append(stream_id)
        scheduler.blocked(stream_id)
    assert order == [3, 1, 7, 5]


def test_non_incremental_go_one_after_the_other_by_id_whatever_came_first():
    scheduler = UrgencyScheduler()
    fill(scheduler, 9, 3, 5)
    assert served(scheduler, 3) == [3, 3, 3]
    scheduler.blocked(3)
    assert served(scheduler, 2) == [5, 5]
    scheduler.ready(3)
    assert scheduler.next() == 3


def test_incremental_take_turns():
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3, 5)
    for stream_id in (1, 3, 5):
        scheduler.prioritize(stream_id, 3, True)
    assert served(scheduler, 6) == [1, 3, 5, 1, 3, 5]


def test_mixed_kinds_share_half_and_half():
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3, 5, 7)
    scheduler.prioritize(5, 3, True)
    scheduler.prioritize(7, 3, True)
    assert Counter(served(scheduler, 40)) == {1: 20, 5: 10, 7: 10}
    scheduler.blocked(1)
    assert Counter(served(scheduler, 40)) == {3: 20, 5: 10, 7: 10}


def test_priority_changes_while_ready_and_keeps_blocked_streams_blocked():
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3)
    scheduler.blocked(3)
    scheduler.prioritize(3, 0, False)
    assert scheduler.next() == 1
    scheduler.prioritize(1, 6, True)
    assert scheduler.next() == 1
    scheduler.ready(3)
    assert scheduler.next() == 3


@pytest.mark.parametrize("urgency", [-1, 8, 10**30])
def test_urgency_out_of_range_is_the_default(urgency):
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3)
    scheduler.prioritize(1, urgency, False)
    scheduler.prioritize(3, 2, False)
    assert scheduler.next() == 3
    scheduler.prioritize(3, 4, False)
    assert scheduler.next() == 1


def test_update_for_a_stream_not_open_yet_waits_for_it():
    scheduler = UrgencyScheduler()
    scheduler.prioritize(3, 5, False)
    scheduler.prioritize(3, 0, False)
    fill(scheduler, 1, 3)
    assert scheduler.next() == 3


def test_update_beats_the_request_field_it_overtook_but_not_a_later_update():
    scheduler = UrgencyScheduler()
    scheduler.prioritize(3, 0, False)
    fill(scheduler, 1, 3)
    scheduler.prioritize(3, 7, False, initial=True)
    assert scheduler.next() == 3
    scheduler.prioritize(3, 7, False)
    assert scheduler.next() == 1


def test_update_beats_the_request_field_also_before_the_stream_is_inserted():
    scheduler = UrgencyScheduler()
    scheduler.prioritize(3, 0, False)
    scheduler.prioritize(3, 7, False, initial=True)
    fill(scheduler, 1, 3)
    assert scheduler.next() == 3


def test_request_field_applies_and_is_forgotten_with_the_stream():
    scheduler = UrgencyScheduler()
    fill(scheduler, 1, 3)
    scheduler.prioritize(3, 0, False, initial=True)
    assert scheduler.next() == 3
    scheduler.prioritize(3, 6, False)
    assert scheduler.next() == 1
    scheduler.remove(3)
    fill(scheduler, 3)
    scheduler.prioritize(3, 0, False, initial=True)
    assert scheduler.next() == 3


def test_pending_updates_are_bounded_and_the_oldest_goes():
    scheduler = UrgencyScheduler(pending_limit=2)
    for stream_id in (3, 1, 3, 5):  # said again, 3 is newer than 1
        scheduler.prioritize(stream_id, 0, True)
    fill(scheduler, 1, 3, 5)
    assert Counter(served(scheduler, 10)) == {3: 5, 5: 5}


# Dispatcher


def test_dispatcher_starts_round_robin_and_follows_the_signals():
    dispatcher = PriorityDispatcher()
    assert dispatcher.scheme is RoundRobinScheduler
    dispatcher.reprioritize(1, 0, 16)
    assert dispatcher.scheme is DependencyTreeScheduler
    dispatcher.prioritize(1, 3, False)
    assert dispatcher.scheme is UrgencyScheduler
    dispatcher.reprioritize(3, 1, 16)
    assert dispatcher.scheme is UrgencyScheduler


def test_settings_alone_switch_and_end_the_tree():
    dispatcher = PriorityDispatcher()
    fill(dispatcher, 1, 3)
    dispatcher.disable_rfc7540()
    assert dispatcher.scheme is UrgencyScheduler
    dispatcher.reprioritize(1, 3, 16, True)
    assert served(dispatcher, 3) == [1, 1, 1]


def test_self_dependency_is_reported_under_every_scheme():
    dispatcher = PriorityDispatcher()
    with pytest.raises(SelfDependencyError):
        dispatcher.reprioritize(5, 5)
    assert dispatcher.scheme is RoundRobinScheduler
    dispatcher.disable_rfc7540()
    with pytest.raises(SelfDependencyError):
        dispatcher.reprioritize(5, 5)


def test_urgency_of_earlier_signals_survives_repeated_settings():
    dispatcher = PriorityDispatcher()
    fill(dispatcher, 1, 3)
    dispatcher.prioritize(3, 0, False)
    dispatcher.disable_rfc7540()
    assert dispatcher.next() == 3


@given(
    before=st.lists(
        st.tuples(
            st.sampled_from(["insert", "remove", "ready", "ready", "blocked"]),
            st.integers(1, 10),
        ),
        max_size=60,
    ),
    through_tree=st.booleans(),
)
def test_carry_over_is_the_same_as_having_started_there(before, through_tree):
    dispatcher = PriorityDispatcher()
    urgency = UrgencyScheduler()
    for name, stream_id in before:
        getattr(dispatcher, name)(stream_id)
        getattr(urgency, name)(stream_id)
    if through_tree:
        dispatcher.reprioritize(1, 2, 99, True)
        assert dispatcher.scheme is DependencyTreeScheduler
    dispatcher.disable_rfc7540()
    assert sorted(dispatcher.streams()) == sorted(urgency.streams())
    assert dispatcher.ready_streams() == urgency.ready_streams()
    for _ in range(15):
        stream_id = dispatcher.next()
        assert stream_id == urgency.next()
        if stream_id is not None:
            dispatcher.blocked(stream_id)
            urgency.blocked(stream_id)


def test_carry_over_to_the_tree():
    dispatcher = PriorityDispatcher()
    tree = DependencyTreeScheduler()
    for scheduler in (dispatcher, tree):
        fill(scheduler, 1, 3, 5, 7)
        scheduler.blocked(5)
        scheduler.remove(7)
        scheduler.reprioritize(3, 0, 64)
    assert dispatcher.scheme is DependencyTreeScheduler
    assert served(dispatcher, 50) == served(tree, 50)
    dispatcher.ready(5)
    assert 5 in served(dispatcher, 20)
    assert len(dispatcher) == 3
