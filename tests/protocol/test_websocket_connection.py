"""Conversations with one open WebSocket: messages, closing, failing. No sockets, no clock."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook_websocket import websocket

from tricorn.codecs.websocket_base import DeflateParameters
from tricorn.exceptions import LocalProtocolError
from tricorn.protocol.websocket import (
    CloseReceived,
    ConnectionFailed,
    PongReceived,
    WebSocketLimits,
    WebSocketState,
)

pytestmark = pytest.mark.usefixtures("websocket_codec")

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SENDABLE = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
NOT_SENDABLE = [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536]


def frame(opcode, payload=b"", *, fin=True, rsv1=False):
    """A client's frame, masked with zeros."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    if len(payload) < 126:
        return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload
    if len(payload) < 65536:
        return struct.pack("!BBH", first, 0xFE, len(payload)) + bytes(4) + payload
    return struct.pack("!BBQ", first, 0xFF, len(payload)) + bytes(4) + payload


def close_frame(code, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


def sent(connection):
    """The (opcode, payload) pairs of the frames waiting to be sent; all of them short."""
    data, frames = connection.data_to_send(), []
    while data:
        length = data[1]
        assert length < 126
        frames.append((data[0] & 0x0F, data[2 : 2 + length]))
        data = data[2 + length :]
    return frames


def sent_close(code, reason=b""):
    return (CLOSE, struct.pack("!H", code) + reason)


@pytest.fixture
def connection():
    return websocket(WebSocketLimits(max_message_size=1000, max_fragments=5))


def ended(connection):
    """Nothing more can go in or out."""
    assert connection.closed
    assert connection.state is WebSocketState.CLOSED
    for send in (
        lambda: connection.send_text(""),
        lambda: connection.send_bytes(b""),
        lambda: connection.send_close(1000),
    ):
        with pytest.raises(LocalProtocolError):
            send()
    assert connection.receive_data(frame(TEXT, b"late") + close_frame(1000)) == []
    assert connection.receive_eof() == []
    assert connection.fail(1011, "late") == []
    assert connection.handle_timeout(1e9) == []
    assert connection.data_to_send() == b""
    return True


def test_whole_messages_in_order(connection):
    wire = frame(TEXT, "é".encode()) + frame(BINARY, b"b") + frame(TEXT) + frame(BINARY)
    assert connection.receive_data(wire) == [
        "é",
        b"b",
        "",
        b"",
    ]
    assert connection.state is WebSocketState.OPEN


def test_fragments_are_joined_and_line_ends_kept(connection):
    text = "a\r\nκ\r".encode()
    wire = frame(TEXT, text[:4], fin=False) + frame(CONT, text[4:], fin=False) + frame(CONT)
    binary = frame(BINARY, b"1", fin=False) + frame(CONT, b"2")
    assert connection.receive_data(wire + binary + wire) == [
        "a\r\nκ\r",
        b"12",
        "a\r\nκ\r",
    ]


def test_binary_message_in_pieces_is_bytes(connection):
    wire = frame(BINARY, b"x" * 1000)
    assert connection.receive_data(wire[:500]) == []
    (event,) = connection.receive_data(wire[500:])
    assert event == b"x" * 1000
    assert type(event) is bytes


def test_echo(connection):
    connection.send_text("hé")
    connection.send_bytes(b"\x00\xff")
    assert connection.data_to_send() == b"\x81\x03h\xc3\xa9\x82\x02\x00\xff"
    assert connection.data_to_send() == b""


def test_text_that_utf_8_cannot_carry_is_refused(connection):
    with pytest.raises(LocalProtocolError, match="Unicode"):
        connection.send_text("\ud800")
    with pytest.raises(LocalProtocolError, match="Unicode"):
        connection.send_close(1000, "\ud800")
    assert connection.data_to_send() == b""
    assert connection.state is WebSocketState.OPEN


def test_ping_is_answered_after_what_was_queued(connection):
    connection.send_text("first")
    assert connection.receive_data(frame(PING, b"p")) == []
    assert sent(connection) == [(TEXT, b"first"), (PONG, b"p")]


def test_an_answer_is_not_overtaken_by_a_later_message(connection):
    wire = frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONT, b"b")
    connection.receive_data(wire)
    connection.send_text("ab")
    connection.receive_data(frame(PING, b"q"))
    connection.send_bytes(b"c")
    assert sent(connection) == [(PONG, b"p"), (TEXT, b"ab"), (PONG, b"q"), (BINARY, b"c")]


