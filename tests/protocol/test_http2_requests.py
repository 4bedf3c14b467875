"""HTTP/2 requests, responses and push: RFC 9113 section 8 and 5.1.2, RFC 8441."""

import hpack
import pytest
from playbook import (
    Call,
    Fault,
    Request,
    State,
    Tick,
    conversation,
    respond,
)
from playbook_http2 import (
    ANY,
    GET,
    POST,
    SETTINGS_ACK,
    Frames,
    Server,
    data,
    goaway,
    headers,
    http2,
    on_h2,
    raw,
    reset,
    settings,
)

from tricorn import Config
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
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
)

pytestmark = pytest.mark.usefixtures("http2_codec")

STATUS = (b":status", b"200")
METHOD, SCHEME, AUTHORITY, PATH = GET


def answered(stream_id=1, *fields, end=True):
    return ("HEADERS", stream_id, [STATUS, *fields], end)


def malformed(fields, *, end=True):
    """The stream is reset; the connection goes on (RFC 9113 8.1.1)."""
    play = http2() >> headers(1, fields, end=end) << Fault(400, stream_id=1)
    play << Frames(("RST_STREAM", 1, PROTOCOL_ERROR)) << State(closing=False, idle=True)
    return play >> headers(3) << Request(3)


def refused(fields, status, **options):
    """A well-formed request is answered by the server itself."""
    play = http2(**options) >> headers(1, fields) << Fault(status, stream_id=1)
    play << Frames(("HEADERS", 1, [(b":status", b"%d" % status)], True))
    return play << State(closing=False, idle=True)


