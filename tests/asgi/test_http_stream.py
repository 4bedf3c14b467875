"""ASGI HTTP: every message in every state, malformed messages, bodies, hints, trailers."""

import http as http_module
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from asgi_host import (  # fmt: skip
    BLOCKED,
    HTTP2Host,
    give_up,
    http1_host,
    http1_stream,
    http2_stream,
    receive,
    request,
    send,
    step,
)
from playbook_http2 import GET, POST, data, headers, reset

from tricorn.exceptions import ClientDisconnected, InvalidMessage

START = {"type": "http.response.start", "status": 200, "headers": []}
EVENT_STREAM = {**START, "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]}
BODY = {"type": "http.response.body", "body": b"x", "more_body": True}
END = {"type": "http.response.body"}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"a", b"b")]}
HINT = {"type": "http.response.early_hint", "links": [b"</a>"]}
PUSH = {"type": "http.response.push", "path": "/a", "headers": []}
WITH_TRAILERS = {**START, "trailers": True}

FILE = tempfile.TemporaryFile()  # noqa: SIM115
Path(__file__).read_bytes()  # into the page cache: no loop is here to read it beside
MESSAGES = {
    "http.response.start": START,
    "http.response.body": BODY,
    "http.response.trailers": TRAILERS,
    "http.response.early_hint": HINT,
    "http.response.push": PUSH,
    "http.response.pathsend": {"type": "http.response.pathsend", "path": __file__},
    "http.response.zerocopysend": {"type": "http.response.zerocopysend", "file": FILE},
    "http.response.debug": {"type": "http.response.debug", "info": {}},
    "http.request": {"type": "http.request"},
    "http.disconnect": {"type": "http.disconnect"},
    "websocket.send": {"type": "websocket.send", "text": ""},
    "lifespan.startup.complete": {"type": "lifespan.startup.complete"},
    "nonsense": {"type": "nonsense"},
    "": {"type": ""},
}
ALWAYS = {"http.response.push"}
STATES = {
    "before http.response.start": (
        [],
        {"http.response.start", "http.response.early_hint", "http.response.debug"},
    ),
    "after http.response.start": (
        [START],
        {"http.response.body", "http.response.early_hint", "http.response.pathsend",
         "http.response.zerocopysend"},
    ),
    "in the response body": (
        [START, BODY],
        {"http.response.body", "http.response.early_hint", "http.response.zerocopysend"},
    ),
    "before http.response.trailers": ([WITH_TRAILERS, END], {"http.response.trailers"}),
    "after the response": (
        [START, END],
        {"http.response.start", "http.response.body", "http.response.trailers",
         "http.response.early_hint", "http.response.pathsend", "http.response.zerocopysend",
         "http.response.debug"},
    ),
}  # fmt: skip


def streams():
    return {
        "1.0": lambda: http1_stream(version=b"1.0"),
        "1.1": http1_stream,
        "HEAD": lambda: http1_stream(b"HEAD", b"te: trailers"),
        "2": lambda: http2_stream([*GET, (b"te", b"trailers")]),
    }


def reach(stream, messages):
    for message in messages:
        step(stream.send(dict(message)))
    return stream


@pytest.mark.parametrize("kind", streams())
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_in_every_state_is_handled_or_refused(state, name, kind):
    Path(__file__).read_bytes()  # what is in no cache would be read in a thread
    messages, allowed = STATES[state]
    allowed = allowed | ALWAYS
    stream = reach(streams()[kind](), messages)
    before = repr(stream)
    if name in allowed:
        assert step(stream.send(dict(MESSAGES[name]))) is None
        return
    with pytest.raises(InvalidMessage) as caught:
        step(stream.send(dict(MESSAGES[name])))
    text = str(caught.value)
    assert repr(name) in text
    assert state in text
    assert all(repr(other) in text for other in allowed)
    assert repr(stream) == before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("message", [None, 5, "http.response.start", b"", [], {}, {"type": None},
                                     {"type": []}, {"type": {}}, {"Type": "x"}])  # fmt: skip
def test_what_is_no_message_is_refused_in_every_state(state, message):
    stream = reach(http1_stream(), STATES[state][0])
    with pytest.raises(InvalidMessage, match=state):
        step(stream.send(message))