def test_a_few_pings_are_all_answered_a_flood_by_its_end(connection):
    connection.receive_data(b"".join(frame(PING, b"%d" % i) for i in range(10)))
    assert sent(connection) == [(PONG, b"%d" % i) for i in range(10)]
    connection.receive_data(b"".join(frame(PING, b"%d" % i) for i in range(5000)))
    assert sent(connection) == [(PONG, b"%d" % i) for i in range(4984, 5000)]


def test_pong_is_reported(connection):
    assert connection.receive_data(frame(PONG, b"p")) == [PongReceived(b"p")]
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("code", SENDABLE)
def test_the_peers_close_is_echoed_with_its_code(connection, code):
    assert connection.receive_data(close_frame(code, b"why")) == [CloseReceived(code, "why")]
    assert (connection.close_received, connection.close_sent) == (True, True)
    assert (connection.close_code, connection.close_reason) == (code, "why")
    assert sent(connection) == [sent_close(code)]
    assert not connection.wants_abort
    assert ended(connection)


def test_the_peers_close_without_a_code(connection):
    assert connection.receive_data(frame(CLOSE)) == [CloseReceived(1005, "")]
    assert connection.close_code == 1005
    assert sent(connection) == [(CLOSE, b"")]
    assert ended(connection)


def test_data_after_the_peers_close_is_ignored(connection):
    wire = frame(TEXT, b"a") + close_frame(1000) + frame(TEXT, b"b") + b"\xff\xff"
    assert connection.receive_data(wire) == ["a", CloseReceived(1000, "")]
    assert sent(connection) == [sent_close(1000)]
    assert ended(connection)


def test_pongs_owed_go_out_before_the_close(connection):
    connection.receive_data(frame(PING, b"p") + close_frame(1001))
    assert sent(connection) == [(PONG, b"p"), sent_close(1001)]


@pytest.mark.parametrize("code", SENDABLE)
def test_our_close_waits_for_the_peers(connection, code):
    connection.send_text("last")
    connection.send_close(code, "ça")
    assert connection.state is WebSocketState.CLOSING
    assert (connection.close_sent, connection.close_received) == (True, False)
    assert not connection.closed
    assert sent(connection) == [(TEXT, b"last"), sent_close(code, "ça".encode())]
    assert connection.receive_data(close_frame(code)) == [CloseReceived(code, "")]
    assert connection.data_to_send() == b""
    assert ended(connection)


def test_what_crosses_our_close_is_dropped_but_the_close_is_seen(connection):
    connection.receive_data(frame(TEXT, b"begun", fin=False))
    connection.send_close(1000)
    sent(connection)
    assert connection.receive_data(frame(CONT, b" and done")) == []
    late = frame(BINARY, b"x", fin=False) + frame(CONT, b"y") + frame(TEXT, b"z") + frame(PING)
    assert connection.receive_data(late) == []
    assert connection.data_to_send() == b""
    assert connection.receive_data(close_frame(3001, b"me too")) == [CloseReceived(3001, "me too")]
    assert connection.close_code == 3001
    assert ended(connection)


def test_a_message_begun_before_our_close_never_arrives_in_part(connection):
    assert connection.receive_data(frame(BINARY, b"begun", fin=False)) == []
    connection.send_close(1000)
    assert connection.receive_data(frame(CONT, b"end") + close_frame(1000)) == [
        CloseReceived(1000, "")
    ]


