"""An h2 connection set up the way the HTTP/2 slot needs it."""

from __future__ import annotations

from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.exceptions
import h2.frame_buffer
import h2.settings
from h2.settings import SettingCodes
from h2.windows import WindowManager
from hyperframe.frame import Frame

from tricorn.codecs.base import HTTP2Settings
from tricorn.exceptions import RemoteProtocolError

# Far above any limit we announce: the limit itself is kept above the slot, where a
# stream over it is refused alone.
_UNLIMITED_STREAMS = 2**31 - 1
# What a stream may send before its peer knows our SETTINGS (RFC 9113 section 6.9.2).
_USUAL_WINDOW: Final = 65535
# The peer may offer us a compression table of 4 GiB; hpack would fill it and search it
# field by field (RFC 7541 4.2 lets the encoder use less).
_MAX_ENCODER_TABLE: Final = 4096
# Frames of one field section, the HEADERS frame too.
_MOST_COLLECTED: Final = h2.frame_buffer.CONTINUATION_BACKLOG


class _LocalSettings(h2.settings.Settings):
    """Ours, with a stream window that is below the usual once the peer has acknowledged it.

    Until then it may send by the usual one (RFC 9113 section 6.9.3). Its streams of before keep
    that: h2 refuses the end of a stream whose window has become negative.
    """

    def __init__(self, announced: dict[SettingCodes | int, int]) -> None:
        window = announced[SettingCodes.INITIAL_WINDOW_SIZE]
        values = {**announced, SettingCodes.INITIAL_WINDOW_SIZE: max(window, _USUAL_WINDOW)}
        super().__init__(client=False, initial_values=values)  # type: ignore[arg-type]
        if window < _USUAL_WINDOW:
            self[SettingCodes.INITIAL_WINDOW_SIZE] = window

    def acknowledge(self) -> dict[SettingCodes | int, h2.settings.ChangedSetting]:
        """The peer knows them."""
        changes = super().acknowledge()
        changes.pop(SettingCodes.INITIAL_WINDOW_SIZE, None)
        return changes


class _ConnectionWindow(WindowManager):
    """The connection's receive window, which is opened above.

    h2 would do so too for DATA on a stream that is over, and give the same bytes twice.
    """

    def process_bytes(self, size: int) -> int | None:
        """Bytes came that nobody is to have."""
        return None


class _LongHeaders(h2.frame_buffer.FrameBuffer):
    """Takes as many CONTINUATION frames as come, which are counted before h2 sees them.

    h2 has a bound of its own on the frames that it collects: those there are become one.
    """

    def _update_header_buffer(self, f: Frame | None) -> Frame | None:
        collected = self._headers_buffer
        if len(collected) == _MOST_COLLECTED:
            collected[1].data = b"".join(frame.data for frame in collected[1:])
            del collected[2:]
        return super()._update_header_buffer(f)


class _Connection(h2.connection.H2Connection):
    """One that leaves the GOAWAY of its errors to be written above."""

    def _terminate_connection(self, error_code: h2.errors.ErrorCodes) -> None:
        """h2 would name the last stream that came, even if an earlier GOAWAY ruled it out."""


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
    connection = _Connection(
        h2.config.H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            normalize_inbound_headers=False,
        )
    )
    connection.local_settings = _LocalSettings(
        {**announced, SettingCodes.MAX_CONCURRENT_STREAMS: _UNLIMITED_STREAMS}
    )
    connection._inbound_flow_control_window_manager = _ConnectionWindow(_USUAL_WINDOW)
    if settings.max_continuation_frames >= _MOST_COLLECTED:
        connection.incoming_buffer = _LongHeaders(server=True)
    # h2 copied these from its default settings when it was made.
    connection.max_inbound_frame_size = settings.max_frame_size
    connection.decoder.max_header_list_size = settings.max_header_list_size
    return connection


def upgrade(connection: h2.connection.H2Connection, settings: bytes) -> None:
    """Initiate a connection upgraded from HTTP/1.1, with stream 1 open.

    :param settings: what HTTP2-Settings said.
    :raises RemoteProtocolError: if that is malformed.
    """
    try:
        connection.initiate_upgrade_connection(settings + b"=" * (-len(settings) % 4))
    except Exception as exc:
        raise RemoteProtocolError(f"malformed HTTP2-Settings: {exc}") from None
    bound_encoder(connection)


def bound_encoder(connection: h2.connection.H2Connection) -> None:
    """Use no larger compression table than we want, whatever the peer's SETTINGS have allowed."""
    encoder = connection.encoder
    if encoder.header_table_size > _MAX_ENCODER_TABLE:
        encoder.header_table_size = _MAX_ENCODER_TABLE
    sizes = encoder.table_size_changes
    if sizes:
        # RFC 7541 4.2: of several changes the smallest and the last are told. hpack would
        # tell all, some of which the peer has taken back, or none if the last is repeated.
        sizes[:] = [min(sizes), sizes[-1]] if min(sizes) < sizes[-1] else sizes[-1:]
        encoder.header_table.resized = True


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
