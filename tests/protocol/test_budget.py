import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.protocol.budget import TokenBucket


def test_starts_full_and_refuses_when_empty():
    bucket = TokenBucket(3, 1.0)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]


def test_take_of_more_than_is_left_takes_nothing():
    bucket = TokenBucket(3, 1.0)
    assert not bucket.take(4)
    assert bucket.take(3)


def test_give_is_capped():
    bucket = TokenBucket(3, 0.0)
    bucket.give(10)
    assert bucket.tokens == 3
    assert bucket.take(2)
    bucket.give()
    assert bucket.tokens == 2


def test_first_refill_only_sets_the_origin():
    bucket = TokenBucket(10, 1.0)
    assert bucket.take(10)
    bucket.refill(1_000_000.0)
    assert bucket.tokens == 0
    bucket.refill(1_000_002.0)
    assert bucket.tokens == 2


def test_refill_is_capped_and_keeps_parts_of_a_token():
    bucket = TokenBucket(2, 0.5)
    bucket.take(2)
    bucket.refill(0.0)
    bucket.refill(1.0)
    assert not bucket.take()
    bucket.refill(2.0)
    assert bucket.take()
    assert not bucket.take()
    bucket.refill(1000.0)
    assert bucket.tokens == 2


def test_time_going_backwards_pays_nothing_twice():
    bucket = TokenBucket(100, 1.0)
    bucket.take(100)
    for now in (10.0, 20.0, 15.0, 20.0):
        bucket.refill(now)
    assert bucket.tokens == 10


def test_rate_zero_never_refills():
    bucket = TokenBucket(1, 0.0)
    assert bucket.take()
    bucket.refill(0.0)
    bucket.refill(1e9)
    assert not bucket.take()


@pytest.mark.parametrize(("burst", "rate"), [(0, 1.0), (-1, 1.0), (1, -1.0), (1, math.nan),
                                             (1, math.inf)])  # fmt: skip
def test_senseless_settings_are_refused(burst, rate):
    with pytest.raises(ValueError, match=r"burst|per_second"):
        TokenBucket(burst, rate)


def test_negative_amounts_are_refused_and_change_nothing():
    bucket = TokenBucket(3, 1.0)
    with pytest.raises(ValueError, match="take"):
        bucket.take(-1)
    with pytest.raises(ValueError, match="give"):
        bucket.give(-1)
    assert bucket.tokens == 3


@given(
    burst=st.integers(1, 50),
    rate=st.integers(0, 50),
    steps=st.lists(st.tuples(st.sampled_from(["take", "give", "refill"]), st.integers(0, 60))),
)
def test_never_more_than_burst_nor_less_than_nothing(burst, rate, steps):
    bucket = TokenBucket(burst, rate)
    taken = given_back = 0
    now = start = None
    for what, amount in steps:
        if what == "take":
            taken += amount if bucket.take(amount) else 0
        elif what == "give":
            bucket.give(amount)
            given_back += amount
        else:
            now = amount if now is None else max(now, amount)
            start = now if start is None else start
            bucket.refill(amount)
        assert 0 <= bucket.tokens <= burst
    earned = 0 if now is None else (now - start) * rate
    assert taken <= burst + given_back + earned
