"""An h2 connection set up the way the HTTP/2 slot needs it."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes

from tricorn.codecs.base import HTTP2Settings

# Far above any limit we announce: the limit itself is kept above the slot, where a
# stream over it is refused alone.
_UNLIMITED_STREAMS = 2**31 - 1


def announced(settings: HTTP2Settings) -> dict[SettingCodes | int, int]:
    """What our SETTINGS frame says."""
    return {
        SettingCodes.MAX_CONCURRENT_STREAMS: settings.max_concurrent_streams,
        SettingCodes.INITIAL_WINDOW_SIZE: settings.stream_window,
        SettingCodes.MAX_FRAME_SIZE: settings.max_frame_size,
        SettingCodes.MAX_HEADER_LIST_SIZE: settings.max_header_list_size,
        SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
    }


def new_connection(
    settings: HTTP2Settings, announced: dict[SettingCodes | int, int]
) -> h2.connection.H2Connection:
    """The server side of a connection that checks no fields and no stream limit."""
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    connection.local_settings = h2.settings.Settings(
        client=False,
        initial_values={
            **announced,  # type: ignore[dict-item]  # h2 names only its own codes
            SettingCodes.MAX_CONCURRENT_STREAMS: _UNLIMITED_STREAMS,
        },
    )
    # h2 copied these from its default settings when it was made.
    connection.max_inbound_frame_size = settings.max_frame_size
    connection.decoder.max_header_list_size = settings.max_header_list_size
    return connection


def limit_of(
    connection: h2.connection.H2Connection, error: h2.exceptions.ProtocolError
) -> str | None:
    """The option whose bound h2 found passed."""
    if isinstance(error, h2.exceptions.DenialOfServiceError):
        return "h2_max_header_list_size"
    if isinstance(error, h2.exceptions.FlowControlError):
        # h2 takes the bytes off the connection's window first.
        whole = connection.inbound_flow_control_window < 0
        return "h2_connection_window_size" if whole else "h2_stream_window_size"
    return None
