"""The Priority field and the PRIORITY_UPDATE frame of RFC 9218."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tricorn.protocol.scheduler import (
    PriorityUpdateSizeError,
    parse_priority,
    parse_priority_update,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", (3, False)),
        (b"   ", (3, False)),
        (b"u=0", (0, False)),
        (b"u=7, i", (7, True)),
        (b"i,u=1", (1, True)),
        (b" u=1 \t,\t i=?1 ", (1, True)),
        (b"i=?0", (3, False)),
        (b"u=-0", (0, False)),
        (b"u=02", (2, False)),
        # Wrong types and ranges: only that member counts for nothing.
        (b"u=8, i", (3, True)),
        (b"u=-1, i", (3, True)),
        (b"u=999999999999999, i", (3, True)),
        (b"u=2.0, i", (3, True)),
        (b'u="2", i', (3, True)),
        (b"u=two, i", (3, True)),
        (b"u=?1, i", (3, True)),
        (b"u, i", (3, True)),
        (b"u=(1 2), i", (3, True)),
        (b"u=:AA==:, i", (3, True)),
        (b"u=2, i=1", (2, False)),
        (b"u=2, i=yes", (2, False)),
        (b"u=2, i=(?1)", (2, False)),
        # The last of equal keys counts (RFC 8941 section 4.2.2).
        (b"u=1, u=5", (5, False)),
        (b"u=1, u=9", (3, False)),
        (b"i, i=?0", (3, False)),
        # Unknown members and parameters are ignored.
        (b"u=2;x=1;y, i;z", (2, True)),
        (b'foo=bar, *a.b-c_d="x, u=7\\"", u=1, b=( "a b" c;d=1 )', (1, False)),
        (b"ui=1, iu, u=4", (4, False)),
        # No dictionary: the whole field counts for nothing.
        (b"u=1,", (3, False)),
        (b"u=1,,i", (3, False)),
        (b",u=1", (3, False)),
        (b"u=1 i", (3, False)),
        (b"u = 1", (3, False)),
        (b"u=", (3, False)),
        (b"U=1", (3, False)),
        (b"u=1;", (3, False)),
        (b"u=1, i=?2", (3, False)),
        (b"u=1, x=1234567890123456", (3, False)),
        (b'u=1, x="open', (3, False)),
        (b"u=1, x=(1", (3, False)),
        (b"u=1, x=(1(2))", (3, False)),
        (b"u=1, x=(1;a2)", (1, False)),
        (b'u=1, x=("a""b")', (3, False)),
        (b"u=1\n", (3, False)),
        (b"u=1\x00", (3, False)),
        (b"u=\xb2", (3, False)),
        (b"\xff\xfe", (3, False)),
    ],
)
def test_priority_field(value, expected):
    assert parse_priority(value) == expected


@given(st.one_of(st.binary(max_size=80), st.text("ui=?0189, ;()\"\\:a.-\t", max_size=80).map(
    str.encode)))  # fmt: skip
def test_priority_field_never_raises(value):
    urgency, incremental = parse_priority(value)
    assert urgency in range(8)
    assert incremental in (True, False)


@given(
    urgency=st.integers(0, 7),
    incremental=st.booleans(),
    other=st.from_regex(rb'[a-hj-tv-z][a-z0-9_*.-]*(=([a-z]+|-?[0-9]{1,9}|"[a-z ,]*"))?',
                        fullmatch=True),
)  # fmt: skip
def test_priority_field_among_others(urgency, incremental, other):
    value = b"u=%d, %s, i=?%d" % (urgency, other, incremental)
    assert parse_priority(value) == (urgency, incremental)


def test_long_field_is_ignored_and_the_longest_read_is_read():
    assert parse_priority(b"u=1, " + b"a" * 1019) == (1, False)
    assert parse_priority(b"u=1, " + b"a" * 1020) == (3, False)
    assert parse_priority(b"u=1" + b", i" * 1_000_000) == (3, False)


def test_priority_update():
    assert parse_priority_update(b"\x00\x00\x00\x05u=1, i") == (5, b"u=1, i")
    assert parse_priority_update(b"\x80\x00\x01\x00") == (256, b"")
    assert parse_priority_update(b"\xff\xff\xff\xff") == (2**31 - 1, b"")


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\x00\x01"])
def test_priority_update_too_short(payload):
    with pytest.raises(PriorityUpdateSizeError):
        parse_priority_update(payload)


@pytest.mark.parametrize("payload", [b"\x00\x00\x00\x00u=1", b"\x80\x00\x00\x00"])
def test_priority_update_for_stream_0(payload):
    with pytest.raises(ValueError, match="stream 0") as caught:
        parse_priority_update(payload)
    assert not isinstance(caught.value, PriorityUpdateSizeError)
