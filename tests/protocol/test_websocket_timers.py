"""Keepalive and close timeout of a WebSocket: time is only what handle_timeout is told."""

import struct

import pytest
from playbook_websocket import websocket

from tricorn.protocol.websocket import (
    CloseReceived,
    ConnectionFailed,
    PongReceived,
    WebSocketLimits,
)

pytestmark = pytest.mark.usefixtures("websocket_codec")

CLOSE_TIMEOUT = ConnectionFailed(1006, "close timeout", "websocket_close_timeout")
PING_TIMEOUT = ConnectionFailed(1006, "keepalive ping timeout", "websocket_ping_timeout")
START = 1_000_000.0


def frame(opcode, payload=b""):
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def opcodes(connection):
    data, found = connection.data_to_send(), []
    while data:
        found.append(data[0] & 0x0F)
        data = data[2 + data[1] :]
    return found


@pytest.fixture
def connection():
    limits = WebSocketLimits(ping_interval=20.0, ping_timeout=10.0, close_timeout=5.0)
    connection = websocket(limits)
    assert connection.handle_timeout(START) == []
    return connection


def test_first_call_only_sets_the_origin(connection):
    assert connection.data_to_send() == b""


def test_ping_after_silence_and_only_one(connection):
    assert connection.handle_timeout(START + 19.9) == []
    assert opcodes(connection) == []
    assert connection.handle_timeout(START + 20) == []
    assert opcodes(connection) == [9]
    assert connection.handle_timeout(START + 29.9) == []
    assert opcodes(connection) == []


def test_pong_in_time_starts_the_interval_again(connection):
    connection.handle_timeout(START + 20)
    ping = connection.data_to_send()
    assert connection.receive_data(frame(10, ping[2:])) == [PongReceived(ping[2:])]
    assert connection.handle_timeout(START + 25) == []
    assert connection.handle_timeout(START + 44.9) == []
    assert opcodes(connection) == []
    connection.handle_timeout(START + 45)
    again = connection.data_to_send()
    assert again[0] == 0x89
    assert again != ping


def test_any_byte_is_a_sign_of_life(connection):
    message = frame(1, b"slow")
    connection.handle_timeout(START + 20)
    assert opcodes(connection) == [9]
    for i, byte in enumerate(message):
        assert connection.receive_data(message[i : i + 1]) is not None, byte
        assert connection.handle_timeout(START + 29 + 19 * i) == []
    assert opcodes(connection) == []


def test_silence_after_the_ping_fails(connection):
    connection.handle_timeout(START + 20)
    connection.data_to_send()
    assert connection.handle_timeout(START + 30) == [PING_TIMEOUT]
    assert connection.data_to_send() == b"\x88\x18" + struct.pack("!H", 1011) + (
        b"keepalive ping timeout"
    )
    assert connection.closed
    assert not connection.wants_abort
    assert connection.close_code == 1006
    assert connection.handle_timeout(START + 100) == []
    assert connection.data_to_send() == b""


def test_a_peer_we_do_not_read_from_is_not_silent(connection):
    for second in range(0, 100, 5):
        assert connection.handle_timeout(START + second, reading=False) == []
    assert opcodes(connection) == []
    assert connection.handle_timeout(START + 114) == []
    assert opcodes(connection) == []
    assert connection.handle_timeout(START + 115) == []
    assert opcodes(connection) == [9]
    connection.handle_timeout(START + 120, reading=False)
    assert connection.handle_timeout(START + 130) == []
    assert not connection.closed


def test_a_peer_at_work_on_what_lies_before_the_ping_is_not_silent(connection):
    sent, since = 1000, START + 20
    assert connection.handle_timeout(since, sent=sent) == []
    assert opcodes(connection) == [9]
    for second in range(1, 102):
        sent += 100  # what comes behind the ping does not count
        now, taken = since + second, 10 * (second - 1)
        assert connection.handle_timeout(now, sent=sent, taken=taken) == []
    assert opcodes(connection) == []
    assert connection.handle_timeout(now + 9.9, sent=sent, taken=sent) == []
    assert connection.handle_timeout(now + 10, sent=sent, taken=sent) == [PING_TIMEOUT]


