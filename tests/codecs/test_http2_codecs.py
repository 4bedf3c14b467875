"""The HTTP/2 slot, in the terms of codecs.base, by every codec there is."""

import base64
import time

import hpack
import pytest
from playbook_http2 import (
    GET,
    PREFACE,
    SETTINGS_ACK,
    continuation,
    data,
    goaway,
    headers,
    ping,
    priority,
    priority_update,
    raw,
    read_frames,
    reset,
    settings,
    window,
)

from helpers.codecs import present
from tricorn.codecs import choice
from tricorn.codecs.base import (
    CodecFailed,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    HTTP2Settings,
    PriorityUpdateFrame,
    ResetFrame,
    SettingsReceived,
)
from tricorn.codecs.send_buffer import SendBuffer
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol.scheduler import PriorityDispatcher

LIMITS = HTTP2Settings(
    max_concurrent_streams=10, stream_window=65536, connection_window=131072,
    max_frame_size=16384, max_header_list_size=65536, max_continuation_frames=3,
)  # fmt: skip


@pytest.fixture(params=present("http2"))
def fresh(request):
    """A codec on which nothing was called."""
    return choice.http2(request.param)(LIMITS, PriorityDispatcher())


@pytest.fixture
def codec(fresh):
    codec = fresh
    codec.initiate()
    codec.receive_data(PREFACE + settings() + SETTINGS_ACK)
    codec.data_to_send(0)
    codec.glitches = 0
    return codec


def kinds(codec, limit=1 << 20):
    frames = read_frames(b"".join(codec.data_to_send(limit)), hpack.Decoder())
    return [frame[:2] for frame in frames]


def test_a_request_in_its_parts(codec):
    events = codec.receive_data(headers(1, end=False) + data(1, b"x", padding=4) + reset(1, 8))
    head, body, end = events
    assert (type(head), head.stream_id, head.headers) == (HeadersFrame, 1, GET)
    assert body == DataFrame(1, b"x", 6, False)
    assert end == ResetFrame(1, 8, local=False)


def test_own_frames_keep_their_order(codec):
    update = priority_update(3, b"u=1")
    wire = headers(1) + goaway(0, 2) + headers(3) + update + headers(5)
    events = codec.receive_data(wire)
    while codec.has_more:
        events += codec.receive_data(b"")
    told = [type(event) for event in events]
    assert told == [HeadersFrame, GoAwayFrame, HeadersFrame, PriorityUpdateFrame, HeadersFrame]
    assert events[1] == GoAwayFrame(0, 2)
    assert events[3] == PriorityUpdateFrame(b"\0\0\0\3u=1")


def test_a_flood_is_counted_before_it_is_paid_for(codec):
    wire = b"".join(headers(n) + reset(n, 8) for n in range(1, 201, 2)) + ping(b"12345678") * 500
    codec.receive_data(b"")
    events = codec.receive_data(wire)
    assert len(events) < 50
    assert codec.has_more
    assert codec.glitches >= 500
    while codec.has_more:
        events += codec.receive_data(b"")
    assert len(events) == 200


def test_streams_over_the_announced_limit_are_left_to_the_policy(codec):
    events = codec.receive_data(b"".join(headers(n) for n in range(1, 41, 2)))
    assert [event.stream_id for event in events] == list(range(1, 41, 2))


def test_mid_frame_tells_a_peer_that_stops(fresh):
    codec = fresh
    codec.initiate()
    assert codec.mid_frame
    codec.receive_data(PREFACE + settings())
    assert not codec.mid_frame
    codec.receive_data(headers(1)[:5])
    assert codec.mid_frame
    codec.receive_data(headers(1)[5:])
    assert not codec.mid_frame
    codec.receive_data(headers(3, whole=False))
    assert codec.mid_frame
    codec.receive_data(continuation(3, whole=True))
    assert not codec.mid_frame


def test_what_has_come_of_a_data_frame_is_told(fresh):
    fresh.initiate()
    assert fresh.partial_data() == (0, 0)
    fresh.receive_data(PREFACE[:12])
    assert fresh.partial_data() == (0, 0)
    fresh.receive_data(PREFACE[12:] + settings() + headers(3, end=False)[:12])
    assert fresh.partial_data() == (0, 0)
    frame = data(3, bytes(1000), padding=9)
    fresh.receive_data(headers(3, end=False)[12:] + frame[:9])
    assert fresh.partial_data() == (0, 0)
    fresh.receive_data(frame[9:10])
    assert fresh.partial_data() == (3, 1)
    assert fresh.receive_data(frame[10:509]) == []
    assert fresh.partial_data() == (3, 500)
    (event,) = fresh.receive_data(frame[509:] + frame[:19])
    assert event == DataFrame(3, bytes(1000), 1010, False)
    assert fresh.partial_data() == (3, 10)
    fresh.receive_data(frame[19:])
    assert fresh.partial_data() == (0, 0)
    fresh.receive_data(b"\xff\xff\xff" + frame[3:30])
    fresh.partial_data()  # whatever it says behind the end
    fresh.end_input()


