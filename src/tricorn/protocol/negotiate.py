"""Which connection class serves these bytes: ALPN, prior knowledge, or an h2c upgrade.

The codecs are those that the configuration names; see `tricorn.codecs.choice`.
"""

from __future__ import annotations

from collections.abc import Callable

from tricorn.codecs import choice
from tricorn.codecs.base import HTTP2Settings
from tricorn.codecs.frame_scanner import PREFACE
from tricorn.config import Config
from tricorn.protocol.http1 import HTTP1Connection
from tricorn.protocol.http2 import HTTP2Connection
from tricorn.protocol.scheduler import PriorityDispatcher
from tricorn.types import Headers


def codecs(config: Config) -> dict[str, choice.Codec]:
    """The codecs in use, by slot; without HTTP/2's where no address speaks it.

    They are imported here, so that neither the first connection nor an import that fails
    surprises a server that serves.

    :raises ConfigError: for one that cannot be had.
    """
    wanted = {"http1": config.http1_codec}
    if config.speaks_http2:
        wanted["http2"] = config.http2_codec
    wanted["websocket"] = config.websocket_codec
    return {slot: choice.choose(slot, name) for slot, name in wanted.items()}


def http1(
    config: Config, defaults: Callable[[], Headers] = list, *, secure: bool = False
) -> HTTP1Connection:
    """A new HTTP/1.1 connection, over TLS where ``secure``.

    :param defaults: gives the fields of its own answers.
    """
    codec = choice.http1(config.http1_codec)()
    return HTTP1Connection(codec, config, defaults, secure=secure)


def http2(
    config: Config, defaults: Callable[[], Headers] = list, *, secure: bool
) -> HTTP2Connection:
    """A new HTTP/2 connection, its server preface not yet queued."""
    settings = HTTP2Settings(
        max_concurrent_streams=config.h2_max_concurrent_streams,
        stream_window=config.h2_stream_window_size,
        connection_window=config.h2_connection_window_size,
        max_frame_size=config.h2_max_inbound_frame_size,
        max_header_list_size=config.h2_max_header_list_size,
        max_continuation_frames=config.h2_max_continuation_frames,
    )
    scheduler = PriorityDispatcher(config.h2_priority_closed_streams)
    codec = choice.http2(config.http2_codec)(settings, scheduler)
    return HTTP2Connection(codec, config, defaults, secure=secure)


def speaks_http2(data: bytes) -> bool | None:
    """Whether first bytes are the HTTP/2 preface (RFC 9113 section 3.4); None if too few."""
    if data.startswith(PREFACE):
        return True
    return None if PREFACE.startswith(data) else False