MALFORMED = [
    ({**START, "status": status}, [])
    for status in (None, "200", 200.0, True, 99, 100, 101, 199, 1000, -1, b"200", [])
]
MALFORMED += [({"type": "http.response.start"}, [])]
MALFORMED += [
    ({**START, "headers": fields}, [])
    for fields in (
        5,
        [1],
        [b"ab"],
        ["ab"],
        [(b"a",)],
        [(b"a", b"b", b"c")],
        [("a", b"b")],
        [(b"a", "b")],
        [(b"a", None)],
        [(None, b"b")],
        [([], b"b")],
        [(b"", b"b")],
        [(b"a b", b"c")],
        [(b"a:", b"c")],
        [(b":status", b"200")],
        [(b"a\r\nb", b"c")],
        [(b"\xff", b"c")],
        [(b"a", b"b\r\nset-cookie: c")],
        [(b"a", b"b\nc")],
        [(b"a", b"b\rc")],
        [(b"a", b"b\0c")],
        [(b"a", b"b\x7f")],
        [(b"content-length", b"+5")],
        [(b"content-length", b"5, 5")],
        [(b"content-length", b"")],
        [(b"content-length", b"9" * 5000)],
        [(b"content-length", b"5"), (b"content-length", b"6")],
    )
]
MALFORMED += [({**BODY, "body": body}, [START]) for body in ("text", 5, [b"x"], {})]
MALFORMED += [
    ({**HINT, "links": links}, []) for links in (b"</a>", "</a>", ["</a>"], [b"a\r\nb: c"], 5, None)
]
MALFORMED += [({**PUSH, "path": path}, []) for path in (None, b"/a", "a", "", "/\ud800", 5)]
MALFORMED += [
    ({**PUSH, "headers": fields}, []) for fields in ([("a", "b")], [(b"a", b"b\n")], [(b":x", b"")])
]
MALFORMED += [
    ({**TRAILERS, "headers": fields}, [WITH_TRAILERS, END])
    for fields in ([(b"content-length", b"5")], [(b"Transfer-Encoding", b"x")], [(b"a", "b")],
                   [(b"a", b"b\r\nc: d")], [(b"set-cookie", b"a=b")], 5)
]  # fmt: skip


@pytest.mark.parametrize(("message", "before"), MALFORMED)
def test_a_malformed_message_is_refused_and_nothing_of_it_is_written(message, before):
    for make in (http1_stream, http2_stream):
        stream = reach(make(), before)
        stream.host.taken()
        with pytest.raises(InvalidMessage, match=message["type"]):
            step(stream.send(dict(message)))
        assert stream.host.taken() == b""