def test_nothing_can_be_sent_while_closing(connection):
    connection.send_close(1000)
    sent(connection)
    with pytest.raises(LocalProtocolError, match=r"text message cannot be sent.*closing"):
        connection.send_text("x")
    with pytest.raises(LocalProtocolError):
        connection.send_bytes(b"x")
    with pytest.raises(LocalProtocolError):
        connection.send_close(1000)
    assert connection.data_to_send() == b""


@pytest.mark.parametrize("code", NOT_SENDABLE)
def test_codes_that_may_not_be_sent(connection, code):
    with pytest.raises(LocalProtocolError, match="close code"):
        connection.send_close(code)
    assert connection.state is WebSocketState.OPEN
    assert connection.data_to_send() == b""


def test_the_longest_reason(connection):
    with pytest.raises(LocalProtocolError, match="124 bytes"):
        connection.send_close(1000, "é" * 62)
    connection.send_close(1000, "é" * 61 + "e")
    assert sent(connection) == [sent_close(1000, ("é" * 61 + "e").encode())]


def test_close_code_default(connection):
    connection.send_close()
    assert sent(connection) == [sent_close(1000)]


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (frame(3), 1002),
        (frame(CONT, b"a"), 1002),
        (frame(TEXT, b"a", rsv1=True), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(BINARY, b"x" * 1001), 1009),
        (frame(TEXT, fin=False) + 6 * frame(CONT, fin=False), 1008),
        (close_frame(1005), 1002),
    ],
)
def test_broken_rules_close_with_their_code(connection, wire, code):
    (failed,) = connection.receive_data(wire + frame(TEXT, b"late"))
    assert isinstance(failed, ConnectionFailed)
    assert failed.code == connection.close_code == code
    assert failed.reason == connection.close_reason != ""
    assert (connection.close_sent, connection.close_received) == (True, False)
    assert sent(connection) == [sent_close(code, failed.reason.encode())]
    assert ended(connection)


@pytest.mark.parametrize("then", ["settle", "receive_data", "receive_eof", "handle_timeout"])
def test_messages_before_a_broken_rule_can_still_be_answered(connection, then):
    wire = frame(PING, b"p") + frame(TEXT, b"good") + frame(3) + frame(TEXT, b"late")
    assert connection.receive_data(wire) == ["good"]
    assert connection.state is WebSocketState.OPEN
    connection.send_text("answer")
    arguments = {"receive_data": [frame(TEXT, b"later")], "handle_timeout": [1.0]}.get(then, [])
    if then == "handle_timeout":
        assert connection.handle_timeout(0.0) == []
    (failed,) = getattr(connection, then)(*arguments)
    assert isinstance(failed, ConnectionFailed)
    assert failed.code == connection.close_code == 1002
    assert sent(connection) == [
        (PONG, b"p"),
        (TEXT, b"answer"),
        sent_close(1002, failed.reason.encode()),
    ]
    assert connection.settle() == []
    assert ended(connection)


def test_a_broken_rule_waits_for_messages_that_nobody_has_taken(connection):
    assert connection.receive_data(frame(TEXT, b"good")) == ["good"]
    for octet in frame(7, b"reserved") + frame(TEXT, b"late"):
        assert connection.receive_data(bytes([octet]), untaken=True) == []
    assert (connection.state, connection.has_held) == (WebSocketState.OPEN, True)
    connection.send_text("answer")
    (failed,) = connection.settle()
    assert failed.code == connection.close_code == 1002
    assert sent(connection) == [(TEXT, b"answer"), sent_close(1002, failed.reason.encode())]
    assert ended(connection)


def test_our_close_before_a_held_failure_is_the_only_one(connection):
    assert connection.receive_data(frame(TEXT, b"good") + frame(3)) == ["good"]
    connection.send_close(1000)
    (failed,) = connection.settle()
    assert failed.code == 1002
    assert sent(connection) == [sent_close(1000)]
    assert ended(connection)


