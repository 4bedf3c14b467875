"""WebSocket: giant, endless, compressed and silent messages, over both versions of HTTP."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, for_ever

_TEXT, _BINARY, _CLOSE, _PING = 0x81, 0x82, 0x88, 0x89
_FIRST, _MIDDLE = 0x02, 0x00
_PIECE = 65536
_MESSAGE = ("websocket_max_message_size", "websocket_max_frame_size")


def _flood(
    stage: Stage,
    block: bytes,
    opening: bytes = b"",
    *,
    path: bytes = b"/ws",
    reads: bool = True,
    width: int = 2,
) -> None:
    script = for_ever(block, f.upgrade(path) + opening)
    Play(stage, script, f.WebSocketReader, width=width, reads=reads).run()


@attack(
    "ws-giant-frame",
    "WebSocket",
    "a frame of 1 TiB",
    bounds=("websocket_max_frame_size",),
    source="CVE-2020-27813, CVE-2026-44545",
    answer="close 1009",
    calls=1,
    subset=True,
)
def giant_frame(stage: Stage) -> None:
    """Announced, and sent as far as it goes."""
    _flood(stage, bytes(_PIECE), f.websocket_frame(_BINARY, b"", 2**40))


@attack(
    "ws-giant-message",
    "WebSocket",
    "a message of 1 MiB frames without end",
    bounds=_MESSAGE,
    source="CVE-2026-44545",
    answer="close 1009",
    calls=1,
)
def giant_message(stage: Stage) -> None:
    """No frame ever has FIN."""
    piece = f.websocket_frame(_MIDDLE, bytes(2**20))
    _flood(stage, piece, f.websocket_frame(_FIRST), width=1)


@attack(
    "ws-fragment-flood",
    "WebSocket",
    "a message of empty and of one-byte fragments without end",
    bounds=("websocket_max_fragments",),
    source="CVE-2026-48779",
    answer=r"close 100[89]",
    calls=1,
    options={"websocket_max_fragments": 10_000},
)
def fragment_flood(stage: Stage) -> None:
    """Frames that add next to nothing."""
    block = (f.websocket_frame(_MIDDLE) + f.websocket_frame(_MIDDLE, b"x")) * 2000
    _flood(stage, block, f.websocket_frame(_FIRST))


def _bomb(size: int) -> bytes:
    """``size`` bytes of zeros, compressed; a part of 1 MiB stands by itself and is repeated."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    part = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return part * (size >> 20) + b"\0"


@attack(
    "ws-deflate-bomb",
    "WebSocket",
    "512 KiB that inflate to 512 MiB, in one message, connection after connection",
    bounds=("websocket_max_message_size",),
    source="RFC 7692 section 8",
    answer="close 1009",
    every=False,
    calls=1,
    subset=True,
)
def deflate_bomb(stage: Stage) -> None:
    """Zeros, compressed a thousandfold."""
    bomb = f.websocket_frame(_BINARY | 0x40, _bomb(512 * 2**20))

    def script(number: int) -> Iterator[bytes | float]:
        yield f.upgrade(b"/ws", f.DEFLATE)
        yield bomb

    Play(stage, script, f.WebSocketReader, width=1, most=100).run()


@attack(
    "ws-deflate-flood",
    "WebSocket",
    "compressed messages that stay below the limit, one after the other, to an application that "
    "does not read",
    bounds=("websocket_max_queue_size", "websocket_max_message_size"),
    source="RFC 7692 section 8",
    calls=1,
    options={"disconnect_grace": 1},
)
def deflate_flood(stage: Stage) -> None:
    """15 MiB each once inflated."""
    message = f.websocket_frame(_BINARY | 0x40, _bomb(15 * 2**20))

    def script(number: int) -> Iterator[bytes | float]:
        yield f.upgrade(b"/ws-deaf", f.DEFLATE)
        while True:
            yield message

    Play(stage, script, f.WebSocketReader, width=1, respawn=False).run()


@attack(
    "ws-ping-flood",
    "WebSocket",
    "pings without end, the pongs read",
    bounds=("(16 pongs wait)",),
    source="RFC 6455 section 5.5.2",
    calls=1,
)
def ping_flood(stage: Stage) -> None:
    """Only the latest need an answer."""
    _flood(stage, f.websocket_frame(_PING, b"x" * 125) * 500)


@attack(
    "ws-ping-unread",
    "WebSocket",
    "pings without end, the pongs left unread",
    bounds=("(16 pongs wait)", "write_timeout"),
    source="RFC 6455 section 5.5.2",
    calls=1,
)
def ping_unread(stage: Stage) -> None:
    """Pongs must not pile up."""
    _flood(stage, f.websocket_frame(_PING, b"x" * 125) * 500, reads=False)


