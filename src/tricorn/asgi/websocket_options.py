"""What the configuration says of WebSockets, as the protocol layer takes it."""

from __future__ import annotations

from typing import Final

from tricorn.config import Config
from tricorn.protocol.websocket import CompressionOptions, WebSocketLimits

_NEVER: Final = float("inf")


def limits(config: Config) -> WebSocketLimits:
    """The WebSocket limits of a configuration."""
    close = config.websocket_close_timeout
    return WebSocketLimits(
        max_message_size=config.websocket_max_message_size,
        max_frame_size=config.websocket_max_frame_size,
        max_fragments=config.websocket_max_fragments,
        ping_interval=config.websocket_ping_interval,
        ping_timeout=config.websocket_ping_timeout,
        close_timeout=_NEVER if close is None else close,
    )


def compression(config: Config) -> CompressionOptions | None:
    """The permessage-deflate options of a configuration, None where it is off."""
    if not config.websocket_compression:
        return None
    return CompressionOptions(
        server_max_window_bits=config.websocket_server_max_window_bits,
        client_max_window_bits=config.websocket_client_max_window_bits,
        server_context_takeover=config.websocket_server_context_takeover,
        client_context_takeover=config.websocket_client_context_takeover,
        min_size=config.websocket_compression_min_size,
    )
