"""Abuse of the compiled HTTP/2 codec: ``python -m compliance.fuzzing.binding --seconds 60``.

The other targets look at what Tricorn does; this one asks whether the interpreter lives. Mutated
conversations, random bytes, calls in any order with any argument, a scheduler and event classes
that raise, call back into the codec or collect garbage, and objects that go in every order. Run
it below valgrind, or with a codec built for AddressSanitizer, for reads that crash nothing:
compliance/README.md has the commands.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import inspect
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compliance.fuzzing import frames as wire
from compliance.fuzzing.frames import ServerFrames, split_frames
from compliance.fuzzing.inputs import split
from compliance.fuzzing.seeds import CORPUS, http2_wires
from tricorn.codecs import _nghttp2 as binding
from tricorn.codecs.base import HTTP2Settings
from tricorn.codecs.frame_scanner import PREFACE
from tricorn.codecs.http2_nghttp2 import Nghttp2Codec
from tricorn.exceptions import ProtocolError
from tricorn.protocol.scheduler import PriorityDispatcher

SETTINGS = b"\0\0\0\4\0\0\0\0\0"
EVENTS = (
    "CodecFailed", "GoAwayFrame", "PingAck", "PriorityFrame", "PriorityUpdateFrame", "ResetFrame",
    "SettingsReceived", "data_frame", "headers_frame",
)  # fmt: skip
HEAD = [(b":status", b"200"), (b"content-type", b"text/plain"), (b"x-a", b"b" * 40)]
PROMISE = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/b")]
ODD: tuple[Any, ...] = (
    None, -1, 0, 1, 2, 7, 2**31 - 1, 2**31, 2**32, 2**63, 2**70, 1.5, "", "text", b"", b"x" * 9,
    [], [()], [(b"a",)], [("a", "b")], [None], [(b"a", b"b")] * 200, {}, object(), bytearray(3),
    memoryview(b"abcd"), True,
)  # fmt: skip
REFUSALS = (TypeError, ValueError, OverflowError, AttributeError, ProtocolError, RuntimeError)
# What the process may grow by while it runs (MiB), behind its first tenth.
MOST_GROWTH = 32


class Injected(Exception):
    """Raised by what the codec calls."""


class InjectedExit(BaseException):
    """The same, like an interrupt from the keyboard."""


class Trouble:
    """What happens, at random, when the codec calls something."""

    def __init__(self, chance: random.Random, share: float) -> None:
        self._chance = chance
        self._share = share
        self.codec: Any = None

    def strike(self) -> None:
        """Nothing, garbage collection, a call back, or an exception."""
        if self._chance.random() >= self._share:
            return
        match self._chance.randrange(5):
            case 0:
                gc.collect(0)
            case 1:
                raise Injected
            case 2:
                raise InjectedExit if self._chance.random() < 0.2 else MemoryError
            case _ if self.codec is not None:
                try:
                    self._chance.choice(CALLS)(self.codec, self._chance)
                except REFUSALS:
                    pass


class TroubledScheduler:
    """A scheduler that makes trouble, and that a codec is in one cycle with."""

    def __init__(self, trouble: Trouble) -> None:
        self._inner = PriorityDispatcher()
        self._trouble = trouble

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        self._trouble.strike()
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._trouble.strike()
            return value(*args, **kwargs)

        return call

    def __del__(self) -> None:
        codec = self._trouble.codec
        if codec is not None:
            codec.data_to_send(10)
            codec.pending()


class Part(bytes):
    """Bytes of a class of their own."""


def _stream(chance: random.Random) -> int:
    return chance.choice((1, 1, 1, 3, 5, 7, 2, 4, 0, 9, 2**31 - 1))


def _body(chance: random.Random) -> Any:
    size = chance.choice((0, 1, 5, 100, 255, 16384, 16385, 70_000))
    kind: Any = chance.choice((bytes, bytes, Part, bytearray, lambda n: memoryview(bytes(n))))
    return kind(size)


def _head(chance: random.Random) -> list[tuple[bytes, bytes]]:
    many = [(b"x-%d" % n, b"v" * chance.randrange(300)) for n in range(chance.choice((0, 3, 80)))]
    return [*HEAD, *many]


CALLS: list[Callable[[Any, random.Random], object]] = [
    lambda c, r: c.send_headers(_stream(r), _head(r), r.random() < 0.2),
    lambda c, r: c.send_headers(_stream(r), [(b":status", b"103")], False),
    lambda c, r: c.send_headers(_stream(r), [(b"a", b"x" * 2_000_000)], False),
    lambda c, r: c.send_data(_stream(r), _body(r), r.random() < 0.3),
    lambda c, r: c.send_data(_stream(r), _body(r), r.random() < 0.3),
    lambda c, r: c.respond(_stream(r), _head(r), _body(r)),
    lambda c, r: c.respond(_stream(r), [(b"a", b"x" * 2_000_000)], b"x"),
    lambda c, r: c.send_trailers(_stream(r), [(b"a", b"b")]),
    lambda c, r: c.push(_stream(r), PROMISE),
    lambda c, r: c.reset(_stream(r), r.randrange(14)),
    lambda c, r: c.forget(_stream(r)),
    lambda c, r: c.credit(_stream(r), r.choice((1, 1000, 2**31 - 1, -5))),
    lambda c, r: c.open_connection_window(r.choice((0, 70_000, 2**24, 2**31 - 1, 2**40))),
    lambda c, r: c.ping(b"12345678"),
    lambda c, r: c.goaway(_stream(r), 0, b"why"),
    lambda c, r: c.data_to_send(r.choice((0, 1, 100, 16384, 131072))),
    lambda c, r: c.data_to_send(131072),
    lambda c, r: c.take_finished(),
    lambda c, r: c.take_progress(),
    lambda c, r: c.windows(_stream(r)),
    lambda c, r: (c.backlog(_stream(r)), c.buffered(_stream(r)), c.pending()),
    lambda c, r: c.partial_data(),
    lambda c, r: (c.push_enabled, c.peer_max_streams, c.highest_stream_id, c.mid_frame, c.quiet()),
    lambda c, r: c.prioritize(_stream(r), r.randrange(9), r.random() < 0.5),
    lambda c, r: c.reprioritize(_stream(r), _stream(r), r.randrange(300), r.random() < 0.5),
    lambda c, r: c.disable_rfc7540(),
    lambda c, r: c.receive_data(b""),
    lambda c, r: c.receive_data(r.randbytes(r.randrange(40))),
]
LAST: list[Callable[[Any, random.Random], object]] = [
    lambda c, r: c.end_input(),
    lambda c, r: c.initiate(),
    lambda c, r: c.initiate_upgrade(r.randbytes(8)),
    lambda c, r: c.__init__(_limits(r), PriorityDispatcher()),
]
# Methods and how many arguments they take.
METHODS = {
    name: len(inspect.signature(getattr(Nghttp2Codec, name)).parameters) - 1
    for name in dir(Nghttp2Codec)
    if not name.startswith("_") and callable(getattr(Nghttp2Codec, name))
}


def _limits(chance: random.Random) -> HTTP2Settings:
    return HTTP2Settings(
        max_concurrent_streams=chance.choice((1, 100)),
        stream_window=chance.choice((0, 1000, 65535, 2**20)),
        connection_window=chance.choice((65535, 2**20)),
        max_frame_size=chance.choice((16384, 20000)),
        max_header_list_size=100 if chance.random() < 0.05 else 65536,
        max_continuation_frames=chance.choice((1, 8)),
    )


def corpus() -> list[bytes]:
    """Wires to begin with."""
    found = [split(path.read_bytes())[0] for path in sorted((CORPUS / "http2").iterdir())]
    return [*http2_wires(), *found]


def exchanges(chance: random.Random) -> Iterator[bytes]:
    """The frames of requests as they should be, with what a client sends between."""
    largest = chance.choice((16384, 70_000, 2**24 - 1))
    yield wire.settings({4: chance.choice((0, 10, 65535, 2**20)), 5: largest})
    for stream_id in range(1, chance.randrange(1, 12) * 2, 2):
        body = chance.random() < 0.5
        yield wire.headers(stream_id, wire.POST if body else wire.GET, end=not body)
        for _ in range(chance.randrange(4) if body else 0):
            yield wire.data(stream_id, chance.randbytes(chance.choice((0, 1, 500, 16384))))
        match chance.randrange(8):
            case 0:
                yield wire.raw(3, 0, stream_id, bytes(4))
            case 1:
                yield wire.window(chance.choice((0, stream_id)), chance.choice((1, 5, 2**20)))
            case 2:
                yield wire.raw(6, 0, 0, b"12345678")
            case 3:
                yield wire.raw(16, 0, 0, stream_id.to_bytes(4, "big") + b"u=%d" % (stream_id % 8))
            case 4:
                yield wire.raw(2, 0, stream_id, bytes(4) + b"\x10")
        if body and chance.random() < 0.7:
            yield wire.data(stream_id, end=True)


def mutated(wires: Sequence[bytes], chance: random.Random) -> bytes:
    """Frames of a conversation, some of them changed or in some other order."""
    if chance.random() < 0.5:
        frames = list(exchanges(chance))
    else:
        frames = [
            f for _ in range(chance.randrange(1, 5)) for f in split_frames(chance.choice(wires))
        ]
    for _ in range(chance.choice((0, 0, 1, 4))):
        at = chance.randrange(len(frames)) if frames else 0
        if not frames:
            break
        frame = bytearray(frames[at])
        match chance.randrange(5):
            case 0:
                del frames[at]
                continue
            case 1:
                frames.insert(chance.randrange(len(frames)), bytes(frame))
                continue
            case 2:
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            case 3:
                frame += chance.randbytes(chance.randrange(20))
                if chance.random() < 0.7:
                    frame[:3] = max(len(frame) - 9, 0).to_bytes(3, "big")
            case 4:
                chance.shuffle(frames)
                continue
        frames[at] = bytes(frame)
    return b"".join(frames)


@contextmanager
def troubled_events(trouble: Trouble) -> Iterator[None]:
    """Event classes that make trouble as they are made."""

    def troubled(make: Any) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            trouble.strike()
            return make(*args)

        return call

    whole = {name: getattr(binding, name) for name in EVENTS}
    for name, make in whole.items():
        setattr(binding, name, troubled(make))
    try:
        yield
    finally:
        for name, make in whole.items():
            setattr(binding, name, make)


def talk(received: bytes, chance: random.Random) -> None:
    """A codec without trouble: no exception but a refusal, and whole frames out."""
    codec = Nghttp2Codec(_limits(chance), PriorityDispatcher())
    if chance.random() < 0.1:
        try:
            codec.initiate_upgrade(b"AAMAAABkAAQAoAAA")
        except ProtocolError:
            return
    else:
        codec.initiate()
    frames = ServerFrames()
    held = []  # events, so that they go in another order than they came
    greeting = b"" if chance.random() < 0.02 else PREFACE + SETTINGS
    received = greeting + (chance.randbytes(60) if chance.random() < 0.1 else received)
    calls = chance.random() < 0.7
    while received:
        size = chance.choice((1, 5, 40, 2000, 100_000))
        held.append(codec.receive_data(received[:size]))
        received = received[size:]
        while codec.has_more:
            held.append(codec.receive_data(b""))
        if calls:
            try:
                chance.choice(CALLS[:-1])(codec, chance)
            except ProtocolError:
                pass
        if chance.random() < 0.3 and held:
            del held[chance.randrange(len(held))]
        output = b"".join(codec.data_to_send(131072))
        if not calls:
            frames.feed(output)
        else:
            assert b"".join(split_frames(output)) == output
    if chance.random() < 0.5:
        codec.end_input()


def torment(received: bytes, chance: random.Random) -> None:
    """A codec among enemies. Any exception may come out; it must not take the process along."""
    trouble = Trouble(chance, chance.choice((0.02, 0.2)))
    scheduler: Any = TroubledScheduler(trouble) if chance.random() < 0.7 else PriorityDispatcher()
    codec: Any = Nghttp2Codec(_limits(chance), scheduler)
    if chance.random() < 0.05:
        codec = Nghttp2Codec.__new__(Nghttp2Codec)
    if chance.random() < 0.6:
        trouble.codec = codec  # a cycle
    received = PREFACE + SETTINGS + received
    with troubled_events(trouble):
        for _ in range(chance.randrange(1, 40)):
            try:
                _one_call(codec, chance)
            except (Exception, InjectedExit):
                pass
            if received and chance.random() < 0.6:
                size = chance.choice((5, 40, 2000))
                piece, received = received[:size], received[size:]
                try:
                    codec.receive_data(piece)
                except (Exception, InjectedExit):
                    pass
    trouble.codec = None if chance.random() < 0.5 else trouble.codec


def _one_call(codec: Any, chance: random.Random) -> None:
    choice = chance.random()
    if choice < 0.75:
        chance.choice(CALLS)(codec, chance)
    elif choice < 0.95:
        name, count = chance.choice(list(METHODS.items()))
        count += chance.random() < 0.05
        getattr(codec, name)(*[chance.choice((*ODD, 1, 1, 3)) for _ in range(count)])
    else:
        chance.choice(LAST)(codec, chance)


def resident() -> float:
    """Memory of this process (MiB)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0: nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m compliance.fuzzing.binding")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=0, help="so many conversations instead")
    parser.add_argument("--seed", type=int, default=0, help="0: another each time")
    options = parser.parse_args(arguments)
    faulthandler.enable()
    sys.unraisablehook = lambda _: None  # what finalisers raise is part of the game
    first = options.seed or random.randrange(1 << 32)
    print(f"binding: {binding.LIBRARY}, --seed {first}", flush=True)
    wires = corpus()
    started = time.monotonic()
    memory = rounds = 0.0
    while rounds < options.rounds or (
        not options.rounds and time.monotonic() < started + options.seconds
    ):
        chance = random.Random(first + int(rounds))
        story = talk if chance.random() < 0.5 else torment
        try:
            story(mutated(wires, chance), chance)
        except BaseException:
            print(f"binding: found with --seed {first + int(rounds)} --rounds 1", flush=True)
            raise
        rounds += 1
        if rounds == 2000:
            gc.collect()
            memory = resident()
    gc.collect()
    left = sum(type(thing) is Nghttp2Codec for thing in gc.get_objects())
    growth = resident() - memory if memory else 0.0
    print(f"binding: {rounds:.0f} conversations, {left} codecs left, {growth:.1f} MiB more")
    return 0 if left == 0 and growth < MOST_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
