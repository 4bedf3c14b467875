"""What a TLS client begins with: its first record, the server name and protocols it asks for.

RFC 8446 sections 4.1.2 and 5.1 (the ClientHello and its records), RFC 6066 section 3
(server_name), RFC 7301 (ALPN). The ssl module tells which protocol was agreed on, and not
whether any was offered, where section 3.2 asks for an alert if none of those offered is
known. Of the server name it tells in a callback, which prints a traceback for one that is
not ASCII.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_HOST_NAME: Final = 0
# A ClientHello is a few hundred bytes, or two thousand with post-quantum keys.
_LARGEST: Final = 65536
# A record: type, version and length, then at most so much (RFC 8446 section 5.1).
RECORD_HEADER: Final = 5
_LARGEST_RECORD: Final = RECORD_HEADER + 16384


def wanted(data: bytes | bytearray) -> int:
    """Bytes that must have come in all before there is something to do; 0 if they have.

    Until all of the first record is there a peer costs its socket and no TLS session.

    :param data: what has come so far.
    """
    if not data:
        return 1
    if data[0] != _HANDSHAKE:
        return 0
    if len(data) < RECORD_HEADER:
        return RECORD_HEADER
    size = RECORD_HEADER + (data[3] << 8) + data[4]
    return 0 if size > _LARGEST_RECORD or len(data) >= size else size  # more is no record


def is_cleartext_http(data: bytes | bytearray) -> bool:
    """Whether first bytes are HTTP without TLS: the upper-case letters of a method."""
    return bool(data) and 0x41 <= data[0] <= 0x5A


class ClientHello:
    """Takes the bytes of a connection until the ClientHello is complete."""

    __slots__ = ("_data", "done", "offered", "server_name")

    def __init__(self) -> None:
        self._data = bytearray()
        self.done = False
        """Whether no more bytes are wanted."""
        self.offered: tuple[bytes, ...] | None = None
        """Names of the protocols offered; None where there is no list, or not yet."""
        self.server_name: str | None = None
        """The server's name, ASCII; None where there is none, or not yet."""

    def feed(self, data: bytes) -> None:
        """Take bytes. What is malformed ends the reading: the TLS library tells the peer."""
        if self.done:
            return
        self._data += data
        try:
            message = _message(self._data)
            if message is not None:
                self.done = True
                self._read(message)
        except (IndexError, ValueError):
            self.done = True
        if len(self._data) > _LARGEST:
            self.done = True
        if self.done:
            self._data.clear()

    def _read(self, message: bytes) -> None:
        for kind, content in _extensions(message):
            if kind == _ALPN:
                self.offered = _names(content)
            elif kind == _SERVER_NAME and content[2] == _HOST_NAME:
                size = int.from_bytes(content[3:5], "big")
                self.server_name = content[5 : 5 + size].decode("ascii")


def _message(data: bytearray) -> bytes | None:
    """The body of the ClientHello out of its records; None while it is incomplete."""
    message = bytearray()
    place = 0
    while len(data) >= place + 5:
        if data[place] != _HANDSHAKE:
            raise ValueError("no handshake record")
        end = place + 5 + int.from_bytes(data[place + 3 : place + 5], "big")
        message += data[place + 5 : end]
        place = end
        if len(message) >= 4:
            if message[0] != _CLIENT_HELLO:
                raise ValueError("no ClientHello")
            size = 4 + int.from_bytes(message[1:4], "big")
            if len(message) >= size:
                return bytes(message[4:size])
    return None


def _extensions(message: bytes) -> Iterator[tuple[int, bytes]]:
    place = 2 + 32  # legacy_version, random
    place += 1 + message[place]  # legacy_session_id
    place += 2 + int.from_bytes(message[place : place + 2], "big")  # cipher_suites
    place += 1 + message[place]  # legacy_compression_methods
    end = place + 2 + int.from_bytes(message[place : place + 2], "big")
    place += 2
    while place + 4 <= min(end, len(message)):
        kind = int.from_bytes(message[place : place + 2], "big")
        size = int.from_bytes(message[place + 2 : place + 4], "big")
        place += 4
        yield kind, message[place : place + size]
        place += size


def _names(data: bytes) -> tuple[bytes, ...]:
    if len(data) != 2 + int.from_bytes(data[:2], "big"):
        raise ValueError("the list has another length")
    names = []
    place = 2
    while place < len(data):
        size = data[place]
        names.append(data[place + 1 : place + 1 + size])
        place += 1 + size
    return tuple(names)
