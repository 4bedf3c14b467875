"""The output half of the transport on an anyio byte stream.

On trio bytes go to the socket as they are given, over TLS once they are encrypted, as asyncio's
own transports do it. What the socket does not take, and all bytes of other streams, a task
writes that ends with them; what is queued meanwhile goes with its next write.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Awaitable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc

from tricorn.asgi.host import Worker
from tricorn.exceptions import FileUnavailable
from tricorn.io import sendfile
from tricorn.io.anyio_means import GONE, means, system_socket
from tricorn.io.connection import Connection
from tricorn.io.in_flight import in_flight
from tricorn.io.transport import Transport
from tricorn.protocol.flow import FileRegion

if TYPE_CHECKING:
    from tricorn.io.anyio_means import Group
    from tricorn.io.anyio_tls import SecureStream

# What a write counts beyond its bytes: many small ones need a turn of the loop too.
_WRITE_COST: Final = 1024
# Bytes given to a stream at a time that tells of the last of them only.
_PIECE: Final = 65536


class AnyioOutput(Transport):
    """Sends what the driver gives, and does what was asked for behind it."""

    _group: Group

    def __init__(
        self,
        stream: anyio.abc.ByteStream,
        worker: Worker,
        *,
        client: tuple[str, int] | None,
        secure: SecureStream | None,
    ) -> None:
        self._means = means()
        self._stream = stream
        self._worker = worker
        self._client = client
        self._secure = secure
        self._connection: Connection | None = None
        self._reader_scope = anyio.CancelScope()
        self._out: list[Any] = []  # bytes and pieces of files
        self._out_size = 0  # of the bytes
        self._writing = False
        self._kicked = False  # about to write
        self._high = worker.config.write_buffer_high
        self._over = False
        self._eof_wanted = False
        self._close_wanted = False
        self.file: FileRegion | None = None
        self._gone = False
        self._left = 0  # bytes of the write under way
        self._answers = 0  # bytes of what is queued that TLS has answered by itself
        self._eager = 0  # bytes sent without a wait since the last one
        self._socket = system_socket(stream)
        self.sends_files = self._socket is not None and secure is None and sendfile.AVAILABLE

    def write(self, buffers: Sequence[Any]) -> None:
        """Take bytes, or one piece of a file."""
        if self._secure is not None:
            records = self._secure.encrypt(buffers)
            if records is None:
                # Who writes hears of that, though it may not have read all that came before.
                self._break()
                return
            buffers = records
        elif buffers[0].__class__ is FileRegion:
            self._put_file(buffers[0])
            return
        self._put(buffers)

    def _put(self, buffers: Sequence[Any]) -> None:
        if self._socket is not None and not self._out and not self._writing:
            buffers = self._send_now(self._socket, buffers)
            if not buffers:
                return
        size = sum(map(len, buffers))
        self._out += buffers
        self._out_size += size
        self._eager += size + _WRITE_COST
        if self._out_size > self._high and not self._over:
            self._over = True
            self._worker.counters.limit("write_buffer_high")
            if self._connection is not None:
                self._connection.pause_writing()

    def _put_file(self, region: FileRegion) -> None:
        """Take a piece of a file; until all of it is sent the driver gives nothing more."""
        connection = self._connection
        assert self._socket is not None
        assert connection is not None
        if not self._out and not self._writing:
            before = region.count
            try:
                done = sendfile.send_some(self._socket.fileno(), region)
            except BlockingIOError:
                done = False
            except OSError:
                self._break()
                done = True
            except FileUnavailable as exc:
                connection.file_failed(exc)
                done = True
            self._eager += before - region.count + _WRITE_COST
            if done:
                region.close()
                return
        self.file = region
        self._out.append(region)
        connection.pause_writing()

    def _answer(self, records: bytes) -> None:
        """Send what TLS answers by itself, behind what was written before.

        To read no more while it waits could stop two honest peers; so it has a bound.
        """
        from tricorn.io.tls import MOST_ANSWERS, UNTAKEN  # not above: for TLS only

        behind = bool(self._out or self._writing)
        self._put([records])
        self._answers = self._answers + len(records) if behind else 0
        self.kick()
        if self._answers > MOST_ANSWERS:
            self._worker.report(UNTAKEN, self._client)
            self.abort()

    def _send_now(self, sock: socket.socket, buffers: Sequence[Any]) -> Sequence[Any]:
        """Send what the socket takes at once; the rest."""
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._break()
            return []
        self._eager += sent + _WRITE_COST
        return [data[sent:]] if sent < len(data) else []

    def _break(self) -> None:
        """Nothing can be sent any more."""
        self._reader_scope.cancel()
        self._eager = self._high + 1  # so that the reader gets its turn

    def drain(self) -> Awaitable[None] | None:
        """Writing is eager; but an application that only sends must leave the others their turn.

        What the socket does not take is written in a task of its own: in that of an application,
        which must not leave half of a frame behind, a cancellation would have to wait for the peer.
        """
        self.kick()
        if self._eager > self._high:
            self._eager = 0
            return self._means.checkpoint()
        return None

    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""
        return self._means.checkpoint()

    def kick(self) -> None:
        """Write what was taken in a task of its own."""
        if self._out and not self._writing and not self._kicked and not self._gone:
            self._kicked = True
            self._group.start_soon(self._write_out)

    async def _write_out(self) -> None:
        """One write; further bytes are left to the next writer.

        A peer that takes nothing is cut by the driver's stall timer.
        """
        self._kicked = False
        if self._writing or not self._out:
            return
        self._writing = True
        out, self._out = self._out, []
        self._left = self._out_size
        connection = self._connection
        assert connection is not None
        paused = self.file is not None
        with anyio.CancelScope(shield=True):
            try:
                for piece in _pieces(out):
                    await self._write_piece(piece)
            except GONE:
                self._reader_scope.cancel()
                return  # who waits hears of the loss
            except FileUnavailable as exc:
                connection.file_failed(exc)
                return
            finally:
                self._writing = False
                self._taken(self._left)
                self._answers = 0
        if self._over and self._out_size <= self._worker.config.write_buffer_low:
            self._over = False
            paused = True
        if paused and not self._over and self.file is None:
            connection.resume_writing()
        self.kick()
        if (self._eof_wanted or self._close_wanted) and not self._out and not self._writing:
            await self._finish()

    async def _write_piece(self, piece: bytes | FileRegion) -> None:
        if not isinstance(piece, FileRegion):
            await self._send_all(piece)
            return
        assert self._socket is not None
        try:
            await sendfile.send_region(self._socket, piece)
        finally:
            self.file = None
            piece.close()

    async def _send_all(self, data: bytes) -> None:
        """Send bytes, so that ``unsent`` shows what the peer takes of them."""
        view = memoryview(data)
        if self._socket is None:
            for piece in (view[at : at + _PIECE] for at in range(0, len(view), _PIECE)):
                await self._stream.send(piece)  # type: ignore[arg-type]  # anyio says bytes
                self._taken(len(piece))
            return
        while True:
            try:
                sent = self._socket.send(view)
            except BlockingIOError:
                sent = 0
            self._taken(sent)
            view = view[sent:]
            if not view:
                return
            await anyio.wait_writable(self._socket)

    def _taken(self, size: int) -> None:
        self._out_size -= size
        self._left -= size

    async def _finish(self) -> None:
        """What was asked for behind the last byte."""
        if self._eof_wanted and isinstance(self._stream, anyio.abc.SocketStream):
            self._eof_wanted = False
            try:
                await self._stream.send_eof()
            except GONE:
                self._reader_scope.cancel()
        if self._close_wanted:
            # The reader must have let go of the stream before it is closed.
            self._reader_scope.cancel()

    def unsent(self) -> int:
        """Bytes not yet given to the operating system."""
        # What is left of a file counts by itself: it shows that the peer reads. What TLS answers
        # would pass for that.
        left = self._out_size if self.file is None else self._out_size + self.file.count
        return max(left - self._answers, 1) if left else 0

    def in_flight(self) -> int:
        """Bytes given to the operating system that the peer has not acknowledged."""
        names: Any = anyio.abc.SocketAttribute
        return in_flight(self._stream.extra(names.raw_socket, None))


def _pieces(out: list[Any]) -> Iterator[bytes | FileRegion]:
    """What to write, bytes joined."""
    for is_file, group in itertools.groupby(out, lambda piece: piece.__class__ is FileRegion):
        if is_file:
            yield from group
        else:
            run = list(group)
            yield run[0] if len(run) == 1 else b"".join(run)
