"""HTTP/1.1: whatever comes, nothing raises, all of it ends, and the cut does not matter."""

from compliance.fuzzing.http1 import DEFAULTS, SMALL, Story, call_in_any_order
from compliance.fuzzing.inputs import WHOLE, Choices
from fuzz_strategies import CHOICES, SIZES, fuzz, mutations
from hypothesis import assume, given
from hypothesis import strategies as st

FIELDS = [
    b"a: b",
    b"X-Long: " + b"y" * 60,
    b"connection: close",
    b"connection: keep-alive, te",
    b"te: trailers",
    b"expect: 100-continue",
    b"accept: */*;q=0.5, text/html",
    b"connection: upgrade\r\nupgrade: websocket",
    b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk",
]
TARGETS = [b"/", b"/a?b=c", b"*", b"http://h:1/p", b"/%20", b"//x"]


@st.composite
def requests(draw):
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"]))
    lines = [b" ".join([method, draw(st.sampled_from(TARGETS)), b"HTTP/" + version]), b"Host: h"]
    lines += draw(st.lists(st.sampled_from(FIELDS), max_size=3))
    body = b""
    if draw(st.booleans()):
        pieces = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
        if draw(st.booleans()):
            lines.append(b"transfer-encoding: chunked")
            end = draw(st.sampled_from([b"0\r\n\r\n", b"0;x=y\r\nA: b\r\nC: d\r\n\r\n"]))
            body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + end
        else:
            body = b"".join(pieces)
            lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


CONFIGS = st.sampled_from([DEFAULTS, SMALL])
CONVERSATIONS = st.lists(requests(), min_size=1, max_size=3).map(b"".join)


@fuzz
@given(CONVERSATIONS, SIZES)
def test_valid_requests_are_read_the_same_in_any_cut(data, sizes):
    whole = Story(data, WHOLE)
    assert Story(data, sizes).told() == whole.told()
    assert Story(data, [1]).told() == whole.told()


@fuzz
@given(mutations(CONVERSATIONS), SIZES)
def test_mutated_requests_never_raise_and_are_read_the_same_in_any_cut(data, sizes):
    # How many empty lines are too many is counted per read.
    assume(b"\r\n" * 8 not in data)
    whole = Story(data, WHOLE)
    cut = Story(data, sizes)
    assert cut.told() == whole.told()
    assert cut.connection.closing
    assert whole.connection.closing


@fuzz
@given(mutations(CONVERSATIONS), SIZES)
def test_small_limits_and_h2c_never_raise(data, sizes):
    Story(data, sizes, SMALL)


@fuzz
@given(st.binary(max_size=300), SIZES)
def test_noise_never_raises(data, sizes):
    assert Story(data, sizes).connection.closing


@fuzz
@given(mutations(CONVERSATIONS), CHOICES, CONFIGS)
def test_calls_in_any_order_never_raise(data, choices, config):
    call_in_any_order(data, Choices(choices), config)
