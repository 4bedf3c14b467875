"""The limits on requests by themselves: who is let through, and how time is counted."""

import pytest
from asgi_host import (
    BLOCKED,
    HTTP2Host,
    give_up,
    http1_stream,
    http2_stream,
    receive,
    request,
    send,
    step,
)
from playbook_http2 import POST, data, headers

from tricorn.asgi.request_limits import BODY_TOO_SLOW, NO_RESPONSE, Gate, Limits, Patience
from tricorn.config import Config
from tricorn.exceptions import ClientDisconnected, ConfigError


def gate(**options):
    found = Gate.create(Config(**options))
    assert found is not None
    return found


def scope(path, root_path="", **headers):
    fields = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return {"type": "http", "path": path, "root_path": root_path, "headers": fields}


def test_nothing_is_asked_where_nothing_is_limited():
    assert Gate.create(Config()) is None
    assert Limits.create(Config(min_body_rate=None)) is None
    assert Limits.create(Config()) is not None


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/", 7), ("/a", 1), ("/a/", 1), ("/ab", 7), ("/a/b", 1), ("/a/bc/d", None),
        ("/a/bcd", 1), ("*", 7),
    ],
)  # fmt: skip
def test_the_longest_prefix_of_whole_segments_wins(path, limit):
    sizes = {"/a": 1, "/a/bc/": "none"}
    found = gate(max_request_body_size=7, max_request_body_sizes=sizes)
    assert found.body_limit(scope(path)) == limit


