"""The bounds that an HTTP/2 connection looks at again and again."""

from __future__ import annotations

from typing import Final

from tricorn.config import Config

# One write (bytes). From 128 KiB on malloc would map its memory anew each time.
WRITE_SIZE: Final = 65536
# What a queued control frame weighs at most: a PING acknowledgement (bytes).
_CONTROL_FRAME: Final = 17
# And what the head of a response does, but for a few (bytes).
_HEAD: Final = 1024


class Limits:
    """Of the configuration's options those that count with every request or its body."""

    __slots__ = (
        "fields", "last_request", "pending", "pushes", "responses", "stream_window", "streams",
        "target", "window",
    )  # fmt: skip

    def __init__(self, config: Config) -> None:
        self.streams: int = config.h2_max_concurrent_streams
        self.fields: int = config.max_header_count
        self.target: int = config.max_request_target_size  # bytes
        self.stream_window: int = config.h2_stream_window_size  # bytes
        self.window: int = config.h2_connection_window_size  # bytes
        self.last_request: int = config.keep_alive_max_requests or 0  # 0: there is none
        self.pushes: bool = config.h2_server_push
        # What may wait for a peer that does not read (bytes): answers to its control frames, and
        # of responses what is framed at once. Other content waits as what its stream buffers.
        self.pending: int = config.h2_max_output_control * _CONTROL_FRAME
        self.responses: int = WRITE_SIZE + self.streams * _HEAD
