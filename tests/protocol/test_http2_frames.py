"""HTTP/2 set-up, frames and errors: RFC 9113 sections 3, 4, 5.4, 6 and 7."""

from itertools import pairwise

import pytest
from playbook import (
    EOF,
    Call,
    Fault,
    Playbook,
    Request,
    State,
    Tick,
    conversation,
    respond,
)
from playbook_http2 import (
    ACK,
    ANY,
    GET,
    POST,
    PREFACE,
    Frames,
    Server,
    block,
    connect_http2,
    continuation,
    data,
    goaway,
    headers,
    http2,
    on_h2,
    ping,
    priority,
    push_promise,
    raw,
    reset,
    settings,
    window,
    window_errors_end_the_connection,
)

from tricorn.config import OPTIONS, Config
from tricorn.config_options import HTTP2
from tricorn.config_values import Kind
from tricorn.protocol.events import DataReceived, PeerFault, StreamEnded, StreamReset
from tricorn.protocol.http2_errors import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
)

pytestmark = pytest.mark.usefixtures("http2_codec")

#: Options of HTTP/2 that are whole numbers.
NUMBERS = [o for o in OPTIONS.values() if o.section == HTTP2 and o.kind in (Kind.COUNT, Kind.SIZE)]
OK = ("HEADERS", 1, [(b":status", b"200"), (b"content-length", b"0")], True)


def fails(data, code, *, last=0, before=(), events=(), **options):
    """A connection error: GOAWAY with this code, then closing."""
    play = http2(**options) >> data
    for event in events:
        play << event
    play << Fault(None, stream_id=0)
    for event in events:
        play << StreamReset(event.attributes["stream_id"])
    return play << Frames(*before, ("GOAWAY", last, code)) << State(closing=True, lingering=True)


class TestRFC9113Section3Starting:
    def test_3_4_the_servers_preface_announces_its_limits(self):
        server = connect_http2(
            h2_max_concurrent_streams=7, h2_stream_window_size=100_000,
            h2_max_inbound_frame_size=20_000, h2_max_header_list_size=5_000,
            h2_connection_window_size=1_000_000,
        )  # fmt: skip
        announced = {0x3: 7, 0x4: 100_000, 0x5: 20_000, 0x6: 5_000, 0x8: 1}
        play = Playbook(server)
        play << Frames(("SETTINGS", announced), ("WINDOW_UPDATE", 0, 1_000_000 - 65_535),
                       windows=True)  # fmt: skip
        play.run()

    @pytest.mark.parametrize("option", NUMBERS, ids=lambda option: option.name)
    def test_options_can_be_what_they_may_be_at_most(self, option):
        """SETTINGS and windows have their width on the wire, and in the codecs."""
        server = Server(**{option.name: int(option.high)})
        assert server.receive(headers(1)) == [Request(1)]

    @conversation
    def test_3_4_the_clients_settings_are_acknowledged(self):
        play = Playbook(connect_http2()) >> PREFACE + settings({0x4: 1}) + settings()
        return play << Frames(("SETTINGS", ANY), ACK, ACK) << State(idle=True, closing=False)

    @pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", PREFACE[:-1] + b"x", b"\x16\x03"])
    @conversation
    def test_3_4_an_invalid_preface_is_a_connection_error(self, data):
        play = Playbook(connect_http2()) >> data << Fault(None)
        return (
            play << Frames(("SETTINGS", ANY), ("GOAWAY", 0, PROTOCOL_ERROR)) << State(closing=True)
        )

    @conversation
    def test_3_4_the_preface_is_not_complete_without_settings(self):
        play = Playbook(connect_http2()) >> PREFACE + ping()
        return play << Fault(None) << Frames(("SETTINGS", ANY), ("GOAWAY", 0, PROTOCOL_ERROR))


