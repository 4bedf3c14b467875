"""What the codecs cost alone: driven in memory, without socket, loop or application.

``python -m benchmarks.floor`` prints microseconds for one small exchange as JSON, by slot
and codec: ``codec`` is the codec by itself, ``sans-io`` the whole connection on top of it.
Over HTTP/2 and WebSocket so many exchanges come at a time as the load has on the way.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from typing import Any

import hpack

from tricorn import Config
from tricorn.codecs import choice
from tricorn.codecs.base import HeadersFrame, HTTP2Settings
from tricorn.codecs.websocket_base import BytesPiece
from tricorn.protocol import negotiate
from tricorn.protocol.events import RequestReceived
from tricorn.protocol.scheduler import PriorityDispatcher

from .app import SMALL

REPEATS = 5
"""The best of so many counts: everything that is not the codec only adds."""

BATCH_SECONDS = 0.1
STREAMS = 32
MESSAGES = 16
MESSAGE_SIZE = 32
WRITE_SIZE = 65_536
REQUESTS_PER_CONNECTION = 4_096

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"
FIELDS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]

Batch = Callable[[], int]
"""Does some exchanges and tells how many."""


def best(make: Callable[[], Batch]) -> float:
    """Microseconds of one exchange: the best of `REPEATS` counts."""
    found = []
    for _ in range(REPEATS):
        batch = make()
        batch()  # what the first exchanges make and cache is not counted
        done, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < BATCH_SECONDS:
            done += batch()
        found.append(1e6 * took / done)
    return min(found)


def complete(answered: int, asked: int) -> int:
    """How many exchanges a batch did: all of them, or its time means nothing."""
    if answered != asked:
        raise RuntimeError(f"{answered} exchanges of {asked} were answered")
    return answered


def http1_codec(name: str) -> Callable[[], Batch]:
    """Request heads parsed; responses are made above the codec."""

    def make() -> Batch:
        codec = choice.http1(name)()

        def batch() -> int:
            for _ in range(100):
                codec.parse_head(REQUEST)
            return 100

        return batch

    return make


def http1_connection(name: str) -> Callable[[], Batch]:
    """Requests read and responses written on one connection."""

    def make() -> Batch:
        connection = negotiate.http1(Config(http1_codec=name))

        def batch() -> int:
            done = 0
            for _ in range(100):
                done += _answer_all(connection, connection.receive_data(REQUEST))
            return complete(done, 100)

        return batch

    return make


def _answer_all(connection: Any, events: list[Any]) -> int:
    """The small response to each request among `events`, up to the bytes to write.

    Returns how many there were.
    """
    answered = []
    while True:
        for event in events:
            if isinstance(event, RequestReceived):
                connection.send_headers(event.stream_id, 200, FIELDS, False)
                connection.send_data(event.stream_id, SMALL, True)
                answered.append(event.stream_id)
        while connection.data_to_send():
            pass
        if not connection.has_events:
            break
        events = connection.take_events()
    for stream_id in answered:
        connection.released(stream_id)
    return len(answered)


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One HTTP/2 frame (RFC 9113 section 4.1)."""
    length = struct.pack("!I", len(payload))[1:]
    return length + struct.pack("!BBI", kind, flags, stream_id) + payload


def http2_preface() -> bytes:
    """The client's preface with windows that never bind."""
    settings = struct.pack("!HI", 4, 2**30)  # SETTINGS_INITIAL_WINDOW_SIZE
    window = struct.pack("!I", 2**30)
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings) + frame(8, 0, 0, window)


def http2_requests() -> list[bytes]:
    """The requests of one connection as a client sends them, `STREAMS` at a time."""
    encoder = hpack.Encoder()
    fields = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"127.0.0.1:8000"),
        (b":path", b"/"),
        (b"user-agent", b"h2load nghttp2/1.52.0"),
    ]
    batches = []
    for first in range(1, 2 * REQUESTS_PER_CONNECTION, 2 * STREAMS):
        ids = range(first, first + 2 * STREAMS, 2)
        batches.append(b"".join(frame(1, 5, i, encoder.encode(fields)) for i in ids))
    return batches


