"""ASGI WebSocket: every message in every state, malformed messages, closing, denial."""

import struct

import pytest
from asgi_host import BLOCKED, HTTP2Host, give_up, http1_host, receive, request, send, step
from playbook_http2 import data, headers, reset, window

from tricorn.exceptions import ClientDisconnected, InvalidMessage

FIELDS = (
    b"connection: upgrade",
    b"upgrade: websocket",
    b"sec-websocket-version: 13",
    b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    b"sec-websocket-protocol: chat, other",
)
CONNECT = [
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"),
    (b":path", b"/chat?x=1"), (b":authority", b"a"), (b"sec-websocket-version", b"13"),
]  # fmt: skip

ACCEPT = {"type": "websocket.accept"}
SEND = {"type": "websocket.send", "text": "hi"}
CLOSE = {"type": "websocket.close"}
DENY = {"type": "websocket.http.response.start", "status": 401, "headers": []}
DENY_BODY = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
DENY_END = {"type": "websocket.http.response.body"}

MESSAGES = {
    "websocket.accept": ACCEPT,
    "websocket.send": SEND,
    "websocket.close": CLOSE,
    "websocket.http.response.start": DENY,
    "websocket.http.response.body": DENY_BODY,
    "websocket.connect": {"type": "websocket.connect"},
    "websocket.receive": {"type": "websocket.receive", "text": ""},
    "websocket.disconnect": {"type": "websocket.disconnect"},
    "http.response.start": {"type": "http.response.start", "status": 200},
    "nonsense": {"type": "nonsense"},
}
OURS = set(list(MESSAGES)[:5])
STATES = {
    "before websocket.accept": (
        [], {"websocket.accept", "websocket.close", "websocket.http.response.start"}
    ),
    "in the denial response": ([DENY], {"websocket.http.response.body"}),
    "open": ([ACCEPT], {"websocket.send", "websocket.close"}),
    "closed": ([ACCEPT, CLOSE], set()),
}  # fmt: skip


def http1_websocket(**options):
    return http1_host(request(b"GET", *FIELDS), **options).streams[1]


def http2_websocket(**options):
    host = HTTP2Host(**options)
    host.receive(headers(1, CONNECT, end=False))
    return host.streams[1]


KINDS = {"1.1": http1_websocket, "2": http2_websocket}


def reach(stream, messages):
    for message in messages:
        step(stream.send(dict(message)))
    return stream


def frame(opcode, payload=b""):
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_in_every_state_is_handled_or_refused(state, name, kind):
    messages, allowed = STATES[state]
    stream = reach(KINDS[kind](), messages)
    before = repr(stream)
    if name in allowed:
        assert step(stream.send(dict(MESSAGES[name]))) is None
        return
    if state == "closed" and name in OURS:
        with pytest.raises(ClientDisconnected):
            step(stream.send(dict(MESSAGES[name])))
        return
    with pytest.raises(InvalidMessage) as caught:
        step(stream.send(dict(MESSAGES[name])))
    text = str(caught.value)
    assert repr(name) in text
    assert state in text
    assert all(repr(other) in text for other in allowed)
    assert repr(stream) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("message", [None, 5, "websocket.send", [], {}, {"type": None},
                                     {"type": []}, {"type": {}}])  # fmt: skip
def test_what_is_no_message_is_refused_in_every_state(state, message):
    stream = reach(http1_websocket(), STATES[state][0])
    with pytest.raises(InvalidMessage, match=state):
        step(stream.send(message))


MALFORMED = [
    ({**ACCEPT, "subprotocol": value}, []) for value in ("unknown", b"chat", 5, [], "chat\r\na: b")
]
BAD_FIELDS = (
    5,
    [("a", b"b")],
    [(b"a", "b")],
    [(b"a", b"b\r\nc: d")],
    [(b"a", b"b\0")],
    [(b"a b", b"c")],
    [(b"", b"c")],
)
MALFORMED += [({**ACCEPT, "headers": fields}, []) for fields in BAD_FIELDS]
MALFORMED += [({**DENY, "headers": fields}, []) for fields in BAD_FIELDS]
MALFORMED += [({**DENY, "status": status}, []) for status in (None, 101, "403", True, 1000)]
MALFORMED += [({**DENY_BODY, "body": body}, [DENY]) for body in ("x", 5)]
MALFORMED += [
    ({"type": "websocket.send", **keys}, [ACCEPT])
    for keys in (
        {},
        {"text": None, "bytes": None},
        {"text": "a", "bytes": b"b"},
        {"text": b"a"},
        {"bytes": "a"},
        {"text": 5},
        {"text": "\ud800"},
    )
]
MALFORMED += [
    ({**CLOSE, "code": code}, [ACCEPT]) for code in (999, 1005, 1006, 1015, 5000, "1000", None, -1)
]
MALFORMED += [
    ({**CLOSE, "reason": reason}, [ACCEPT]) for reason in (b"bye", 5, "x" * 124, "\ud800")
]


