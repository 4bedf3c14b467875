"""TLS for trio, and for any other loop, over anyio's stream of a socket.

``asyncio_tls`` has the same for what asyncio and uvloop push. What is written once the handshake
is done is encrypted here and left to whoever writes to the connection below, one at a time.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
import anyio.abc

from tricorn.io.anyio_means import SocketReader, means, system_socket
from tricorn.io.cleartext import LEAST_TIME
from tricorn.io.tls import TOGETHER, TLSContext

# Bytes of one read from the socket in the handshake.
_HANDSHAKE_READ: Final = 16384


class SecureStream:
    """What TLS makes of one connection.

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
        self._broken = False
        sock = system_socket(plain)
        reader = None if sock is None else SocketReader(sock, means())
        self._read = plain.receive if reader is None else reader.receive

    async def do_handshake(self, limit: float | None = None) -> None:
        """The handshake.

        :param limit: seconds for it. What the peer has said in time is heard and answered, even
            if the loop stood still meanwhile.
        :raises TimeoutError: if it takes longer.
        :raises ssl.SSLError: if both sides do not agree; the peer has been told.
        :raises EndOfStream, BrokenResourceError: if the peer goes before.
        """
        deadline = math.inf if limit is None else anyio.current_time() + limit
        gone: Exception | None = None
        while True:
            self._put_rest()
            try:
                self.object.do_handshake()
            except ssl.SSLWantReadError:
                if gone is not None:
                    try:
                        raise gone from None
                    finally:
                        gone = None  # else it would wait for the collector with all of us
            except ssl.SSLError:
                self._clear()
                raise
            else:
                break
            await self._say_by(deadline)
            try:
                with anyio.fail_after(deadline - anyio.current_time()):
                    await self._hear(_HANDSHAKE_READ)
            except (anyio.EndOfStream, anyio.BrokenResourceError) as exc:
                gone = exc.with_traceback(None)  # if nothing was wrong before
        await self._say_by(deadline)
        self._more = bool(self._rest)

    async def receive(self, answer: Callable[[bytes], object], max_bytes: int) -> bytes:
        """What comes, of as many records as are there.

        :param answer: takes what TLS answers by itself.
        :raises EndOfStream: behind the peer's close_notify, or at the end of what it sends.
        :raises BrokenResourceError: behind what is no TLS, of which the peer has been told; if the
            connection is lost.
        """
        while True:
            if self._more:
                data = self._decrypted(max_bytes)
                records = self._clear()
                if records:
                    answer(records)
                if data:
                    return data
            if self._ended:
                raise anyio.EndOfStream
            if self._broken:
                raise anyio.BrokenResourceError
            # Records are larger than what is in them.
            await self._hear(max_bytes + (max_bytes >> 4))

    def encrypt(self, buffers: Sequence[Any]) -> list[bytes] | None:
        """Records of these pieces, joined so that they share some; None behind what is no TLS."""
        view = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        records = []
        try:
            for at in range(0, len(view), TOGETHER):
                self.object.write(view[at : at + TOGETHER])
                records.append(self._outgoing.read())
        except ssl.SSLError:
            self._clear()
            return None
        return records

    def close_notify(self) -> bytes:
        """The record behind which nothing more comes (RFC 8446 section 6.1), once."""
        if not self._ended and (self._rest or self._more):
            # As on asyncio: not behind it, where OpenSSL takes data for a fault.
            self._put_rest()
            self._more = False
            self._ended = self.object.discard()
        self._ended = self.object.send_close_notify() or self._ended
        return self._clear()

    async def send_close_notify(self) -> None:
        """Say that nothing more comes; everything else must be written."""
        await self._say(self.close_notify())

    async def wait_closed(self) -> None:
        """Drop what comes until the peer says that it is the last, and close."""
        while not self._ended:
            self._put_rest()
            self._ended = self.object.discard()
            self._clear()
            if not self._ended:
                await self._hear(TOGETHER)
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
        except ssl.SSLError:
            self._broken = True
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
        if records:
            await self._plain.send(records)

    async def _say_by(self, deadline: float) -> None:
        """A step of the handshake."""
        with anyio.fail_after(max(deadline - anyio.current_time(), LEAST_TIME)):
            await self._say(self._clear())

    async def _hear(self, size: int) -> None:
        try:
            data = await self._read(size)
        except OSError as exc:
            raise anyio.BrokenResourceError from exc
        self._rest += data
        self._more = True
