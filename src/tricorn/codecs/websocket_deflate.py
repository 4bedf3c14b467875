"""permessage-deflate (RFC 7692) on zlib: exact bounds inwards, both kinds of context.

Shared by the codecs of the WebSocket slot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tricorn.codecs.websocket_base import DeflateParameters, ParseFailure

if TYPE_CHECKING:
    import zlib

INVALID_PAYLOAD: Final = 1007
TOO_BIG: Final = 1009

#: One piece may inflate to 1032 times its size before it is handed on; pieces of 4 KiB keep
#: what one step holds near 4 MiB however large the message may be.
COMPRESSED_SLICE: Final = 4096

# A sender cuts these four bytes off each message (RFC 7692 section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"

# zlib's memory is (1 << (bits + 2)) + (1 << (memLevel + 9)) bytes per connection: with 5
# the second part is 16 KiB instead of 128 KiB and messages of usual size lose almost nothing.
_MEMORY_LEVEL: Final = 5


def _zlib() -> Any:
    """Not above: the library takes a tenth of a megabyte, and many workers never deflate."""
    import zlib

    return zlib


class Inflater:
    """The inflating half; a result of type ``ParseFailure`` ends the connection."""

    __slots__ = (
        "_begun", "_context_takeover", "_inflater", "_max_message_size", "_size", "_stopped",
        "_wbits", "_zlib",
    )  # fmt: skip

    def __init__(self, deflate: DeflateParameters, max_message_size: int) -> None:
        # A window larger than the sender's inflates the same; zlib treats 8 as 9 when
        # deflating, so a client that agreed to 8 may really use 9.
        self._wbits = -max(deflate.client_max_window_bits, 9)
        self._context_takeover = not deflate.client_no_context_takeover
        self._max_message_size = max_message_size
        self._zlib = _zlib()
        self._inflater: zlib._Decompress | None = None
        self._size = 0
        self._begun = False  # a message
        self._stopped = False

    def stop(self) -> None:
        """Take every message that begins from here on for an empty one."""
        self._stopped = True

    def inflate(self, data: bytes) -> bytes | ParseFailure:
        """Inflate ``data``; refuses the message as soon as it is one byte over its limit."""
        if self._stopped and not self._begun:
            return b""
        self._begun = self._begun or bool(data)
        output = b""
        while data:
            inflater = self._inflater
            if inflater is None:
                inflater = self._inflater = self._zlib.decompressobj(self._wbits)
            try:
                piece = inflater.decompress(data, self._max_message_size - self._size + 1)
            except self._zlib.error:
                return ParseFailure(INVALID_PAYLOAD, "invalid deflate data")
            self._size += len(piece)
            if self._size > self._max_message_size:
                return ParseFailure(TOO_BIG, "message too big", "max_message_size")
            output = output + piece if output else piece
            if not inflater.eof:
                break
            # A block with BFINAL set ends zlib's stream but not the message (RFC 7692
            # section 7.2.3.4): what follows is a new stream.
            self._inflater = None
            data = inflater.unused_data
        return output

    def finish(self) -> bytes | ParseFailure:
        """The rest of the message, all of which has come."""
        if self._stopped and not self._begun:
            return b""
        # No inflater here means the message ended with a BFINAL block: no cut-off tail.
        rest = b"" if self._inflater is None else self.inflate(_TAIL)
        if not self._context_takeover:
            self._inflater = None
        self._size = 0
        self._begun = False
        return rest


class Deflater:
    """The deflating half."""

    __slots__ = ("_bits", "_context_takeover", "_deflater", "_zlib")

    def __init__(self, deflate: DeflateParameters) -> None:
        self._bits = deflate.server_max_window_bits
        self._context_takeover = not deflate.server_no_context_takeover
        self._zlib = _zlib()
        self._deflater: zlib._Compress | None = None

    def deflate(self, payload: bytes) -> bytes:
        """One whole message, which must not be empty.

        Deflating nothing twice running makes zlib give nothing, which does not inflate.
        """
        zlib, deflater = self._zlib, self._deflater
        if deflater is None:
            deflater = zlib.compressobj(
                zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self._bits, _MEMORY_LEVEL
            )
            if self._context_takeover:
                self._deflater = deflater
        deflated = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return deflated[: -len(_TAIL)]
