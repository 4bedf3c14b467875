"""HTTP/1.1 without I/O: what a connection makes of its bytes, whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from compliance.fuzzing.inputs import WHOLE, Choices, chunks, split
from tricorn.config import Config
from tricorn.protocol import negotiate
from tricorn.protocol.events import (
    DataReceived,
    Event,
    HTTP2Upgraded,
    LimitReached,
    PeerFault,
    PeerHalfClosed,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from tricorn.protocol.http1 import HTTP1Connection

DEFAULTS = Config()
SMALL = Config(
    h11_max_incomplete_size=1024,
    max_request_target_size=64,
    max_header_count=2,
    max_chunk_overhead=20,
    h2c_upgrade=True,
    request_buffer_size=10,
    keep_alive_max_requests=2,
)
# No conversation of a few KiB needs more; a connection that does goes round in a circle.
_MOST_ROUNDS = 20_000
# RFC 9112 2.2 asks for one empty line in front of a request; how many more are borne is
# counted for each read, so that there the cut does matter.
_EMPTY_LINES = b"\r\n" * 8


def respond(connection: HTTP1Connection, stream_id: int) -> None:
    """A whole response."""
    connection.send_headers(stream_id, 200, [(b"content-length", b"2")])
    connection.send_data(stream_id, b"hi", True)


class Story:
    """What a connection made of its bytes, as far as the cut must not matter.

    Every request is answered as soon as it is complete.
    """

    def __init__(self, data: bytes, sizes: Sequence[int], config: Config = DEFAULTS) -> None:
        self.connection = negotiate.http1(config)
        self.streams: dict[int, list[Any]] = {}
        self.faults = 0
        self.upgraded = False
        self.output = b""
        self.rounds = 0
        self._config = config
        for piece in chunks(data, sizes):
            self._read(piece)
        self._take(self.connection.receive_eof())
        for now in range(0, 400, 20):
            self._take(self.connection.handle_timeout(now))
        assert self.connection.closing or self.upgraded, "left open behind the end of the peer"

    def _read(self, piece: bytes) -> None:
        closed = self.connection.closing
        before = len(self.output)
        self._take(self.connection.receive_data(piece))
        if closed:
            assert len(self.output) == before, "output on a closed connection"
        held = len(self.connection._buffer)
        assert held <= self._config.h11_max_incomplete_size + len(piece), f"{held} bytes are held"

    def _take(self, events: list[Event]) -> None:
        while True:
            self.rounds += 1
            assert self.rounds < _MOST_ROUNDS, "goes round in a circle"
            for event in events:
                self._one(event)
            while buffers := self.connection.data_to_send():
                self.output += b"".join(map(bytes, buffers))  # type: ignore[arg-type]
            if not self.connection.has_events:
                return
            events = self.connection.take_events()

    def _one(self, event: Event) -> None:
        stream_id = event.stream_id
        match event:
            case PeerFault():
                self.faults += 1
            case RequestReceived():
                assert stream_id == len(self.streams) + 1, "exchanges are numbered"
                told = (event.method, event.target, event.headers, event.protocol)
                self.streams[stream_id] = [told, b"", ""]
                if event.end_stream or event.protocol:
                    respond(self.connection, stream_id)
            case DataReceived():
                self.streams[stream_id][1] += event.data
                self.connection.consumed(stream_id, len(event.data))
            case StreamEnded():
                self.streams[stream_id][2] += "ended"
                respond(self.connection, stream_id)
            case StreamReset():
                # How much of a broken body came before the fault depends on the cut.
                self.streams[stream_id][1:] = [b"", "reset"]
            case HTTP2Upgraded():
                self.upgraded = True
                self.streams[stream_id] = [(event.request.target, event.settings), event.body, ""]
            case PeerHalfClosed() | LimitReached():
                pass
            case _:
                self.streams[stream_id][2] += repr(event)

    def told(self) -> tuple[object, ...]:
        """What must be the same in any cut."""
        return self.streams, min(self.faults, 1), self.output.count(b"HTTP/1.1 200 OK\r\n")


@cache
def _calls() -> list[Callable[[HTTP1Connection, int], object]]:
    """What an application's side may call, at any time and with any number."""
    return [
        lambda http, n: http.send_informational(n, 103, [(b"link", b"</a>")]),
        lambda http, n: http.send_informational(n, 100, []),
        lambda http, n: http.send_headers(n, 200, []),
        lambda http, n: http.send_headers(n, 200, [(b"content-length", b"2")]),
        lambda http, n: http.send_headers(n, 204, [], True),
        lambda http, n: http.send_data(n, b"hi"),
        lambda http, n: http.send_data(n, b"", True),
        lambda http, n: http.send_trailers(n, [(b"a", b"b")]),
        lambda http, n: http.push(n, b"/a", []),
        lambda http, n: http.upgrade(n, 101, []),
        lambda http, n: http.reset(n, 2),
        lambda http, n: http.consumed(n, 0),
        lambda http, n: http.released(n),
        lambda http, n: http.drain(),
        lambda http, n: http.receive_eof(),
        lambda http, n: http.end_idle() if http.idle_since() is not None else None,
    ]


def call_in_any_order(data: bytes, choices: Choices, config: Config) -> None:
    """Whatever is called between the peer's bytes raises nothing."""
    connection = negotiate.http1(config)
    now = 0.0
    while choices:
        size = choices.byte() % 64
        piece, data = data[:size], data[size:]
        connection.receive_data(piece)
        choices.pick(_calls())(connection, choices.byte() % 4)
        connection.data_to_send()
        if connection.has_events:
            connection.take_events()
        connection.handle_timeout(now)
        assert connection.wants_data in (True, False)
        assert repr(connection)
        now += size
    connection.drain()
    connection.receive_eof()


def check(data: bytes) -> None:
    """The target: the same in any cut, and no exception from any call."""
    wire, choices = split(data)
    config = choices.pick([DEFAULTS, SMALL])
    if choices.byte() % 4 == 3:
        call_in_any_order(wire, choices, config)
        return
    sizes = choices.sizes()
    whole = Story(wire, WHOLE, config)
    cut = Story(wire, sizes if sizes != WHOLE else (7,), config)
    if _EMPTY_LINES not in wire:
        assert cut.told() == whole.told(), f"{cut.told()} in pieces, {whole.told()} whole"