@pytest.mark.parametrize("name", present("http2"))
def test_a_large_frame_in_many_reads_is_joined_once(name):
    size = 2**24 - 1
    codec = choice.http2(name)(
        HTTP2Settings(10, 65536, 131072, size, 65536, 3), PriorityDispatcher()
    )
    codec.initiate()
    codec.receive_data(PREFACE + settings() + SETTINGS_ACK)
    codec.glitches = 0
    frames = memoryview(raw(0xF1, 0, 0, bytes(size)) + headers(1))
    begun = time.process_time()
    events = [codec.receive_data(bytes(frames[at : at + 2048])) for at in range(0, size, 2048)]
    assert time.process_time() - begun < 3  # joined at each read it takes minutes
    assert not any(events)
    assert codec.mid_frame
    (event,) = codec.receive_data(bytes(frames[8192 * 2048 :]))
    assert event == HeadersFrame(1, GET, True)
    assert codec.glitches == 1
    assert not codec.mid_frame


@pytest.mark.parametrize(
    ("frame", "cost"),
    [
        (ping(), 1),
        (settings(), 1),
        (settings(dict.fromkeys(range(100, 140), 1)), 41),
        (window(0, 1), 1),
        (raw(0xF1, 0, 0), 1),
        (data(1), 1),
        (data(1, padding=9), 1),
        (data(1, b"x", padding=9), 0),
        (data(1, end=True), 0),
        (priority_update(1, b"u=1"), 1),
        (priority(1, 0), 1),
        (reset(1), 1),
        (goaway(), 1),
    ],
)
def test_frames_without_use_are_counted(codec, frame, cost):
    codec.receive_data(headers(1, end=False))
    codec.receive_data(frame)
    assert codec.glitches == cost


def test_header_blocks_are_of_use_but_for_a_stream_that_was_reset(codec):
    codec.receive_data(headers(1, end=False, whole=False))
    codec.receive_data(continuation(1))
    codec.receive_data(continuation(1, whole=True) + headers(1, [(b"a", b"b")]))
    codec.receive_data(headers(3, end=False))
    assert codec.glitches == 0
    codec.reset(3, 8)
    codec.receive_data(headers(3, whole=False) + continuation(3, whole=True) + headers(3))
    assert codec.glitches == 2


@pytest.mark.parametrize("second", [0, 7])
def test_no_rfc7540_priorities_may_not_change_its_meaning(fresh, second):
    fresh.initiate()
    assert fresh.receive_data(PREFACE + settings({0x9: 1})) == [SettingsReceived(True)]
    if second == 0 and fresh.name == "h2":
        return  # which takes it, as if it had never been 1
    *_, event = fresh.receive_data(settings({0x9: second}))
    assert type(event) is CodecFailed


@pytest.mark.parametrize(
    ("told", "updates"),
    [
        ([320], [320]),
        ([320, 320], [320]),  # repeated before it could be told
        ([100, 200], [100, 200]),
        ([2000, 64], [64]),  # the larger one is taken back
        ([300, 10, 2000, 1000], [10, 1000]),
        ([100000, 0], [0]),
        ([100000], []),  # no more than we use anyway
    ],
)
def test_the_smallest_and_the_last_table_size_are_told(codec, told, updates):
    # RFC 7541 section 4.2, whatever number of SETTINGS frames came since the last header block.
    for size in told:
        codec.receive_data(settings({1: size}))
    codec.receive_data(headers(1))
    codec.data_to_send(1 << 20)
    assert table_sizes_told(codec, min(told[-1], 4096)) == updates


@pytest.mark.parametrize("size", [5000, 2**32 - 1])
def test_an_upgrade_leaves_the_table_as_large_as_we_want(fresh, size):
    fresh.initiate_upgrade(base64.urlsafe_b64encode(settings({1: size})[9:]).rstrip(b"="))
    fresh.data_to_send(1 << 20)
    assert table_sizes_told(fresh, 4096) == []


