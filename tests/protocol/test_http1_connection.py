"""HTTP/1.1 connections: RFC 9112 sections 6.3 and 9, RFC 9110 sections 6.4, 7.8 and 10.1.1."""

import os

import pytest
from playbook import (
    ANY_OUTPUT,
    EOF,
    Call,
    Fault,
    Playbook,
    Request,
    SomeData,
    State,
    contains,
    conversation,
    http1,
    respond,
)

from tricorn.protocol.events import (
    DataReceived,
    HTTP2Upgraded,
    PeerHalfClosed,
    StreamEnded,
    TrailersReceived,
)
from tricorn.protocol.flow import FileRegion

pytestmark = pytest.mark.usefixtures("http1_codec")

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
OK_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
OPEN = State(closing=False, idle=True, busy_streams=0)
CLOSED = State(closing=True)


def request(method=b"GET", *fields, version=b"1.1", body=b""):
    lines = [method + b" / HTTP/" + version, b"host: a", *fields, b"", b""]
    return b"\r\n".join(lines) + body


class TestRFC9112Section9_3Persistence:
    @conversation
    def test_a_connection_is_kept(self):
        play = Playbook(http1()) >> GET << Request(1) << State(idle=False, busy_streams=1)
        return play >> respond(1) << OK << OPEN >> GET << Request(2)

    @pytest.mark.parametrize("value", [b"close", b"Close", b"x, close", b"keep-alive, close"])
    @conversation
    def test_close_is_honoured(self, value):
        play = Playbook(http1()) >> request(b"GET", b"connection: " + value) << Request(1)
        return play >> respond(1) << OK_CLOSE << CLOSED << State(lingering=False)

    @conversation
    def test_requests_behind_close_are_not_read(self):
        play = Playbook(http1()) >> request(b"GET", b"connection: close") + GET << Request(1)
        return play >> respond(1) << OK_CLOSE << CLOSED << State(lingering=True) >> GET

    @conversation
    def test_http_1_0_closes(self):
        play = Playbook(http1()) >> request(version=b"1.0") << Request(1, http_version="1.0")
        return play >> respond(1) << OK_CLOSE << CLOSED << State(lingering=False)

    @conversation
    def test_http_1_0_keep_alive_is_kept_and_told(self):
        data = request(b"GET", b"connection: Keep-Alive", version=b"1.0")
        play = Playbook(http1()) >> data << Request(1)
        play >> respond(1) << contains(b"connection: keep-alive\r\n")
        return play << OPEN >> data << Request(2)

    @conversation
    def test_the_application_may_close(self):
        play = Playbook(http1()) >> GET << Request(1)
        play >> respond(1, headers=[(b"connection", b"x, Close")]) << OK_CLOSE
        return play << CLOSED << State(lingering=True)

    @conversation
    def test_the_last_request_of_the_limit_closes(self):
        play = Playbook(http1(keep_alive_max_requests=2)) >> GET << Request(1)
        play >> respond(1) << OK << OPEN >> GET << Request(2)
        return play >> respond(2) << OK_CLOSE << CLOSED << State(lingering=True)

    @conversation
    def test_9_3_2_pipelined_requests_are_answered_in_order(self):
        play = Playbook(http1()) >> GET + request(b"HEAD") + GET << Request(1)
        play >> respond(1) << OK << Request(2, method="HEAD")
        return play >> respond(2) << OK << Request(3) >> respond(3) << OK << OPEN

    @conversation
    def test_9_3_2_calls_on_a_finished_exchange_change_nothing(self):
        play = Playbook(http1()) >> GET + GET << Request(1) >> respond(1) << OK << Request(2)
        play >> respond(1, body=b"again") >> Call("reset", 1, 2) >> Call("consumed", 1, 5)
        play >> Call("send_trailers", 1, []) >> Call("upgrade", 1, 101, [])
        play >> Call("send_informational", 1, 103, [])
        return play << State(closing=False, busy_streams=1) >> respond(2) << OK

    def test_9_3_2_reading_pauses_while_much_is_pipelined(self):
        connection = http1(h11_max_incomplete_size=1024)()
        connection.receive_data(GET)
        assert connection.wants_data
        connection.receive_data(b"x" * 1023)
        assert connection.wants_data
        connection.receive_data(b"x")
        assert not connection.wants_data

    @conversation
    def test_9_5_an_eof_between_requests_closes_without_a_word(self):
        play = Playbook(http1()) >> GET << Request(1) >> respond(1) << OK
        return play >> EOF << CLOSED << State(lingering=False)