class TestRFC9113Section8_1Messages:
    @conversation
    def test_a_request_is_one_event(self):
        play = http2() >> headers(1, [*GET, (b"a", b"b")])
        return play << Request(
            1, method="GET", target=b"/", http_version="2", scheme="http", end_stream=True,
            headers=[(b"host", b"a"), (b"a", b"b")], protocol=None,
        )  # fmt: skip

    @conversation
    def test_a_response_has_head_data_and_trailers(self):
        play = http2() >> headers(1) << Request(1) >> Call("send_headers", 1, 200, [(b"a", b"b")])
        play >> Call("send_data", 1, b"hel") >> Call("send_data", 1, b"lo")
        play >> Call("send_trailers", 1, [(b"c", b"d")])
        return (
            play
            << Frames(
                answered(1, (b"a", b"b"), end=False),
                ("DATA", 1, b"hello", False),
                ("HEADERS", 1, [(b"c", b"d")], True),
            )
            << State(idle=True)
        )

    @conversation
    def test_the_end_of_the_body_ends_the_stream(self):
        play = http2() >> headers(1) << Request(1) >> respond(1, body=b"hi")
        head = answered(1, (b"content-length", b"2"), end=False)
        return play << Frames(head, ("DATA", 1, b"hi", True)) << State(idle=True)

    @conversation
    def test_informational_responses_go_before_the_final_one(self):
        play = http2() >> headers(1) << Request(1)
        play >> Call("send_informational", 1, 103, [(b"link", b"</a>")])
        play >> Call("send_headers", 1, 200, [], True)
        play >> Call("send_informational", 1, 103, [])
        hint = ("HEADERS", 1, [(b":status", b"103"), (b"link", b"</a>")], False)
        return play << Frames(hint, answered())

    @conversation
    def test_100_continue_is_sent_while_the_body_has_not_come(self):
        play = http2() >> headers(1, [*POST, (b"expect", b"100-continue")], end=False)
        play << Request(1, expects_continue=True) >> Call("send_informational", 1, 100, [])
        play << Frames(("HEADERS", 1, [(b":status", b"100")], False))
        play >> data(1, b"x", end=True) << DataReceived(1, b"x") << StreamEnded(1)
        return play >> Call("send_informational", 1, 100, []) << Frames()

    @conversation
    def test_other_expectations_are_417(self):
        return refused([*GET, (b"expect", b"a=b")], 417)

    def early_response(self):
        play = http2() >> headers(1, POST, end=False) << Request(1) >> respond(1, body=b"no")
        head = answered(1, (b"content-length", b"2"), end=False)
        return play << Frames(head, ("DATA", 1, b"no", True))

    @conversation
    def test_behind_an_early_response_the_request_may_end_within_its_window(self):
        play = self.early_response() >> data(1, b"x" * 1000) << State(idle=False)
        return play >> data(1, b"y", end=True) << StreamEnded(1) << State(idle=True) << Frames()

    @conversation
    def test_an_early_response_asks_for_no_more_and_is_no_error(self):
        play = self.early_response()
        for _ in range(Config().h2_stream_window_size // 2 // 16384):
            play >> data(1, b"x" * 16384)
        return play << Frames(("RST_STREAM", 1, NO_ERROR)) << State(idle=True)

    @conversation
    def test_an_early_response_waits_close_timeout_for_the_request_to_end(self):
        play = self.early_response() >> Tick(0.0) >> Tick(1.0) << State(idle=False)
        play >> Tick(1.0 + (Config().close_timeout or 0.0))
        return play << Frames(("RST_STREAM", 1, NO_ERROR)) << State(idle=True)

    @conversation
    def test_204_has_no_length(self):
        play = http2() >> headers(1) << Request(1)
        play >> Call("send_headers", 1, 204, [(b"content-length", b"5")], True)
        return play << Frames(("HEADERS", 1, [(b":status", b"204")], True))

    @conversation
    def test_8_2_2_connection_specific_fields_are_not_sent(self):
        names = b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"
        play = http2() >> headers(1) << Request(1)
        play >> Call("send_headers", 1, 200, [(name, b"x") for name in names], True)
        return play << Frames(answered())

    @conversation
    def test_request_trailers_end_the_stream(self):
        play = http2() >> headers(1, POST, end=False) + data(1, b"x") + headers(1, [(b"a", b"b")])
        play << Request(1) << DataReceived(1, b"x")
        return play << TrailersReceived(1, [(b"a", b"b")]) << StreamEnded(1)

    @pytest.mark.parametrize("name", [b":path", b"content-length", b"host", b"te", b"A", b"a b"])
    @conversation
    def test_malformed_trailers_reset_the_stream(self, name):
        play = http2() >> headers(1, POST, end=False) << Request(1)
        play >> headers(1, [(name, b"1")]) << Fault(None, stream_id=1)
        play << StreamReset(1, PROTOCOL_ERROR) << Frames(("RST_STREAM", 1, PROTOCOL_ERROR))
        return play << State(closing=False)

    @conversation
    def test_trailers_have_a_limit(self):
        play = http2(max_header_count=2) >> headers(1, POST, end=False) << Request(1)
        play >> headers(1, [(b"a", b"b")] * 3) << Fault(None) << StreamReset(1, PROTOCOL_ERROR)
        play << Frames(("RST_STREAM", 1, PROTOCOL_ERROR))
        play >> headers(3, POST, end=False) << Request(3) >> headers(3, [(b"a", b"b")] * 2)
        return play << TrailersReceived(3, [(b"a", b"b")] * 2) << StreamEnded(3)


class TestRFC9113Section8_2Fields:
    @pytest.mark.parametrize(
        "field",
        [
            (b"A", b"b"),
            (b"a b", b"c"),
            (b"", b"c"),
            (b"a:", b"c"),
            (b"a\xff", b"c"),
            (b"a", b" b"),
            (b"a", b"b\t"),
            (b"a", b"b\r\nc: d"),
            (b"a", b"b\0"),
            (b"a", b"b\x7fc"),
            (b"connection", b"close"),
            (b"proxy-connection", b"x"),
            (b"keep-alive", b"x"),
            (b"transfer-encoding", b"chunked"),
            (b"upgrade", b"websocket"),
            (b"te", b"gzip"),
            (b"te", b"trailers, gzip"),
            (b":path", b"/"),
            (b":unknown", b"x"),
        ],
    )
    @conversation
    def test_a_malformed_field_costs_its_stream_only(self, field):
        return malformed([*GET, field])

    @conversation
    def test_8_2_2_te_may_hold_trailers(self):
        return (
            http2() >> headers(1, [*GET, (b"te", b"Trailers")]) << Request(1, accepts_trailers=True)
        )

    @conversation
    def test_8_2_3_cookie_crumbs_are_joined(self):
        play = http2() >> headers(1, [*GET, (b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d")])
        fields = [(b"host", b"a"), (b"x", b"y"), (b"cookie", b"a=b; c=d")]
        return play << Request(1, headers=fields)

    @conversation
    def test_the_number_of_fields_has_a_limit(self):
        return refused([*GET, *[(b"a", b"b")] * 3], 431, max_header_count=2)


class TestRFC9113Section8_3Pseudo:
    @pytest.mark.parametrize(
        "fields",
        [
            [],
            [SCHEME, AUTHORITY, PATH],
            [METHOD, AUTHORITY, PATH],
            [METHOD, SCHEME, AUTHORITY],
            [METHOD, *GET],
            [*GET, PATH],
            [(b":status", b"200"), *GET],
            [(b"a", b"b"), *GET],
            [METHOD, SCHEME, (b"a", b"b"), AUTHORITY, PATH],
            [(b":method", b""), *GET[1:]],
            [(b":method", b"G T"), *GET[1:]],
            [METHOD, (b":scheme", b"ftp"), AUTHORITY, PATH],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"")],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"x")],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1\r\nx: y")],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"/#x")],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"*")],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"/\xff")],
            [*GET, (b":protocol", b"websocket")],
        ],
    )
    @conversation
    def test_malformed_pseudo_fields_cost_their_stream_only(self, fields):
        return malformed(fields)

    @pytest.mark.parametrize("method", [b"head", b"Head", b"connect"])
    @conversation
    def test_rfc9110_9_1_what_reads_as_a_method_of_other_framing_is_501(self, method):
        return refused([(b":method", method), *GET[1:]], 501)

    @pytest.mark.parametrize(
        "authority", [b"", b"u@a", b"a b", b"a/b", b"a\r\nx: y", b"a:x", b"[::1"]
    )
    @conversation
    def test_8_3_1_an_invalid_authority_is_malformed(self, authority):
        return malformed([METHOD, SCHEME, (b":authority", authority), PATH])

    @pytest.mark.parametrize(
        ("hosts", "fits"),
        [([b"A"], True), ([b"b"], False), ([b"a", b"a"], False), ([b""], False)],
    )
    @conversation
    def test_8_3_1_host_must_agree_with_authority(self, hosts, fits):
        fields = [*GET, *[(b"host", host) for host in hosts]]
        if not fits:
            return malformed(fields)
        return http2() >> headers(1, fields) << Request(1, headers=[(b"host", b"a")])

    @conversation
    def test_8_3_1_host_stands_in_for_authority(self):
        play = http2() >> headers(1, [METHOD, SCHEME, PATH, (b"x", b"y"), (b"host", b"b")])
        return play << Request(1, headers=[(b"host", b"b"), (b"x", b"y")])

    @conversation
    def test_8_3_1_there_may_be_no_authority_to_convey(self):
        """As in what a proxy makes of HTTP/1.0, and in HAProxy's health checks."""
        play = http2() >> headers(1, [METHOD, SCHEME, PATH, (b"x", b"y")])
        return play << Request(1, headers=[(b"x", b"y")])

    @conversation
    def test_8_3_1_an_empty_host_is_malformed(self):
        return malformed([METHOD, SCHEME, PATH, (b"host", b"")])

    @conversation
    def test_8_3_1_the_asterisk_is_for_options(self):
        fields = [(b":method", b"OPTIONS"), SCHEME, AUTHORITY, (b":path", b"*")]
        return http2() >> headers(1, fields) << Request(1, target=b"*")

    @conversation
    def test_a_path_over_the_limit_is_414(self):
        fields = [METHOD, SCHEME, AUTHORITY, (b":path", b"/" + b"a" * 100)]
        return refused(fields, 414, max_request_target_size=100)

    @pytest.mark.parametrize("end", [False, True])
    def test_what_is_refused_with_an_answer_costs_no_budget(self, end):
        """Behind a proxy it is the connection of many."""
        server = Server(h2_max_resets=3, max_request_target_size=100)
        fields = [METHOD, SCHEME, AUTHORITY, (b":path", b"/" + b"a" * 100)]
        for stream_id in range(1, 201, 2):
            server.receive(headers(stream_id, fields, end=end))
            assert server.frames() == [
                ("HEADERS", stream_id, [(b":status", b"414")], True),
                *([] if end else [("RST_STREAM", stream_id, NO_ERROR)]),
            ]
        assert not server.connection.closing

    @pytest.mark.parametrize(
        "fields",
        [
            [METHOD, SCHEME, (b":authority", b"a b"), PATH],
            [METHOD, SCHEME, PATH, (b"host", b"a/b")],
            [METHOD, (b":scheme", b"ftp"), AUTHORITY, PATH],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"*")],
            [METHOD, SCHEME, AUTHORITY, (b":path", b"/\xff")],
            [*GET, (b"x", b"a\x01b")],
        ],
    )
    @pytest.mark.parametrize("end", [False, True])
    def test_nor_does_what_a_proxy_passes_on_as_its_client_wrote_it(self, fields, end):
        server = Server(h2_max_resets=3)
        for stream_id in range(1, 201, 2):
            server.receive(headers(stream_id, fields, end=end))
            assert server.frames() == [("RST_STREAM", stream_id, PROTOCOL_ERROR)]
        assert not server.connection.closing

    @pytest.mark.parametrize("trailer", [(b"x", b"a\0b"), (b"te", b"trailers")])
    def test_malformed_trailers_cost_budget(self, trailer):
        """Their request is being worked for."""
        server = Server(h2_max_resets=3)
        for stream_id in range(1, 11, 2):
            server.receive(headers(stream_id, POST, end=False), headers(stream_id, [trailer]))
        assert server.connection.closing

    @conversation
    def test_a_trailer_that_a_proxy_passes_on_with_a_control_character_is_dropped(self):
        play = http2() >> headers(1, POST, end=False) << Request(1)
        play >> headers(1, [(b"x", b"a\x01b"), (b"y", b"1")]) << Fault(None, stream_id=1)
        return play << TrailersReceived(1, [(b"y", b"1")]) << StreamEnded(1) << Frames()

    @conversation
    def test_8_1_1_a_length_without_content_is_malformed(self):
        return malformed([*POST, (b"content-length", b"3")])

    @conversation
    def test_8_1_1_a_length_of_zero_without_content_is_right(self):
        return http2() >> headers(1, [*POST, (b"content-length", b"0")]) << Request(1)

    @conversation
    def test_8_1_1_the_end_may_come_behind_the_whole_content(self):
        play = http2() >> headers(1, [*POST, (b"content-length", b"3")], end=False) << Request(1)
        play >> data(1, b"abc") << DataReceived(1, b"abc")
        return play >> data(1, b"", end=True) << StreamEnded(1)

    @pytest.mark.parametrize("content", [b"ab", b"abcd"])
    @conversation
    def test_8_1_1_content_of_another_length_is_an_error(self, content):
        play = http2() >> headers(1, [*POST, (b"content-length", b"3")], end=False) << Request(1)
        play >> data(1, content, end=True) << Fault(None)
        if on_h2():
            play << StreamReset(1) << Frames(("GOAWAY", 1, PROTOCOL_ERROR))
        else:
            play << StreamReset(1, PROTOCOL_ERROR) << Frames(("RST_STREAM", 1, PROTOCOL_ERROR))
        return play << State(closing=on_h2())

    @pytest.mark.parametrize("lengths", [[b"x"], [b"+1"], [b""], [b"1" * 20], [b"1", b"2"]])
    @conversation
    def test_8_1_1_a_malformed_length_is_malformed(self, lengths):
        fields = [*POST, *[(b"content-length", length) for length in lengths]]
        if not on_h2():
            return malformed(fields, end=False)
        play = http2() >> headers(1, fields, end=False)
        if lengths == [b"1" * 20]:
            return play << Fault(400) << Frames(("RST_STREAM", 1, PROTOCOL_ERROR))
        return play << Fault(None) << Frames(("GOAWAY", 1, PROTOCOL_ERROR))

    @conversation
    def test_8_1_1_trailers_count_as_the_end_of_the_content(self):
        play = http2() >> headers(1, [*POST, (b"content-length", b"3")], end=False) << Request(1)
        play >> data(1, b"ab") << DataReceived(1, b"ab") >> headers(1, [(b"a", b"b")])
        play << Fault(None, stream_id=1) << StreamReset(1, PROTOCOL_ERROR)
        return play << Frames(("RST_STREAM", 1, PROTOCOL_ERROR)) << State(closing=False)

    @conversation
    def test_8_1_trailers_end_their_stream(self):
        play = http2() >> headers(1, POST, end=False) << Request(1)
        play >> headers(1, [(b"a", b"b")], end=False) << Fault(None)
        if on_h2():
            return play << StreamReset(1) << Frames(("GOAWAY", 1, PROTOCOL_ERROR))
        play << StreamReset(1, PROTOCOL_ERROR) << Frames(("RST_STREAM", 1, PROTOCOL_ERROR))
        return play << State(closing=False)