@pytest.mark.parametrize(("message", "before"), MALFORMED)
def test_a_malformed_message_is_refused_and_nothing_of_it_is_written(message, before):
    for make in KINDS.values():
        stream = reach(make(), before)
        stream.host.taken()
        with pytest.raises(InvalidMessage, match=message["type"]):
            step(stream.send(dict(message)))
        assert stream.host.taken() == b""


class TestOpening:
    def test_the_scope(self):
        scope = http2_websocket().scope
        assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/chat")
        assert scope["http_version"] == "2"
        assert scope["query_string"] == b"x=1"
        assert "method" not in scope
        assert "websocket.http.response" in scope["extensions"]
        assert http1_websocket().scope["subprotocols"] == ["chat", "other"]

    def test_an_accept_is_101_with_the_applications_fields(self):
        stream = http1_websocket()
        assert receive(stream) == {"type": "websocket.connect"}
        send(stream, type="websocket.accept", subprotocol="chat", headers=[(b"X-A", b"b")])
        output = stream.host.taken()
        assert output.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in output
        assert b"\r\nsec-websocket-protocol: chat\r\n" in output
        assert b"\r\nx-a: b\r\n" in output

    def test_an_accept_is_200_on_http_2(self):
        stream = reach(http2_websocket(), [ACCEPT])
        assert stream.host.taken_frames() == [("HEADERS", 1, [(b":status", b"200")], False)]

    def test_frames_sent_before_the_answer_are_kept(self):
        host = http1_host(request(b"GET", *FIELDS) + frame(1, b"early"))
        stream = reach(host.streams[1], [ACCEPT])
        receive(stream)
        assert receive(stream)["text"] == "early"

    @pytest.mark.parametrize("status", [None, 401, 304])
    def test_a_handshake_without_an_answer_is_504(self, status):
        """A denial that is begun and held is none either."""
        stream = http1_websocket(websocket_handshake_timeout=5)
        if status is not None:
            reach(stream, [DENY | {"status": status}])
        stream.tick(0)
        stream.tick(4)
        assert stream.host.taken() == b""
        stream.tick(5)
        output = stream.host.taken()
        assert output.startswith(b"HTTP/1.1 504 ")
        assert output.endswith(b"content-length: 15\r\n\r\nGateway Timeout")
        assert stream.host.ended == [1]
        with pytest.raises(ClientDisconnected):
            step(stream.send(ACCEPT if status is None else DENY_BODY))
        stream.tick(10)
        assert stream.host.taken() == b""

    def test_a_denial_under_way_has_its_time(self):
        stream = reach(http1_websocket(websocket_handshake_timeout=5), [DENY, DENY_BODY])
        for now in range(20):
            stream.tick(now)
        reach(stream, [DENY_END])
        assert stream.host.taken().endswith(b"\r\n0\r\n\r\n")
        assert stream.host.ended == []


class TestDenial:
    def test_a_close_before_accept_is_403(self):
        stream = reach(http1_websocket(), [CLOSE])
        assert stream.host.taken().startswith(b"HTTP/1.1 403 ")
        receive(stream)
        assert receive(stream)["type"] == "websocket.disconnect"

    def test_a_denial_is_a_response_and_the_connection_is_kept(self):
        stream = reach(http1_websocket(), [DENY])
        assert stream.host.taken() == b""
        send(stream, type="websocket.http.response.body", body=b"no")
        assert stream.host.taken() == b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno"
        stream.host.receive(request())
        assert stream.host.streams[2].scope["type"] == "http"

    @pytest.mark.parametrize("length", [b"1", b"5", b"nonsense"])
    @pytest.mark.parametrize("more", [True, False])
    def test_a_wrong_length_of_the_application_does_not_frame_the_denial(self, length, more):
        stream = http1_websocket()
        fields = [(b"content-length", length)]
        send(stream, type="websocket.http.response.start", status=401, headers=fields)
        send(stream, type="websocket.http.response.body", body=b"no", more_body=more)
        output = stream.host.taken()
        assert b"content-length: " + length + b"\r\n" not in output
        assert output.endswith(b"2\r\nno\r\n" if more else b"content-length: 2\r\n\r\nno")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("before", [[DENY], [DENY, DENY_BODY]])
    def test_a_peer_that_leaves_in_the_middle_of_a_denial_is_told(self, before, kind):
        stream = reach(KINDS[kind](), before)
        receive(stream)
        waiting = stream.receive()
        assert waiting.send(None) is BLOCKED
        if kind == "1.1":
            stream.host.leave()
        else:
            stream.host.receive(reset(1))
        message = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        assert step(waiting) == message
        assert receive(stream) == message
        with pytest.raises(ClientDisconnected):
            step(stream.send(DENY_BODY))

    @pytest.mark.parametrize("status", [200, 204, 299])
    def test_a_success_is_no_denial_over_http_2(self, status):
        """On the wire it would be an acceptance (RFC 8441 section 5)."""
        stream = http2_websocket()
        with pytest.raises(InvalidMessage, match=f"{status} is no denial"):
            step(stream.send(DENY | {"status": status}))
        assert (stream.host.taken_frames(), stream.status) == ([], None)
        reach(stream, [ACCEPT])
        assert stream.host.taken_frames() == [("HEADERS", 1, [(b":status", b"200")], False)]
        stream = reach(http1_websocket(), [DENY | {"status": status}, DENY_END])
        assert stream.host.taken().startswith(b"HTTP/1.1 %d " % status)

    def test_a_denial_on_http_2(self):
        stream = reach(http2_websocket(), [DENY, DENY_BODY, DENY_END])
        assert stream.host.taken_frames()[:2] == [
            ("HEADERS", 1, [(b":status", b"401")], False),
            ("DATA", 1, b"no", False),
        ]


