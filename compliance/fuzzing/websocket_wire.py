"""Reads what a WebSocket server sends with the client half of wsproto.

wsproto is below our own codec too, but neither its handshake nor ours, nor our bounds and our
frame order, are in its client half.
"""

from __future__ import annotations

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import RemoteProtocolError


def check_server_frames(output: bytes, compressed: bool = False) -> list[object]:
    """The events a client sees.

    :raises AssertionError: where it could not read them, or bytes follow the close frame.
    """
    extensions: list[Extension] = []
    if compressed:
        extension = PerMessageDeflate()
        extension.finalize("permessage-deflate")
        extensions.append(extension)
    client = Connection(ConnectionType.CLIENT, extensions)
    try:
        client.receive_data(output)
        events: list[object] = list(client.events())
    except RemoteProtocolError as error:
        raise AssertionError(f"a client cannot read this: {error}") from error
    closes = [n for n, event in enumerate(events) if isinstance(event, CloseConnection)]
    assert not closes or closes == [len(events) - 1], "frames behind the close frame"
    return events