def table_sizes_told(codec, most):
    """The sizes but the usual one that a response on stream 1 gives its reader's table."""
    codec.send_headers(1, [(b":status", b"200"), (b"a", b"b")], True)
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = most
    seen = []
    decode, decoder._update_encoding_context = decoder._update_encoding_context, None

    def note(data):
        size = decode(data)
        seen.append(decoder.header_table_size)
        return size

    decoder._update_encoding_context = note
    frames = read_frames(b"".join(codec.data_to_send(1 << 20)), decoder)
    assert frames == [("HEADERS", 1, [(b":status", b"200"), (b"a", b"b")], True)]
    return [size for size in seen if size != 4096]


def test_altsvc_of_a_client_is_ignored(codec):
    # RFC 7838 section 4. h2 would take itself for a client behind it, and refuse to push.
    assert codec.receive_data(raw(10, 0, 0, bytes(8)) + headers(1)) != []
    assert codec.glitches == 1
    assert codec.push(1, GET) == 2
    failed = codec.receive_data(headers(3, whole=False) + raw(10, 0, 0, bytes(8)))
    assert type(failed[-1]) is CodecFailed


def test_after_a_failure_every_call_is_quiet(codec):
    codec.receive_data(headers(1))
    (failed,) = codec.receive_data(raw(0x6, 0, 0))
    assert type(failed) is CodecFailed
    assert ("GOAWAY", 1) in kinds(codec)
    assert codec.receive_data(headers(3)) == []
    codec.send_headers(1, [(b":status", b"200")], False)
    codec.send_data(1, b"x", True)
    codec.send_trailers(1, [])
    codec.credit(1, 5)
    codec.open_connection_window(1 << 20)
    codec.ping(b"12345678")
    codec.goaway(1, 0)
    codec.reset(1, 2)
    assert codec.data_to_send(1 << 20) == []


def test_data_is_bounded_by_the_limit_of_one_call(codec):
    codec.receive_data(settings({0x4: 1 << 20}) + window(0, 1 << 20) + headers(1))
    codec.send_headers(1, [(b":status", b"200")], False)
    codec.send_data(1, bytes(200_000), True)
    assert codec.buffered(1) == 200_000
    first = sum(map(len, codec.data_to_send(50_000)))
    assert 50_000 <= first < 50_000 + 16384 + 100
    while codec.data_to_send(50_000):
        pass
    assert codec.take_finished() == [1]
    assert codec.take_finished() == []
    assert codec.buffered(1) == 0


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [
        (None, [16384] * 4),
        (16384, [16384] * 4),
        (24576, [24576, 24576, 16384]),
        (60000, [60000, 16384]),
        (65536, [65536]),
        ((1 << 24) - 1, [65536]),
    ],
)
def test_frames_are_as_large_as_the_peer_takes_and_one_write_holds(codec, largest, sizes):
    """SETTINGS_MAX_FRAME_SIZE (RFC 9113 section 6.5.2)."""
    values = {0x4: 1 << 20} if largest is None else {0x4: 1 << 20, 0x5: largest}
    codec.receive_data(settings(values) + window(0, 1 << 20) + headers(1))
    codec.send_headers(1, [(b":status", b"200")], False)
    codec.data_to_send(0)
    body = bytes(range(256)) * 2048
    codec.send_data(1, body, True)
    frames = told(codec, 65536)
    assert [len(frame[2]) for frame in frames] == sizes
    # And again when it has thought better of it.
    codec.receive_data(settings({0x5: 16384}))
    codec.data_to_send(0)
    while piece := told(codec, 65536):
        frames += piece
        assert all(len(frame[2]) <= 16384 for frame in piece)
    assert b"".join(frame[2] for frame in frames) == body
    assert [frame[3] for frame in frames] == [False] * (len(frames) - 1) + [True]


@pytest.mark.parametrize(("largest", "count"), [(16384, 3), (65536, 1)])
def test_a_response_in_one_frame_where_the_peer_takes_it(codec, largest, count):
    codec.receive_data(settings({0x4: 1 << 20, 0x5: largest}) + window(0, 1 << 20) + headers(1))
    codec.data_to_send(65536)
    codec.respond(1, [(b":status", b"200")], bytes(40_000))
    head, *body = told(codec, 65536)
    assert head[0] == "HEADERS"
    assert len(body) == count
    assert b"".join(frame[2] for frame in body) == bytes(40_000)
    assert body[-1][3] is True


def test_pending_counts_what_is_queued(codec):
    assert codec.pending() == (0, 0)
    codec.receive_data(ping() * 3)
    assert codec.pending() == (3 * 17, 0)
    codec.data_to_send(0)
    assert codec.pending() == (0, 0)