class TestMessages:
    @pytest.mark.parametrize("kind", KINDS)
    def test_an_echo(self, kind):
        stream = reach(KINDS[kind](), [ACCEPT])
        host = stream.host
        host.taken()
        receive(stream)
        wire = frame(1, b"hi") + frame(2, b"\xff") + frame(2)
        host.receive(wire if kind == "1.1" else data(1, wire))
        assert receive(stream) == {"type": "websocket.receive", "text": "hi"}
        assert receive(stream) == {"type": "websocket.receive", "bytes": b"\xff"}
        assert receive(stream) == {"type": "websocket.receive", "bytes": b"", "text": None}
        assert receive(stream) is BLOCKED
        send(stream, type="websocket.send", text="hi")
        send(stream, type="websocket.send", bytes=b"\xff", text=None)
        output = host.taken()
        assert output.index(b"\x81\x02hi") < output.index(b"\x82\x01\xff")

    @pytest.mark.parametrize("kind", KINDS)
    def test_waits_that_are_given_up_leave_nothing_behind(self, kind):
        stream = reach(KINDS[kind](), [ACCEPT])
        receive(stream)
        for _ in range(1000):
            waiting = stream.receive()
            assert waiting.send(None) is BLOCKED
            give_up(waiting)
        assert len(stream.host.waiters) <= 1
        wire = frame(1, b"hi")
        stream.host.receive(wire if kind == "1.1" else data(1, wire))
        assert receive(stream)["text"] == "hi"

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_message_before_a_fault_is_answered_however_the_wire_is_cut(self, kind):
        stream = reach(KINDS[kind](), [ACCEPT])
        host = stream.host
        host.taken()
        receive(stream)
        for octet in frame(1, b"hi") + frame(7, b"reserved"):
            wire = bytes([octet])
            host.receive(wire if kind == "1.1" else data(1, wire))
        assert receive(stream) == {"type": "websocket.receive", "text": "hi"}
        send(stream, type="websocket.send", text="hi")
        message = receive(stream)
        assert (message["type"], message["code"]) == ("websocket.disconnect", 1002)
        output = host.taken()
        assert output.index(b"\x81\x02hi") < output.index(b"\x88")

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_message_before_a_fault_that_waited_for_room_is_answered(self, kind):
        stream = reach(KINDS[kind](websocket_max_queue_size=1), [ACCEPT])
        host = stream.host
        host.taken()
        receive(stream)
        for wire in (frame(1, b"hi"), frame(7)):
            host.receive(wire if kind == "1.1" else data(1, wire))
        assert receive(stream) == {"type": "websocket.receive", "text": "hi"}
        send(stream, type="websocket.send", text="hi")
        assert b"\x81\x02hi" in host.taken()
        assert receive(stream)["code"] == 1002

    def test_a_fault_does_not_wait_for_an_application_that_takes_nothing(self):
        stream = reach(http1_websocket(), [ACCEPT])
        stream.host.receive(frame(1, b"hi") + frame(7))
        stream.host.receive(frame(1, b"late"))
        stream.host.taken()
        stream.tick(0)  # the application may be about to
        assert stream.host.taken() == b""
        stream.tick(1)
        assert stream.host.taken()[2:4] == struct.pack("!H", 1002)
        assert stream.host.http.closing

    def test_reading_stops_while_the_application_has_enough(self):
        stream = reach(http1_websocket(websocket_max_queue_size=100, request_buffer_size=50),
                       [ACCEPT])  # fmt: skip
        for _ in range(3):
            stream.host.receive(frame(2, bytes(100)))
        assert not stream.host.http.wants_data
        receive(stream)
        for _ in range(3):
            assert len(receive(stream)["bytes"]) == 100
        assert stream.host.http.wants_data


