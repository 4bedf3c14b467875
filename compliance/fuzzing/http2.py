"""HTTP/2 without I/O: what a connection makes of frames, whole, broken or in any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from compliance.fuzzing.frames import ServerFrames
from compliance.fuzzing.inputs import WHOLE, Choices, chunks, split
from tricorn.codecs import choice
from tricorn.codecs.frame_scanner import PREFACE
from tricorn.config import Config
from tricorn.protocol import negotiate
from tricorn.protocol.events import (
    DataReceived,
    Event,
    LimitReached,
    PeerFault,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from tricorn.protocol.http2 import HTTP2Connection

#: Codecs that are here, the fastest first.
CODECS = choice.available()["http2"]
DEFAULTS = Config()
_BOUNDS: dict[str, Any] = {
    "h2_max_concurrent_streams": 1,
    "h2_max_resets": 1,
    "h2_max_glitches": 16,
    "h2_max_continuation_frames": 1,
    "h2_max_output_control": 1,
    "max_header_count": 1,
    "h2_stream_window_size": 1024,
    "h2_connection_window_size": 65535,
    "keep_alive_max_requests": 2,
    "h2_max_pushes": 1,
}
SMALL = Config(**_BOUNDS)
#: With the options as they are, and with small bounds, for each codec in turn.
CONFIGS = [Config(http2_codec=name, **more) for name in CODECS for more in ({}, _BOUNDS)]
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
_MOST_ROUNDS = 100_000


def connect(config: Config = DEFAULTS) -> HTTP2Connection:
    """A cleartext connection whose preface is queued."""
    connection = negotiate.http2(config, secure=False)
    connection.initiate()
    return connection


class Story:
    """What a connection made of its bytes.

    Requests are answered as they end, or, where the cut must not matter, behind all input:
    what is an error may depend on whether the answer is out already.
    """

    def __init__(
        self,
        received: bytes,
        sizes: Sequence[int],
        *,
        at_once: bool = True,
        config: Config = DEFAULTS,
    ) -> None:
        self.connection = connection = connect(config)
        self.at_once = at_once
        self.later: list[tuple[int, str]] = []
        self.streams: dict[int, Any] = {}
        self.failed = False
        # A stream was in error. Frames behind the fault are ignored once we have reset the
        # stream, and may be errors of the connection where they came in the same read.
        self.faulted = False
        self.rounds = 0
        self._config = config
        self._held: dict[int, int] = {}
        self._frames = ServerFrames()
        for piece in chunks(PREFACE + SETTINGS + received, sizes):
            closed = connection.closing
            self._take(connection.receive_data(piece), silent=closed)
        self.in_order = [dict(self.streams), connection.closing]
        self.at_once = True
        for request in self.later:
            self._begin(*request)
        self._take([])
        connection.drain()
        for now in range(0, 400, 20):
            self._take(connection.handle_timeout(now))
        self._take(connection.receive_eof())
        assert connection.closing, "left open behind the end of the peer"
        assert connection.idle, "streams are left open"
        assert not connection.data_to_send(), "output behind the end"

    def _take(self, events: list[Event], *, silent: bool = False) -> None:
        connection = self.connection
        while True:
            self._round()
            for event in events:
                self._one(event)
            while buffers := connection.data_to_send():
                self._round()
                assert not silent, "output on a closed connection"
                self._frames.feed(b"".join(map(bytes, buffers)))
            if not connection.has_events:
                return
            events = connection.take_events()

    def _round(self) -> None:
        self.rounds += 1
        assert self.rounds < _MOST_ROUNDS, "goes round in a circle"

    def _one(self, event: Event) -> None:
        stream_id = event.stream_id
        connection = self.connection
        if type(event) is LimitReached:
            return
        if type(event) is PeerFault:
            self.failed = self.failed or stream_id == 0
            self.faulted = self.faulted or stream_id != 0
            self.streams[stream_id] = "fault"
            return
        if type(event) is RequestReceived:
            self.streams[stream_id] = [event.method, event.target, event.headers]
            self._begin(stream_id, "upgrade" if event.protocol else "push")
            if event.end_stream:
                self._begin(stream_id, "answer")
        elif type(event) is DataReceived:
            self._hold(stream_id, len(event.data))
            connection.consumed(stream_id, len(event.data))
            self._add(stream_id, event.data)
        elif type(event) is StreamReset:
            connection.released(stream_id)
            self.streams[stream_id] = "reset"
        else:
            self._add(stream_id, type(event).__name__)
            if type(event) is StreamEnded:
                self._begin(stream_id, "answer")

    def _hold(self, stream_id: int, size: int) -> None:
        limit = max(self._config.h2_stream_window_size, 65535)
        assert size <= limit, f"{size} bytes past the window of stream {stream_id}"

    def _begin(self, stream_id: int, what: str) -> None:
        connection = self.connection
        if not self.at_once:
            self.later.append((stream_id, what))
        elif what == "answer":
            connection.send_headers(stream_id, 200, [(b"content-length", b"100")])
            connection.send_data(stream_id, b"x" * 100, True)
            connection.released(stream_id)
        elif what == "upgrade":
            connection.upgrade(stream_id, 200, [])
        else:
            connection.push(stream_id, b"/pushed%d" % stream_id, [])

    def _add(self, stream_id: int, part: object) -> None:
        found = self.streams[stream_id]
        assert isinstance(found, list), f"{part!r} behind {found}"
        if isinstance(part, bytes) and isinstance(found[-1], bytes):
            found[-1] += part
        else:
            found.append(part)


def same_in_any_cut(received: bytes, sizes: Sequence[int], config: Config = DEFAULTS) -> Story:
    """The story told whole, after checking that it is the same in pieces."""
    whole = Story(received, WHOLE, at_once=False, config=config)
    cut = Story(received, sizes, at_once=False, config=config)
    if not (cut.faulted or whole.faulted):
        assert cut.failed == whole.failed, f"failed in pieces: {cut.failed}, whole: {whole.failed}"
    if not (cut.failed or whole.failed):
        assert cut.in_order == whole.in_order, f"{cut.in_order} in pieces, {whole.in_order} whole"
    return whole


@cache
def _calls() -> list[Callable[[HTTP2Connection, int], object]]:
    return [
        lambda http, n: http.send_informational(n, 103, []),
        lambda http, n: http.send_headers(n, 200, []),
        lambda http, n: http.send_headers(n, 204, [], True),
        lambda http, n: http.send_data(n, b"hi"),
        lambda http, n: http.send_data(n, bytes(20000)),
        lambda http, n: http.send_data(n, b"", True),
        lambda http, n: http.send_trailers(n, [(b"a", b"b")]),
        lambda http, n: http.push(n, b"/a", []),
        lambda http, n: http.push(n, b"/b", []),
        lambda http, n: http.upgrade(n, 200, []),
        lambda http, n: http.reset(n, 2),
        lambda http, n: http.consumed(n, 0),
        lambda http, n: http.released(n),
        lambda http, n: http.drain(),
        lambda http, n: http.receive_eof(),
        lambda http, n: http.end_idle() if http.idle_since() is not None else None,
    ]


def call_in_any_order(received: bytes, choices: Choices, config: Config) -> None:
    """Whatever is called between the peer's frames raises nothing and breaks no framing."""
    connection = connect(config)
    frames = ServerFrames()
    received = PREFACE + SETTINGS + received
    now = 0
    while choices:
        size = choices.byte()
        piece, received = received[:size], received[size:]
        connection.receive_data(piece)
        choices.pick(_calls())(connection, choices.byte() % 8)
        if connection.has_events:
            connection.take_events()
        if size % 3:
            frames.feed(b"".join(map(bytes, connection.data_to_send())))
        connection.handle_timeout(now)
        assert connection.wants_data in (True, False)
        assert repr(connection)
        now += size % 40
    connection.drain()
    connection.receive_eof()
    while buffers := connection.data_to_send():
        frames.feed(b"".join(map(bytes, buffers)))


def check(data: bytes) -> None:
    """The target: the same in any cut, whole frames out, and no exception from any call."""
    wire, choices = split(data)
    config = choices.pick(CONFIGS)
    mode = choices.byte() % 4
    if mode == 3:
        call_in_any_order(wire, choices, config)
        return
    sizes = choices.sizes()
    if sizes == WHOLE:
        sizes = (11,)
    if mode == 2 or config.h2_max_concurrent_streams == 1:
        # With room for one stream it matters whether its application has ended meanwhile.
        Story(wire, sizes, config=config)
    else:
        same_in_any_cut(wire, sizes, config)