def test_a_peer_that_takes_no_more_is_silent(connection):
    since = START + 20
    connection.handle_timeout(since, sent=1000)
    # What it had taken at the first time it was asked for, it may have taken before the ping.
    for second, taken in ((1, 300), (4, 300), (5, 301), (8, 250), (14.9, 301)):
        assert connection.handle_timeout(since + second, sent=1000, taken=taken) == []
    assert connection.handle_timeout(since + 15, sent=1000, taken=301) == [PING_TIMEOUT]
    assert connection.wants_abort  # the close frame would never get to it


def test_what_was_taken_before_an_earlier_pong_is_no_sign_of_life(connection):
    connection.handle_timeout(START + 20, sent=1000)
    connection.handle_timeout(START + 21, sent=1000, taken=1000)
    connection.receive_data(frame(10))
    connection.handle_timeout(START + 22, sent=1000)
    connection.handle_timeout(START + 42, sent=2000)
    connection.handle_timeout(START + 43, sent=2000, taken=2000)
    assert connection.handle_timeout(START + 52, sent=2000, taken=2000) == [PING_TIMEOUT]


def test_no_interval_no_pings():
    connection = websocket(WebSocketLimits(ping_interval=None))
    for second in range(0, 1000, 100):
        assert connection.handle_timeout(START + second) == []
    assert connection.data_to_send() == b""


def test_no_ping_timeout_pings_for_ever():
    connection = websocket(WebSocketLimits(ping_interval=20.0, ping_timeout=None))
    for second in range(0, 101, 10):
        assert connection.handle_timeout(START + second) == []
    assert opcodes(connection) == [9] * 5
    assert not connection.closed


def test_close_timeout_aborts(connection):
    connection.send_close(1000)
    assert opcodes(connection) == [8]
    assert connection.handle_timeout(START + 3) == []
    assert connection.handle_timeout(START + 7.9) == []
    assert not connection.wants_abort
    assert connection.handle_timeout(START + 8) == [CLOSE_TIMEOUT]
    assert connection.wants_abort
    assert connection.closed
    assert connection.close_code == 1006
    assert connection.data_to_send() == b""


def test_data_does_not_extend_the_close_timeout(connection):
    connection.send_close(1000)
    connection.handle_timeout(START)
    for second in range(5):
        connection.receive_data(frame(1, b"more"))
        assert connection.handle_timeout(START + second) == []
    assert connection.handle_timeout(START + 5) == [CLOSE_TIMEOUT]


def test_a_peer_at_work_on_what_lies_before_the_close_frame_has_time(connection):
    connection.send_close(1000)
    assert connection.handle_timeout(START, sent=1000, taken=100) == []
    for second in range(1, 91):
        now, taken = START + second, 100 + 10 * second
        assert connection.handle_timeout(now, sent=1000, taken=taken) == []
    assert taken == 1000
    assert connection.handle_timeout(now + 4.9, sent=1000, taken=taken) == []
    assert connection.handle_timeout(now + 5, sent=1000, taken=taken) == [CLOSE_TIMEOUT]
    assert connection.wants_abort


def test_a_peer_that_takes_no_more_is_late_to_close(connection):
    connection.send_close(1000)
    for second, taken in ((0, 300), (3, 300), (4, 301), (6, 250), (8.9, 301)):
        assert connection.handle_timeout(START + second, sent=1000, taken=taken) == []
    assert connection.handle_timeout(START + 9, sent=1000, taken=301) == [CLOSE_TIMEOUT]


def test_no_time_to_answer_the_close_frame_is_still_time_to_take_what_lies_before():
    connection = websocket(WebSocketLimits(close_timeout=0.0))
    connection.send_close(1000)
    for second in range(10):
        taken = 100 * second
        assert connection.handle_timeout(START + second, sent=1000, taken=taken) == []
    assert connection.handle_timeout(START + 10, sent=1000, taken=taken) == [CLOSE_TIMEOUT]


