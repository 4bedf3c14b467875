"""HTTP/2 flow control, scheduling, time and h2c: RFC 9113 5.2 and 6.9, RFC 9218, RFC 7540."""

import base64

import pytest
from playbook import Call, Fault, Request, State, Tick, conversation, http1, respond
from playbook_http2 import (
    GET,
    POST,
    PREFACE,
    SETTINGS_ACK,
    Frames,
    Server,
    connect_http2,
    data,
    headers,
    http2,
    http2_codec_under_test,
    on_h2,
    ping,
    priority,
    priority_update,
    raw,
    reset,
    settings,
    window,
    window_errors_end_the_connection,
)

from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import negotiate
from tricorn.protocol.events import (
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from tricorn.protocol.http2_errors import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
)

pytestmark = pytest.mark.usefixtures("http2_codec")


class TestRFC9113Section5_2ReceiveWindows:
    def test_a_stream_is_credited_as_its_application_consumes(self):
        server = Server(h2_stream_window_size=65536)
        server.receive(headers(1, POST, end=False), *[data(1, bytes(16384))] * 4)
        assert [frame for frame in server.frames("WINDOW_UPDATE") if frame[1] == 1] == []
        server.connection.consumed(1, 16383)
        assert server.frames() == []
        server.connection.consumed(1, 1)
        assert server.frames() == [("WINDOW_UPDATE", 1, 16384)]

    def test_a_stream_is_credited_what_was_consumed_and_no_more(self):
        server = Server(h2_stream_window_size=65536)
        server.receive(headers(1, POST, end=False), *[data(1, bytes(16384))] * 3)
        credits = []
        for _ in range(3):
            server.connection.consumed(1, 16384)
            credits += server.frames("WINDOW_UPDATE")
        assert sum(size for _, stream_id, size in credits if stream_id == 1) == 3 * 16384

    def test_a_stream_beyond_its_window_is_an_error(self):
        server = Server(h2_stream_window_size=16384)
        server.receive(headers(1, POST, end=False), data(1, bytes(16384)))
        events = server.receive(data(1, b"x"))
        whole = on_h2() or window_errors_end_the_connection()
        assert server.connection.closing == whole
        if whole:
            assert [event.limit for event in events[:1]] == ["h2_stream_window_size"]
        else:
            assert [event.limit for event in events[:1]] == ["h2_stream_window_size"]
            assert events[1:] == [StreamReset(1, FLOW_CONTROL_ERROR)]
            assert server.frames("RST_STREAM") == [("RST_STREAM", 1, FLOW_CONTROL_ERROR)]

    def test_a_smaller_window_is_for_those_who_know_of_it(self):
        """RFC 9113 6.9.3: what was sent before the SETTINGS arrived went by the usual one."""
        server = Server(h2_stream_window_size=16384, acknowledges=False)
        early = headers(1, POST, end=False) + data(1, bytes(10000)) * 3
        assert sum(len(event.data) for event in server.receive(early)[1:]) == 30000
        events = server.receive(SETTINGS_ACK, data(1, b"", end=True))
        assert events == [StreamEnded(1)]
        server.receive(headers(3, POST, end=False), data(3, bytes(16384)))
        events = server.receive(data(3, b"x"))
        assert [event.limit for event in events[:1]] == ["h2_stream_window_size"]

    def test_an_ended_stream_is_not_credited(self):
        server = Server(h2_stream_window_size=16384)
        server.receive(headers(1, POST, end=False), data(1, bytes(16384), end=True))
        server.frames()
        server.connection.consumed(1, 16384)
        assert [frame for frame in server.frames() if frame[1] == 1] == []

    def test_padding_is_credited_at_once(self):
        server = Server()
        server.receive(headers(1, POST, end=False), data(1, b"x", padding=99))
        assert ("WINDOW_UPDATE", 1, 100) in server.frames()

    def test_an_idle_application_stops_its_stream_and_no_other(self):
        server = Server(h2_stream_window_size=65536, h2_connection_window_size=262144)
        server.receive(headers(1, POST, end=False), *[data(1, bytes(16384))] * 4)
        server.receive(headers(3, POST, end=False))
        for _ in range(64):
            server.receive(data(3, bytes(16384)))
            server.connection.consumed(3, 16384)
            server.frames()
        assert not server.connection.closing
        assert server.connection.wants_data

    def filled(self):
        """Two streams that fill the connection's window between them."""
        server = Server(h2_stream_window_size=65536, h2_connection_window_size=131072)
        for stream_id in (1, 3):
            server.receive(
                headers(stream_id, POST, end=False), *[data(stream_id, bytes(16384))] * 4
            )
        assert server.frames("WINDOW_UPDATE") == []
        return server

    def test_the_connection_window_is_the_bound_on_what_is_buffered(self):
        server = self.filled()
        server.connection.consumed(1, 65536)
        credited = {frame[1]: frame[2] for frame in server.frames("WINDOW_UPDATE")}
        assert credited == {0: 65536, 1: 65536}

    def test_what_a_reset_stream_had_buffered_is_free_again(self):
        server = self.filled()
        server.receive(reset(1))
        assert server.frames() == [("WINDOW_UPDATE", 0, 65536)]

    def test_data_behind_a_reset_is_given_back_once(self):
        """However much comes for a stream that is over, the bound on what is buffered holds."""
        server = Server(h2_stream_window_size=131072, h2_connection_window_size=262144)
        server.receive(headers(1, POST, end=False), headers(3, POST, end=False))
        server.connection.reset(1, INTERNAL_ERROR)
        server.receive(*[data(3, bytes(16384))] * 8)  # nobody reads it
        window = 262144 - 131072
        for _ in range(50):
            server.receive(data(1, bytes(16384)))
            given = sum(frame[2] for frame in server.frames("WINDOW_UPDATE") if frame[1] == 0)
            window += given - 16384
            assert 16384 <= window <= 131072

    @pytest.mark.parametrize(
        "end",
        [
            Call("reset", 1, INTERNAL_ERROR),
            Call("send_headers", 1, 204, [], True),
            respond(1, body=b"x"),
        ],
    )
    def test_what_nobody_read_of_a_stream_we_end_is_free_again(self, end):
        server = self.filled()
        server.receive(data(1, end=True))
        end(server.connection)
        # The application's end takes what it left unread, from a stream that is gone already.
        server.connection.consumed(1, 65536)
        assert ("WINDOW_UPDATE", 0, 65536) in server.frames()
        server.receive(headers(5, POST, end=False), data(5, bytes(16384)))
        assert not server.connection.closing

    def test_what_a_stream_that_is_late_had_buffered_is_free_again(self):
        server = self.filled()
        server.connection.send_headers(1, 204, [], True)
        server.frames()
        server.connection.handle_timeout(0)
        server.connection.handle_timeout(Config().close_timeout)
        assert server.frames() == [("RST_STREAM", 1, NO_ERROR), ("WINDOW_UPDATE", 0, 65536)]


