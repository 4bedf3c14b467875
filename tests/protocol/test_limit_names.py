"""Every bound of a connection says which option set it, so that it can be counted and told."""

import ast
import dataclasses
from pathlib import Path

import pytest
from playbook import http1
from playbook_http2 import (
    GET,
    POST,
    PREFACE,
    SETTINGS_ACK,
    Server,
    block,
    continuation,
    data,
    headers,
    ping,
    raw,
    reset,
    settings,
)
from playbook_websocket import websocket

import tricorn
from tricorn.config import OPTIONS, Config
from tricorn.config_options import FLOW, HTTP1, HTTP2, LIMITS, TIMEOUTS, WEBSOCKET, WORKERS
from tricorn.counters import LIMITS as COUNTED
from tricorn.protocol import negotiate
from tricorn.protocol.events import LimitReached, PeerFault
from tricorn.protocol.websocket import ConnectionFailed, WebSocketLimits

SECTIONS = (TIMEOUTS, LIMITS, HTTP1, FLOW, HTTP2, WEBSOCKET, WORKERS)
# The numbers of those sections that are no bounds, each with its reason.
NOT_COUNTED = {
    "drain_delay": "a pause, not a bound",
    "drain_idle_timeout": "a pause, not a bound",
    "retry_after": "told to the peer",
    "min_body_rate_grace": "part of min_body_rate",
    "max_request_body_sizes": "max_request_body_size by path, counted as that",
    "write_buffer_low": "where write_buffer_high ends",
    "h2_resets_per_second": "part of h2_max_resets",
    "h2_glitches_per_second": "part of h2_max_glitches",
    "h2_priority_closed_streams": "the oldest is forgotten; nobody is refused anything",
    "websocket_ping_interval": "when to ask, not a bound",
    "websocket_compression_min_size": "a choice of ours",
    "websocket_server_max_window_bits": "a choice of ours",
    "websocket_client_max_window_bits": "a wish",
    "workers": "how many there are",
    "max_requests_jitter": "part of max_requests",
    "gc_threshold": "when to look, not a bound",
}
NUMBERS = ("float", "int", "dict")

GET1 = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST1 = b"POST / HTTP/1.1\r\nhost: a\r\n"


def numbers():
    types = {field.name: str(field.type) for field in dataclasses.fields(Config)}
    rows = [row for row in OPTIONS.values() if row.section in SECTIONS and not row.inert]
    return [row.name for row in rows if types[row.name].startswith(NUMBERS)]


def test_every_bound_has_a_counter():
    assert len(numbers()) > 50
    assert set(numbers()) == (set(COUNTED) | set(NOT_COUNTED)) & set(numbers())
    assert set(COUNTED) & set(NOT_COUNTED) == set()
    assert set(COUNTED) <= set(OPTIONS)
    assert set(NOT_COUNTED) <= set(numbers())
    assert len(set(COUNTED)) == len(COUNTED)


