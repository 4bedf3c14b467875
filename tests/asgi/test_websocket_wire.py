"""The wire of a WebSocket: what waits for the application's queue, and how it all ends."""

import random
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import pytest
from asgi_host import HTTP2Host, http1_host, receive, request, send
from playbook_http2 import data, headers, reset, window

from helpers.codecs import present
from tricorn.exceptions import ClientDisconnected
from tricorn.io.ending import Ending

FIELDS = (
    b"connection: upgrade",
    b"upgrade: websocket",
    b"sec-websocket-version: 13",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
)
CONNECT = [
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"),
    (b":path", b"/"), (b":authority", b"a"), (b"sec-websocket-version", b"13"),
]  # fmt: skip
DEFLATE = b"permessage-deflate; client_no_context_takeover"


def frame(opcode, payload=b"", first=0x80):
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack("!H", size)
    return bytes([first | opcode]) + length + bytes(4) + payload


def close_frame(code):
    return frame(8, struct.pack("!H", code))


class HTTP1Peer:
    """A WebSocket over HTTP/1.1 that is accepted, and its peer."""

    def __init__(self, deflate=False, **options):
        extensions = (b"sec-websocket-extensions: " + DEFLATE,) if deflate else ()
        self.host = http1_host(request(b"GET", *FIELDS, *extensions), **options)
        self.stream = self.host.streams[1]

    def send(self, wire):
        self.host.receive(wire)

    def end(self):
        """End the stream, and read on."""
        self.host.dispatch(self.host.http.receive_eof())
        self.host.flush()


class HTTP2Peer:
    """The same over HTTP/2."""

    def __init__(self, deflate=False, **options):
        extensions = [(b"sec-websocket-extensions", DEFLATE)] if deflate else []
        self.host = HTTP2Host(**options)
        self.host.receive(headers(1, CONNECT + extensions, end=False))
        self.stream = self.host.streams[1]

    def send(self, wire):
        for start in range(0, len(wire), 16384):
            self.host.receive(data(1, wire[start : start + 16384]))

    def end(self):
        self.host.receive(data(1, b"", end=True))


@pytest.fixture(params=[HTTP1Peer, HTTP2Peer])
def peer(request):
    return request.param


@pytest.fixture(params=present("websocket"))
def codec(request):
    return request.param


def accepted(peer, **options):
    """An accepted WebSocket's peer; the application was told of its connect."""
    made = peer(**options)
    receive(made.stream)
    send(made.stream, type="websocket.accept")
    made.host.taken()
    return made


def deflated(payload):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


ROOM = 1000
# Three, each more than is parsed at a time.
MESSAGES = frame(2, bytes(20_000)) * 3


def test_what_comes_two_bytes_at_a_time_takes_little_more_memory(codec):
    made = HTTP2Peer(websocket_codec=codec)  # nothing is parsed before it is accepted
    wire = frame(2, bytes(60_000))
    pieces = [wire[start : start + 2] for start in range(0, len(wire), 2)]
    tracemalloc.start()
    try:
        for start in range(0, len(pieces), 300):
            made.host.receive(b"".join(data(1, piece) for piece in pieces[start : start + 300]))
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 2 * len(wire)
    receive(made.stream)
    send(made.stream, type="websocket.accept")
    assert receive(made.stream)["bytes"] == bytes(60_000)