class TestClosing:
    def test_the_applications_close_waits_for_the_peers(self):
        stream = reach(http1_websocket(), [ACCEPT])
        stream.host.taken()
        receive(stream)
        send(stream, type="websocket.close", code=3000, reason="bye")
        assert stream.host.taken() == b"\x88\x05" + struct.pack("!H", 3000) + b"bye"
        assert not stream.host.http.closing
        stream.host.receive(frame(8, struct.pack("!H", 3000)))
        assert stream.host.http.closing
        assert receive(stream)["type"] == "websocket.disconnect"

    def test_the_peers_close_is_answered_and_told(self):
        stream = reach(http1_websocket(), [ACCEPT])
        stream.host.taken()
        receive(stream)
        stream.host.receive(frame(8, struct.pack("!H", 1001) + b"away"))
        assert stream.host.taken().startswith(b"\x88")
        message = {"type": "websocket.disconnect", "code": 1001, "reason": "away"}
        assert receive(stream) == message
        with pytest.raises(ClientDisconnected):
            step(stream.send(SEND))

    def test_a_lost_peer_is_1006(self):
        stream = reach(http2_websocket(), [ACCEPT])
        receive(stream)
        stream.host.receive(reset(1))
        message = receive(stream)
        assert (message["type"], message["code"]) == ("websocket.disconnect", 1006)

    @pytest.mark.parametrize(("error", "code"), [(None, 1000), (RuntimeError(), 1011)])
    def test_the_applications_end_closes(self, error, code):
        stream = reach(http1_websocket(), [ACCEPT])
        stream.host.taken()
        stream.finished(error)
        assert stream.host.taken()[2:4] == struct.pack("!H", code)

    @pytest.mark.parametrize("before", [[], [DENY], [DENY | {"status": 304}]])
    def test_the_applications_end_without_an_answer_is_500(self, before):
        stream = reach(http1_websocket(), before)
        stream.finished(RuntimeError())
        output = stream.host.taken()
        assert output.startswith(b"HTTP/1.1 500 ")
        assert output.endswith(b"content-length: 21\r\n\r\nInternal Server Error")

    def test_half_a_denial_breaks_the_connection(self):
        stream = reach(http1_websocket(), [DENY, DENY_BODY])
        stream.finished(None)
        assert stream.host.http.closing

    def test_a_draining_server_closes_with_1012(self):
        stream = reach(http1_websocket(), [ACCEPT])
        stream.host.taken()
        stream.shutdown()
        assert stream.host.taken()[2:4] == struct.pack("!H", 1012)


ENDS = {
    "after the application's close": lambda stream: step(stream.send(dict(CLOSE))),
    "after the peer has left": lambda stream: stream.host.leave(),
    "before the peer has answered our close": lambda stream: stream.shutdown(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_sending_on_leaves_the_others_their_turn(end, kind):
    stream = reach(KINDS[kind](), [ACCEPT])
    turns = []

    async def turn():
        turns.append(None)

    stream.host.turn = turn
    end(stream)
    for _ in range(3):
        turns.clear()
        with pytest.raises(ClientDisconnected):
            step(stream.send(dict(SEND)))
        assert turns


@pytest.mark.parametrize("kind", KINDS)
def test_pongs_do_not_pile_up_for_a_peer_that_reads_nothing(kind):
    stream = reach(KINDS[kind](), [ACCEPT])
    host = stream.host
    host.taken()
    host.flush = lambda stream_id=0: None
    pings = [frame(9, b"%03d" % number * 40) for number in range(16)]
    wire = b"".join(pings)
    for _ in range(1000):
        host.dispatch(host.http.receive_data(wire if kind == "1.1" else data(1, wire)))
    waiting = host.http.buffered(1)
    high = host.worker.config.write_buffer_high
    assert high < waiting < high + len(wire)
    del host.flush
    host.flush()
    if kind == "2":
        host.receive(window(1, 2**20) + window(0, 2**20))
    stream.tick(0.0)
    assert host.taken().endswith(
        b"".join(bytes([0x8A, len(ping) - 6]) + ping[6:] for ping in pings)
    )