class Conversation:
    """Batches of requests for one connection after the other."""

    def __init__(self, opened: Callable[[], Any], answer: Callable[[Any, bytes], int]) -> None:
        self._opened, self._answer = opened, answer
        self._requests = http2_requests()
        self._at = len(self._requests)
        self._connection: Any = None

    def batch(self) -> int:
        """`STREAMS` exchanges; now and then the connection before them."""
        if self._at == len(self._requests):
            self._connection, self._at = self._opened(), 0
        done = self._answer(self._connection, self._requests[self._at])
        self._at += 1
        return complete(done, STREAMS)


def http2_codec(name: str) -> Callable[[], Batch]:
    """Header blocks read and written, and bodies framed."""

    def opened() -> Any:
        scheduler = PriorityDispatcher(100)
        settings = HTTP2Settings(100, 262_144, 16_777_216, 16_384, 65_536, 8)
        codec = choice.http2(name)(settings, scheduler)
        codec.initiate()
        answer(codec, http2_preface())
        return codec

    def answer(codec: Any, data: bytes) -> int:
        head = [(b":status", b"200"), *FIELDS]
        done = 0
        while True:
            for event in codec.receive_data(data):
                if isinstance(event, HeadersFrame):
                    codec.send_headers(event.stream_id, head, False)
                    codec.send_data(event.stream_id, SMALL, True)
                    done += 1
            if not codec.has_more:
                break
            data = b""
        while codec.data_to_send(WRITE_SIZE):
            for stream_id in codec.take_finished():
                codec.forget(stream_id)
        return done

    return lambda: Conversation(opened, answer).batch


def http2_connection(name: str) -> Callable[[], Batch]:
    """The same through the rules on top of the codec."""

    def opened() -> Any:
        connection = negotiate.http2(Config(http2_codec=name), secure=True)
        connection.initiate()
        answer(connection, http2_preface())
        return connection

    def answer(connection: Any, data: bytes) -> int:
        return _answer_all(connection, connection.receive_data(data))

    return lambda: Conversation(opened, answer).batch


def _messages() -> bytes:
    mask = b"\x37\xfa\x21\x3d"
    payload = bytes(97 ^ mask[at % 4] for at in range(MESSAGE_SIZE))
    return MESSAGES * (bytes([0x82, 0x80 | MESSAGE_SIZE]) + mask + payload)


def websocket_codec(name: str) -> Callable[[], Batch]:
    """Frames parsed and the same sent. A whole message may come as its bytes alone."""

    def make() -> Batch:
        factory = choice.websocket(name)
        size = 16 * 2**20
        codec = factory(
            max_message_size=size, max_frame_size=size, max_fragments=131_072, deflate=None
        )
        data = _messages()

        def batch() -> int:
            answered = 0
            for event in codec.receive_data(data):
                payload = event.data if isinstance(event, BytesPiece) else event
                if isinstance(payload, bytes):
                    codec.binary(payload, False)
                    answered += 1
            return complete(answered, MESSAGES)

        return batch

    return make


SLOTS: dict[str, dict[str, Callable[[str], Callable[[], Batch]]]] = {
    "http1": {"codec": http1_codec, "sans-io": http1_connection},
    "http2": {"codec": http2_codec, "sans-io": http2_connection},
    "websocket": {"codec": websocket_codec},
}


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Microseconds by slot, codec and part."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for slot, parts in SLOTS.items():
        for name in choice.available()[slot]:
            costs = {part: best(make(name)) for part, make in parts.items()}
            found.setdefault(slot, {})[name] = costs
    return found


if __name__ == "__main__":
    print(json.dumps(measure()))