def strings():
    """Every string constant of the code that could count."""
    package = Path(tricorn.__file__).parent
    for path in package.rglob("*.py"):
        inner = path.relative_to(package)
        if inner.parts[0] == "migrate" or inner.name.startswith(("config", "counters")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_counter_is_counted_somewhere():
    found = set(strings())
    # The WebSocket codec has the names of its arguments.
    found |= {f"websocket_{name}" for name in found}
    assert [name for name in COUNTED if name not in found] == []


def reached(events):
    """Options of the events, faults first."""
    faults = [event.limit for event in events if type(event) is PeerFault]
    return faults + [event.limit for event in events if type(event) is LimitReached]


class Limited:
    """An HTTP/1.1 connection that is fed and ticked."""

    def __init__(self, **options):
        self.connection = http1(**options)()
        self.found = []

    def feed(self, data):
        self.found += reached(self.connection.receive_data(data))
        return self

    def tick(self, *times):
        for now in times:
            self.found += reached(self.connection.handle_timeout(now))
        return self

    def answer(self, stream_id=1):
        self.connection.send_headers(stream_id, 200, [(b"content-length", b"0")], True)
        self.connection.data_to_send()
        self.found += reached(self.connection.take_events())
        return self


def lines(count):
    return b"".join(b"x-%d: a\r\n" % number for number in range(count))


CHUNKED = POST1 + b"transfer-encoding: chunked\r\n\r\n"
SMALL = {"h11_max_incomplete_size": 1024}
# Option: a conversation that comes to its bound.
HTTP1_BOUNDS = [
    ("h11_max_incomplete_size", lambda: Limited(**SMALL).feed(GET1[:-2] + b"x: " + b"y" * 1024)),
    (
        "max_request_target_size",
        lambda: Limited(max_request_target_size=64).feed(b"GET /" + b"a" * 64 + b" HTTP/1.1\r\n"),
    ),
    ("max_header_count", lambda: Limited(max_header_count=5).feed(GET1[:-2] + lines(5) + b"\r\n")),
    (
        "max_header_count",
        lambda: Limited(max_header_count=5).feed(CHUNKED + b"0\r\n" + lines(6) + b"\r\n"),
    ),
    (
        "max_chunk_overhead",
        lambda: Limited(max_chunk_overhead=100).feed(CHUNKED + b"1;" + b"x" * 200 + b"\r\n"),
    ),
    ("keep_alive_max_requests", lambda: Limited(keep_alive_max_requests=1).feed(GET1)),
    ("header_timeout", lambda: Limited(header_timeout=10).feed(GET1[:9]).tick(0, 10, 20)),
    ("header_timeout", lambda: Limited(header_timeout=10).tick(0, 10)),
    ("keep_alive_timeout", lambda: Limited(keep_alive_timeout=9).feed(GET1).answer().tick(0, 9)),
    (
        "read_timeout",
        lambda: Limited(read_timeout=5).feed(POST1 + b"content-length: 9\r\n\r\n").tick(0, 5, 10),
    ),
    (
        "close_timeout",
        lambda: Limited(close_timeout=5).feed(b"GET\r\n\r\n").tick(0, 5),
    ),
    (
        "request_buffer_size",
        lambda: Limited(h2c_upgrade=True, request_buffer_size=10).feed(
            POST1
            + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
            + b"transfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n"
        ),
    ),
]


@pytest.mark.parametrize(("option", "talk"), HTTP1_BOUNDS)
def test_http1(option, talk):
    assert talk().found[-1:] == [option]


def test_another_rule_of_http1_has_no_limit():
    assert Limited().feed(b"GET / HTTP/1.1\r\n\r\n").found == [None]


@pytest.mark.parametrize(
    ("option", "received"),
    [
        ("request_buffer_size", POST1 + b"content-length: 9999\r\n\r\n" + b"x" * 2000),
        ("h11_max_incomplete_size", GET1 + b"x" * 1024),
    ],
)
def test_what_stops_reading_of_http1_is_named(option, received):
    limited = Limited(request_buffer_size=1024, **SMALL).feed(received)
    assert not limited.connection.wants_data
    assert limited.connection.pause_limit == option


def fed(*frames, ticks=(), answer=None, **options):
    """Options that an HTTP/2 conversation comes to."""
    server = Server(**options)
    found = reached(server.receive(*frames))
    if answer:
        server.connection.send_headers(answer, 200, [], True)
        server.frames()
    for now in ticks:
        found += reached(server.connection.handle_timeout(now))
    return found


BODY = headers(1, POST, end=False)
FIELDS = [(b"x-%d" % number, b"y") for number in range(6)]
LONG = {"h2_stream_window_size": 1024, "h2_connection_window_size": 65535}
HTTP2_BOUNDS = [
    ("max_header_count", lambda: fed(headers(1, GET + FIELDS), max_header_count=5)),
    (
        "max_header_count",
        lambda: fed(BODY, headers(1, FIELDS), max_header_count=5),
    ),
    (
        "max_request_target_size",
        lambda: fed(headers(1, [*GET[:3], (b":path", b"/" * 65)]), max_request_target_size=64),
    ),
    ("keep_alive_max_requests", lambda: fed(headers(1), keep_alive_max_requests=1)),
    (
        "h2_max_concurrent_streams",
        lambda: fed(headers(1), headers(3), h2_max_concurrent_streams=1),
    ),
    (
        "h2_max_header_list_size",
        lambda: fed(headers(1, [*GET, (b"x", b"y" * 1024)]), h2_max_header_list_size=1024),
    ),
    ("h2_max_inbound_frame_size", lambda: fed(raw(0, 0, 1, bytes(16385)))),
    ("h2_stream_window_size", lambda: fed(BODY, data(1, bytes(1025)), **LONG)),
    (
        "h2_connection_window_size",
        lambda: fed(
            BODY,
            *[data(1, bytes(16384))] * 5,
            h2_stream_window_size=2**20,
            h2_connection_window_size=65535,
        ),
    ),
    ("h2_max_resets", lambda: fed(headers(1), reset(1), headers(3), reset(3), h2_max_resets=1)),
    ("h2_max_glitches", lambda: fed(*[ping()] * 17, h2_max_glitches=16)),
    (
        "h2_max_continuation_frames",
        lambda: fed(headers(1, whole=False), *[continuation(1)] * 2, h2_max_continuation_frames=1),
    ),
    ("header_timeout", lambda: fed(headers(1)[:5], ticks=(0, 10), header_timeout=10)),
    ("keep_alive_timeout", lambda: fed(ticks=(0, 9), keep_alive_timeout=9)),
    ("read_timeout", lambda: fed(BODY, ticks=(0, 5), read_timeout=5)),
    ("close_timeout", lambda: fed(BODY, answer=1, ticks=(0, 1, 6), close_timeout=5)),
]


@pytest.mark.usefixtures("http2_codec")
@pytest.mark.parametrize(("option", "talk"), HTTP2_BOUNDS)
def test_http2(option, talk):
    assert talk() == [option]


def test_a_stalled_http2_stream_names_write_timeout():
    server = Server(write_timeout=5, client_settings={0x4: 10})
    server.receive(headers(1))
    server.connection.send_headers(1, 200, [])
    server.connection.send_data(1, bytes(100), True)
    server.frames()
    found = [event for now in (0, 5) for event in server.connection.handle_timeout(now)]
    assert reached(found) == ["write_timeout"]


def test_one_push_too_many_names_its_limit():
    server = Server(h2_max_pushes=1)
    server.receive(headers(1))
    assert server.connection.push(1, b"/a", []) == 2
    server.connection.take_events()
    assert server.connection.push(1, b"/b", []) is None
    assert reached(server.connection.take_events()) == ["h2_max_pushes"]


def test_what_stops_reading_of_http2_is_named():
    server = Server(h2_max_output_control=1)
    server.receive(*[ping()] * 5)
    assert not server.connection.wants_data
    assert server.connection.pause_limit == "h2_max_output_control"


def test_a_connection_that_is_refused_for_its_preface_names_nothing():
    connection = negotiate.http2(Config(), secure=True)
    connection.initiate()
    events = connection.receive_data(PREFACE + settings() + SETTINGS_ACK + raw(9, 0, 1, block([])))
    assert reached(events) == [None]


def ws_frame(first, size):
    return bytes([first, 0x80 | 126]) + size.to_bytes(2) + bytes(4) + bytes(size)


def failed(received=b"", ticks=(), close=False, **limits):
    connection = websocket(WebSocketLimits(**limits))
    if close:
        connection.send_close()
    found = connection.receive_data(received)
    for now in ticks:
        found += connection.handle_timeout(now)
    return [event.limit for event in found if type(event) is ConnectionFailed]


WEBSOCKET_BOUNDS = [
    ("websocket_max_message_size", {"received": ws_frame(0x82, 200), "max_message_size": 199}),
    ("websocket_max_frame_size", {"received": ws_frame(0x82, 200), "max_frame_size": 199}),
    ("websocket_max_fragments", {"received": ws_frame(2, 200) + ws_frame(0, 200) * 5,
                                 "max_fragments": 4}),
    ("websocket_ping_timeout", {"ticks": (0, 20, 40), "ping_interval": 20, "ping_timeout": 20}),
    ("websocket_close_timeout", {"ticks": (0, 10), "close": True, "close_timeout": 10}),
    (None, {"received": b"\xf2\x80\0\0\0\0"}),
]  # fmt: skip


@pytest.mark.usefixtures("websocket_codec")
@pytest.mark.parametrize(("option", "talk"), WEBSOCKET_BOUNDS)
def test_websocket(option, talk):
    assert failed(**talk) == [option]