class TestRFC9113Section5_1_2Concurrency:
    @conversation
    def test_a_stream_over_the_limit_is_refused_alone(self):
        play = http2(h2_max_concurrent_streams=2) >> headers(1) + headers(3) + headers(5)
        play << Request(1) << Request(3) << Frames(("RST_STREAM", 5, REFUSED_STREAM))
        play << State(closing=False, busy_streams=2)
        play >> respond(1) << Frames(answered(1, (b"content-length", b"0")))
        return play >> headers(7) << Request(7)

    def test_a_peer_that_does_not_know_the_limit_yet_is_refused_without_charge(self):
        """Proxies send what waited for their connection at once (RFC 9113 3.4)."""
        server = Server(acknowledges=False, h2_max_concurrent_streams=2, h2_max_resets=3)
        events = server.receive(*[headers(n) for n in range(1, 401, 2)])
        assert sum(type(event) is RequestReceived for event in events) == 2
        refused = [("RST_STREAM", n, REFUSED_STREAM) for n in range(5, 401, 2)]
        assert server.frames("RST_STREAM", "GOAWAY") == refused
        server.receive(SETTINGS_ACK, *[headers(n) for n in range(401, 409, 2)])
        assert ("GOAWAY", 407, ENHANCE_YOUR_CALM) in server.frames()

    def test_one_that_never_learns_it_has_the_budget_of_frames_without_use(self):
        server = Server(acknowledges=False, h2_max_concurrent_streams=2, h2_max_glitches=20)
        server.receive(*[headers(n) for n in range(1, 101, 2)])
        assert ("GOAWAY", ANY, ENHANCE_YOUR_CALM) in server.frames()

    def test_what_follows_a_refused_head_is_ignored(self):
        server = Server(h2_max_concurrent_streams=1)
        server.receive(headers(1), headers(3, POST, end=False))
        assert server.receive(data(3, b"x", end=True)) == []
        assert not server.connection.closing

    def test_a_refused_head_keeps_the_compression_table(self):
        server, encoder = Server(h2_max_concurrent_streams=1), hpack.Encoder()
        server.receive(headers(1))
        server.receive(raw(0x1, 0x5, 3, encoder.encode([*GET, (b"x-a", b"y")])))
        respond(1)(server.connection)
        server.frames()
        again = raw(0x1, 0x5, 5, encoder.encode([*GET, (b"x-a", b"y")]))
        (event,) = server.receive(again)
        assert event.headers == [(b"host", b"a"), (b"x-a", b"y")]

    def test_fields_are_plain_tuples(self):
        """hpack's own class of tuple goes no further."""
        server = Server()
        (event,) = server.receive(headers(1, [*GET, (b"x-a", b"y")]))
        assert {type(field) for field in event.headers} == {tuple}


