"""What a TLS client begins with: its first record, the server name and protocols it asks for.

RFC 8446 sections 4.1.2 and 5.1 (the ClientHello and its records), RFC 6066 section 3
(server_name), RFC 7301 (ALPN). The ssl module tells which protocol was agreed on, and not
whether any was offered, where section 3.2 asks for an alert if none of those offered is
known. Of the server name it tells in a callback, which prints a traceback for one that is
not ASCII.
"""

from __future__ import annotations

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

    __slots__ = ("_data", "_message", "done", "offered", "server_name")

    def __init__(self) -> None:
        self._data = b""  # the beginning of a record
        self._message = bytearray()  # of the records before: each is taken apart once
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
        if self._data:
            data = self._data + data
        try:
            message = self._take(data)
            if message is not None:
                self.done = True
                self._read(message)
        except (IndexError, ValueError):
            self.done = True
        if len(self._message) > _LARGEST:
            self.done = True
        if self.done:
            self._data = b""
            self._message.clear()

    def _take(self, data: bytes) -> bytes | None:
        """Take whole records; the body of the ClientHello, None while it is incomplete."""
        message = self._message
        place = 0
        while len(data) >= place + RECORD_HEADER:
            if data[place] != _HANDSHAKE:
                raise ValueError("no handshake record")
            begin = place + RECORD_HEADER
            end = begin + _uint16(data, place + 3)
            if len(data) < end:
                break
            message += data[begin:end]
            place = end
            if len(message) >= 4:
                if message[0] != _CLIENT_HELLO:
                    raise ValueError("no ClientHello")
                size = 4 + (message[1] << 16) + (message[2] << 8) + message[3]
                if len(message) >= size:
                    return bytes(message[4:size])
        self._data = data[place:]
        return None

    def _read(self, message: bytes) -> None:
        """Find the two extensions; each length is of what follows it."""
        place = 2 + 32  # legacy_version, random
        place += 1 + message[place]  # legacy_session_id
        place += 2 + _uint16(message, place)  # cipher_suites
        place += 1 + message[place]  # legacy_compression_methods
        end = min(place + 2 + _uint16(message, place), len(message))
        place += 2
        while place + 4 <= end:
            kind = _uint16(message, place)
            begin = place + 4
            place = begin + _uint16(message, place + 2)
            if kind == _ALPN:
                self.offered = _names(message[begin:place])
            elif kind == _SERVER_NAME and message[begin + 2] == _HOST_NAME:
                name = begin + 5
                size = _uint16(message, begin + 3)
                self.server_name = message[name : name + size].decode("ascii")


def _uint16(data: bytes, place: int) -> int:
    return data[place] << 8 | data[place + 1]


def _names(data: bytes) -> tuple[bytes, ...]:
    if len(data) != 2 + _uint16(data, 0):
        raise ValueError("the list has another length")
    names = []
    place = 2
    while place < len(data):
        end = place + 1 + data[place]
        names.append(data[place + 1 : end])
        place = end
    return tuple(names)