class TestTheEndOfTheStream:
    """What the peer sent before it is parsed as the queue has room."""

    # More than one slice of what is inflated at a time.
    MESSAGE = random.Random(7).randbytes(17_000) + bytes(2**20)

    def test_it_inflates_no_more_than_the_queue_takes(self, peer, codec):
        options = {"websocket_max_queue_size": ROOM, "websocket_codec": codec}
        made = accepted(peer, deflate=True, **options)
        stream, count = made.stream, 12
        made.send(frame(2, deflated(self.MESSAGE), 0xC0) * count)
        held = stream._queued
        assert len(self.MESSAGE) < held < ROOM + len(self.MESSAGE)
        made.end()
        for _ in range(count):
            assert stream._queued <= held
            assert receive(stream)["bytes"] == self.MESSAGE
        assert receive(stream)["code"] == 1006

    @pytest.mark.parametrize("code", [1001, None])
    @pytest.mark.parametrize("lost", [False, True])
    def test_what_came_before_it_is_told_in_order(self, peer, codec, code, lost):
        made = accepted(peer, websocket_max_queue_size=ROOM, websocket_codec=codec)
        texts = [f"{number:0600}" for number in range(20)]
        made.send(b"".join(frame(1, text.encode()) for text in texts))
        if code is not None:
            made.send(close_frame(code))
        made.end()
        if lost:
            made.host.leave()
        assert made.stream.abandoned
        assert [receive(made.stream)["text"] for _ in texts] == texts
        message = receive(made.stream)
        assert (message["type"], message["code"]) == ("websocket.disconnect", code or 1006)
        assert made.stream.complete
        assert made.host.logged == [made.stream]
        assert made.stream.close_code == (code or 1006)

    def test_messages_before_it_are_answered(self, peer):
        made = accepted(peer, websocket_max_queue_size=ROOM)
        made.send(MESSAGES + close_frame(1000))
        made.end()
        receive(made.stream)
        send(made.stream, type="websocket.send", text="first")
        receive(made.stream)
        receive(made.stream)
        with pytest.raises(ClientDisconnected):
            send(made.stream, type="websocket.send", text="last")
        output = made.host.taken()
        assert b"\x81\x05first" in output
        assert b"\x88\x02" + struct.pack("!H", 1000) in output
        assert b"last" not in output

    def test_a_lost_connection_takes_no_answers(self, peer):
        made = accepted(peer, websocket_max_queue_size=ROOM)
        made.send(MESSAGES)
        made.end()
        made.host.leave()
        receive(made.stream)
        with pytest.raises(ClientDisconnected):
            send(made.stream, type="websocket.send", text="hi")

    @pytest.mark.parametrize("lost", [False, True])
    def test_what_the_application_does_not_take_ends_with_it(self, peer, lost):
        made = accepted(peer, websocket_max_queue_size=ROOM)
        made.send(MESSAGES)
        made.end()
        if lost:
            made.host.leave()
        assert not made.stream.complete
        made.stream.finished(None)
        assert made.stream.complete
        assert made.host.logged == [made.stream]

    def test_what_a_reset_cuts_off_is_dropped(self):
        made = accepted(HTTP2Peer, websocket_max_queue_size=ROOM)
        made.send(MESSAGES)
        made.host.receive(reset(1))
        assert made.stream.complete
        assert receive(made.stream)["type"] == "websocket.receive"
        assert receive(made.stream)["code"] == 1006

    def test_an_application_that_goes_on_is_cancelled_once(self, peer):
        """However often it is told that its peer has ended."""
        made = accepted(peer, websocket_max_queue_size=ROOM)
        made.send(MESSAGES)
        made.end()
        cancelled = []
        made.stream.task = SimpleNamespace(cancel=lambda: cancelled.append(now))
        ending = Ending(made.host.worker.counters)
        for now in range(10):
            ending.left(1)
            ending.tick(now, 1.0, made.host.streams)
        assert cancelled == [1]


BEGIN = {
    "the application's close": lambda stream: send(stream, type="websocket.close", code=1012),
    "its end": lambda stream: stream.finished(None),
    "shutdown": lambda stream: stream.shutdown(),
}


class TestOurCloseFrame:
    """The peer's is looked for behind whatever the application has not taken."""

    @pytest.mark.parametrize("begin", BEGIN.values(), ids=BEGIN)
    @pytest.mark.parametrize("waits", [False, True])
    def test_the_answer_is_read_though_the_queue_is_full(self, peer, codec, begin, waits):
        made = accepted(peer, websocket_max_queue_size=ROOM, websocket_codec=codec)
        made.send(MESSAGES)
        if waits:
            made.send(close_frame(1012))
        begin(made.stream)
        assert made.host.taken()
        if not waits:
            assert not made.stream.complete
            made.send(MESSAGES + close_frame(1012))
        assert made.stream.complete
        assert made.stream.close_code == 1012
        for now in range(20):
            made.stream.tick(now)
        assert made.host.faults == []

    def test_messages_before_it_are_still_told(self, peer):
        made = accepted(peer, websocket_max_queue_size=ROOM)
        made.send(MESSAGES)
        made.stream.shutdown()
        made.send(close_frame(1012))
        assert receive(made.stream)["type"] == "websocket.receive"
        assert receive(made.stream)["code"] == 1012

    def test_reading_goes_on_behind_it(self):
        made = accepted(HTTP1Peer, websocket_max_queue_size=ROOM, request_buffer_size=ROOM)
        made.send(MESSAGES)
        assert not made.host.http.wants_data
        made.stream.shutdown()
        assert made.host.http.wants_data