class TestResponses:
    def test_the_start_is_held_until_the_body(self):
        stream = reach(http1_stream(), [START])
        assert stream.host.taken() == b""
        step(stream.send({"type": "http.response.body", "body": b"hello"}))
        assert stream.host.taken() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

    def test_the_start_of_an_event_stream_is_not_held(self):
        """HTML, EventSource: ``open`` fires when the head is there, be the first event late."""
        stream = reach(http1_stream(), [EVENT_STREAM])
        head = stream.host.taken()
        assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8")
        assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")
        step(stream.send({"type": "http.response.body", "body": b"data\n\n", "more_body": True}))
        assert stream.host.taken() == b"6\r\ndata\n\n\r\n"
        with pytest.raises(InvalidMessage, match="in the response body"):
            step(stream.send({"type": "http.response.pathsend", "path": __file__}))
        step(stream.send({"type": "http.response.body"}))
        assert stream.host.taken() == b"0\r\n\r\n"

    def test_an_event_stream_may_be_a_file(self, tmp_path):
        file = tmp_path / "events"
        file.write_bytes(b"data\n\n")
        stream = reach(http1_stream(), [EVENT_STREAM])
        stream.host.taken()
        step(stream.send({"type": "http.response.pathsend", "path": str(file)}))
        assert stream.host.taken() == b"6\r\ndata\n\n\r\n0\r\n\r\n"

    def test_an_event_stream_that_fails_before_its_first_event_is_cut(self):
        stream = reach(http1_stream(), [EVENT_STREAM])
        stream.host.taken()
        stream.finished(RuntimeError())
        assert stream.complete
        assert stream.host.taken() == b""

    def test_the_head_of_an_event_stream_is_all_that_head_gets(self):
        stream = reach(http1_stream(b"HEAD"), [EVENT_STREAM, END])
        assert stream.host.taken().endswith(b"text/event-stream; charset=utf-8\r\n\r\n")

    @pytest.mark.parametrize("body", [b"hi", bytearray(b"hi"), memoryview(b"hi")])
    def test_any_bytes_are_a_body(self, body):
        stream = reach(http1_stream(), [START])
        send(stream, type="http.response.body", body=body)
        assert stream.host.taken().endswith(b"\r\n\r\nhi")

    def test_keys_have_defaults(self):
        stream = http1_stream()
        send(stream, type="http.response.start", status=http_module.HTTPStatus.NO_CONTENT)
        send(stream, type="http.response.body")
        assert stream.host.taken() == b"HTTP/1.1 204 No Content\r\n\r\n"

    def test_a_body_in_pieces_is_chunked(self):
        stream = reach(http1_stream(), [START, BODY, END])
        head, _, body = stream.host.taken().partition(b"\r\n\r\n")
        assert head.endswith(b"transfer-encoding: chunked")
        assert body == b"1\r\nx\r\n0\r\n\r\n"

    def test_names_are_lower_case_and_values_without_outer_white_space_on_http_2(self):
        # RFC 9113 8.2.1: anything else is malformed to the peer.
        stream = http2_stream()
        send(stream, type="http.response.start", status=200, headers=[(b"X-A", b" b\tc\t ")])
        send(stream, type="http.response.body")
        (head,) = stream.host.taken_frames()
        assert (b"x-a", b"b\tc") in head[2]

    def test_default_fields_do_not_replace_the_applications(self):
        stream = http1_stream(options={"include_server_header": True})
        send(stream, type="http.response.start", status=200, headers=[(b"Server", b"mine")])
        send(stream, type="http.response.body")
        assert stream.host.taken().count(b"server:") == 1

    def test_a_whole_response_to_head_has_the_length_of_the_body(self):
        stream = reach(http1_stream(b"HEAD"), [START])
        send(stream, type="http.response.body", body=b"hello")
        assert stream.host.taken() == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"

    @pytest.mark.parametrize("status", [204, 304])
    def test_the_body_of_a_response_without_one_is_dropped(self, status):
        stream = http1_stream()
        send(stream, type="http.response.start", status=status)
        send(stream, type="http.response.body", body=b"hello")
        assert stream.host.taken().endswith(b"\r\n\r\n")
        assert stream.complete

    def test_a_body_longer_than_its_length_is_cut_and_named(self):
        stream = http1_stream()
        send(stream, type="http.response.start", status=200, headers=[(b"content-length", b"2")])
        with pytest.raises(InvalidMessage, match="longer than its content-length"):
            send(stream, type="http.response.body", body=b"hello")
        assert stream.host.taken().endswith(b"\r\n\r\nhe")
        assert not stream.host.http.closing

    @pytest.mark.parametrize("before", [[], [b"h"]])
    def test_a_body_shorter_than_its_length_breaks_the_connection(self, before):
        stream = http1_stream()
        send(stream, type="http.response.start", status=200, headers=[(b"content-length", b"5")])
        for piece in before:
            send(stream, type="http.response.body", body=piece, more_body=True)
        with pytest.raises(InvalidMessage, match="shorter than its content-length"):
            send(stream, type="http.response.body", body=b"e")
        assert stream.host.http.closing

    def test_a_body_shorter_than_its_length_resets_the_stream_on_http_2(self):
        stream = http2_stream()
        send(stream, type="http.response.start", status=200, headers=[(b"content-length", b"5")])
        with pytest.raises(InvalidMessage):
            send(stream, type="http.response.body", body=b"e")
        assert stream.host.taken_frames()[-1] == ("RST_STREAM", 1, 2)

    def test_a_response_never_splits(self):
        for value in (b"a\r\n\r\nHTTP/1.1 200 OK\r\n", b"a\nb", b"a\0"):
            stream = http1_stream()
            with pytest.raises(InvalidMessage):
                send(stream, type="http.response.start", status=302, headers=[(b"location", value)])
            stream.finished(None)
            assert stream.host.taken().count(b"HTTP/1.1 ") == 1


