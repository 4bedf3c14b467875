"""The WebSocket slot: what a frame codec gives, takes and promises.

A codec turns bytes into pieces of messages and control frames, and the other way round.
It checks everything RFC 6455 section 5 and RFC 7692 say about frames, and keeps the size
limits it was given, because only it sees a frame header before the payload has come and
only it can stop inflating half way. When to ping, close or answer is decided above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

from tricorn.plain import Plain


class DeflateParameters(Plain):
    """permessage-deflate as agreed in the handshake (RFC 7692 section 7.1).

    The window sizes are base-2 logarithms of bytes: the server's 9 to 15, the client's 8
    to 15 (zlib cannot deflate with a window of 8 but inflates it well).
    """

    __slots__ = (
        "client_max_window_bits", "client_no_context_takeover", "server_max_window_bits",
        "server_no_context_takeover",
    )  # fmt: skip

    def __init__(
        self,
        server_max_window_bits: int = 15,
        client_max_window_bits: int = 15,
        server_no_context_takeover: bool = False,
        client_no_context_takeover: bool = False,
    ) -> None:
        self.server_max_window_bits = server_max_window_bits
        self.client_max_window_bits = client_max_window_bits
        self.server_no_context_takeover = server_no_context_takeover
        self.client_no_context_takeover = client_no_context_takeover


class TextPiece(Plain):
    """Part of a text message, decoded; ``finished`` (bool) on the last part of the message.

    A message that is whole in its first piece is no piece but the ``str`` itself: nearly all
    messages are.
    """

    __slots__ = ("data", "finished")

    def __init__(self, data: str, finished: bool) -> None:
        self.data = data
        self.finished = finished


class BytesPiece(Plain):
    """Part of a binary message, likewise; one that is whole in its first piece is ``bytes``."""

    __slots__ = ("data", "finished")

    def __init__(self, data: bytes, finished: bool) -> None:
        self.data = data
        self.finished = finished


class PingFrame(Plain):
    """A ping with at most 125 bytes of payload."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class PongFrame(Plain):
    """A pong with at most 125 bytes of payload."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class CloseFrame(Plain):
    """A valid close frame; ``code`` is None where the frame was empty. Nothing follows it."""

    __slots__ = ("code", "reason")

    def __init__(self, code: int | None, reason: str) -> None:
        self.code = code
        self.reason = reason


class ParseFailure(Plain):
    """The peer broke a rule; ``code`` is the close code that says so. Nothing follows it.

    ``limit`` is the limit that was passed, by its argument's name in ``WebSocketCodecFactory``;
    None where it was another rule.
    """

    __slots__ = ("code", "limit", "reason")

    def __init__(self, code: int, reason: str, limit: str | None = None) -> None:
        self.code = code
        self.reason = reason
        self.limit = limit


CodecEvent: TypeAlias = (
    str | bytes | TextPiece | BytesPiece | PingFrame | PongFrame | CloseFrame | ParseFailure
)


class WebSocketCodec(Protocol):
    """Server side of the framing layer of one WebSocket."""

    def receive_data(self, data: bytes) -> Iterator[CodecEvent]:
        """Parse ``data`` lazily: an event not asked for is not parsed yet.

        Never raises for what the peer sent; it yields one ``ParseFailure`` and ends. After
        that, or after a ``CloseFrame``, it must not be called again. One iteration at a time:
        the next call goes on where the one before was left.
        """

    def stop_inflating(self) -> None:
        """Compressed messages that begin from here on come empty: nobody wants them."""

    def text(self, payload: str | bytes, compress: bool) -> bytes:
        """One whole text message, given as a str or in UTF-8, as a frame.

        Raises UnicodeEncodeError for a str with surrogates.
        """

    def binary(self, payload: bytes, compress: bool) -> bytes:
        """One whole binary message as a frame. ``compress`` needs an agreed deflate."""

    def ping(self, payload: bytes) -> bytes:
        """A ping frame; at most 125 bytes of payload."""

    def pong(self, payload: bytes) -> bytes:
        """A pong frame; at most 125 bytes of payload."""

    def close(self, code: int | None, reason: str) -> bytes:
        """A close frame, empty where ``code`` is None; ``reason`` at most 123 bytes of UTF-8."""


class WebSocketCodecFactory(Protocol):
    """Makes the codec of one connection; all sizes in bytes.

    ``max_message_size`` counts after inflation, ``max_frame_size`` counts payload as it is
    on the wire, ``max_fragments`` counts the frames of one message.
    """

    def __call__(
        self,
        *,
        max_message_size: int,
        max_frame_size: int,
        max_fragments: int,
        deflate: DeflateParameters | None,
    ) -> WebSocketCodec: ...