@attack(
    "ws-reserved",
    "WebSocket",
    "reserved bits and opcodes, unmasked frames, long and fragmented control frames, text that "
    "is no UTF-8",
    bounds=("(RFC 6455 section 5.2)",),
    source="RFC 6455 section 5.2",
    answer=r"close 100[27]",
    every=True,
    calls=1,
)
def reserved(stage: Stage) -> None:
    """Each form on a connection of its own."""
    forms = [f.websocket_frame(_TEXT | bit, b"x") for bit in (0x10, 0x20, 0x40)]
    forms += [f.websocket_frame(0x80 | opcode, b"x") for opcode in (3, 7, 11, 15)]
    forms += [
        b"\x81\x01x",
        f.websocket_frame(_PING, b"x" * 126),
        f.websocket_frame(0x09, b"x"),
        f.websocket_frame(_TEXT, b"\xff\xfe"),
        f.websocket_frame(_MIDDLE, b"x"),
        f.websocket_frame(_CLOSE, b"\x03"),
        f.websocket_frame(_CLOSE, b"\x03\xed"),
        f.websocket_frame(_BINARY, b"", 2**63),
    ]

    def script(number: int) -> Iterator[bytes | float]:
        yield f.upgrade(b"/ws") + forms[number % len(forms)]

    Play(stage, script, f.WebSocketReader, width=4, most=20 * len(forms)).run()


@attack(
    "ws-slow-close",
    "WebSocket",
    "100 peers that never answer the close frame",
    bounds=("websocket_close_timeout",),
    source="RFC 6455 section 7.1.1",
    answer="closed",
    every=True,
    calls=1,
    options={"websocket_close_timeout": 1, "close_timeout": 1},
    seconds=3.5,
)
def slow_close(stage: Stage) -> None:
    """The application closes, and nothing comes back."""

    def script(number: int) -> Iterator[bytes | float]:
        yield f.upgrade(b"/ws-close")

    Play(stage, script, f.WebSocketReader, width=100, respawn=False).run()


@attack(
    "ws-silent",
    "WebSocket",
    "100 peers that never answer a ping",
    bounds=("websocket_ping_interval", "websocket_ping_timeout"),
    source="RFC 6455 section 5.5.2",
    answer=r"close 1011|closed",
    every=True,
    calls=1,
    options={
        "websocket_ping_interval": 0.7,
        "websocket_ping_timeout": 0.7,
        "websocket_close_timeout": 0.7,
        "close_timeout": 0.7,
    },
    seconds=4.0,
)
def silent(stage: Stage) -> None:
    """Open connections behind which nobody is any more."""

    def script(number: int) -> Iterator[bytes | float]:
        yield f.upgrade(b"/ws")

    Play(stage, script, f.WebSocketReader, width=100, respawn=False).run()


@attack(
    "ws-never-reading",
    "WebSocket",
    "50 peers that do not read while the application sends for ever",
    bounds=("write_timeout", "write_buffer_high"),
    source="RFC 6455 section 10.4",
    calls=1,
    options={"write_timeout": 1},
    seconds=3.0,
    subset=True,
)
def never_reading(stage: Stage) -> None:
    """The socket is full and stays so."""

    def script(number: int) -> Iterator[bytes | float]:
        yield f.upgrade(b"/ws-talk")

    Play(stage, script, f.WebSocketReader, width=50, respawn=False, reads=False).run()


@attack(
    "ws-messages-unread",
    "WebSocket",
    "messages without end to an application that does not read",
    bounds=("websocket_max_queue_size",),
    source="RFC 6455 section 10.4",
    calls=1,
    options={"disconnect_grace": 1},
)
def messages_unread(stage: Stage) -> None:
    """What is not read stays in the socket."""
    message = f.websocket_frame(_BINARY, bytes(1000)) * 64
    script = for_ever(message, f.upgrade(b"/ws-deaf"))
    Play(stage, script, f.WebSocketReader, width=20, respawn=False).run()


_CONNECT = f.headers(1, f.websocket_request(b"/ws"), end=False)


@attack(
    "ws-over-h2-giant",
    "WebSocket",
    "a frame of 1 TiB, and a message without end, in an HTTP/2 stream",
    bounds=_MESSAGE,
    source="RFC 8441",
    answer="close 1009",
    calls=1,
)
def over_http2(stage: Stage) -> None:
    """The same limits on the other carrier; the attacker keeps to no window."""
    giant = f.websocket_frame(_BINARY, b"", 2**40)

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING + _CONNECT
        yield 0.1  # for the handshake
        yield f.frame(f.DATA, 0, 1, giant)
        yield from [f.frame(f.DATA, 0, 1, bytes(16384))] * 12

    Play(stage, script, f.TunnelReader, width=2).run()


@attack(
    "ws-over-h2-deflate-end",
    "WebSocket",
    "240 KiB that inflate to 240 MiB, in messages below the limit, and behind them the end of the "
    "stream, to an application that does not read",
    bounds=("websocket_max_queue_size", "websocket_max_message_size"),
    source="RFC 7692 section 8",
    calls=1,
    options={"disconnect_grace": 1},
)
def deflate_end(stage: Stage) -> None:
    """What waits for room still has to wait for it when nothing comes behind it."""
    fields = f.literal(b"sec-websocket-extensions", b"permessage-deflate")
    message = f.websocket_frame(_BINARY | 0x40, _bomb(15 * 2**20))
    wire = message * 16

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING + f.headers(1, f.websocket_request(b"/ws-deaf", fields), end=False)
        yield 0.1  # for the handshake
        for start in range(0, len(wire), 16384):
            yield f.frame(f.DATA, 0, 1, wire[start : start + 16384])
        yield f.frame(f.DATA, f.END_STREAM, 1)

    Play(stage, script, f.TunnelReader, width=1, respawn=False).run()