class TestRFC9113Section4Frames:
    @conversation
    def test_4_1_unknown_frames_are_ignored(self):
        play = http2() >> raw(0xF1, 0xFF, 1, b"?") + headers(1) + raw(0xF1, 0, 0)
        return play << Request(1) >> respond(1) << Frames(OK)

    @pytest.mark.parametrize("kind", [0, 1, 6, 0xF1])
    @conversation
    def test_4_2_a_frame_over_the_limit_is_refused_from_its_header(self, kind):
        return fails((16385).to_bytes(3, "big") + bytes([kind, 0, 0, 0, 0, 1]), FRAME_SIZE_ERROR)

    @conversation
    def test_4_2_a_frame_at_the_limit_is_taken(self):
        play = http2() >> headers(1, POST, end=False) + data(1, bytes(16384), end=True)
        return play << Request(1) << DataReceived(1, bytes(16384)) << StreamEnded(1)

    @pytest.mark.parametrize(
        "frame",
        [
            raw(0x8, 0, 0, bytes(3)),
            raw(0x6, 0, 0, bytes(7)),
            raw(0x4, 0, 0, bytes(5)),
            raw(0x3, 0, 1, bytes(3)),
            raw(0x7, 0, 0, bytes(7)),
        ],
    )
    @conversation
    def test_4_2_a_frame_of_the_wrong_size_is_a_connection_error(self, frame):
        play = http2() >> headers(1) << Request(1) >> frame << Fault(None) << StreamReset(1)
        return play << Frames(("GOAWAY", 1, FRAME_SIZE_ERROR)) << State(closing=True)

    @conversation
    def test_4_3_a_header_block_that_cannot_be_decoded_is_a_connection_error(self):
        code = PROTOCOL_ERROR if on_h2() else COMPRESSION_ERROR
        return fails(raw(0x1, 0x5, 1, b"\xff\xff\xff\xff\xff"), code, last=ANY)

    @conversation
    def test_4_3_a_header_block_in_pieces_is_joined(self):
        encoded = block(GET)
        play = http2() >> raw(0x1, 0x1, 1, encoded[:3]) + continuation(1, encoded[3:5])
        return play >> continuation(1, encoded[5:], whole=True) << Request(1, end_stream=True)

    @pytest.mark.parametrize(
        "frame",
        [ping(), headers(3), continuation(3), data(1), raw(0xF1, 0, 0), goaway(), settings(),
         raw(0x10, 0, 0, b"\0\0\0\1u=1")],
    )  # fmt: skip
    @conversation
    def test_4_3_nothing_comes_between_the_pieces(self, frame):
        return fails(headers(1, whole=False) + frame, PROTOCOL_ERROR, last=ANY)

    @conversation
    def test_10_5_continuation_frames_are_limited(self):
        flood = headers(1, whole=False) + continuation(1) * 9
        return fails(flood, ENHANCE_YOUR_CALM, last=ANY, h2_max_continuation_frames=8)

    @pytest.mark.parametrize("limit", [0, 1, 8, 63, 64, 200])
    def test_10_5_as_many_continuation_frames_are_taken_as_the_limit_says(self, limit):
        encoded = block([*GET, (b"a", b"b" * 600)])
        cuts = [*range(0, 2 * limit + 1, 2), len(encoded)]
        first, *more = [encoded[start:end] for start, end in pairwise(cuts)]
        frames = [raw(0x1, 0x1 if more else 0x5, 1, first)]
        frames += [continuation(1, piece) for piece in more[:-1]]
        frames += [continuation(1, piece, whole=True) for piece in more[-1:]]
        server = Server(h2_max_continuation_frames=limit)
        (request,) = server.receive(*frames)
        assert request.headers == [(b"host", b"a"), (b"a", b"b" * 600)]
        fault, *_ = server.receive(headers(3, whole=False), *[continuation(3)] * limit)
        assert fault.limit == "h2_max_continuation_frames"
        assert ("GOAWAY", 1, ENHANCE_YOUR_CALM) in server.frames("GOAWAY")

    @conversation
    def test_10_5_1_a_header_list_over_the_limit_is_a_connection_error(self):
        # The block must still be decoded to keep the table; the codec ends the connection.
        fields = [*GET, *[(b"a%d" % n, b"x" * 500) for n in range(3)]]
        return fails(headers(1, fields), ENHANCE_YOUR_CALM, last=ANY, h2_max_header_list_size=1024)