def test_pending_tells_responses_from_control_frames(codec):
    codec.receive_data(ping() + b"".join(headers(n) for n in (1, 3, 5, 7, 9)))
    codec.data_to_send(1 << 16)
    codec.receive_data(ping() * 2)
    codec.respond(1, [(b":status", b"200"), (b"a", b"b")], bytes(1000))
    codec.send_headers(3, [(b":status", b"204")], True)
    codec.send_headers(5, [(b":status", b"200")], False)
    codec.send_data(5, bytes(500), True)
    codec.send_headers(7, [(b":status", b"103")], False)
    codec.push(7, GET)
    codec.send_headers(9, [(b":status", b"200")], False)
    codec.send_data(9, bytes(500), False)  # not framed yet
    codec.receive_data(ping())
    codec.goaway(9, 0)
    control, responses = codec.pending()
    assert control == 3 * 17 + 17
    assert control + responses == sum(map(len, codec.data_to_send(0)))
    assert codec.pending() == (0, 0)
    assert [frame[1] for frame in told(codec)] == [9]
    assert codec.pending() == (0, 0)


def told(codec, limit=1 << 20):
    return read_frames(b"".join(codec.data_to_send(limit)), hpack.Decoder())


@pytest.mark.parametrize("size", [0, 1, 16384])
def test_a_response_that_fits_is_framed_whole(codec, size):
    codec.receive_data(headers(1))
    codec.data_to_send(1 << 20)
    assert codec.respond(1, [(b":status", b"200")], bytes(size)) is False
    head, body = told(codec)
    assert head == ("HEADERS", 1, [(b":status", b"200")], False)
    assert body == ("DATA", 1, bytes(size), True)
    assert codec.take_finished() == []  # only what data_to_send frames is told
    assert codec.buffered(1) == 0


@pytest.mark.parametrize("how", ["send_headers", "respond", "send_trailers"])
def test_a_head_is_as_long_as_the_application_wants_it(codec, how):
    # Those that repeat are quickly compressed; the others need a CONTINUATION frame.
    status, long = (b":status", b"200"), [(b"a", b"v" * 3000)] * 400
    long += [(b"a%d" % n, b"v" * 500) for n in range(50)]
    codec.receive_data(headers(1))
    codec.data_to_send(1 << 20)
    if how == "respond":
        codec.respond(1, [status, *long], b"x")
    else:
        codec.send_headers(1, [status] if how == "send_trailers" else [status, *long], False)
        codec.send_data(1, b"x", how == "send_headers")
    if how == "send_trailers":
        codec.send_trailers(1, long)
    frames = in_whole_blocks(b"".join(codec.data_to_send(1 << 22)))
    wanted = [("HEADERS", [status, *long]), ("DATA", b"x")]
    if how == "send_trailers":
        wanted = [("HEADERS", [status]), ("DATA", b"x"), ("HEADERS", long)]
    assert frames == wanted


def in_whole_blocks(output):
    """What these HEADERS, CONTINUATION and DATA frames hold, the first two joined."""
    decoder, found, block = hpack.Decoder(max_header_list_size=1 << 22), [], b""
    while output:
        size, kind, flags = int.from_bytes(output[:3], "big"), output[3], output[4]
        payload, output = output[9 : 9 + size], output[9 + size :]
        if kind == 0x0:
            found.append(("DATA", payload))
            continue
        assert kind == (0x9 if block else 0x1)
        block += payload
        if flags & 0x4:
            fields = [tuple(field) for field in decoder.decode(block, raw=True)]
            found.append(("HEADERS", fields))
            block = b""
    return found


@pytest.mark.parametrize("values", [{0x4: 99}, {0x4: 0}])
def test_a_response_that_does_not_fit_waits(codec, values):
    codec.receive_data(settings(values) + headers(1))
    codec.data_to_send(1 << 20)
    assert codec.respond(1, [(b":status", b"200")], bytes(100)) is True
    assert told(codec)[0] == ("HEADERS", 1, [(b":status", b"200")], False)
    assert codec.buffered(1) == 100 - values[0x4]
    codec.receive_data(window(1, 100))
    assert told(codec)[-1][3] is True
    assert codec.take_finished() == [1]


def test_a_response_waits_behind_one_that_waits(codec):
    codec.receive_data(headers(1) + headers(3))
    codec.data_to_send(1 << 20)
    assert codec.respond(1, [(b":status", b"200")], bytes(60_000)) is True
    assert codec.respond(3, [(b":status", b"200")], b"x") is True
    assert [frame[:2] for frame in told(codec)][:2] == [("HEADERS", 1), ("HEADERS", 3)]
    assert sorted(codec.take_finished()) == [1, 3]