class TestRFC9112Section6_3ResponseFraming:
    @conversation
    def test_without_a_length_a_response_is_chunked(self):
        play = (
            Playbook(http1()) >> GET << Request(1) >> Call("send_headers", 1, 200, [(b"a", b"b")])
        )
        play << b"HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n"
        play >> Call("send_data", 1, b"") >> Call("send_data", 1, b"hello" * 4)
        play << b"14\r\n" + b"hello" * 4 + b"\r\n"
        return play >> Call("send_data", 1, b"!", True) << b"1\r\n!\r\n0\r\n\r\n" << OPEN

    @conversation
    def test_trailers_end_a_chunked_response(self):
        play = Playbook(http1()) >> GET << Request(1) >> Call("send_headers", 1, 200, [])
        play << ANY_OUTPUT >> Call("send_trailers", 1, [(b"a", b"b")])
        return play << b"0\r\na: b\r\n\r\n" << OPEN

    @conversation
    def test_trailers_of_a_response_with_a_length_are_dropped(self):
        play = Playbook(http1()) >> GET << Request(1)
        play >> Call("send_headers", 1, 200, [(b"content-length", b"1")])
        play >> Call("send_data", 1, b"x") >> Call("send_trailers", 1, [(b"a", b"b")])
        return play << b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx" << OPEN

    @conversation
    def test_http_1_0_without_a_length_is_not_whole_where_it_is_given_up(self):
        def is_cut_short(expected):
            def step(connection):
                assert connection.cut_short(0) is expected

            return step

        play = Playbook(http1()) >> request(version=b"1.0") << Request(1)
        play >> is_cut_short(False) >> Call("send_headers", 1, 200, [])
        play << ANY_OUTPUT >> is_cut_short(True) >> Call("send_data", 1, b"pa")
        play >> Call("reset", 1, 2) << ANY_OUTPUT
        return play << State(closing=True) >> is_cut_short(True)

    @conversation
    def test_http_1_0_without_a_length_ends_with_the_connection(self):
        data = request(b"GET", b"connection: keep-alive", version=b"1.0")
        play = Playbook(http1()) >> data << Request(1) >> Call("send_headers", 1, 200, [])
        play << b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
        return play >> Call("send_data", 1, b"hello", True) << b"hello" << CLOSED

    @conversation
    def test_head_has_the_fields_of_get_and_no_body(self):
        play = Playbook(http1()) >> request(b"HEAD") << Request(1) >> respond(1, body=b"hello")
        return play << b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" << OPEN

    @conversation
    def test_head_without_a_length_has_no_framing(self):
        play = Playbook(http1()) >> request(b"HEAD") << Request(1)
        play >> Call("send_headers", 1, 200, []) >> Call("send_data", 1, b"x")
        return (
            play >> Call("send_trailers", 1, [(b"a", b"b")]) << b"HTTP/1.1 200 OK\r\n\r\n" << OPEN
        )

    @pytest.mark.parametrize(
        ("status", "head"),
        [
            (204, b"HTTP/1.1 204 No Content\r\n\r\n"),
            (304, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ],
    )
    @conversation
    def test_204_and_304_have_no_body(self, status, head):
        play = Playbook(http1()) >> GET << Request(1)
        play >> Call("send_headers", 1, status, [(b"content-length", b"5")])
        return play >> Call("send_data", 1, b"hello", True) << head << OPEN

    @conversation
    def test_the_applications_framing_fields_are_replaced(self):
        headers = [
            (b"transfer-encoding", b"gzip"),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-connection", b"x"),
        ]
        play = Playbook(http1()) >> GET << Request(1) >> Call("send_headers", 1, 200, headers)
        return play << b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

    @conversation
    def test_upgrade_in_a_response_is_named_in_connection(self):
        play = Playbook(http1()) >> GET << Request(1)
        play >> respond(1, 426, [(b"upgrade", b"websocket")])
        return play << contains(b"upgrade: websocket\r\n", b"connection: upgrade\r\n")

    def test_an_unknown_status_has_an_empty_phrase(self):
        play = Playbook(http1()) >> GET << Request(1) >> respond(1, 799)
        (play << contains(b"HTTP/1.1 799 \r\n")).run()

    @pytest.mark.parametrize(
        ("method", "length", "framed"),
        [
            (b"GET", 4, [4]),
            (b"GET", None, [b"4\r\n", 4, b"\r\n", b"0\r\n\r\n"]),
            (b"HEAD", 4, []),
            (b"HEAD", None, []),
        ],
    )
    def test_a_file_is_framed_as_bytes_are(self, method, length, framed):
        connection = http1()()
        connection.receive_data(request(method))
        sized = [] if length is None else [(b"content-length", b"%d" % length)]
        connection.send_headers(1, 200, sized)
        connection.data_to_send()
        for ended in (True, False):  # the second is behind the end
            region = FileRegion(os.open(os.devnull, os.O_RDONLY), 0, 4)
            connection.send_data(1, region, ended)
        sent = []
        while buffers := connection.data_to_send():
            sent += [len(b) if isinstance(b, FileRegion) else bytes(b) for b in buffers]
        assert sent == framed

    def test_a_long_output_leaves_in_pieces_of_a_bounded_size(self):
        connection = http1()()
        connection.receive_data(GET)
        body = bytes(1_000_000)
        connection.send_headers(1, 200, [(b"content-length", b"1000000")])
        connection.send_data(1, body, True)
        pieces = list(iter(connection.data_to_send, []))
        sizes = [sum(map(len, piece)) for piece in pieces]
        assert len(sizes) == 4
        assert max(sizes) <= 262144
        sent = b"".join(bytes(part) for piece in pieces for part in piece)
        assert sent.endswith(b"\r\n\r\n" + body)
        assert connection.buffered(1) == 0


class TestRFC9112Section9_3UnreadBodies:
    """9.3: a server either reads the entire content or closes after its response."""

    @conversation
    def test_a_small_body_nobody_wants_is_read_away(self):
        data = request(b"POST", b"content-length: 8", body=b"12345")
        play = Playbook(http1()) >> data << Request(1) << DataReceived(1, b"12345")
        return play >> respond(1) << OK >> b"678" + GET << Request(2)

    @conversation
    def test_a_chunked_body_nobody_wants_is_read_away(self):
        data = request(b"POST", b"transfer-encoding: chunked", body=b"3\r\nabc\r\n")
        play = Playbook(http1(), consume=False) >> data << Request(1) << DataReceived(1, b"abc")
        return play >> respond(1) << OK >> b"1\r\nx\r\n0\r\n\r\n" + GET << Request(2)

    @conversation
    def test_a_large_body_nobody_wants_closes(self):
        play = Playbook(http1()) >> request(b"POST", b"content-length: 100000") << Request(1)
        play >> respond(1) << OK_CLOSE << CLOSED << State(lingering=True, wants_data=True)
        return play >> b"x" * 100

    def test_a_chunked_body_is_read_away_up_to_a_limit(self):
        connection = http1()()
        connection.receive_data(request(b"POST", b"transfer-encoding: chunked"))
        respond(1)(connection)
        chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
        for _ in range(16):
            assert connection.receive_data(chunk) == []
        assert not connection.closing
        connection.receive_data(chunk)
        assert (connection.closing, connection.lingering) == (True, True)

    @pytest.mark.parametrize("came", [0, 84_464, 149_999])
    def test_what_has_come_of_it_does_not_count(self, came):
        """The response has said whether the connection is kept."""
        size = 150_000
        data = request(b"POST", b"content-length: %d" % size, body=bytes(came))
        play = Playbook(http1(), consume=False) >> data << Request(1) << SomeData(1) >> respond(1)
        if came:
            play << OK << State(closing=False) >> bytes(size - came) + GET << Request(2)
        else:
            play << OK_CLOSE << CLOSED
        play.run((65536,))

    @conversation
    def test_a_fault_in_a_body_read_away_closes_without_a_second_answer(self):
        data = request(b"POST", b"transfer-encoding: chunked")
        play = Playbook(http1()) >> data << Request(1) >> respond(1) << OK
        return play >> b"zz\r\n" << Fault(400) << CLOSED

    def test_reading_pauses_while_the_application_does_not_take_the_body(self):
        connection = http1(request_buffer_size=10)()
        connection.receive_data(request(b"POST", b"content-length: 100", body=b"x" * 9))
        assert connection.wants_data
        connection.receive_data(b"x")
        assert not connection.wants_data
        connection.consumed(1, 1)
        assert connection.wants_data

    @conversation
    def test_a_reset_closes_at_once(self):
        play = Playbook(http1()) >> request(b"POST", b"content-length: 8") << Request(1)
        return play >> Call("reset", 1, 2) << CLOSED << State(lingering=False)


EXPECT = b"expect: 100-Continue"


class TestRFC9110Section10_1_1Expect:
    @conversation
    def test_100_continue_is_asked_for(self):
        play = Playbook(http1()) >> request(b"POST", EXPECT, b"content-length: 1")
        play << Request(1, expects_continue=True)
        play >> Call("send_informational", 1, 100, []) << b"HTTP/1.1 100 Continue\r\n\r\n"
        play >> b"x" << DataReceived(1, b"x") << StreamEnded(1)
        return play >> respond(1) << OK << OPEN

    @conversation
    def test_it_is_not_sent_once_content_has_arrived(self):
        data = request(b"POST", EXPECT, b"content-length: 2", body=b"x")
        play = Playbook(http1(), consume=False) >> data << Request(1) << DataReceived(1, b"x")
        return play >> Call("send_informational", 1, 100, [])

    @conversation
    def test_a_response_without_it_closes_for_the_body_may_come_or_not(self):
        play = Playbook(http1()) >> request(b"POST", EXPECT, b"content-length: 1") << Request(1)
        return play >> respond(1) << OK_CLOSE << CLOSED

    @conversation
    def test_who_was_asked_sends_the_body_and_so_does_who_did_not_wait(self):
        post = request(b"POST", EXPECT, b"content-length: 2")
        play = Playbook(http1()) >> post << Request(1) >> Call("send_informational", 1, 100, [])
        play << b"HTTP/1.1 100 Continue\r\n\r\n" >> respond(1) << OK >> b"xy" + post << Request(2)
        play >> b"x" << DataReceived(2, b"x") >> Call("send_informational", 2, 100, [])
        return play >> respond(2) << OK >> b"y" + GET << Request(3)

    @conversation
    def test_http_1_0_cannot_expect(self):
        data = request(b"POST", EXPECT, b"content-length: 1", version=b"1.0")
        play = Playbook(http1()) >> data << Request(1, expects_continue=False)
        return (
            play >> Call("send_informational", 1, 100, []) >> Call("send_informational", 1, 103, [])
        )

    @conversation
    def test_other_expectations_are_417(self):
        play = Playbook(http1()) >> request(b"GET", b"expect: a=b") << Fault(417)
        return play << contains(b"HTTP/1.1 417 Expectation Failed\r\n") << CLOSED

    @conversation
    def test_early_hints_go_before_the_response_and_not_after(self):
        play = Playbook(http1()) >> GET << Request(1)
        play >> Call("send_informational", 1, 103, [(b"link", b"</a>")])
        play << b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" >> respond(1) << OK
        return play >> Call("send_informational", 1, 103, [])


WEBSOCKET = request(b"GET", b"upgrade: h3c, WebSocket", b"connection: x, Upgrade")
H2C = b"upgrade: h2c", b"connection: upgrade, http2-settings", b"http2-settings: AAMAAABkAAQAAP__"


class TestRFC9110Section7_8Upgrade:
    @conversation
    def test_a_websocket_is_a_tunnel_after_101(self):
        play = Playbook(http1()) >> WEBSOCKET + b"early"
        play << Request(1, protocol=b"websocket", end_stream=False)
        play >> Call("upgrade", 1, 101, [(b"upgrade", b"websocket")])
        play << b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"
        play << DataReceived(1, b"early") >> b"more" << DataReceived(1, b"more")
        play >> Call("send_data", 1, b"out") << b"out" >> EOF << StreamEnded(1)
        return play >> Call("send_data", 1, b"end", True) << b"end" << CLOSED

    @conversation
    def test_a_declined_websocket_is_an_ordinary_exchange(self):
        play = Playbook(http1()) >> WEBSOCKET + GET << Request(1, protocol=b"websocket")
        return play >> respond(1, 403) << contains(b"HTTP/1.1 403 ") << Request(2, protocol=None)

    @pytest.mark.parametrize(
        "data",
        [
            request(b"GET", b"upgrade: websocket"),
            request(b"GET", b"connection: upgrade"),
            request(b"GET", b"connection: upgrade", b"upgrade: websocketx"),
            request(b"POST", b"connection: upgrade", b"upgrade: websocket"),
            request(b"GET", b"connection: upgrade", b"upgrade: websocket", version=b"1.0"),
        ],
    )
    @conversation
    def test_what_is_no_websocket_is_an_ordinary_request(self, data):
        return Playbook(http1()) >> data << Request(1, protocol=None, end_stream=True)

    @conversation
    def test_an_upgrade_with_a_body_is_an_ordinary_request(self):
        data = request(b"GET", b"connection: upgrade", b"upgrade: websocket", b"content-length: 1",
                       body=b"x")  # fmt: skip
        play = Playbook(http1()) >> data << Request(1, protocol=None)
        return play << DataReceived(1, b"x") << StreamEnded(1)

    @conversation
    def test_an_eof_before_the_answer_is_told(self):
        play = Playbook(http1()) >> WEBSOCKET << Request(1)
        play >> EOF << PeerHalfClosed(1)
        return play >> respond(1, 403) << contains(b"HTTP/1.1 403 ") << CLOSED

    def test_a_tunnel_has_back_pressure(self):
        connection = http1(request_buffer_size=4)()
        connection.receive_data(WEBSOCKET)
        connection.upgrade(1, 101, [])
        connection.receive_data(b"1234")
        assert not connection.wants_data
        connection.consumed(1, 2)
        assert connection.wants_data


class TestRFC7540Section3_2H2c:
    @conversation
    def test_it_is_off_by_default(self):
        return Playbook(http1()) >> request(b"GET", *H2C) << Request(1, protocol=None)

    @conversation
    def test_a_request_is_carried_over_with_its_body(self):
        play = Playbook(http1(h2c_upgrade=True))
        play >> request(b"POST", *H2C, b"content-length: 5", body=b"hello")
        play << Upgraded(b"hello") << contains(b"HTTP/1.1 101 ", b"upgrade: h2c\r\n")
        return play

    @conversation
    def test_it_waits_for_an_application_that_runs_behind_its_exchange(self):
        # Its stream would be another's: HTTP/2 begins anew with stream 1.
        play = Playbook(http1(h2c_upgrade=True)) >> GET << Request(1) >> respond(1) << OK
        play >> request(b"GET", *H2C) << Request(2) >> respond(2) << OK
        play >> Call("released", 1) >> Call("released", 2)
        return play >> request(b"GET", *H2C) << Upgraded(b"") << contains(b"HTTP/1.1 101 ")

    @pytest.mark.parametrize("missing", [0, 1, 2])
    @conversation
    def test_an_incomplete_offer_is_passed_over(self, missing):
        offer = [*H2C]
        del offer[missing]
        return Playbook(http1(h2c_upgrade=True)) >> request(b"GET", *offer) << Request(1)

    @conversation
    def test_two_settings_fields_are_no_offer(self):
        data = request(b"GET", *H2C, H2C[2])
        return Playbook(http1(h2c_upgrade=True)) >> data << Request(1)

    @conversation
    def test_an_offer_with_a_large_body_is_passed_over(self):
        data = request(b"POST", *H2C, b"content-length: 11")
        return Playbook(http1(h2c_upgrade=True, request_buffer_size=10)) >> data << Request(1)

    @conversation
    def test_a_chunked_body_that_grows_too_large_is_413(self):
        data = request(b"POST", *H2C, b"transfer-encoding: chunked", body=b"b\r\n" + b"x" * 11)
        play = Playbook(http1(h2c_upgrade=True, request_buffer_size=10)) >> data
        return play << Fault(413) << contains(b"HTTP/1.1 413 ") << CLOSED

    @conversation
    def test_an_offer_with_trailers_is_passed_over(self):
        body = b"5\r\nhello\r\n0\r\nx-a: b\r\n\r\n"
        data = request(b"POST", *H2C, b"transfer-encoding: chunked", body=body)
        play = Playbook(http1(h2c_upgrade=True)) >> data << Request(1) << DataReceived(1, b"hello")
        return play << TrailersReceived(1, [(b"x-a", b"b")]) << StreamEnded(1)

    @conversation
    def test_an_offer_that_expects_100_continue_is_passed_over(self):
        # RFC 9110 7.8: the 100 would have to go before the 101.
        data = request(b"POST", *H2C, EXPECT, b"content-length: 5")
        return Playbook(http1(h2c_upgrade=True)) >> data << Request(1, expects_continue=True)


class Upgraded:
    def __init__(self, body):
        self.body = body

    def __eq__(self, event):
        return type(event) is HTTP2Upgraded and (event.body, event.rest) == (self.body, b"")

    __hash__ = None

    def __repr__(self):
        return f"HTTP2Upgraded(body={self.body!r})"