class TestRFC9113Section6Frames:
    @pytest.mark.parametrize(
        "frame",
        [
            raw(0x0, 0, 0, b"x"),
            raw(0x1, 0x5, 0, block(GET)),
            raw(0x2, 0, 0, bytes(5)),
            raw(0x3, 0, 0, bytes(4)),
            raw(0x4, 0, 1),
            raw(0x6, 0, 1, bytes(8)),
            raw(0x7, 0, 1, bytes(8)),
            raw(0x9, 0x4, 0, b""),
            raw(0x9, 0x4, 1, b""),
            raw(0x10, 0, 1, bytes(4)),
            push_promise(1, 2),
            raw(0x0, 0x8, 1, b"\x05abc"),
        ],
    )
    @conversation
    def test_6_a_frame_out_of_place_is_a_connection_error(self, frame):
        play = http2() >> headers(1, POST, end=False) << Request(1) >> frame << Fault(None)
        return (
            play << StreamReset(1) << Frames(("GOAWAY", 1, PROTOCOL_ERROR)) << State(closing=True)
        )

    @pytest.mark.parametrize("frame", [data(5), window(5, 1), headers(2)])
    @conversation
    def test_5_1_frames_on_an_idle_stream_are_a_connection_error(self, frame):
        play = http2() >> headers(1) << Request(1) >> frame << Fault(None) << StreamReset(1)
        return play << Frames(("GOAWAY", 1, PROTOCOL_ERROR)) << State(closing=True)

    @conversation
    def test_5_1_1_stream_ids_only_grow(self):
        play = http2() >> headers(5) << Request(5) >> headers(3)
        return play << Fault(None) << StreamReset(5) << Frames(("GOAWAY", 5, ANY))

    @conversation
    def test_6_1_padding_is_not_content(self):
        play = http2() >> headers(1, POST, end=False) + data(1, b"x", end=True, padding=200)
        return play << Request(1) << DataReceived(1, b"x") << StreamEnded(1)

    @pytest.mark.parametrize(
        ("values", "code"),
        [
            ({0x2: 2}, PROTOCOL_ERROR),
            ({0x4: 2**31}, FLOW_CONTROL_ERROR),
            ({0x5: 16383}, PROTOCOL_ERROR),
            ({0x5: 2**24}, PROTOCOL_ERROR),
            ({0x9: 2}, PROTOCOL_ERROR),
        ],
    )
    @conversation
    def test_6_5_2_a_setting_out_of_range_is_a_connection_error(self, values, code):
        play = http2() >> settings(values) << Fault(None)
        # h2 knows nothing of the last one, which is looked at when it is acknowledged.
        return play << Frames(*([ACK] if 0x9 in values and on_h2() else []), ("GOAWAY", 0, code))

    @conversation
    def test_6_5_2_unknown_settings_are_ignored(self):
        return http2() >> settings({0xF1: 1}) << Frames(ACK) << State(closing=False)

    def test_6_5_2_a_huge_compression_table_is_not_used(self):
        # RFC 7541 4.2: the encoder chooses at or below what the peer offers.
        server = Server(client_settings={0x1: 2**32 - 1})
        server.receive(headers(1))
        server.decoder.max_allowed_table_size = 2**32 - 1
        server.connection.send_headers(1, 200, [])
        server.frames()
        assert server.decoder.header_table_size == 4096

    @conversation
    def test_6_7_pings_are_answered(self):
        return http2() >> ping(b"abcdefgh") + ping(ack=True) << Frames(("PING_ACK", b"abcdefgh"))

    @pytest.mark.parametrize("stream_id", [0, 1])
    @conversation
    def test_6_9_a_window_update_of_nothing_is_an_error(self, stream_id):
        play = http2() >> headers(1) << Request(1) >> raw(0x8, 0, stream_id, bytes(4))
        play << Fault(None) << StreamReset(1)
        return play << Frames(("GOAWAY", 1, PROTOCOL_ERROR))

    @conversation
    def test_6_9_1_the_connection_window_does_not_overflow(self):
        return fails(window(0, 2**31 - 1), FLOW_CONTROL_ERROR)

    @conversation
    def test_6_9_1_the_stream_window_does_not_overflow(self):
        play = http2() >> headers(1) << Request(1) >> window(1, 2**31 - 1)
        if not on_h2() and window_errors_end_the_connection():
            play << Fault(None) << StreamReset(1)
            return play << Frames(("GOAWAY", 1, FLOW_CONTROL_ERROR))
        play << StreamReset(1, FLOW_CONTROL_ERROR)
        return play << Frames(("RST_STREAM", 1, FLOW_CONTROL_ERROR)) << State(closing=False)

    @conversation
    def test_5_3_a_stream_that_depends_on_itself_is_refused(self):
        play = http2() >> headers(1) << Request(1) >> priority(1, 1)
        if on_h2():
            return play << Fault(None) << StreamReset(1) << Frames(("GOAWAY", 1, PROTOCOL_ERROR))
        play << StreamReset(1, PROTOCOL_ERROR)
        return play << Frames(("RST_STREAM", 1, PROTOCOL_ERROR)) << State(closing=False)


