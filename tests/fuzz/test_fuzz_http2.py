"""HTTP/2: whatever comes, nothing raises, all of it ends, and the cut does not matter."""

from compliance.fuzzing.http2 import CONFIGS as EACH
from compliance.fuzzing.http2 import Story, call_in_any_order, same_in_any_cut
from compliance.fuzzing.inputs import Choices
from fuzz_strategies import CHOICES, SIZES, fuzz, mutations
from hypothesis import given
from hypothesis import strategies as st
from playbook_http2 import (
    GET,
    POST,
    continuation,
    data,
    goaway,
    headers,
    ping,
    priority,
    priority_update,
    push_promise,
    raw,
    reset,
    settings,
    window,
)

STREAMS = st.sampled_from([1, 3, 5, 7])
SPECIAL = (b"\0\0\0", b"\xff", b"\0\0\1", b"\0\0\0\4\1\0\0\0\0", b"\1", b"\4")
CONNECT = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]


@st.composite
def exchanges(draw):
    """The frames of one whole request, and what may come along with it."""
    stream_id = draw(STREAMS)
    frames = []
    match draw(st.integers(0, 4)):
        case 0:
            frames.append(headers(stream_id, [*GET, (b"priority", b"u=1, i")]))
        case 1:
            frames += [headers(stream_id, POST, end=False), data(stream_id, b"hello", padding=3)]
            frames += [data(stream_id), data(stream_id, b"!", end=True)]
        case 2:
            frames += [headers(stream_id, POST, end=False), data(stream_id, bytes(3000))]
            frames += [headers(stream_id, [(b"a", b"b")])]
        case 3:
            frames += [headers(stream_id, CONNECT, end=False), data(stream_id, b"tunnel")]
        case 4:
            frames += [headers(stream_id, whole=False), continuation(stream_id, whole=True)]
    return b"".join(frames)


OTHERS = st.one_of(
    st.builds(ping, ack=st.booleans()),
    st.builds(settings, st.sampled_from([{}, {4: 10}, {2: 0}, {5: 20000}, {1: 0}, {9: 1}])),
    st.builds(window, st.sampled_from([0, 1, 3]), st.sampled_from([1, 100000])),
    st.builds(reset, STREAMS),
    st.builds(priority, STREAMS, st.sampled_from([0, 1, 9]), st.integers(0, 255), st.booleans()),
    st.builds(priority_update, STREAMS, st.sampled_from([b"u=1", b"i", b"", b"?"])),
    st.builds(
        raw, st.integers(0, 20), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=9)
    ),
    st.just(goaway()),
    st.just(push_promise(1, 2)),
)
CONFIGS = st.sampled_from(EACH)
ROOMY = st.sampled_from(EACH[::2])
TIGHT = st.sampled_from(EACH[1::2])
ORDERED = st.lists(exchanges(), max_size=5, unique_by=lambda frames: frames[5:9]).map(
    lambda found: b"".join(sorted(found, key=lambda frames: frames[5:9]))
)
ANYTHING = st.lists(st.one_of(exchanges(), OTHERS), max_size=10).map(b"".join)


@fuzz
@given(ORDERED, SIZES, ROOMY)
def test_whole_requests_are_read_the_same_in_any_cut(received, sizes, config):
    assert not same_in_any_cut(received, sizes, config).failed


@fuzz
@given(ANYTHING, SIZES, ROOMY)
def test_frames_in_any_order_are_read_the_same_in_any_cut(received, sizes, config):
    same_in_any_cut(received, sizes, config)
    Story(received, sizes, config=config)


@fuzz
@given(mutations(ANYTHING, SPECIAL), SIZES, ROOMY)
def test_mutated_frames_are_read_the_same_in_any_cut(received, sizes, config):
    same_in_any_cut(received, sizes, config)
    Story(received, sizes, config=config)


@fuzz
@given(mutations(ANYTHING, SPECIAL), SIZES, TIGHT)
def test_small_limits_never_raise(received, sizes, config):
    Story(received, sizes, config=config)


@fuzz
@given(st.binary(max_size=200), SIZES, ROOMY)
def test_noise_never_raises(noise, sizes, config):
    Story(noise, sizes, config=config)


@fuzz
@given(mutations(ANYTHING, SPECIAL), CHOICES, CONFIGS)
def test_calls_in_any_order_never_raise(received, choices, config):
    call_in_any_order(received, Choices(choices), config)
