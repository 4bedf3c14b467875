"""WebSocket without I/O: what a connection makes of frames, with compression and without."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from compliance.fuzzing.inputs import WHOLE, Choices, chunks, split
from compliance.fuzzing.websocket_wire import check_server_frames
from tricorn.codecs.websocket_base import DeflateParameters
from tricorn.codecs.websocket_deflate import INVALID_PAYLOAD, TOO_BIG
from tricorn.exceptions import LocalProtocolError
from tricorn.protocol.websocket import (
    ConnectionFailed,
    WebSocketConnection,
    WebSocketEvent,
    WebSocketLimits,
    WebSocketState,
)

LIMITS = WebSocketLimits(max_message_size=150, max_frame_size=150, max_fragments=3)
_CONTENT = {INVALID_PAYLOAD: "content", TOO_BIG: "content"}
DEFLATES = (
    None,
    DeflateParameters(15, 15, False, True),
    DeflateParameters(15, 15, True, True),
    DeflateParameters(9, 9, False, False),
)


def frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    rsv1: bool = False,
    mask: bytes = b"\1\2\3\4",
) -> bytes:
    """A client's frame."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    if len(payload) < 126:
        return bytes([first, 0x80 | len(payload)]) + mask + masked
    return struct.pack("!BBH", first, 0xFE, len(payload)) + mask + masked


def deflated(content: bytes) -> bytes:
    """The payload of a compressed message (RFC 7692 section 7.2.1)."""
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(content) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def story(
    data: bytes, sizes: Sequence[int], deflate: DeflateParameters | None = None
) -> tuple[list[object], bytes | None]:
    """The events of these bytes and what was answered, as far as the cut must not matter."""
    connection = WebSocketConnection(LIMITS, deflate)
    events: list[WebSocketEvent] = []
    output = b""
    for piece in chunks(data, sizes):
        closed = connection.closed
        events += connection.receive_data(piece)
        sent = connection.data_to_send()
        assert not (closed and sent), "output on a closed WebSocket"
        output += sent
    events += connection.receive_eof()
    output += connection.data_to_send()
    for now in range(0, 200, 10):
        connection.handle_timeout(now)
    assert connection.state is WebSocketState.CLOSED, "left open behind the end of the peer"
    check_server_frames(output, deflate is not None)
    for event in events:
        _check_size(event)
    # Of two faults in one message, which is found first depends on the cut, such as one that is too
    # big and no UTF-8: nothing is told of the close frame that carries the reason, and of the code
    # only whether it is one for content.
    failed = any(type(event) is ConnectionFailed for event in events)
    told: list[object] = [
        (type(event), _CONTENT.get(event.code, event.code))
        if type(event) is ConnectionFailed
        else repr(event)
        for event in events
    ]
    return told, None if failed else output


def _check_size(event: WebSocketEvent) -> None:
    size = 0
    if isinstance(event, str):
        size = len(event.encode())
    elif isinstance(event, bytes):
        size = len(event)
    assert size <= LIMITS.max_message_size, f"a message of {size} bytes came through"


def call_in_any_order(data: bytes, choices: Choices, deflate: DeflateParameters | None) -> None:
    """Whatever is sent between the peer's bytes raises LocalProtocolError at most."""
    connection = WebSocketConnection(LIMITS, deflate, min_size=8)
    output = b""
    now = 0
    while choices:
        size = choices.byte() % 64
        piece, data = data[:size], data[size:]
        connection.receive_data(piece)
        try:
            match choices.byte() % 8:
                case 0:
                    connection.send_text("hello" * (size % 5))
                case 1:
                    connection.send_bytes(bytes(size))
                case 2:
                    connection.send_close(1000 + size, "reason")
                case 3:
                    connection.settle()
                case 4:
                    connection.fail(1000 + size)
                case 5:
                    connection.handle_timeout(now, reading=bool(size % 2))
                case 6:
                    connection.send_text("\ud800")
                case 7:
                    connection.receive_eof()
        except LocalProtocolError:
            pass
        output += connection.data_to_send()
        now += size
    check_server_frames(output, deflate is not None)


def check(data: bytes) -> None:
    """The target: the same in any cut, whole frames out, and no exception from any call."""
    wire, choices = split(data)
    deflate = choices.pick(DEFLATES)
    if choices.byte() % 4 == 3:
        call_in_any_order(wire, choices, deflate)
        return
    sizes = choices.sizes()
    whole = story(wire, WHOLE, deflate)
    cut = story(wire, sizes if sizes != WHOLE else (3,), deflate)
    assert cut == whole, f"{cut} in pieces, {whole} whole"
