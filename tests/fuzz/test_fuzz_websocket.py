"""WebSocket frames: nothing raises, all of it ends, and the cut does not matter."""

import struct

from compliance.fuzzing.inputs import WHOLE, Choices
from compliance.fuzzing.websocket import DEFLATES, call_in_any_order, frame, story
from compliance.fuzzing.websocket import deflated as deflated_content
from fuzz_strategies import CHOICES, SIZES, fuzz, mutations
from hypothesis import given
from hypothesis import strategies as st

from tricorn.codecs.websocket_base import DeflateParameters

SPECIAL = (b"\x80\x80", b"\x88\x80", b"\xff", b"\x7f", b"\0", b"\xc1")


@st.composite
def messages(draw, deflated=False):
    text = draw(st.booleans())
    content = draw(st.text(max_size=60)).encode() if text else draw(st.binary(max_size=200))
    rsv1 = deflated and draw(st.booleans())
    if rsv1:
        content = deflated_content(content)
    cut = draw(st.integers(0, len(content)))
    opcode = 1 if text else 2
    if not draw(st.booleans()):
        return frame(opcode, content, rsv1=rsv1)
    ping = frame(9, draw(st.binary(max_size=10))) if draw(st.booleans()) else b""
    first = frame(opcode, content[:cut], fin=False, rsv1=rsv1)
    return first + ping + frame(0, content[cut:])


CLOSES = st.builds(
    lambda code, reason: frame(8, struct.pack("!H", code) + reason.encode()),
    st.sampled_from([1000, 1001, 3000, 4999, 999, 1005]),
    st.text(max_size=10),
)
CONVERSATIONS = st.one_of(
    st.lists(st.one_of(messages(), CLOSES), max_size=5),
    st.lists(messages(), max_size=5),
).map(b"".join)
DEFLATED = st.lists(messages(deflated=True), max_size=5).map(b"".join)


@fuzz
@given(mutations(CONVERSATIONS, SPECIAL), SIZES)
def test_frames_are_read_the_same_in_any_cut(data, sizes):
    assert story(data, sizes) == story(data, WHOLE)


@fuzz
@given(mutations(DEFLATED, SPECIAL), SIZES)
def test_deflated_frames_are_read_the_same_in_any_cut(data, sizes):
    deflate = DeflateParameters(15, 15, False, True)
    assert story(data, sizes, deflate) == story(data, WHOLE, deflate)


@fuzz
@given(st.binary(max_size=300), SIZES)
def test_noise_is_read_the_same_in_any_cut(data, sizes):
    assert story(data, sizes) == story(data, WHOLE)


@fuzz
@given(mutations(DEFLATED, SPECIAL), CHOICES, st.sampled_from(DEFLATES))
def test_calls_in_any_order_never_break_framing(data, choices, deflate):
    call_in_any_order(data, Choices(choices), deflate)