CONNECT = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), SCHEME, PATH, AUTHORITY]


class TestRFC8441ExtendedConnect:
    @conversation
    def test_5_a_websocket_is_a_tunnel(self):
        play = http2() >> headers(1, CONNECT, end=False)
        play << Request(1, method="CONNECT", protocol=b"websocket", end_stream=False)
        play >> Call("upgrade", 1, 200, []) << Frames(answered(end=False))
        play >> data(1, b"in") << DataReceived(1, b"in") >> Call("send_data", 1, b"out")
        play << Frames(("DATA", 1, b"out", False)) >> data(1, end=True) << StreamEnded(1)
        return (
            play
            >> Call("send_data", 1, b"", True)
            << Frames(("DATA", 1, b"", True))
            << State(idle=True, closing=False)
        )

    @conversation
    def test_5_one_that_we_end_waits_for_the_peers_end(self):
        """A reset could overtake the last bytes, a WebSocket's closing handshake."""
        play = http2() >> headers(1, CONNECT, end=False) << Request(1)
        play >> Call("upgrade", 1, 200, []) >> Call("send_data", 1, b"out", True)
        play << Frames(answered(end=False), ("DATA", 1, b"out", True)) << State(busy_streams=1)
        return play >> data(1, end=True) << StreamEnded(1) << State(busy_streams=0)

    @conversation
    def test_5_a_refused_one_is_over_with_its_answer(self):
        """Nothing may come on it any more, so nothing is waited for."""
        play = http2() >> headers(1, CONNECT, end=False)
        play << Request(1, method="CONNECT", protocol=b"websocket", end_stream=False)
        play >> Call("send_headers", 1, 403, [], True)
        refusal = ("HEADERS", 1, [(b":status", b"403")], True)
        return play << Frames(refusal, ("RST_STREAM", 1, 0)) << State(idle=True, closing=False)

    @pytest.mark.parametrize("accepted", [True, False])
    @conversation
    def test_rfc9113_8_5_a_tunnel_has_no_trailers(self, accepted):
        play = http2() >> headers(1, CONNECT, end=False) << Request(1)
        if accepted:
            play >> Call("upgrade", 1, 200, []) << Frames(answered(end=False))
        play >> headers(1, [(b"a", b"b")]) << Fault(None, stream_id=1)
        play << StreamReset(1, PROTOCOL_ERROR) << Frames(("RST_STREAM", 1, PROTOCOL_ERROR))
        return play << State(closing=False, idle=True)

    @pytest.mark.parametrize("missing", [2, 3, 4])
    @conversation
    def test_4_an_incomplete_extended_connect_is_malformed(self, missing):
        fields = [*CONNECT]
        del fields[missing]
        return malformed(fields)

    @conversation
    def test_4_another_protocol_is_501(self):
        fields = [CONNECT[0], (b":protocol", b"connect-udp"), *CONNECT[2:]]
        return refused(fields, 501)

    @conversation
    def test_rfc9113_8_5_a_plain_connect_is_501(self):
        return refused([(b":method", b"CONNECT"), AUTHORITY], 501)

    @pytest.mark.parametrize("fields", [[CONNECT[0]], [CONNECT[0], SCHEME, PATH, AUTHORITY]])
    @conversation
    def test_rfc9113_8_5_a_malformed_connect_costs_its_stream(self, fields):
        return malformed(fields)


