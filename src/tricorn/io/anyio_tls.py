"""TLS for trio, and for any other loop, over anyio's stream of a socket.

``asyncio_tls`` has the same for what asyncio and uvloop push.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import anyio
import anyio.abc

from tricorn.io.tls import TOGETHER, TLSContext

# Bytes of one read from the socket in the handshake.
_HANDSHAKE_READ: Final = 16384


class SecureStream(anyio.abc.ByteStream):
    """One connection that speaks TLS.

    One task may receive while another sends.

    :param plain: the connection below; nothing has been read from it yet.
    """

    def __init__(self, plain: anyio.abc.SocketStream, tls: TLSContext) -> None:
        self.object = tls.connection()
        self._plain = plain
        self._incoming = tls.incoming
        self._outgoing = tls.outgoing
        self._rest = b""  # of what has come, not decrypted yet
        self._more = False  # something is left to be decrypted
        self._ended = False  # by the peer's close_notify
        self._error: ssl.SSLError | None = None
        self._broken = False  # a record was lost
        self._sending = anyio.Lock(fast_acquire=True)

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the connection."""
        return self._plain.extra_attributes

    async def do_handshake(self) -> None:
        """The handshake.

        :raises ssl.SSLError: if both sides do not agree; the peer has been told.
        :raises EndOfStream, BrokenResourceError: if the peer goes before.
        """
        gone: Exception | None = None
        while True:
            self._put_rest()
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                if gone is not None:
                    raise gone from None
            except ssl.SSLError:
                self._clear()
                raise
            else:
                break
            await self._say(self._clear())
            try:
                await self._hear(_HANDSHAKE_READ)
            except (anyio.EndOfStream, anyio.BrokenResourceError) as exc:
                gone = exc  # if nothing was wrong before
        await self._say(self._clear())
        self._more = bool(self._rest)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """What comes, of as many records as are there.

        :raises EndOfStream: behind the peer's close_notify, or at the end of what it sends.
        :raises ssl.SSLError: behind what is no TLS; the peer has been told.
        :raises BrokenResourceError: if the connection is lost.
        """
        while True:
            if self._more:
                data = self._decrypted(max_bytes)
                await self._say(self._clear())
                if data:
                    return data
            if self._ended:
                raise anyio.EndOfStream
            if self._error is not None:
                raise self._error
            # Records are larger than what is in them.
            await self._hear(max_bytes + (max_bytes >> 4))

    async def send(self, item: bytes) -> None:
        """Encrypt and send.

        :raises BrokenResourceError: if part of it, or of what was sent before, was lost.
        """
        view = memoryview(item)
        for at in range(0, len(view), TOGETHER):
            try:
                self.object.write(view[at : at + TOGETHER])
            except ssl.SSLError:
                self._clear()
                raise
            await self._say(self._clear())

    async def send_eof(self) -> None:
        """TLS has no half-close."""
        raise NotImplementedError

    async def send_close_notify(self) -> None:
        """Say that nothing more comes (RFC 8446 section 6.1)."""
        self._put_rest()
        self._ended = self.object.send_close_notify() or self._ended
        await self._say(self._clear())

    async def wait_closed(self) -> None:
        """Drop what comes until the peer says that it is the last, and close."""
        while not self._ended:
            self._put_rest()
            self._ended = self.object.discard()
            self._clear()
            if not self._ended:
                await self._hear(TOGETHER)
        await self._plain.aclose()

    async def aclose(self) -> None:
        """Close the connection without a word."""
        await self._plain.aclose()

    def _decrypted(self, size: int) -> bytes:
        """As much, or what there is of it."""
        found: list[bytes] = []
        self._more = False
        self._put_rest()
        try:
            while True:
                data = self.object.read(size)
                if not data:
                    self._ended = True
                    break
                found.append(data)
                size -= len(data)
                if not size:
                    self._more = True  # OpenSSL may have the rest of a record
                    break
                if not self._incoming.pending:
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self._error = exc
        return b"".join(found)

    def _put_rest(self) -> None:
        if self._rest:
            rest, self._rest = self._rest, b""
            self._incoming.write(rest)

    def _clear(self) -> bytes:
        """Leave OpenSSL's buffers empty: keep what has come; what is to be sent."""
        if self._incoming.pending:
            self._rest = self._incoming.read()
        return self._outgoing.read()

    async def _say(self, records: bytes) -> None:
        if not records:
            return
        try:
            async with self._sending:
                if self._broken:
                    raise anyio.BrokenResourceError
                await self._plain.send(records)
        except BaseException:
            # The peer could not decrypt what came behind them.
            self._broken = True
            raise

    async def _hear(self, size: int) -> None:
        data = await self._plain.receive(size)
        self._rest += data
        self._more = True