def test_a_broken_rule_while_closing_sends_no_second_close(connection):
    connection.send_close(1000)
    sent(connection)
    (failed,) = connection.receive_data(frame(3))
    assert failed.code == 1002
    assert ended(connection)


def test_fail(connection):
    assert connection.fail(1011, "é" * 100) == [ConnectionFailed(1011, "é" * 100)]
    assert sent(connection) == [sent_close(1011, ("é" * 61).encode())]
    assert ended(connection)


def test_fail_with_a_code_that_may_not_be_sent_sends_nothing(connection):
    assert connection.fail(1006) == [ConnectionFailed(1006, "")]
    assert connection.close_sent is False
    assert ended(connection)


@pytest.mark.parametrize("closing", [False, True])
def test_end_of_stream_without_the_peers_close(connection, closing):
    if closing:
        connection.send_close(1000)
        sent(connection)
    connection.receive_data(frame(TEXT, b"begun", fin=False))
    (failed,) = connection.receive_eof()
    assert failed == ConnectionFailed(1006, "connection lost")
    assert connection.close_code == 1006
    assert connection.close_received is False
    assert ended(connection)


def test_compression_only_from_min_size_on():
    connection = websocket(WebSocketLimits(), DeflateParameters(), min_size=10)
    connection.send_text("é" * 4)
    connection.send_bytes(b"x" * 9)
    plain = connection.data_to_send()
    assert plain == b"\x81\x08" + "é".encode() * 4 + b"\x82\x09" + b"x" * 9
    connection.send_text("é" * 5)
    connection.send_bytes(b"x" * 10)
    data = connection.data_to_send()
    assert data[0] == 0xC1
    inflater = zlib.decompressobj(wbits=-15)
    first = data[2 : 2 + data[1]]
    assert inflater.decompress(first + b"\0\0\xff\xff") == "é".encode() * 5
    rest = data[2 + data[1] :]
    assert rest[0] == 0xC2
    assert inflater.decompress(rest[2:] + b"\0\0\xff\xff") == b"x" * 10


def test_behind_our_close_frame_nothing_is_inflated():
    """Or dropping messages would cost what taking them does."""
    connection = websocket(WebSocketLimits(), DeflateParameters())
    connection.send_close(1000)
    assert connection.receive_data(frame(TEXT, b"no deflate data", rsv1=True)) == []
    assert connection.receive_data(close_frame(1000)) == [CloseReceived(1000, "")]


def test_without_deflate_nothing_is_compressed(connection):
    connection.send_bytes(b"x" * 100)
    assert connection.data_to_send() == b"\x82\x64" + b"x" * 100


STEPS = {
    "text": (frame(TEXT, "κόσμε".encode()), ["κόσμε"]),
    "fragments": (
        frame(TEXT, b"a\xce", fin=False) + frame(PING, b"p") + frame(CONT, b"\xba"),
        ["aκ"],
    ),
    "binary": (frame(BINARY, bytes(range(256))), [bytes(range(256))]),
    "pong": (frame(PONG, b"q"), [PongReceived(b"q")]),
}


@given(st.lists(st.sampled_from(sorted(STEPS)), max_size=8), st.data())
def test_a_conversation_in_any_cut(names, data):
    wire = b"".join(STEPS[name][0] for name in names) + close_frame(4000, b"bye")
    expected = [event for name in names for event in STEPS[name][1]]
    expected.append(CloseReceived(4000, "bye"))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    if data.draw(st.booleans()):
        cuts = list(range(len(wire)))
    connection, events, output = websocket(WebSocketLimits()), [], []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        events += connection.receive_data(wire[start:end])
        output += sent(connection)
    assert events == expected
    assert output == [(PONG, b"p")] * names.count("fragments") + [sent_close(4000)]
    assert ended(connection)


def test_a_text_of_many_tiny_reads():
    connection = websocket(WebSocketLimits())
    payload = ("z\N{GRINNING FACE}é" * 3000).encode()
    events = []
    for byte in frame(TEXT, payload):
        events += connection.receive_data(bytes([byte]))
    assert events == [payload.decode()]