class TestRFC9113Section8_4Push:
    def test_a_promise_comes_before_the_data_and_the_request_by_the_same_door(self):
        server = Server(secure=True)
        connection = server.connection
        server.receive(headers(1))
        connection.send_headers(1, 200, [])
        assert connection.push(1, b"/style.css", [(b"accept", b"text/css")]) == 2
        connection.send_data(1, b"<link>", True)
        assert connection.has_events
        (event,) = connection.take_events()
        assert event == RequestReceived(
            2, "2", "GET", b"/style.css", [(b"host", b"a"), (b"accept", b"text/css")],
            scheme="https", end_stream=True, pushed=True,
        )  # fmt: skip
        assert server.frames() == [
            ("HEADERS", 1, [STATUS], False),
            ("PUSH_PROMISE", 1, 2, [METHOD, (b":scheme", b"https"), AUTHORITY,
                                    (b":path", b"/style.css"), (b"accept", b"text/css")]),
            ("DATA", 1, b"<link>", True),
        ]  # fmt: skip
        respond(2, body=b"css")(connection)
        assert server.frames() == [
            ("HEADERS", 2, [STATUS, (b"content-length", b"3")], False),
            ("DATA", 2, b"css", True),
        ]
        assert connection.idle
        assert not connection.closing

    def test_pushed_streams_do_not_count_as_the_clients(self):
        server = Server(h2_max_concurrent_streams=1)
        server.receive(headers(1))
        server.connection.push(1, b"/a", [])
        server.connection.take_events()
        respond(1)(server.connection)
        server.frames()
        assert [type(event) for event in server.receive(headers(3))] == [RequestReceived]

    @pytest.mark.parametrize(
        ("options", "client", "frames"),
        [
            ({"h2_server_push": False}, {}, []),
            ({"h2_max_pushes": 0}, {}, []),
            ({}, {0x2: 0}, []),
            ({}, {0x3: 0}, []),
            ({}, {}, [settings({0x2: 0})]),
            ({}, {}, [goaway()]),
            ({}, {}, [reset(1)]),
        ],
    )
    def test_a_push_is_declined_where_it_is_not_wanted(self, options, client, frames):
        server = Server(client_settings=client, **options)
        server.receive(headers(1), *frames)
        assert server.connection.push(1, b"/a", []) is None
        assert server.frames("PUSH_PROMISE") == []
        assert not server.connection.has_events

    def test_a_push_is_declined_where_the_request_names_no_host(self):
        server = Server()
        server.receive(headers(1, [METHOD, SCHEME, PATH]))
        assert server.connection.push(1, b"/a", []) is None
        assert server.frames("PUSH_PROMISE") == []

    def test_a_push_is_declined_while_draining(self):
        server = Server()
        server.receive(headers(1))
        server.connection.drain()
        assert server.connection.push(1, b"/a", []) is None

    def test_a_push_has_no_informational_response(self):
        server = Server()
        server.receive(headers(1))
        server.connection.push(1, b"/a", [])
        server.connection.take_events()
        server.connection.send_informational(2, 103, [(b"link", b"</b>")])
        assert [frame[0] for frame in server.frames()] == ["PUSH_PROMISE"]

    def test_a_path_is_pushed_once_on_a_connection(self):
        server = Server()
        server.receive(headers(1), headers(3))
        assert server.connection.push(1, b"/a", []) == 2
        assert server.connection.push(1, b"/a", []) is None
        assert server.connection.push(3, b"/a", []) is None
        assert server.connection.push(3, b"/b", []) == 4

    def test_the_lower_limit_on_open_pushes_holds(self):
        server = Server(client_settings={0x3: 2}, h2_max_pushes=5)
        server.receive(headers(1))
        pushed = [server.connection.push(1, b"/%d" % n, []) for n in range(4)]
        assert pushed == [2, 4, None, None]
        respond(2)(server.connection)
        server.frames()
        assert server.connection.push(1, b"/x", []) == 6

    def test_a_push_above_a_lowered_limit_is_withdrawn(self):
        server = Server(client_settings={0x3: 100})
        server.receive(headers(1))
        assert [server.connection.push(1, path, []) for path in (b"/a", b"/b")] == [2, 4]
        server.receive(settings({0x3: 1}))
        respond(1)(server.connection)
        server.frames()
        respond(2, body=bytes(100_000))(server.connection)
        assert server.connection.has_events
        assert server.connection.take_events() == [StreamReset(2, CANCEL)]
        respond(4, body=b"b")(server.connection)
        assert server.frames() == [
            ("RST_STREAM", 2, CANCEL),
            answered(4, (b"content-length", b"1"), end=False),
            ("DATA", 4, b"b", True),
        ]
        assert server.connection.idle
        assert not server.connection.closing

    @pytest.mark.parametrize("size", [0, 70_000])
    def test_no_push_waits_for_a_limit_to_rise(self, size):
        server = Server()
        server.receive(headers(1))
        assert server.connection.push(1, b"/a", []) == 2
        server.receive(settings({0x3: 0}))
        server.frames()
        server.connection.send_headers(2, 200, [], not size)
        server.connection.send_data(2, bytes(size), True)
        assert server.frames() == [("RST_STREAM", 2, CANCEL)]
        assert server.connection.busy_streams == 1

    def test_nothing_is_pushed_from_a_push_or_behind_the_end(self):
        server = Server()
        server.receive(headers(1))
        assert server.connection.push(1, b"/a", []) == 2
        assert server.connection.push(2, b"/b", []) is None
        respond(1)(server.connection)
        assert server.connection.push(1, b"/b", []) is None

    def test_the_client_may_cancel_a_push(self):
        server = Server()
        server.receive(headers(1))
        server.connection.push(1, b"/a", [])
        server.connection.take_events()
        server.frames()
        assert server.receive(reset(2)) == [StreamReset(2, 8)]
        respond(2, body=b"late")(server.connection)
        assert server.frames() == []
