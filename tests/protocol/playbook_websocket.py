"""WebSockets on the codec under test."""

from contextvars import ContextVar

from tricorn.codecs import choice
from tricorn.protocol.websocket import WebSocketConnection

#: The WebSocket codec that `websocket` takes; set by the fixture ``websocket_codec``.
websocket_codec_under_test = ContextVar("websocket_codec_under_test", default="auto")


def codec_factory():
    """What makes the codec under test."""
    return choice.websocket(websocket_codec_under_test.get())


def websocket(*args, **options):
    """An open WebSocket; the arguments are those of ``WebSocketConnection``."""
    return WebSocketConnection(*args, codec_factory=codec_factory(), **options)