def test_a_response_behind_an_informational_one(codec):
    codec.receive_data(headers(1))
    codec.data_to_send(1 << 20)
    codec.send_headers(1, [(b":status", b"103")], False)
    assert codec.respond(1, [(b":status", b"200")], b"x") is False
    assert [frame[:2] for frame in told(codec)] == [("HEADERS", 1), ("HEADERS", 1), ("DATA", 1)]


def test_a_response_on_a_push_is_one_like_others(codec):
    codec.receive_data(settings({0x3: 1}) + headers(1))
    codec.data_to_send(1 << 20)
    assert codec.push(1, GET) == 2
    assert codec.respond(2, [(b":status", b"200")], b"pushed") is False
    assert codec.respond(1, [(b":status", b"200")], b"x") is False
    assert told(codec)[1:] == [
        ("HEADERS", 2, [(b":status", b"200")], False),
        ("DATA", 2, b"pushed", True),
        ("HEADERS", 1, [(b":status", b"200")], False),
        ("DATA", 1, b"x", True),
    ]


def test_a_number_is_not_that_many_zeros(codec):
    codec.receive_data(headers(1))
    codec.send_headers(1, [(b":status", b"200")], end_stream=False)
    with pytest.raises(TypeError):
        codec.send_data(1, 5, end_stream=False)


def test_a_codec_that_says_it_is_quiet_is(codec):
    tells = codec.name == "nghttp2"
    for stream_id in (1, 3):
        codec.receive_data(headers(stream_id))
        assert codec.quiet() is tells
        codec.respond(stream_id, [(b":status", b"200")], b"x")
        assert not codec.quiet()
        codec.data_to_send(1 << 20)
    codec.receive_data(headers(5, end=False))
    assert codec.quiet() is tells
    for frame in (data(5, b"x"), ping(), window(0, 1), window(5, 1), settings()):
        codec.receive_data(frame)
        assert not codec.quiet()
        codec.data_to_send(1 << 20)
        codec.glitches = 0
        codec.open_connection_window(LIMITS.connection_window)
        assert codec.quiet() is tells
    codec.receive_data(b"".join(headers(n) for n in range(7, 207, 2)))
    assert codec.has_more
    assert not codec.quiet()
    codec.receive_data(raw(0x6, 0, 0))
    while codec.has_more:
        codec.receive_data(b"")
    assert not codec.quiet()


def test_calls_on_an_unknown_stream_are_quiet(codec):
    codec.send_headers(9, [(b":status", b"200")], True)
    codec.send_data(9, b"x", True)
    assert codec.respond(9, [(b":status", b"200")], b"x") is False
    codec.send_trailers(9, [])
    codec.reset(9, 2)
    codec.forget(9)
    codec.credit(9, 5)
    assert codec.buffered(9) == 0
    assert codec.data_to_send(1000) == []


@pytest.mark.parametrize("settings", [b"AA", b"A", b"AAT_____"])
def test_malformed_upgrade_settings_are_refused(fresh, settings):
    with pytest.raises(RemoteProtocolError):
        fresh.initiate_upgrade(settings)


class TestSendBuffer:
    def buffer(self, *pieces):
        buffer = SendBuffer()
        for piece in pieces:
            buffer.pieces.append(piece)
            buffer.size += len(piece)
        return buffer

    def test_small_pieces_are_joined_into_one_frame(self):
        buffer = self.buffer(b"ab", b"cd", b"ef", b"gh")
        assert buffer.take(5) == b"abcd"
        assert buffer.take(99) == b"efgh"
        assert buffer.size == 0

    def test_a_large_piece_is_cut(self):
        buffer = self.buffer(b"abcdef", b"gh")
        taken = [bytes(buffer.take(4)) for _ in range(2)]
        assert taken == [b"abcd", b"efgh"]
        assert (buffer.size, len(buffer.pieces)) == (0, 0)

    @pytest.mark.parametrize("room", range(1, 12))
    def test_nothing_is_lost_or_changed_in_order(self, room):
        pieces = [b"a", b"bc", b"defg", b"hijklmn", b"o"]
        buffer, taken = self.buffer(*pieces), []
        while buffer.size:
            taken.append(bytes(buffer.take(room)))
            assert 0 < len(taken[-1]) <= room
            assert buffer.size == sum(map(len, buffer.pieces))
        assert b"".join(taken) == b"".join(pieces)