class TestTrailersAndHints:
    def test_trailers_go_to_a_peer_that_takes_them(self):
        stream = reach(http1_stream(b"GET", b"te: trailers"), [WITH_TRAILERS, BODY, END])
        assert "http.response.trailers" in stream.scope["extensions"]
        send(stream, type="http.response.trailers", headers=[(b"a", b"b")], more_trailers=True)
        send(stream, type="http.response.trailers", headers=[(b"c", b"d")])
        assert stream.host.taken().endswith(b"1\r\nx\r\n0\r\na: b\r\nc: d\r\n\r\n")

    def test_trailers_to_another_peer_are_dropped(self):
        stream = reach(http1_stream(), [WITH_TRAILERS, BODY, END, TRAILERS])
        assert stream.host.taken().endswith(b"1\r\nx\r\n0\r\n\r\n")
        assert stream.complete

    def test_trailers_on_http_2(self):
        stream = http2_stream([*GET, (b"te", b"trailers")])
        reach(stream, [WITH_TRAILERS, END, TRAILERS])
        assert stream.host.taken_frames()[-1] == ("HEADERS", 1, [(b"a", b"b")], True)

    def test_hints_may_be_many_and_empty(self):
        stream = http1_stream()
        send(stream, type="http.response.early_hint", links=[b"</a>", b"</b>"])
        send(stream, type="http.response.early_hint", links=())
        send(stream, type="http.response.early_hint")
        hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\n"
        assert stream.host.taken() == hint

    def test_hints_are_dropped_where_they_are_not_offered(self):
        for options, kwargs in (({"early_hints_http1": False}, {}), ({}, {"version": b"1.0"})):
            stream = reach(http1_stream(options=options, **kwargs), [HINT])
            assert "http.response.early_hint" not in stream.scope["extensions"]
            assert stream.host.taken() == b""

    def test_hints_behind_the_head_are_dropped(self):
        stream = reach(http1_stream(), [START, BODY])
        stream.host.taken()
        reach(stream, [HINT])
        assert stream.host.taken() == b""


class TestPush:
    def test_a_push_starts_an_exchange_of_its_own(self):
        stream = reach(http2_stream(), [PUSH])
        host = stream.host
        assert host.taken_frames()[0][:3] == ("PUSH_PROMISE", 1, 2)
        pushed = host.streams[2]
        assert pushed.scope["path"] == "/a"
        assert "http.response.push" in stream.scope["extensions"]
        assert "http.response.push" not in pushed.scope["extensions"]
        assert receive(pushed) == {"type": "http.request", "body": b"", "more_body": False}

    def test_connection_specific_fields_are_not_promised(self):
        stream = http2_stream()
        fields = [(b"Connection", b"x"), (b"host", b"other"), (b"accept", b"*")]
        send(stream, type="http.response.push", path="/a", headers=fields)
        promised = dict(stream.host.taken_frames()[0][3])
        assert promised[b":authority"] == b"a"
        assert promised.keys() == {b":method", b":scheme", b":authority", b":path", b"accept"}

    def test_a_push_on_http_1_changes_nothing(self):
        stream = reach(http1_stream(), [PUSH])
        assert stream.host.taken() == b""