class TestRFC9113Section6_9SendWindows:
    @conversation
    def test_data_waits_for_the_streams_window(self):
        play = http2(client_settings={0x4: 3}) >> headers(1) << Request(1)
        play >> Call("send_headers", 1, 200, []) >> Call("send_data", 1, b"hello", True)
        head = ("HEADERS", 1, [(b":status", b"200")], False)
        play << Frames(head, ("DATA", 1, b"hel", False)) << State(busy_streams=1)
        play >> window(1, 1) << Frames(("DATA", 1, b"l", False))
        return (
            play
            >> settings({0x4: 4})
            << Frames(("SETTINGS_ACK",), ("DATA", 1, b"o", True))
            << State(idle=True)
        )

    @conversation
    def test_trailers_wait_behind_the_data(self):
        play = http2(client_settings={0x4: 1}) >> headers(1) << Request(1)
        play >> Call("send_headers", 1, 200, []) >> Call("send_data", 1, b"hi")
        play >> Call("send_trailers", 1, [(b"a", b"b")])
        head = ("HEADERS", 1, [(b":status", b"200")], False)
        play << Frames(head, ("DATA", 1, b"h", False)) >> window(1, 1)
        return play << Frames(("DATA", 1, b"i", False), ("HEADERS", 1, [(b"a", b"b")], True))

    @pytest.mark.parametrize("size", [2, 65535])
    @conversation
    def test_an_end_without_content_needs_no_window(self, size):
        # 2 bytes fill the window of the stream, 65535 that of the connection.
        play = http2(client_settings={0x4: 2 if size == 2 else 10**6}) >> headers(1) << Request(1)
        play >> Call("send_headers", 1, 200, []) >> Call("send_data", 1, bytes(size))
        head = ("HEADERS", 1, [(b":status", b"200")], False)
        play << Frames(head, ("DATA", 1, bytes(size), False)) >> Call("send_data", 1, b"", True)
        play << Frames(("DATA", 1, b"", True)) << State(idle=True, closing=False)
        return play >> headers(3) << Request(3)

    @conversation
    def test_an_end_before_that_of_the_request_may_wait_for_one(self):
        # libnghttp2 sends no empty DATA without a window, and may not forget such a stream.
        play = http2(client_settings={0x4: 2}) >> headers(1, POST, end=False) << Request(1)
        play >> Call("send_headers", 1, 200, []) >> Call("send_data", 1, b"hi")
        head = ("HEADERS", 1, [(b":status", b"200")], False)
        play << Frames(head, ("DATA", 1, b"hi", False)) >> Call("send_data", 1, b"", True)
        end = ("DATA", 1, b"", True)
        play << Frames(*([end] if on_h2() else [])) >> window(1, 1)
        return play << Frames(*([] if on_h2() else [end]))

    @pytest.mark.parametrize("size", [2, 65535])
    @pytest.mark.parametrize("trailers", [False, True])
    @conversation
    def test_an_end_that_waited_for_one_goes_with_the_end_of_the_request(self, size, trailers):
        window = 2 if size == 2 else 10**6
        play = http2(client_settings={0x4: window}) >> headers(1, POST, end=False) << Request(1)
        play >> Call("send_headers", 1, 200, []) >> Call("send_data", 1, bytes(size))
        head = ("HEADERS", 1, [(b":status", b"200")], False)
        play << Frames(head, ("DATA", 1, bytes(size), False)) >> Call("send_data", 1, b"", True)
        if trailers:
            play >> headers(1, [(b"a", b"b")]) << TrailersReceived(1, [(b"a", b"b")])
        else:
            play >> data(1, end=True)
        play << StreamEnded(1)
        play << Frames(("DATA", 1, b"", True)) << State(idle=True, closing=False)
        return play >> headers(3) << Request(3)

    def test_a_reset_of_one_that_waits_leaves_the_others_waiting(self):
        server = Server(client_settings={0x4: 0})
        server.receive(headers(1), headers(3))
        for stream_id in (1, 3):
            respond(stream_id, body=b"hello")(server.connection)
        server.frames()
        assert not server.connection.has_output
        server.receive(reset(1))
        server.receive(window(3, 5))
        assert server.frames("DATA") == [("DATA", 3, b"hello", True)]
        assert server.connection.busy_streams == 0

    def test_data_waits_for_the_connections_window(self):
        server = Server(client_settings={0x4: 1_000_000})
        server.receive(headers(1))
        respond(1, body=bytes(100_000))(server.connection)
        sent = sum(len(frame[2]) for frame in server.frames("DATA"))
        assert sent == 65535
        assert server.connection.buffered(1) == 100_000 - 65535
        server.receive(window(0, 100_000))
        assert sum(len(frame[2]) for frame in server.frames("DATA")) == 100_000 - 65535

    def test_one_write_is_bounded(self):
        server = Server(client_settings={0x4: 2**31 - 1})
        server.receive(window(0, 10_000_000), headers(1))
        server.connection.send_headers(1, 200, [])
        server.connection.send_data(1, bytes(1_000_000), True)
        sizes = []
        while buffers := server.connection.data_to_send():
            sizes.append(sum(map(len, buffers)))
        assert max(sizes) < 131072 + 16384 + 1000
        assert sum(sizes) > 1_000_000


