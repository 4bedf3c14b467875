"""HTTP/1.1: whatever comes, nothing raises, all of it ends, and the cut does not matter."""

from fuzz_strategies import SIZES, WHOLE, chunks, fuzz, mutations
from hypothesis import assume, given
from hypothesis import strategies as st
from playbook import Tick, http1, respond

from tricorn.protocol.events import (
    DataReceived,
    PeerFault,
    PeerHalfClosed,
    RequestReceived,
    StreamEnded,
    StreamReset,
)

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


CONVERSATIONS = st.lists(requests(), min_size=1, max_size=3).map(b"".join)


class Story:
    """What a connection made of its bytes, as far as the cut must not matter.

    Every request is answered as soon as it is complete.
    """

    def __init__(self, data, sizes, **options):
        self.connection = http1(**options)()
        self.streams = {}
        self.faults = 0
        self.output = b""
        self.rounds = 0
        for piece in chunks(data, sizes):
            self.take(self.connection.receive_data(piece))
        self.take(self.connection.receive_eof())
        for now in range(0, 400, 20):
            self.take(self.connection.handle_timeout(now))

    def take(self, events):
        while True:
            self.rounds += 1
            assert self.rounds < 10_000
            for event in events:
                self.one(event)
            while buffers := self.connection.data_to_send():
                self.output += b"".join(map(bytes, buffers))
            if not self.connection.has_events:
                return
            events = self.connection.take_events()

    def one(self, event):
        stream_id = event.stream_id
        match event:
            case PeerFault():
                self.faults += 1
            case RequestReceived():
                assert stream_id == len(self.streams) + 1
                told = (event.method, event.target, event.headers, event.protocol)
                self.streams[stream_id] = [told, b"", ""]
                if event.end_stream or event.protocol:
                    respond(stream_id)(self.connection)
            case DataReceived():
                self.streams[stream_id][1] += event.data
                self.connection.consumed(stream_id, len(event.data))
            case StreamEnded():
                self.streams[stream_id][2] += "ended"
                respond(stream_id)(self.connection)
            case StreamReset():
                # How much of a broken body came before the fault depends on the cut.
                self.streams[stream_id][1:] = [b"", "reset"]
            case PeerHalfClosed():
                pass
            case _:
                self.streams.setdefault(stream_id, [None, b"", ""])[2] += repr(event)

    def told(self):
        return self.streams, min(self.faults, 1), self.output.count(b"HTTP/1.1 200 OK\r\n")


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
    options = {"h11_max_incomplete_size": 1024, "max_request_target_size": 64,
               "max_header_count": 2, "max_chunk_overhead": 20, "h2c_upgrade": True,
               "request_buffer_size": 10, "keep_alive_max_requests": 2}  # fmt: skip
    Story(data, sizes, **options)


@fuzz
@given(st.binary(max_size=300), SIZES)
def test_noise_never_raises(data, sizes):
    assert Story(data, sizes).connection.closing


CALLS = st.sampled_from(
    [
        ("send_informational", 103, [(b"link", b"</a>")]),
        ("send_informational", 100, []),
        ("send_headers", 200, [], False),
        ("send_headers", 200, [(b"content-length", b"2")], False),
        ("send_headers", 204, [], True),
        ("send_data", b"hi", False),
        ("send_data", b"", True),
        ("send_trailers", [(b"a", b"b")]),
        ("push", b"/a", []),
        ("upgrade", 101, []),
        ("reset", 2),
        ("consumed", 0),
        ("released",),
        ("buffered",),
    ]
)


@fuzz
@given(CONVERSATIONS, st.lists(st.tuples(st.integers(0, 3), CALLS, st.integers(0, 80))))
def test_calls_in_any_order_never_raise(data, calls):
    connection = http1()()
    now = 0
    for stream_id, (name, *arguments), size in calls:
        piece, data = data[:size], data[size:]
        connection.receive_data(piece)
        getattr(connection, name)(stream_id, *arguments)
        connection.data_to_send()
        if connection.has_events:
            connection.take_events()
        connection.handle_timeout(Tick(now).now)
        assert connection.wants_data in (True, False)
        assert repr(connection)
        now += size
    connection.drain()
    connection.receive_eof()
