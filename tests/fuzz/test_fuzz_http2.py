"""HTTP/2: whatever comes, nothing raises, all of it ends, and the cut does not matter."""

from fuzz_strategies import SIZES, WHOLE, chunks, fuzz, mutations
from hypothesis import given
from hypothesis import strategies as st
from playbook import respond
from playbook_http2 import (
    GET,
    POST,
    PREFACE,
    connect_http2,
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

from tricorn.protocol.events import (
    DataReceived,
    PeerFault,
    RequestReceived,
    StreamEnded,
    StreamReset,
)

NOISE = st.binary(max_size=9)
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
ORDERED = st.lists(exchanges(), max_size=5, unique_by=lambda frames: frames[5:9]).map(
    lambda found: b"".join(sorted(found, key=lambda frames: frames[5:9]))
)
ANYTHING = st.lists(st.one_of(exchanges(), OTHERS), max_size=10).map(b"".join)


class Story:
    """What a connection made of its bytes.

    Requests are answered as they end, or, where the cut must not matter, behind all input:
    what is an error may depend on whether the answer is out already.
    """

    def __init__(self, received, sizes, *, at_once=True, **options):
        self.connection = connection = connect_http2(**options)()
        self.at_once = at_once
        self.later = []
        self.streams = {}
        self.failed = False
        self.rounds = 0
        for piece in chunks(PREFACE + settings() + received, sizes):
            self.take(connection.receive_data(piece))
        self.in_order = [dict(self.streams), connection.closing]
        self.at_once = True
        for request in self.later:
            self.begin(*request)
        self.take([])
        connection.drain()
        for now in range(0, 400, 20):
            self.take(connection.handle_timeout(now))
        self.take(connection.receive_eof())
        assert connection.closing
        assert connection.idle

    def take(self, events):
        connection = self.connection
        while True:
            self.rounds += 1
            assert self.rounds < 100_000
            for event in events:
                self.one(event)
            while connection.data_to_send():
                self.rounds += 1
                assert self.rounds < 100_000
            if not connection.has_events:
                return
            events = connection.take_events()

    def one(self, event):
        stream_id = event.stream_id
        connection = self.connection
        if type(event) is PeerFault:
            self.failed = self.failed or stream_id == 0
            self.streams[stream_id] = "fault"
            return
        if type(event) is RequestReceived:
            self.streams[stream_id] = [event.method, event.target, event.headers]
            self.begin(stream_id, "upgrade" if event.protocol else "push")
            if event.end_stream:
                self.begin(stream_id, "answer")
        elif type(event) is DataReceived:
            connection.consumed(stream_id, len(event.data))
            self.add(stream_id, event.data)
        elif type(event) is StreamReset:
            connection.released(stream_id)
            self.streams[stream_id] = "reset"
        else:
            self.add(stream_id, type(event).__name__)
            if type(event) is StreamEnded:
                self.begin(stream_id, "answer")

    def begin(self, stream_id, what):
        if not self.at_once:
            self.later.append((stream_id, what))
        elif what == "answer":
            respond(stream_id, body=b"x" * 100)(self.connection)
            self.connection.released(stream_id)
        elif what == "upgrade":
            self.connection.upgrade(stream_id, 200, [])
        else:
            self.connection.push(stream_id, b"/pushed%d" % stream_id, [])

    def add(self, stream_id, part):
        found = self.streams[stream_id]
        assert isinstance(found, list), f"{part!r} behind {found}"
        if isinstance(part, bytes) and isinstance(found[-1], bytes):
            found[-1] += part
        else:
            found.append(part)


def same_in_any_cut(received, sizes):
    whole = Story(received, WHOLE, at_once=False)
    cut = Story(received, sizes, at_once=False)
    assert cut.failed == whole.failed
    if not whole.failed:
        assert cut.in_order == whole.in_order
    return whole


@fuzz
@given(ORDERED, SIZES)
def test_whole_requests_are_read_the_same_in_any_cut(received, sizes):
    assert not same_in_any_cut(received, sizes).failed


@fuzz
@given(ANYTHING, SIZES)
def test_frames_in_any_order_are_read_the_same_in_any_cut(received, sizes):
    same_in_any_cut(received, sizes)
    Story(received, sizes)


@fuzz
@given(mutations(ANYTHING, SPECIAL), SIZES)
def test_mutated_frames_are_read_the_same_in_any_cut(received, sizes):
    same_in_any_cut(received, sizes)
    Story(received, sizes)


@fuzz
@given(mutations(ANYTHING, SPECIAL), SIZES)
def test_small_limits_never_raise(received, sizes):
    options = {"h2_max_concurrent_streams": 1, "h2_max_resets": 1, "h2_max_glitches": 3,
               "h2_max_continuation_frames": 1, "h2_max_output_control": 1, "max_header_count": 1,
               "h2_stream_window_size": 1024, "h2_connection_window_size": 65535,
               "keep_alive_max_requests": 2, "h2_max_pushes": 1}  # fmt: skip
    Story(received, sizes, **options)


@fuzz
@given(st.binary(max_size=200), SIZES)
def test_noise_never_raises(noise, sizes):
    Story(noise, sizes)


CALLS = st.sampled_from(
    [
        ("send_informational", 103, []),
        ("send_headers", 200, [], False),
        ("send_headers", 204, [], True),
        ("send_data", b"hi", False),
        ("send_data", b"", True),
        ("send_trailers", [(b"a", b"b")]),
        ("push", b"/a", []),
        ("push", b"/b", []),
        ("upgrade", 200, []),
        ("reset", 2),
        ("consumed", 0),
        ("released",),
        ("buffered",),
    ]
)


@fuzz
@given(ANYTHING, st.lists(st.tuples(st.integers(0, 7), CALLS, st.integers(0, 80))))
def test_calls_in_any_order_never_raise(received, calls):
    connection = connect_http2()()
    received = PREFACE + settings() + received
    for now, (stream_id, (name, *arguments), size) in enumerate(calls):
        piece, received = received[:size], received[size:]
        connection.receive_data(piece)
        getattr(connection, name)(stream_id, *arguments)
        if connection.has_events:
            connection.take_events()
        connection.data_to_send()
        connection.handle_timeout(now * 10)
        assert connection.wants_data in (True, False)
        assert repr(connection)
    connection.drain()
    connection.receive_eof()
