"""The WebSocket codecs side by side: the same events from the same bytes, chunk by chunk."""

from __future__ import annotations

from collections.abc import Sequence

from compliance.fuzzing import websocket
from compliance.fuzzing.inputs import chunks, split
from tricorn.codecs import choice
from tricorn.codecs.websocket_base import (
    BytesPiece,
    CloseFrame,
    CodecEvent,
    DeflateParameters,
    ParseFailure,
    TextPiece,
    WebSocketCodec,
)

PAYLOADS = ("", "a", "é" * 70, "x" * 125, "x" * 126, "\U0001f600" * 40, "y" * 70_000)


def _merged(events: list[object], event: CodecEvent) -> None:
    """Append ``event``; pieces of one message that follow each other count as one."""
    if isinstance(event, ParseFailure):
        events.append(("failure", event.code, event.limit))
        return
    if isinstance(event, str | bytes):
        events.append([event, True])
        return
    if not isinstance(event, TextPiece | BytesPiece):
        events.append(event)
        return
    last = events[-1] if events else None
    if isinstance(last, list) and not last[1]:
        assert type(last[0]) is type(event.data), "a message changes its kind"
        last[0] = last[0] + event.data  # type: ignore[operator]  # of one kind, as asserted
        last[1] = event.finished
    elif event.data or event.finished:
        events.append([event.data, event.finished])


def story(
    codec: WebSocketCodec, data: bytes, sizes: Sequence[int], stop: int = -1
) -> list[list[object]]:
    """What each chunk brought, to the end of the connection.

    :param stop: the chunk before which nobody wants compressed messages any more.
    """
    told: list[list[object]] = []
    for number, chunk in enumerate(chunks(data, sizes)):
        events: list[object] = []
        if number == stop:
            codec.stop_inflating()
        ended = False
        for event in codec.receive_data(chunk):
            assert not ended, "something behind the end"
            _merged(events, event)
            ended = isinstance(event, CloseFrame | ParseFailure)
        told.append(events)
        if ended:
            break
    return told


def frames(codec: WebSocketCodec) -> list[bytes]:
    """What the codec makes of messages and control frames."""
    made = [codec.ping(b"p" * 125), codec.pong(b""), codec.close(None, ""), codec.close(1000, "é")]
    for payload in PAYLOADS:
        for compress in (False, True):
            made.append(codec.text(payload, compress))
            made.append(codec.text(payload.encode(), compress))
            made.append(codec.binary(payload.encode(), compress))
    return made


def codecs(
    deflate: DeflateParameters | None, *, limit: int = 150, fragments: int = 3
) -> dict[str, WebSocketCodec]:
    """One of each that is installed, by name."""
    return {
        row.name: choice.websocket(row.name)(
            max_message_size=limit,
            max_frame_size=limit,
            max_fragments=fragments,
            deflate=deflate,
        )
        for row in choice.CODECS["websocket"]
        if row.present
    }


def differ(
    data: bytes,
    sizes: Sequence[int],
    deflate: DeflateParameters | None = None,
    *,
    limit: int = 150,
    fragments: int = 3,
    stop: int = -1,
) -> None:
    """Raises AssertionError where two codecs do not agree on what came."""
    made = codecs(deflate, limit=limit, fragments=fragments)
    stories = [(name, story(codec, data, sizes, stop)) for name, codec in made.items()]
    (first, told), *others = stories
    for name, other in others:
        assert other == told, f"{first}: {told}, {name}: {other}"


def check(data: bytes) -> None:
    """The target: what a connection must keep, and that the codecs agree."""
    websocket.check(data)
    wire, choices = split(data)
    deflate = choices.pick(websocket.DEFLATES)
    sizes = choices.sizes()
    limit, fragments = choices.pick((150, 3, 70_000)), choices.pick((3, 1, 40))
    stop = choices.pick((-1, 0, 1, 3))
    differ(wire, sizes, deflate, limit=limit, fragments=fragments, stop=stop)
