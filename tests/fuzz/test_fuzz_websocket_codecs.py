"""All WebSocket codecs say the same of the same bytes, however these are cut and broken."""

import pytest
from compliance.fuzzing.inputs import WHOLE
from compliance.fuzzing.websocket import DEFLATES
from compliance.fuzzing.websocket_codecs import codecs, differ, frames
from fuzz_strategies import SIZES, fuzz, mutations
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_websocket import CONVERSATIONS, DEFLATED, SPECIAL

from tricorn.codecs import choice

pytestmark = pytest.mark.skipif(
    len(choice.available()["websocket"]) < 2, reason="there is one WebSocket codec only"
)

LIMITS = st.sampled_from([3, 150, 70_000])
FRAGMENTS = st.sampled_from([1, 3, 40])
CUTS = st.one_of(st.just(WHOLE), st.just((1,)), SIZES)


@fuzz
@given(mutations(CONVERSATIONS, SPECIAL), CUTS, LIMITS, FRAGMENTS)
def test_frames(data, sizes, limit, fragments):
    differ(data, sizes, limit=limit, fragments=fragments)


@fuzz
@given(
    mutations(st.one_of(DEFLATED, CONVERSATIONS), SPECIAL),
    CUTS,
    st.sampled_from(DEFLATES),
    LIMITS,
    FRAGMENTS,
    st.integers(-1, 3),
)
def test_deflated_frames(data, sizes, deflate, limit, fragments, stop):
    differ(data, sizes, deflate, limit=limit, fragments=fragments, stop=stop)


@fuzz
@given(st.binary(max_size=300), CUTS, st.sampled_from(DEFLATES))
def test_noise(data, sizes, deflate):
    differ(data, sizes, deflate)


@pytest.mark.parametrize("first", range(0, 256, 16))
def test_every_pair_of_first_bytes(first):
    """Opcodes, reserved bits, mask and length, against every state of a message."""
    begun = b"\x01\x81\0\0\0\0a"
    for high in range(first, first + 16):
        for low in (0, 1, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0xFD, 0xFE, 0xFF):
            wire = bytes([high, low]) + b"\0\0\0\0\0\0\1\0" + bytes(6)
            for deflate in DEFLATES[:2]:
                for data in (wire, begun + wire):
                    differ(data, WHOLE, deflate)
                    differ(data, (1,), deflate)


@pytest.mark.parametrize("deflate", DEFLATES)
def test_what_is_sent(deflate):
    one, *others = [frames(codec) for codec in codecs(deflate).values()]
    assert all(other == one for other in others)