class TestRFC9113Section5Streams:
    @conversation
    def test_5_1_a_stream_half_closed_by_the_peer_takes_no_data(self):
        play = http2() >> headers(1) << Request(1) >> data(1, b"x")
        play << StreamReset(1, STREAM_CLOSED) << Frames(("RST_STREAM", 1, STREAM_CLOSED))
        return play << State(closing=False)

    @conversation
    def test_5_1_late_frames_for_a_stream_we_reset_are_ignored(self):
        play = http2() >> headers(1, POST, end=False) << Request(1)
        play >> Call("reset", 1, 8) << Frames(("RST_STREAM", 1, 8))
        play >> window(1, 5) + reset(1) + priority(1, 3) << Frames()
        return play << State(closing=False, idle=True)

    @pytest.mark.parametrize("frame", [data(1, b"x"), headers(1)])
    @conversation
    def test_5_1_what_follows_the_peers_own_reset_is_a_stream_error(self, frame):
        play = http2() >> headers(1, POST, end=False) << Request(1)
        play >> reset(1, 8) << StreamReset(1, 8)
        play >> frame << Frames(("RST_STREAM", 1, STREAM_CLOSED)) << State(closing=False)
        return play >> headers(3) << Request(3)

    @pytest.mark.parametrize("frame", [data(1, b"x"), headers(1)])
    @conversation
    def test_5_1_what_follows_the_end_of_a_closed_stream_is_a_connection_error(self, frame):
        play = http2() >> headers(1) << Request(1) >> respond(1) << Frames(OK)
        if on_h2() and frame == data(1, b"x"):
            return play >> frame << Frames(("RST_STREAM", 1, STREAM_CLOSED))
        return play >> frame << Fault(None) << Frames(("GOAWAY", 1, STREAM_CLOSED))

    def test_5_1_late_data_for_a_stream_we_reset_does_not_end_the_connection(self):
        server = Server(h2_max_resets=5)
        server.receive(headers(1, POST, end=False))
        server.connection.reset(1, 8)
        for _ in range(100):
            assert server.receive(data(1, bytes(1000))) == []
        assert not server.connection.closing

    @pytest.mark.parametrize("late", [data(1, b"x"), headers(1, POST)])
    def test_5_1_what_comes_late_for_the_first_of_many_that_we_reset_is_ignored(self, late):
        server = Server()
        for stream_id in range(1, 2401, 2):
            server.receive(headers(stream_id, POST, end=False))
            server.connection.reset(stream_id, 8)
            server.connection.released(stream_id)
            server.frames()
        server.receive(headers(2401))
        assert server.receive(late) == []
        assert not server.connection.closing
        (request,) = server.receive(headers(2403))
        assert request.stream_id == 2403
        # But not without end.
        fault, *_ = server.receive(late * 3000)
        assert fault.limit == "h2_max_glitches"
        assert server.connection.closing

    def test_6_9_data_for_a_stream_we_reset_is_credited_to_the_connection(self):
        server = Server(h2_connection_window_size=65535, h2_stream_window_size=65535)
        credited = 0
        for stream_id in range(1, 41, 2):
            server.receive(headers(stream_id, POST, end=False))
            server.connection.reset(stream_id, 8)
            server.connection.released(stream_id)
            server.receive(data(stream_id, bytes(16384)))
            updates = server.frames("WINDOW_UPDATE")
            credited += sum(frame[2] for frame in updates if frame[1] == 0)
        assert not server.connection.closing
        assert credited >= 20 * 16384 - 65535

    @conversation
    def test_5_4_2_a_reset_of_the_peer_ends_the_stream(self):
        play = http2() >> headers(1) << Request(1) >> reset(1, 8) << StreamReset(1, 8)
        play << State(idle=True, busy_streams=0) >> respond(1) >> Call("send_trailers", 1, [])
        play >> Call("reset", 1, 2) >> Call("consumed", 1, 5) << Frames()
        return play

    @conversation
    def test_an_eof_resets_all_streams_and_closes(self):
        play = http2() >> headers(1) + headers(3) << Request(1) << Request(3) >> EOF
        return play << StreamReset(1) << StreamReset(3) << State(closing=True)

    @conversation
    def test_after_a_connection_error_nothing_is_taken(self):
        play = fails(window(0, 2**31 - 1), FLOW_CONTROL_ERROR)
        play >> headers(1) + ping() >> EOF >> Call("drain")
        return play << Frames() << State(closing=True, wants_data=False)


