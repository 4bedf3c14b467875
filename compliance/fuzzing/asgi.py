"""The driver and the ASGI layer: any application against any peer, over every protocol."""

from __future__ import annotations

from collections.abc import Callable

from compliance.fuzzing import frames
from compliance.fuzzing.clients import HTTP2Client, check_http1_output
from compliance.fuzzing.inputs import Choices, join, split
from compliance.fuzzing.memory import serve
from compliance.fuzzing.messages import LARGEST, AnyApplication
from compliance.fuzzing.websocket_wire import check_server_frames
from tricorn.codecs.frame_scanner import PREFACE
from tricorn.config import Config

DEFAULTS = Config(include_date_header=False, h2c_upgrade=True)
SMALL = Config(
    include_date_header=False,
    h2c_upgrade=True,
    request_buffer_size=64,
    write_buffer_high=512,
    write_buffer_low=64,
    h2_stream_window_size=1024,
    h2_connection_window_size=65535,
    h2_max_concurrent_streams=2,
    h2_max_pushes=1,
    keep_alive_max_requests=3,
    websocket_max_queue_size=128,
    websocket_max_message_size=300,
    request_id="accept",
    trace_context=True,
    link_preload="auto",
)
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"sec-websocket-protocol: chat\r\n%b\r\n"
)
_DEFLATE = b"sec-websocket-extensions: permessage-deflate\r\n"
H2C = (
    b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
    b"http2-settings: AAMAAABkAAQAAP__\r\n\r\n"
)
# Wire of the client-driven modes; the frames of a WebSocket that pass through a tunnel.
_BEHIND_ALL = (10.0, 400.0, 410.0, 500.0)


class World:
    """One connection, the application behind it, and the peer in front of it."""

    def __init__(self, choices: Choices, config: Config, *, h2: bool = False) -> None:
        self.choices = choices
        self.app = AnyApplication(choices)
        self.loop, self.transport, self.connection = serve(
            self.app, config, alpn="h2" if h2 else None, eager=choices.odd
        )
        self.now = 0.0
        self.seen = 0  # writes that were looked at

    def feed(self, data: bytes) -> None:
        """Bytes from the peer, if anybody reads them."""
        if data and not self.transport.closed:
            self.connection.bytes_received(data)
        self.settle()

    def settle(self) -> None:
        """Let the applications run, and look at what must hold at any time."""
        self.loop.run()
        self.connection.assert_bounded(LARGEST)
        assert not self.transport.faults, self.transport.faults[0]
        assert not self.app.faults, self.app.faults[0]

    def output(self) -> bytes:
        """What was written since the last look."""
        writes = self.transport.writes[self.seen :]
        self.seen += len(writes)
        return b"".join(writes)

    def event(self) -> None:
        """Something other than bytes happens."""
        kind = self.choices.byte()
        match kind % 8:
            case 0 | 1:
                self.now += kind
                self.connection.tick(self.now)
            case 2:
                self.transport.peer_reads = False
            case 3:
                self.transport.peer_reads = True
                self.transport.peer_takes(1 << 30)
            case 4:
                self.transport.peer_takes(kind * 16)
            case 5 | 6:
                self.app.wake()
            case 7:
                self._end(kind)
        self.settle()

    def _end(self, kind: int) -> None:
        if kind < 64:
            self.connection.shutdown()
        elif kind < 128 and not self.transport.closed:
            self.connection.eof_received()
        elif kind < 160:
            self.transport.lose()
        elif kind < 176:
            self.connection.cancel()
        elif kind < 192 and self.connection.idle_since() is not None:
            self.connection.evict()

    def end(self) -> None:
        """The peer leaves; nothing of the connection lives on."""
        self.transport.peer_reads = True
        self.transport.peer_takes(1 << 30)
        self.settle()
        if not self.transport.closed:
            self.connection.eof_received()
        self.settle()
        before = len(self.transport.writes)
        self.transport.lose()
        self.settle()
        for _ in range(64):
            self.app.wake()
            self.settle()
            if not self.loop.tasks:
                break
        for later in _BEHIND_ALL:
            self.connection.tick(self.now + later)
            self.app.wake()
            self.settle()
        assert len(self.transport.writes) == before, "output behind the loss"
        assert not self.loop.tasks, f"tasks left: {self.loop.tasks}"
        self.connection.assert_nothing_left()

    def play(self, wire: bytes) -> None:
        """The wire in pieces, with anything between them, to the end."""
        at = 0
        while self.choices and not self.transport.lost:
            if self.choices.byte() % 2 and at < len(wire) and self.transport.reading:
                size = self.choices.byte() + 1
                self.feed(wire[at : at + size])
                at += size
            else:
                self.event()
        if self.transport.reading:
            self.feed(wire[at:])
        self.end()


def _http1(wire: bytes, choices: Choices, config: Config) -> None:
    world = World(choices, config)
    world.play(wire)
    if type(world.connection.http).__name__ == "HTTP1Connection":
        check_http1_output(world.connection.requests, world.output())


def _websocket(wire: bytes, choices: Choices, config: Config) -> None:
    deflate = choices.byte() % 2
    world = World(choices, config)
    world.feed(WEBSOCKET % (_DEFLATE if deflate else b""))
    world.play(wire)
    head, end, rest = world.output().partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101"):
        assert end
        check_server_frames(rest, b"permessage-deflate" in head)
    else:
        check_http1_output(world.connection.requests, head + end + rest)


def _http2(wire: bytes, choices: Choices, config: Config) -> None:
    world = World(choices, config, h2=bool(choices.byte() % 2))
    world.feed(PREFACE + frames.settings())
    world.play(wire)
    reader = frames.ServerFrames()
    for write in world.transport.writes:
        reader.feed(write)


def _h2c(wire: bytes, choices: Choices, config: Config) -> None:
    world = World(choices, config)
    world.feed(H2C + PREFACE + frames.settings())
    world.play(wire)
    head, end, rest = world.output().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), f"h2c was not granted: {head!r}"
    assert end, "half a head was written"
    frames.ServerFrames().feed(rest)


def _client(wire: bytes, choices: Choices, config: Config) -> None:
    """A client that keeps all rules must be able to read whatever it is answered."""
    world = World(choices, config, h2=True)
    client = HTTP2Client(wire, choices.pick([65535, 0, 5, 200_000]))
    while True:
        world.feed(client.to_send())
        client.read(world.output())
        if client.over or world.transport.lost:
            break
        if choices.byte() % 3 == 0 and choices:
            world.event()
        elif not client.act(choices):
            break
    world.end()
    client.read(world.output())
    client.check_tunnels()


_MODES: tuple[Callable[[bytes, Choices, Config], None], ...] = (
    _http1,
    _client,
    _websocket,
    _http2,
    _h2c,
)
HTTP1, CLIENT, WEBSOCKET_HTTP1, HTTP2, UPGRADE = range(len(_MODES))


def conversation(mode: int, wire: bytes, choices: bytes = b"", *, small: bool = False) -> bytes:
    """The input that plays a wire in one of the modes."""
    return join(wire, bytes([mode, int(small), *choices]))


def check(data: bytes) -> None:
    """The target: no exception but the documented ones, and nothing left behind the end."""
    wire, choices = split(data)
    mode = choices.pick(_MODES)
    mode(wire, choices, choices.pick([DEFAULTS, SMALL]))