def deny_half(made):
    kind = "websocket.http.response"
    send(made.stream, type=f"{kind}.start", status=401, headers=[])
    send(made.stream, type=f"{kind}.body", body=b"no", more_body=True)


def accept(made):
    send(made.stream, type="websocket.accept")


def close(made):
    accept(made)
    send(made.stream, type="websocket.close", code=3000)


# What the application has done, what the peer does then; status, disconnected and close code.
LOGGED = {
    "leaves before the accept": (None, lambda made: made.host.leave(), (None, True, 1006)),
    "ends before the accept": (None, lambda made: made.end(), (None, True, 1006)),
    "leaves half a denial": (deny_half, lambda made: made.host.leave(), (401, True, 1006)),
    "leaves": (accept, lambda made: made.host.leave(), (200, True, 1006)),
    "ends": (accept, lambda made: made.end(), (200, True, 1006)),
    "closes": (accept, lambda made: made.send(close_frame(1001)), (200, False, 1001)),
    "breaks a rule": (accept, lambda made: made.send(frame(7)), (200, False, 1002)),
    "leaves our close unanswered": (close, lambda made: made.host.leave(), (200, True, 1006)),
    "answers our close": (close, lambda made: made.send(close_frame(3000)), (200, False, 3000)),
}


@pytest.mark.parametrize(("before", "then", "expected"), LOGGED.values(), ids=LOGGED)
def test_the_access_log_tells_of_a_peer_that_left(peer, before, then, expected):
    made = peer()
    told = []

    def log(stream):
        told.append((stream.status, stream.disconnected, stream.close_code))

    made.stream._access_log = log
    if before is not None:
        before(made)
    then(made)
    status, *rest = expected
    if status == 200 and peer is HTTP1Peer:
        status = 101
    assert told == [(status, *rest)]


PING = {"websocket_ping_interval": 2, "websocket_ping_timeout": 2}
WINDOW = {"h2_connection_window_size": 65536, "h2_stream_window_size": 65536}
POST = [(b":method", b"POST"), *CONNECT[2:5]]


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_a_peer_without_a_window_has_nothing_to_answer_in(closes, given):
    """Another exchange, which nobody reads, has used it up."""
    made = accepted(HTTP2Peer, websocket_close_timeout=2, **PING, **WINDOW)
    if closes:
        made.stream.shutdown()
    made.host.receive(headers(3, POST, end=False))
    for _ in range(4 - given):
        made.host.receive(data(3, bytes(16200)))
    for now in range(10):
        made.stream.tick(now)
    assert made.stream.complete is given
    assert len(made.host.faults) == given
    if not given:
        receive(made.host.streams[3])
        for now in range(10, 20):
            made.stream.tick(now)
        assert made.stream.complete


def test_a_peer_in_the_middle_of_an_http2_frame_is_not_silent():
    """As one with a slow link is, while it sends a large message."""
    made = accepted(HTTP2Peer, **PING)
    wire = data(1, frame(2, bytes(1000)))
    for now in range(50):
        made.host.receive(wire[10 * now : 10 * now + 10])
        made.stream.tick(now)
    for now in range(50, 53):
        assert not made.stream.complete
        made.stream.tick(now)
    made.stream.tick(53)
    assert made.stream.complete
    assert [fault.limit for fault in made.host.faults] == ["websocket_ping_timeout"]


@pytest.mark.parametrize("closes", [False, True])
def test_the_frame_to_be_answered_lies_behind_other_streams(closes):
    """They keep the wire full; the peer takes as much of them as they send."""
    made = accepted(HTTP2Peer, websocket_close_timeout=2, **PING)
    host, piece = made.host, bytes(10_000)
    host.in_flight = 50 * len(piece)
    host.receive(headers(3, [(b":method", b"GET"), *CONNECT[2:5]]))
    host.receive(window(0, 2**30) + window(3, 2**30))
    send(host.streams[3], type="http.response.start", status=200)
    if closes:
        made.stream.shutdown()
    for now in range(45):
        made.stream.tick(now)
        send(host.streams[3], type="http.response.body", body=piece, more_body=True)
        assert not made.stream.complete
    for now in range(45, 60):
        made.stream.tick(now)
    assert made.stream.complete