class TestRFC9113Section6_8Goaway:
    @conversation
    def test_the_peers_goaway_does_not_stop_open_streams(self):
        play = http2() >> headers(1, POST, end=False) << Request(1) >> goaway(0)
        play << State(closing=False, can_push=False) >> data(1, b"x", end=True)
        play << DataReceived(1, b"x") << StreamEnded(1)
        return play >> respond(1) << Frames(OK) << State(closing=True)

    @conversation
    def test_the_peers_goaway_closes_an_idle_connection(self):
        play = http2(close_timeout=5) >> goaway(0, 2) << State(closing=True, lingering=True)
        play >> Tick(0) >> ping() >> Tick(4.9) << Frames() << State(lingering=True)
        return play >> Tick(5) << State(closing=True, lingering=False)

    @conversation
    def test_a_peer_that_is_gone_behind_its_goaway_is_not_waited_for(self):
        play = http2() >> goaway() << State(closing=True, lingering=True)
        return play >> EOF << State(closing=True, lingering=False)

    @conversation
    def test_a_drain_has_two_steps(self):
        play = http2() >> headers(1) << Request(1) >> Call("drain")
        play << Frames(("GOAWAY", 2**31 - 1, NO_ERROR), ("PING", b"tricorn\0"))
        play >> headers(3) << Request(3)  # was on its way
        play >> ping(b"tricorn\0", ack=True) << Frames(("GOAWAY", 3, NO_ERROR))
        play >> headers(5) << Frames(("RST_STREAM", 5, 7))
        play >> respond(1) << Frames(OK) << State(closing=False)
        return play >> respond(3) << Frames((OK[0], 3, *OK[2:])) << State(closing=True)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (raw(0x10, 0, 0), FRAME_SIZE_ERROR),
            (window(0, 2**31 - 1), FLOW_CONTROL_ERROR),
            (raw(0x0, 0x8, 1, b"\x05abc"), PROTOCOL_ERROR),
            (b"\xff\xff\xff\0\0\0\0\0\0", FRAME_SIZE_ERROR),
        ],
    )
    @conversation
    def test_what_a_goaway_says_never_goes_up(self, fault, code):
        play = http2() >> headers(1, POST, end=False) << Request(1) >> Call("drain")
        play << Frames(("GOAWAY", 2**31 - 1, NO_ERROR), ("PING", b"tricorn\0"))
        play >> ping(b"tricorn\0", ack=True) << Frames(("GOAWAY", 1, NO_ERROR))
        play >> headers(3) << Frames(("RST_STREAM", 3, 7)) >> fault << Fault(None)
        return play << StreamReset(1) << Frames(("GOAWAY", 1, code)) << State(closing=True)

    @conversation
    def test_a_drain_of_an_idle_connection_waits_for_the_round_trip(self):
        play = http2() >> Call("drain") >> Call("drain") << State(closing=False, can_push=False)
        play << Frames(("GOAWAY", 2**31 - 1, NO_ERROR), ("PING", b"tricorn\0"))
        play >> ping(b"anything", ack=True) << State(closing=False)
        play >> ping(b"tricorn\0", ack=True)
        return play << Frames(("GOAWAY", 0, NO_ERROR)) << State(closing=True, lingering=True)

    def test_a_request_read_with_the_answer_to_a_drain_is_taken(self):
        server = Server()
        server.connection.drain()
        assert server.frames("GOAWAY") == [("GOAWAY", 2**31 - 1, NO_ERROR)]
        (request,) = server.receive(ping(b"tricorn\0", ack=True), headers(1))
        assert request.stream_id == 1
        assert server.frames() == [("GOAWAY", 1, NO_ERROR)]
        assert not server.connection.closing
        assert server.receive(headers(3)) == []
        server.connection.send_headers(1, 200, [], True)
        assert [frame[:2] for frame in server.frames()] == [("RST_STREAM", 3), ("HEADERS", 1)]
        assert server.connection.closing

    @conversation
    def test_a_peer_that_does_not_answer_a_drain_is_not_waited_for(self):
        play = http2(drain_idle_timeout=1) >> Call("drain") >> Tick(0) >> Tick(1)
        play << Frames(ANY, ANY, ("GOAWAY", 0, NO_ERROR)) << State(closing=True, lingering=True)
        return play >> Tick(1.1) >> Tick(1.2) << State(closing=True, lingering=False)

    @conversation
    def test_the_last_request_of_the_limit_begins_a_drain(self):
        play = http2(keep_alive_max_requests=2) >> headers(1) + headers(3) << Request(1)
        play << Request(3)
        return play << Frames(("GOAWAY", 2**31 - 1, NO_ERROR), ("PING", b"tricorn\0"))