class TestReceive:
    def test_a_request_without_content_is_one_empty_message(self):
        stream = http1_stream()
        assert receive(stream) == {"type": "http.request", "body": b"", "more_body": False}
        assert receive(stream) is BLOCKED

    def test_pieces_that_wait_are_joined(self):
        host = http1_host(request(b"POST", b"content-length: 4", body=b"ab"))
        stream = host.streams[1]
        assert receive(stream) == {"type": "http.request", "body": b"ab", "more_body": True}
        waiting = stream.receive()
        assert waiting.send(None) is BLOCKED
        host.receive(b"c")
        host.receive(b"d")
        assert step(waiting) == {"type": "http.request", "body": b"cd", "more_body": False}

    def test_100_continue_is_sent_when_somebody_wants_the_body(self):
        stream = http1_stream(b"POST", b"expect: 100-continue", b"content-length: 1")
        assert stream.host.taken() == b""
        assert receive(stream) is BLOCKED
        assert stream.host.taken() == b"HTTP/1.1 100 Continue\r\n\r\n"

    def test_100_continue_is_not_sent_once_content_has_come(self):
        stream = http1_stream(b"POST", b"expect: 100-continue", b"content-length: 2", body=b"x")
        assert receive(stream)["body"] == b"x"
        assert receive(stream) is BLOCKED
        assert stream.host.taken() == b""

    def test_behind_the_response_comes_the_disconnect(self):
        stream = reach(http1_stream(), [START, END])
        assert receive(stream) == {"type": "http.disconnect"}

    def test_a_reset_is_a_disconnect_and_sending_an_error(self):
        stream = http2_stream(POST, end=False)
        waiting = stream.receive()
        assert waiting.send(None) is BLOCKED
        stream.host.receive(reset(1))
        assert step(waiting) == {"type": "http.disconnect"}
        assert receive(stream) == {"type": "http.disconnect"}
        with pytest.raises(ClientDisconnected):
            step(stream.send(START))
        with pytest.raises(InvalidMessage):
            step(stream.send(BODY))
        assert isinstance(ClientDisconnected(), OSError)

    @pytest.mark.parametrize("kind", [http1_stream, http2_stream])
    def test_waits_that_are_given_up_leave_nothing_behind(self, kind):
        stream = kind()
        receive(stream)
        for _ in range(1000):
            waiting = stream.receive()
            assert waiting.send(None) is BLOCKED
            give_up(waiting)
        assert len(stream.host.waiters) <= 1
        waiting, other = stream.receive(), stream.receive()
        assert waiting.send(None) is other.send(None) is BLOCKED
        give_up(waiting)
        stream.host.receive(reset(1)) if kind is http2_stream else stream.host.leave()
        assert step(other) == {"type": "http.disconnect"}

    def test_a_wait_may_be_given_up_in_the_turn_that_ends_it(self):
        stream = http1_stream(b"POST", b"content-length: 1")
        waiting = stream.receive()
        assert waiting.send(None) is BLOCKED
        stream.host.receive(b"x")
        give_up(waiting)
        assert receive(stream)["body"] == b"x"

    def test_request_trailers_come_with_the_last_message(self):
        host = HTTP2Host()
        host.receive(headers(1, POST, end=False) + data(1, b"x") + headers(1, [(b"a", b"b")]))
        message = receive(host.streams[1])
        assert (message["more_body"], message["trailers"]) == (False, [(b"a", b"b")])

    def test_taking_the_body_lets_the_peer_send_on(self):
        host = HTTP2Host(h2_stream_window_size=16384)
        host.receive(headers(1, POST, end=False) + data(1, bytes(16384)))
        host.taken()
        receive(host.streams[1])
        assert b"\x00\x00\x04\x08\x00\x00\x00\x00\x01" in host.taken()

    def test_what_comes_two_bytes_at_a_time_takes_little_more_memory(self):
        host = HTTP2Host()
        host.receive(headers(1, POST, end=False))
        tracemalloc.start()
        try:
            for _ in range(100):
                host.receive(data(1, b"ab") * 300)
            kept = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert kept < 2 * 60_000
        assert receive(host.streams[1])["body"] == b"ab" * 30_000


class TestTheApplicationsEnd:
    @pytest.mark.parametrize("before", [[], [START]])
    def test_without_a_response_it_is_500(self, before):
        stream = reach(http1_stream(), before)
        stream.finished(RuntimeError())
        assert stream.host.taken().startswith(b"HTTP/1.1 500 ")
        assert stream.status == 500
        assert not stream.host.http.closing

    def test_a_held_length_does_not_frame_the_error_page(self):
        stream = http1_stream()
        send(stream, type="http.response.start", status=200, headers=[(b"content-length", b"5")])
        stream.finished(RuntimeError())
        assert stream.host.taken().endswith(b"content-length: 21\r\n\r\nInternal Server Error")

    def test_half_a_response_breaks_the_connection(self):
        stream = reach(http1_stream(), [START, BODY])
        stream.finished(None)
        assert not stream.host.taken().endswith(b"0\r\n\r\n")
        assert stream.host.http.closing

    def test_half_a_response_resets_its_stream_on_http_2(self):
        stream = reach(http2_stream(), [START, BODY])
        stream.finished(None)
        assert stream.host.taken_frames()[-1] == ("RST_STREAM", 1, 2)
        assert not stream.host.http.closing

    @pytest.mark.parametrize("before", [[START, END], [START, BODY, END]])
    def test_a_whole_response_is_left_alone_and_logged_once(self, before):
        stream = reach(http1_stream(), before)
        output = stream.host.taken()
        stream.finished(RuntimeError())
        assert stream.host.taken() == b""
        assert output
        assert stream.host.logged == [stream]
