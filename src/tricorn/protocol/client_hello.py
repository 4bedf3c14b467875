"""The application protocols a TLS client offers, read from its first bytes.

RFC 8446 sections 4.1.2 and 5.1 (the ClientHello and its records), RFC 7301 (ALPN). The ssl
module tells which protocol was agreed on, and not whether any was offered; RFC 7301 section
3.2 asks for an alert where none of those offered is known.
"""

from __future__ import annotations

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_ALPN = 16
# A ClientHello is a few hundred bytes, or two thousand with post-quantum keys.
_LARGEST = 65536


class ClientHello:
    """Takes the bytes of a connection until the ClientHello is complete."""

    __slots__ = ("_data", "done", "offered")

    def __init__(self) -> None:
        self._data = bytearray()
        self.done = False
        """Whether no more bytes are wanted."""
        self.offered: tuple[bytes, ...] | None = None
        """Names of the protocols offered; None where there is no list, or not yet."""

    def feed(self, data: bytes) -> None:
        """Take bytes. What is malformed ends the reading: the TLS library tells the peer."""
        if self.done:
            return
        self._data += data
        try:
            message = _message(self._data)
            if message is not None:
                self.done = True
                self.offered = _offered(message)
        except (IndexError, ValueError):
            self.done = True
        if len(self._data) > _LARGEST:
            self.done = True
        if self.done:
            self._data.clear()


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


def _offered(message: bytes) -> tuple[bytes, ...] | None:
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
        if kind == _ALPN:
            return _names(message[place : place + size])
        place += size
    return None


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
