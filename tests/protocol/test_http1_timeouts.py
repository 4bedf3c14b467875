"""HTTP/1.1 connections and time: RFC 9112 section 9.5, and draining. No clock is read."""

import pytest
from playbook import (
    ANY_OUTPUT,
    EOF,
    Call,
    Fault,
    Playbook,
    Request,
    State,
    Tick,
    contains,
    conversation,
    http1,
    respond,
)

from tricorn.protocol.events import DataReceived, StreamReset

pytestmark = pytest.mark.usefixtures("http1_codec")

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
OK_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CLOSED = State(closing=True)
H2C = b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: "


def request(method, *fields, body=b""):
    return b"\r\n".join([method + b" / HTTP/1.1", b"host: a", *fields, b"", b""]) + body


def ticks(play, *times):
    for now in times:
        play >> Tick(now)
    return play


class TestRFC9112Section9_5Timeouts:
    def test_a_head_that_does_not_come_closes_without_a_word(self):
        play = ticks(Playbook(http1(header_timeout=10)), 0, 9.9) << State(closing=False)
        (play >> Tick(10) << CLOSED).run()

    @conversation
    def test_a_head_that_stops_is_408(self):
        play = Playbook(http1(header_timeout=10)) >> Tick(0) >> b"GET / "
        play >> Tick(5) >> b"HTTP" >> Tick(9) >> b"/1.1" << State(closing=False)
        play >> Tick(10) << Fault(408)
        return play << contains(b"HTTP/1.1 408 Request Timeout\r\n") << CLOSED

    @conversation
    def test_an_idle_connection_closes_without_a_word(self):
        play = Playbook(http1(keep_alive_timeout=75)) >> GET << Request(1) >> respond(1) << OK
        play >> Tick(0) >> b"\r\n" >> Tick(74) << State(closing=False)
        return play >> Tick(75) << CLOSED << State(lingering=False)

    @conversation
    def test_each_request_begins_a_new_idle_time(self):
        play = Playbook(http1(keep_alive_timeout=75)) >> GET << Request(1) >> respond(1) << OK
        play >> Tick(0) >> GET << Request(2) >> respond(2) << OK >> Tick(74) >> Tick(148)
        return play << State(closing=False) >> Tick(149) << CLOSED

    @conversation
    def test_a_body_that_stops_is_408(self):
        play = Playbook(http1(read_timeout=30)) >> Tick(0)
        play >> request(b"POST", b"content-length: 5", body=b"he")
        play << Request(1) << DataReceived(1, b"he") >> Tick(1) >> Tick(30) >> b"l"
        play << DataReceived(1, b"l") >> Tick(31) >> Tick(60) << State(closing=False)
        play >> Tick(61) << Fault(408) << StreamReset(1)
        return play << contains(b"HTTP/1.1 408 ") << CLOSED

    @conversation
    def test_a_body_the_application_does_not_take_costs_nobody_time(self):
        play = Playbook(http1(read_timeout=30, request_buffer_size=2), consume=False)
        play >> request(b"POST", b"content-length: 5", body=b"he")
        play << Request(1) << DataReceived(1, b"he")
        return ticks(play, 0, 100, 200) << State(closing=False)

    @conversation
    def test_a_body_that_was_not_asked_for_costs_nobody_time(self):
        data = request(b"POST", b"expect: 100-continue", b"content-length: 5")
        play = Playbook(http1(read_timeout=30)) >> data << Request(1)
        ticks(play, 0, 100, 200) << State(closing=False) >> Call("send_informational", 1, 100, [])
        play << contains(b"HTTP/1.1 100 ") >> Tick(201) >> Tick(230) << State(closing=False)
        play >> Tick(231) << Fault(408) << StreamReset(1)
        return play << contains(b"HTTP/1.1 408 ") << CLOSED

    @conversation
    def test_a_body_that_did_not_wait_for_that_has_its_limit(self):
        data = request(b"POST", b"expect: 100-continue", b"content-length: 5", body=b"h")
        play = Playbook(http1(read_timeout=30)) >> data << Request(1) << DataReceived(1, b"h")
        ticks(play, 0, 29) << State(closing=False) >> Tick(30) << Fault(408) << StreamReset(1)
        return play << contains(b"HTTP/1.1 408 ") << CLOSED

    @conversation
    def test_an_application_that_thinks_has_all_the_time(self):
        play = Playbook(http1()) >> GET << Request(1)
        return ticks(play, 0, 1000, 2000) << State(closing=False)

    @conversation
    def test_a_body_read_away_that_stops_closes_without_an_answer(self):
        play = Playbook(http1(read_timeout=30)) >> request(b"POST", b"content-length: 5")
        play << Request(1) >> respond(1) << OK >> Tick(0) >> Tick(30) << Fault(408)
        return play << CLOSED

    @conversation
    def test_a_body_read_away_has_one_limit_however_it_trickles(self):
        play = Playbook(http1(read_timeout=30)) >> request(b"POST", b"content-length: 50")
        play << Request(1) >> respond(1) << OK >> Tick(0) >> b"x" >> Tick(15) >> b"x"
        return play >> Tick(29) >> b"x" << State(closing=False) >> Tick(30) << Fault(408) << CLOSED

    @conversation
    def test_a_body_gathered_for_h2c_has_the_limit_of_a_head(self):
        play = Playbook(http1(h2c_upgrade=True, header_timeout=10))
        play >> request(b"POST", *H2C, b"content-length: 50") >> Tick(0) >> b"x" >> Tick(9)
        play << State(closing=False) >> b"x" >> Tick(10) << Fault(408)
        return play << contains(b"HTTP/1.1 408 ") << CLOSED

    @conversation
    def test_lingering_has_an_end(self):
        play = Playbook(http1(close_timeout=5)) >> b"x\r\n\r\n" << Fault(400) << ANY_OUTPUT
        play >> Tick(0) >> b"x" >> Tick(4.9) << State(lingering=True)
        return play >> Tick(5) << State(lingering=False, closing=True)

    @conversation
    def test_lingering_behind_a_body_refused_for_h2c_has_that_end_too(self):
        options = {"h2c_upgrade": True, "request_buffer_size": 10}
        play = Playbook(http1(**options, header_timeout=None, close_timeout=5))
        play >> request(b"POST", *H2C, b"transfer-encoding: chunked", body=b"b\r\n" + b"x" * 11)
        play << Fault(413) << ANY_OUTPUT
        play >> Tick(0) >> Tick(4.9) << State(lingering=True)
        return play >> Tick(5) << State(lingering=False, closing=True)

    @conversation
    def test_an_eof_ends_lingering(self):
        play = Playbook(http1()) >> b"x\r\n\r\n" << Fault(400) << ANY_OUTPUT
        return play << State(lingering=True) >> EOF << State(lingering=False)

    def test_the_next_deadline_is_told(self):
        connection = http1(header_timeout=10, keep_alive_timeout=75)()
        assert connection.next_deadline() is None
        connection.handle_timeout(100)
        assert connection.next_deadline() == 110
        connection.receive_data(GET)
        connection.handle_timeout(101)
        assert connection.next_deadline() is None
        respond(1)(connection)
        connection.handle_timeout(102)
        assert connection.next_deadline() is None  # while it is not with the transport
        assert connection.data_to_send()
        connection.handle_timeout(102)
        assert connection.next_deadline() == 177

    @conversation
    def test_no_limit_means_none(self):
        play = Playbook(http1(header_timeout=None)) >> b"GET"
        return ticks(play, 0, 1e6) << State(closing=False)