def test_what_others_have_on_the_wire_is_taken_before_the_frame_to_be_answered(connection):
    """What was taken of this stream is less than nothing, as far as can be seen."""
    connection.handle_timeout(START + 20, sent=10)
    for second, taken in ((21, -900), (30, -500), (39, -100)):
        assert connection.handle_timeout(START + second, sent=10, taken=taken) == []
    connection.send_close(1000)
    for second, taken in ((40, -100), (44, -50), (48, 5)):
        assert connection.handle_timeout(START + second, sent=20, taken=taken) == []
    assert connection.handle_timeout(START + 53, sent=20, taken=5) == [CLOSE_TIMEOUT]


@pytest.mark.parametrize("closes", [False, True])
def test_a_peer_at_work_on_other_streams_is_not_silent(connection, closes):
    """They keep the wire as full as it was: of this stream alone nothing is seen to be taken."""
    if closes:
        connection.send_close(1000)
    due = PING_TIMEOUT if not closes else CLOSE_TIMEOUT
    limit = 10 if not closes else 5
    now, sent, on_wire = START + 20, 10, 1000

    def wait(seconds, others, buffered):
        nonlocal now
        now += seconds
        taken = sent - buffered + others - on_wire
        return connection.handle_timeout(
            now, sent=sent, buffered=buffered, others=others, taken=taken
        )

    assert connection.handle_timeout(now, sent=sent, buffered=10, others=500, taken=-500) == []
    # It has not had its turn, and then lies behind all that had it before: 900 and 10 bytes.
    for others in (600, 700, 800):
        assert wait(limit - 1, others, 10) == []
    for others in (900, 1100, 1600, 1899, 1900):
        assert wait(limit - 1, others, 0) == []
    assert not connection.closed
    assert wait(limit - 1, 2900, 0) == []
    assert wait(1, 3900, 0) == [due]


def test_a_ping_that_never_gets_its_turn_is_not_waited_for_without_end(connection):
    connection.handle_timeout(START + 20, sent=10, buffered=10)
    assert connection.handle_timeout(START + 29.9, sent=10, buffered=10) == []
    assert connection.handle_timeout(START + 30, sent=10, buffered=10) == [PING_TIMEOUT]
    assert connection.wants_abort


def test_what_was_taken_before_the_close_frame_is_no_progress(connection):
    connection.handle_timeout(START + 20, sent=1000)  # a ping
    connection.handle_timeout(START + 21, sent=1000, taken=100)
    connection.send_close(1000)
    assert connection.handle_timeout(START + 22, sent=2000, taken=900) == []
    assert connection.handle_timeout(START + 26.9, sent=2000, taken=900) == []
    assert connection.handle_timeout(START + 27, sent=2000, taken=900) == [CLOSE_TIMEOUT]


def test_a_peer_that_can_say_nothing_is_not_late_to_close(connection):
    connection.send_close(1000)
    for second in range(100):
        assert connection.handle_timeout(START + second, reading=False) == []
    assert connection.handle_timeout(START + 103.9) == []
    assert connection.handle_timeout(START + 104) == [CLOSE_TIMEOUT]


def test_close_in_time_needs_no_abort(connection):
    connection.send_close(1000)
    connection.handle_timeout(START)
    assert connection.receive_data(frame(8)) == [CloseReceived(1005, "")]
    assert connection.handle_timeout(START + 100) == []
    assert not connection.wants_abort


def test_no_pings_while_closing(connection):
    limits = WebSocketLimits(ping_interval=1.0, ping_timeout=1.0, close_timeout=50.0)
    connection = websocket(limits)
    connection.send_close(1000)
    connection.data_to_send()
    for second in range(50):
        assert connection.handle_timeout(START + second) == []
    assert connection.data_to_send() == b""