def served(server, streams, size=40_000):
    """Answer all these streams; the order in which their DATA leaves."""
    for stream_id in streams:
        server.connection.send_headers(stream_id, 200, [])
        server.connection.send_data(stream_id, bytes(size), True)
    return [frame[1] for frame in server.frames("DATA")]


def wide():
    """A connection whose windows never hold anything back."""
    server = Server(client_settings={0x4: 2**30})
    server.receive(window(0, 2**30))
    return server


class TestPriority:
    def test_without_a_signal_streams_take_turns(self):
        server = wide()
        server.receive(headers(1), headers(3))
        assert served(server, [1, 3]) == [1, 3, 1, 3, 1, 3]

    def test_rfc9218_4_1_a_lower_urgency_goes_first(self):
        server = wide()
        server.receive(headers(1, [*GET, (b"priority", b"u=5")]))
        server.receive(headers(3, [*GET, (b"priority", b"u=1")]))
        assert served(server, [1, 3]) == [3, 3, 3, 1, 1, 1]

    def test_rfc9218_4_2_incremental_streams_share(self):
        server = wide()
        for stream_id in (1, 3):
            server.receive(headers(stream_id, [*GET, (b"priority", b"i")]))
        assert served(server, [1, 3]) == [1, 3, 1, 3, 1, 3]

    def test_rfc9218_10_others_go_one_after_the_other(self):
        server = wide()
        for stream_id in (1, 3):
            server.receive(headers(stream_id, [*GET, (b"priority", b"u=3")]))
        assert served(server, [1, 3]) == [1, 1, 1, 3, 3, 3]

    @pytest.mark.parametrize("before", [True, False])
    def test_rfc9218_7_a_priority_update_counts_over_the_field(self, before):
        server = wide()
        server.receive(headers(1, [*GET, (b"priority", b"u=2")]))
        update = priority_update(3, b"u=0")
        request = headers(3, [*GET, (b"priority", b"u=7")])
        server.receive(*([update, request] if before else [request, update]))
        assert served(server, [1, 3]) == [3, 3, 3, 1, 1, 1]

    @pytest.mark.parametrize("payload", [b"", b"\0\0\0"])
    @conversation
    def test_rfc9218_7_1_a_short_priority_update_is_an_error(self, payload):
        play = http2() >> raw(0x10, 0, 0, payload) << Fault(None)
        return play << Frames(("GOAWAY", 0, 6)) << State(closing=True)

    @conversation
    def test_rfc9218_7_1_an_update_of_stream_0_is_an_error(self):
        play = http2() >> priority_update(0, b"u=1") << Fault(None)
        return play << Frames(("GOAWAY", 0, PROTOCOL_ERROR)) << State(closing=True)

    def test_rfc7540_5_3_a_dependent_stream_waits(self):
        server = wide()
        server.receive(headers(1, priority=(0, 15, False)))
        server.receive(headers(3, priority=(0, 15, False)), priority(1, 3))
        assert served(server, [1, 3]) == [3, 3, 3, 1, 1, 1]

    def test_rfc7540_5_3_weights_share(self):
        server = wide()
        server.receive(headers(1, priority=(0, 63, False)), headers(3, priority=(0, 15, False)))
        order = served(server, [1, 3], 160_000)
        assert order.index(3) < 5
        assert order[:10].count(1) >= 3 * order[:10].count(3)

    def test_rfc9218_2_1_rfc7540_signals_are_ignored_where_the_peer_says_so(self):
        server = Server(client_settings={0x4: 2**30, 0x9: 1})
        server.receive(window(0, 2**30), headers(1), headers(3), priority(1, 3))
        assert served(server, [1, 3]) == [1, 1, 1, 3, 3, 3]