class TestDrain:
    """A request may be on its way: a close that crosses it would lose it."""

    @conversation
    def test_an_idle_connection_closes_a_moment_later(self):
        play = Playbook(http1()) >> GET << Request(1) >> respond(1) << OK >> Call("drain")
        return ticks(play, 0, 0.9) << State(closing=False) >> Tick(1) << CLOSED

    @conversation
    def test_a_fresh_connection_closes_a_moment_later(self):
        play = Playbook(http1()) >> Call("drain")
        return ticks(play, 0, 0.9) << State(closing=False) >> Tick(1) << CLOSED

    @conversation
    def test_a_request_on_its_way_is_answered_and_the_last(self):
        play = Playbook(http1()) >> GET << Request(1) >> respond(1) << OK
        play >> Call("drain") >> Tick(0) >> GET << Request(2)
        return play >> respond(2) << OK_CLOSE << CLOSED

    @conversation
    def test_a_head_that_has_begun_has_its_time(self):
        play = Playbook(http1(header_timeout=10)) >> GET[:9] >> Call("drain") >> Tick(0)
        play >> Tick(9) >> GET[9:] << Request(1)
        return play >> respond(1) << OK_CLOSE << CLOSED

    @conversation
    def test_an_open_exchange_is_finished_and_says_close(self):
        play = Playbook(http1()) >> GET + GET << Request(1) >> Call("drain")
        return play << State(closing=False) >> respond(1) << OK_CLOSE << CLOSED

    @conversation
    def test_a_started_response_is_finished(self):
        play = Playbook(http1()) >> GET << Request(1)
        play >> Call("send_headers", 1, 200, [(b"content-length", b"1")]) << ANY_OUTPUT
        play >> Call("drain") >> Call("send_data", 1, b"x", True) << b"x"
        # It did not say close, so another request may come.
        play >> Tick(0) << State(closing=False) >> GET << Request(2)
        return play >> respond(2) << OK_CLOSE << CLOSED

    @conversation
    def test_a_body_being_read_away_is_no_request(self):
        data = request(b"POST", b"content-length: 5")
        play = Playbook(http1()) >> data << Request(1) >> respond(1) << OK
        play >> Call("drain") >> b"hello"
        return ticks(play, 0, 0.9) << State(closing=False) >> Tick(1) << CLOSED

    @conversation
    def test_a_body_being_read_away_has_no_longer_than_an_idle_connection(self):
        data = request(b"POST", b"content-length: 5")
        play = Playbook(http1(read_timeout=30)) >> data << Request(1) >> respond(1) << OK
        play >> Tick(0) >> Call("drain") >> Tick(1) >> b"h" >> Tick(1.9) << State(closing=False)
        return play >> Tick(2) << State(closing=True, lingering=True)