def test_paths_are_those_below_the_root_path():
    found = gate(max_request_body_sizes={"/a": 1})
    assert found.body_limit(scope("/api/a", "/api")) == 1
    assert found.body_limit(scope("/api/b", "/api")) is None
    assert found.body_limit({**scope("/a"), "type": "websocket"}) is None


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"a": 1}, "begins with /"),
        ({"/a": "much"}, "size in bytes"),
        ({"/a": -1}, "size in bytes"),
        ({"/a": True}, "size in bytes"),
        ({"/a": 1, "/a/": 2}, "twice"),
    ],
)
def test_wrong_sizes_are_one_clear_line(sizes, said):
    with pytest.raises(ConfigError) as raised:
        Config(max_request_body_sizes=sizes)
    assert str(raised.value).startswith("max_request_body_sizes: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def patience(**options):
    return Patience(Limits(Config(**options)), 0.0)


def test_a_body_may_be_slow_for_the_grace():
    slow = patience(min_body_rate=100, min_body_rate_grace=5)
    assert slow.ends(4.9, 0, waits_for_body=True) is None
    assert slow.ends(5.0, 0, waits_for_body=True) is BODY_TOO_SLOW


def test_bytes_earn_time_up_to_twice_the_grace():
    steady = patience(min_body_rate=100, min_body_rate_grace=5)
    assert not any(steady.ends(now, 100 * now, waits_for_body=True) for now in range(1, 100))
    trickle = patience(min_body_rate=100, min_body_rate_grace=5)
    ends = [now for now in range(1, 30) if trickle.ends(now, 50 * now, waits_for_body=True)]
    assert ends[0] == 10
    burst = patience(min_body_rate=100, min_body_rate_grace=5)
    assert burst.ends(0, 10**9, waits_for_body=True) is None
    assert burst.ends(9.9, 10**9, waits_for_body=True) is None
    assert burst.ends(10, 10**9, waits_for_body=True) is BODY_TOO_SLOW


def test_time_is_the_peers_or_the_applications():
    both = patience(min_body_rate=100, min_body_rate_grace=5, response_timeout=3)
    now = 0.0
    for _ in range(10):
        now += 0.29
        assert both.ends(now, 0, waits_for_body=False) is None
        now += 0.49
        assert both.ends(now, 0, waits_for_body=True) is None
    assert both.ends(now + 0.2, 0, waits_for_body=False) is NO_RESPONSE


OPTIONS = {"min_body_rate": 100, "min_body_rate_grace": 5, "response_timeout": 10}


def test_an_exchange_is_ended_by_ticks():
    stream = http1_stream(b"POST", b"content-length: 9", body=b"abc", options=OPTIONS)
    host = stream.host
    for now in (0.0, 6.0, 9.9):
        stream.tick(now)
    assert host.taken() == b""
    # Ten seconds without a receive() were the application's.
    stream.tick(10.0)
    assert host.taken().startswith(b"HTTP/1.1 504 ")
    assert [fault.limit for fault in host.faults] == ["response_timeout"]
    assert host.ended == [1]
    assert stream.complete
    assert stream.abandoned
    assert receive(stream) == {"type": "http.disconnect"}
    with pytest.raises(ClientDisconnected):
        send(stream, type="http.response.start", status=200)


@pytest.mark.parametrize("kind", [http1_stream, http2_stream])
def test_the_wait_for_the_body_is_the_peers(kind):
    if kind is http1_stream:
        stream = kind(b"POST", b"content-length: 9", options=OPTIONS)
    else:
        stream = kind(options=OPTIONS, end=False)
    waiting = stream.receive()
    assert waiting.send(None) == BLOCKED
    stream.tick(0.0)
    stream.tick(5.0)
    assert stream.status == 408
    assert stream.host.ended == []  # it hears of a disconnect
    assert [fault.limit for fault in stream.host.faults] == ["min_body_rate"]
    with pytest.raises(StopIteration) as stop:
        waiting.send(None)
    assert stop.value.value == {"type": "http.disconnect"}


@pytest.mark.parametrize("kind", [http1_stream, http2_stream])
def test_a_wait_that_was_given_up_is_the_applications_time(kind):
    if kind is http1_stream:
        stream = kind(b"POST", b"content-length: 9", options=OPTIONS)
    else:
        stream = kind(options=OPTIONS, end=False)
    stream.host.taken()
    waiting = stream.receive()
    assert waiting.send(None) == BLOCKED
    give_up(waiting)
    stream.tick(0.0)
    stream.tick(5.0)
    assert stream.host.taken() == b""
    stream.tick(10.0)
    assert stream.status == 504
    assert [fault.limit for fault in stream.host.faults] == ["response_timeout"]


def test_the_access_log_has_the_servers_answer():
    stream = http1_stream(b"POST", b"content-length: 9", options=OPTIONS)
    stream.tick(0.0)
    stream.tick(10.0)
    assert [exchange.status for exchange in stream.host.logged] == [504]
    assert not stream.disconnected


def test_a_request_that_was_answered_in_the_applications_place_leaves_the_next_one_alone():
    stream = http1_stream(options=OPTIONS)
    stream.tick(0.0)
    stream.tick(10.0)
    assert b"connection: close" not in stream.host.taken()
    stream.host.receive(request())
    assert list(stream.host.streams) == [1, 2]


def test_a_body_that_has_no_window_is_not_slow():
    window = {"h2_connection_window_size": 65535, "h2_stream_window_size": 65535}
    host = HTTP2Host(min_body_rate=100, min_body_rate_grace=5, **window)
    host.receive(headers(1, POST, end=False) + data(1, bytes(13107)) * 5)
    host.receive(headers(3, POST, end=False))
    waits = host.streams[3]
    waiting = waits.receive()
    assert step(waiting) == BLOCKED
    for second in range(10):
        waits.tick(second)
    assert not waits.complete
    assert host.faults == []
    for _ in range(5):
        receive(host.streams[1])
    for second in range(10, 20):
        waits.tick(second)
    assert [fault.limit for fault in host.faults] == ["min_body_rate"]
    waiting.close()


HELD = [{}, {"trailers": True}, {"headers": [(b"content-length", b"100")]}]


@pytest.mark.parametrize("held", HELD, ids=["plain", "trailers", "length"])
@pytest.mark.parametrize("status", [413, 408, 504])
def test_what_a_held_start_promised_is_no_promise_of_the_servers_answer(status, held):
    stream = http1_stream(b"POST", b"transfer-encoding: chunked", options=OPTIONS)
    told = held_and_refused(stream, status, held, b"3\r\nabc\r\n")
    head, _, text = stream.host.taken().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-length: %d" % len(text) in head.split(b"\r\n")
    assert b"transfer-encoding" not in head
    assert stream.complete
    assert told == {"type": "http.disconnect"}


@pytest.mark.parametrize("held", HELD, ids=["plain", "trailers", "length"])
@pytest.mark.parametrize("status", [413, 408, 504])
def test_nor_over_http2(status, held):
    stream = http2_stream(POST, end=False, options=OPTIONS)
    told = held_and_refused(stream, status, held, data(1, b"abc"))
    head, body = stream.host.taken_frames()[:2]
    assert (b":status", b"%d" % status) in head[2]
    assert [value for name, value in head[2] if name == b"content-length"] == [b"%d" % len(body[2])]
    assert body[3]
    assert stream.complete
    assert told == {"type": "http.disconnect"}


def held_and_refused(stream, status, held, too_much):
    """Refuse an exchange whose response start is held; what its application is told."""
    send(stream, type="http.response.start", status=200, **held)
    waiting = stream.receive()
    if status == 413:
        stream.body_limit = 2
        stream.host.receive(too_much)
    else:
        if status == 408:
            assert step(waiting) == BLOCKED
        stream.tick(0.0)
        stream.tick(10.0)
    assert stream.status == status
    return step(waiting)


@pytest.mark.parametrize(("rate", "late"), [(110, False), (60, True)])
def test_what_comes_of_a_frame_counts_before_it_is_whole(rate, late):
    host = HTTP2Host(min_body_rate=100, min_body_rate_grace=5)
    host.receive(headers(1, POST, end=False))
    stream = host.streams[1]
    waiting = stream.receive()
    assert step(waiting) == BLOCKED
    frame = data(1, bytes(16384))
    for second in range(30):
        host.receive(frame[second * rate : (second + 1) * rate])
        stream.tick(second)
    assert stream.complete is late
    assert [fault.limit for fault in host.faults] == ["min_body_rate"] * late
    waiting.close()