class TestTimeouts:
    @conversation
    def test_an_idle_connection_says_goodbye(self):
        play = http2(keep_alive_timeout=75) >> Tick(0) >> Tick(74) >> ping()
        play << Frames(("PING_ACK", b"12345678")) << State(closing=False)
        return play >> Tick(75) << Frames(("GOAWAY", 0, NO_ERROR)) << State(lingering=True)

    def test_no_limit_means_none(self):
        server = Server(client_settings={0x4: 0}, read_timeout=None, write_timeout=None)
        server.receive(*(headers(stream_id, POST, end=False) for stream_id in (1, 3)))
        respond(3, body=b"x")(server.connection)
        server.frames()
        for now in (0, 1, 1_000_000):
            assert server.connection.handle_timeout(now) == []
        assert server.connection.busy_streams == 2

    @conversation
    def test_an_open_stream_keeps_it_open(self):
        play = http2() >> headers(1) << Request(1) >> Tick(0) >> Tick(10_000)
        return play << State(closing=False)

    def test_a_connection_that_says_nothing_is_idle_once_a_tick_has_seen_it(self):
        connection = connect_http2(secure=True)()
        assert connection.idle_since() is None
        connection.handle_timeout(5.0)
        connection.handle_timeout(6.0)
        assert connection.idle_since() == 5.0
        connection.receive_data(PREFACE[:1])
        assert connection.idle_since() is None
        connection.receive_data(PREFACE[1:] + settings() + SETTINGS_ACK)
        connection.handle_timeout(7.0)
        assert connection.idle_since() == 7.0

    @conversation
    def test_a_header_block_that_stops_ends_the_connection(self):
        play = http2(header_timeout=10) >> headers(1, whole=False) >> Tick(0) >> Tick(9)
        play << State(closing=False) >> Tick(10) << Fault(None)
        return play << Frames(("GOAWAY", 0, NO_ERROR)) << State(closing=True)

    @conversation
    def test_a_body_that_stops_costs_its_stream(self):
        play = http2(read_timeout=30) >> headers(1, POST, end=False) << Request(1)
        play >> Tick(0) >> data(1, b"x") << DataReceived(1, b"x") >> Tick(20) >> Tick(49)
        play << State(closing=False) >> Tick(50) << Fault(None) << StreamReset(1, CANCEL)
        return play << Frames(("RST_STREAM", 1, CANCEL)) << State(closing=False, idle=True)

    def test_a_body_its_application_does_not_read_costs_nobody_time(self):
        server = Server(read_timeout=30)
        server.receive(headers(1, POST, end=False), data(1, b"x"))
        for now in (0, 100, 200):
            assert server.connection.handle_timeout(now) == []

    @conversation
    def test_response_data_the_peer_does_not_take_costs_its_stream(self):
        play = http2(write_timeout=30, client_settings={0x4: 0}) >> headers(1) << Request(1)
        play >> respond(1, body=b"x") >> Tick(0) >> Tick(29) << State(busy_streams=1)
        play << Frames(("HEADERS", 1, [(b":status", b"200"), (b"content-length", b"1")], False))
        play >> Tick(30) << Fault(None) << StreamReset(1, CANCEL)
        return play << Frames(("RST_STREAM", 1, CANCEL)) << State(idle=True)

    def test_many_streams_that_stop_at_once_end_the_connection_in_order(self):
        server = Server(h2_max_resets=1, h2_resets_per_second=0.001, read_timeout=30)
        server.receive(*[headers(n, POST, end=False) for n in (1, 3, 5, 7)])
        server.connection.handle_timeout(0)
        events = server.connection.handle_timeout(30)
        resets = [event.stream_id for event in events if type(event) is StreamReset]
        assert sorted(resets) == [1, 3, 5, 7]
        assert server.connection.closing
        assert server.frames("GOAWAY") == [("GOAWAY", 7, ENHANCE_YOUR_CALM)]

    def test_a_drain_does_not_wait_for_a_silent_peer(self):
        server = Server()
        server.connection.drain()
        server.connection.handle_timeout(0)
        server.connection.handle_timeout(1)
        goaways = [frame[1] for frame in server.frames("GOAWAY")]
        assert goaways == [2**31 - 1, 0]
        assert server.connection.closing

    def test_the_next_deadline_is_told(self):
        server = Server(keep_alive_timeout=75)
        server.connection.handle_timeout(100)
        assert server.connection.next_deadline() == 175
        server.receive(headers(1))
        server.connection.handle_timeout(101)
        assert server.connection.next_deadline() is None