class TestRFC9113Section10_5Floods:
    @pytest.mark.parametrize(
        "frame",
        [ping(), settings(), priority(1), window(1, 1), data(1), data(1, padding=9),
         raw(0xF1, 0, 0), raw(0x10, 0, 0, b"\0\0\0\1u=1")],
    )  # fmt: skip
    def test_frames_without_use_have_a_budget(self, frame):
        server = Server(h2_max_glitches=20)
        server.receive(headers(1, POST, end=False))
        for _ in range(17):
            assert server.receive(frame) == []
        for _ in range(3):
            server.receive(frame)
        assert server.connection.closing
        assert server.frames("GOAWAY") == [("GOAWAY", 1, ENHANCE_YOUR_CALM)]

    def test_the_least_budget_is_enough_for_an_honest_peer(self):
        # As browsers and nghttp begin: a window for the connection, priorities of groups.
        server = Server(h2_max_glitches=OPTIONS["h2_max_glitches"].low)
        groups = [priority(stream_id) for stream_id in range(3, 15, 2)]
        (request,) = server.receive(b"".join([window(0, 12517377), *groups, headers(15)]))
        assert request.stream_id == 15
        assert not server.connection.closing

    def test_the_budget_grows_back_with_time_and_with_work(self):
        server = Server(h2_max_glitches=20, h2_glitches_per_second=10)
        server.connection.handle_timeout(0)
        for second in range(1, 10):
            server.receive(ping() * 10)
            server.connection.handle_timeout(second)
        server.receive(headers(1))
        server.connection.send_headers(1, 200, [])
        for _ in range(5):
            server.receive(ping() * 15)
            server.connection.send_data(1, b"x")
            assert server.frames("DATA")  # earns 40 back
        assert not server.connection.closing
        for _ in range(2):
            server.receive(ping() * 15)
            assert server.frames()  # our answers earn nothing
        assert server.connection.closing

    def test_rapid_reset_ends_the_connection(self):
        server = Server(h2_max_resets=10)
        events = server.receive(*[headers(n) + reset(n) for n in range(1, 41, 2)])
        assert server.connection.closing
        assert sum(type(event) is StreamReset for event in events) <= 11
        assert type(events[-1]) is PeerFault
        assert server.frames("GOAWAY") == [("GOAWAY", ANY, ENHANCE_YOUR_CALM)]

    def test_streams_reset_for_their_peers_faults_count_as_well(self):
        # CVE-2025-8671: the peer makes us reset.
        server = Server(h2_max_resets=10)
        server.receive(*[headers(n, [(b"x", b"y")]) for n in range(1, 41, 2)])
        assert server.connection.closing
        assert ("GOAWAY", ANY, ENHANCE_YOUR_CALM) in server.frames("GOAWAY")

    def test_the_reset_budget_grows_back_with_work(self):
        server = Server(h2_max_resets=3)
        for stream_id in range(1, 201, 4):
            server.receive(headers(stream_id) + reset(stream_id) + headers(stream_id + 2))
            server.connection.released(stream_id)
            respond(stream_id + 2)(server.connection)
            server.frames()
        assert not server.connection.closing

    def test_stopping_a_request_that_was_answered_early_costs_no_budget(self):
        server = Server(h2_max_resets=3)
        for stream_id in range(1, 201, 2):
            server.receive(headers(stream_id, POST, end=False))
            respond(stream_id, 401, body=b"no")(server.connection)
            assert server.frames("DATA") == [("DATA", stream_id, b"no", True)]
            server.receive(reset(stream_id, NO_ERROR))
        assert not server.connection.closing
        assert server.connection.idle

    def test_one_whose_answer_has_not_left_does(self):
        server = Server(client_settings={4: 0}, h2_max_resets=3)
        for stream_id in range(1, 9, 2):
            server.receive(headers(stream_id, POST, end=False))
            respond(stream_id, 401, body=b"no")(server.connection)
            server.frames()
            server.receive(reset(stream_id, NO_ERROR))
        assert server.frames("GOAWAY") == [("GOAWAY", 7, ENHANCE_YOUR_CALM)]

    def test_reset_streams_count_as_open_until_their_application_ends(self):
        server = Server(h2_max_concurrent_streams=2)
        server.receive(headers(1) + reset(1) + headers(3) + reset(3) + headers(5))
        assert ("RST_STREAM", 5, 7) in server.frames()
        server.connection.released(1)
        assert [type(event).__name__ for event in server.receive(headers(7))] == ["RequestReceived"]

    def test_reading_stops_while_the_peer_does_not_take_our_control_frames(self):
        server = Server(h2_max_output_control=10)
        server.receive(ping() * 10)
        assert server.connection.wants_data
        server.receive(ping())
        assert not server.connection.wants_data
        server.frames()
        assert server.connection.wants_data

    def test_reading_goes_on_while_the_peer_is_to_take_small_responses(self):
        server = Server()
        ids = range(1, 2 * Config().h2_max_concurrent_streams, 2)
        server.receive(*map(headers, ids))
        for stream_id in ids:
            respond(stream_id, 200, [(b"x-a", b"%0300d" % stream_id)], bytes(1000))(
                server.connection
            )
            assert server.connection.wants_data

    def test_reading_stops_while_the_peer_does_not_take_its_responses(self):
        """Those without content are over at once, so the number of streams is no bound."""
        server = Server()
        stream_id = 0
        while server.connection.wants_data:
            stream_id += 1
            server.receive(headers(2 * stream_id - 1))
            fields = [(b"x-a", b"%0100d" % stream_id)]
            server.connection.send_headers(2 * stream_id - 1, 304, fields, True)
            assert stream_id < 10_000
        assert server.connection.busy_streams == 0
        written = sum(map(len, server.connection.data_to_send()))
        assert 100_000 < written < 200_000
        assert server.connection.wants_data