class TestRFC7540Section3_2H2c:
    def upgrade(self, body=b"", settings_payload=b"\0\4\0\0\0\3"):
        config = Config(h2c_upgrade=True, http2_codec=http2_codec_under_test.get())
        value = base64.urlsafe_b64encode(settings_payload).rstrip(b"=")
        first = negotiate.http1(config)
        (event,) = first.receive_data(
            b"POST /x HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nhttp2-settings: %b\r\n"
            b"connection: upgrade, http2-settings\r\ncontent-length: %d\r\n\r\n%b"
            % (value, len(body), body)
        )
        connection = negotiate.http2(config, secure=False)
        connection.initiate_upgrade(event.settings, event.request, event.body)
        return connection

    def test_the_request_is_stream_1_and_its_settings_hold(self):
        connection = self.upgrade(b"hello")
        request, *rest = connection.take_events()
        assert type(request) is RequestReceived
        assert (request.stream_id, request.http_version, request.target) == (1, "2", b"/x")
        assert rest == [DataReceived(1, b"hello"), StreamEnded(1)]
        connection.consumed(1, 5)
        server = Server()
        server.connection = connection
        assert server.frames("SETTINGS", "WINDOW_UPDATE")[0][0] == "SETTINGS"
        connection.receive_data(PREFACE + settings({0x4: 3}))
        respond(1, body=b"hello")(connection)
        assert [frame[2] for frame in server.frames("DATA")] == [b"hel"]
        assert [type(e) for e in connection.receive_data(headers(3))] == [RequestReceived]

    @pytest.mark.parametrize("body", [b"", b"hello"])
    def test_the_exchange_is_over_with_its_response(self, body):
        connection = self.upgrade(body)
        connection.take_events()
        connection.receive_data(PREFACE + settings({0x4: 100}))
        respond(1, body=b"hello")(connection)
        while connection.data_to_send():
            pass
        assert connection.busy_streams == 0

    def test_without_a_body_the_stream_ends_with_its_head(self):
        (request,) = self.upgrade().take_events()
        assert request.end_stream

    @pytest.mark.parametrize("payload", [b"\0", b"\0\4\xff\xff\xff\xff"])
    def test_malformed_settings_are_an_error(self, payload):
        with pytest.raises(RemoteProtocolError):
            self.upgrade(settings_payload=payload)


class TestNegotiate:
    @pytest.mark.parametrize("size", range(len(PREFACE)))
    def test_rfc9113_3_4_part_of_the_preface_decides_nothing(self, size):
        assert negotiate.speaks_http2(PREFACE[:size]) is None

    def test_rfc9113_3_4_the_preface_is_http2(self):
        assert negotiate.speaks_http2(PREFACE) is True
        assert negotiate.speaks_http2(PREFACE + b"more") is True

    @pytest.mark.parametrize("first", [b"G", b"PRI / HTTP/2.0", b"PRX", PREFACE[:-1] + b"x"])
    def test_anything_else_is_http_1(self, first):
        assert negotiate.speaks_http2(first) is False

    def test_the_preface_on_http_1_is_505(self):
        (fault,) = http1()().receive_data(PREFACE)
        assert fault.status in (400, 505)
