"""The byte-moving leaf for any anyio byte stream: trio, and asyncio as a cross-check.

A reader loop pushes to the driver. There is no writer task. In cleartext on trio, bytes
go to the socket as they are given, as asyncio's own transports do it. What the socket
does not take, and all bytes of other streams, whoever queued them writes, one at a time;
what others queue meanwhile goes with the next write.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.abc

from tricorn.asgi.host import Worker
from tricorn.exceptions import FileUnavailable
from tricorn.io import pacing, sendfile
from tricorn.io.anyio_means import GONE, means
from tricorn.io.connection import Connection
from tricorn.io.in_flight import in_flight
from tricorn.io.registry import Registry
from tricorn.io.transport import Transport
from tricorn.protocol.flow import FileRegion

if TYPE_CHECKING:
    from tricorn.io.anyio_means import Group, Scope
    from tricorn.io.anyio_tls import SecureStream
    from tricorn.io.tls import TLSContext
    from tricorn.protocol.proxy_protocol import ProxyHeader

# What a write counts beyond its bytes: many small ones need a turn of the loop too.
_WRITE_COST: Final = 1024


async def cut(stream: anyio.abc.ByteStream) -> None:
    """Close at once."""
    with contextlib.suppress(*GONE):
        await anyio.aclose_forcefully(stream)


class EventWaiter:
    """A one-shot signal on an anyio event."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Wake whoever waits."""
        self._event.set()

    def wait(self) -> Awaitable[None]:
        """Wait for ``set``."""
        return self._event.wait()


# Turns of the loop that a reader needs at most to end where that is asked of it.
_TURNS_TO_TELL: Final = 4


class AnyioTransport(Transport):
    """One connection on an anyio byte stream."""

    def __init__(
        self,
        stream: anyio.abc.ByteStream,
        worker: Worker,
        registry: Registry,
        tls: TLSContext | None,
        *,
        client: tuple[str, int] | None,
        server: tuple[str, int | None] | None,
        call_soon: Callable[..., object],
        header: ProxyHeader | None = None,
    ) -> None:
        """Set it up.

        :param call_soon: calls a function in a later turn of the loop, when the applications that
            have been started have begun.
        """
        self._means = means()
        self.cancelled = self._means.cancelled
        self.eager = False
        self._stream = stream
        self._worker = worker
        self._registry = registry
        self._tls = tls
        self._client = client
        self._server = server
        self._header = header
        self._group: Group
        self._reader_scope = anyio.CancelScope()
        self._closing_scope = anyio.CancelScope(shield=True)
        self._out: list[Any] = []  # bytes and pieces of files
        self._out_size = 0
        self._writing = False
        self._high = worker.config.write_buffer_high
        self._over = False
        self._eof_wanted = False
        self._close_wanted = False
        self.file: FileRegion | None = None
        self._gone = False
        self._resume: anyio.Event | None = None
        self._connection: Connection | None = None
        self._socket = self._plain_socket()
        self._number = self._socket.fileno() if self._socket is not None else -1
        self._call_soon = call_soon
        self._late = b""  # read, and to be looked at when it is this connection's turn
        self._full = False  # as much came as was asked for
        self.sends_files = self._socket is not None and sendfile.AVAILABLE
        self._eager = 0  # bytes sent without a wait since the last one

    def _plain_socket(self) -> socket.socket | None:
        """The socket below the stream, where nothing (TLS, an asyncio transport) is between."""
        names: Any = anyio.abc.SocketAttribute
        raw = self._stream.extra(names.raw_socket, None)
        plain = self._tls is None and isinstance(raw, socket.socket)
        return raw if plain else None

    async def run(self) -> None:
        """Serve the connection to its end, application tasks included."""
        info, alpn = None, None
        if self._tls is not None:
            ssl_object = cast("SecureStream", self._stream).object
            info, alpn = self._tls.describe(ssl_object), ssl_object.selected_alpn_protocol()
        async with self._means.group() as self._group:
            connection = self._connection = Connection(
                self._worker,
                self,
                self._registry,
                client=self._client,
                server=self._server,
                secure=self._tls is not None,
                tls=info,
                alpn=alpn,
                header=self._header,
            )
            try:
                try:
                    with self._reader_scope:
                        await self._read(connection)
                finally:
                    if self._close_wanted and not self._writing:
                        with self._closing_scope:
                            await self._close_in_order()
            finally:
                self._gone = True
                connection.lost()
                with anyio.CancelScope(shield=True):
                    await cut(self._stream)
        # It has us: a cycle would wait for the collector.
        self._connection = None
        del connection

    async def _close_in_order(self) -> None:
        """Close, over TLS with close_notify, so that the peer can tell an end from a cut."""
        with contextlib.suppress(*GONE):
            if self._tls is not None:
                await self._close_tls(cast("SecureStream", self._stream))
            else:
                await self._stream.aclose()

    async def _close_tls(self, stream: SecureStream) -> None:
        """Say that nothing more comes, and wait until the peer says so too.

        The time for that is ssl_shutdown_timeout, once it has what was written before.
        """
        await stream.send_close_notify()
        behind = True
        while behind:
            left = self.in_flight()
            with anyio.move_on_after(self._worker.config.ssl_shutdown_timeout):
                await stream.wait_closed()
                return
            behind = left > 0 or self.in_flight() > 0
        self._worker.counters.limit("ssl_shutdown_timeout")

    async def _read(self, connection: Connection) -> None:
        """Push what arrives until the connection is gone or closed."""
        receive = self._stream.receive if self._socket is None else self._receive
        size = pacing.FIRST_READ
        crowd, worker = self._registry.crowd, self._worker
        try:
            while True:
                if self._resume is not None:
                    await self._resume.wait()
                data = b""  # the last read is not kept while the next is waited for
                data = await receive(size)
                if self._late:
                    self._catch_up()
                if len(data) < pacing.UNTIMED:
                    if crowd.is_full(worker):
                        self._late = data
                        crowd.queue(worker, self._catch_up, self._call_soon)
                    else:
                        connection.bytes_received(data)
                    continue
                begun = time.perf_counter()
                connection.bytes_received(data)
                took = time.perf_counter() - begun
                size = pacing.next_size(size, len(data) == size, took)
                if pacing.is_dear(took):
                    await self._registry.slow_lane.turn()
        except GONE as exc:
            # An application that waits for the last of it, or begins with it, takes that before;
            # trio runs the tasks of one turn in any order.
            await self._means.checkpoint()
            await self._means.checkpoint()
            if not isinstance(exc, anyio.EndOfStream):
                return
            self._catch_up()
            connection.eof_received()
        if self._tls is None:
            # Our side stays open; the driver's close ends the wait.
            await anyio.sleep(math.inf)
        self._close_wanted = True  # TLS has no half-close

    def _catch_up(self) -> None:
        """Look at what was left for later, if it is still there."""
        late, self._late = self._late, b""
        if late and not self._gone and self._connection is not None:
            self._connection.bytes_received(late)

    async def _receive(self, size: int) -> bytes:
        """What is in the socket, at most ``size`` bytes, in another turn of the loop."""
        sock = self._socket
        assert sock is not None
        if self._full:
            # There is more, or so it seems.
            await self._means.checkpoint()
        else:
            await self._means.wait_readable(self._number)
        while True:
            try:
                data = sock.recv(size)
            except BlockingIOError:
                await self._means.wait_readable(self._number)
                continue
            if not data:
                raise anyio.EndOfStream
            self._full = len(data) == size
            return data

    # Transport

    def write(self, buffers: Sequence[Any]) -> None:
        """Take bytes, or one piece of a file."""
        if buffers[0].__class__ is FileRegion:
            self.file = buffers[0]
        if self._socket is not None and not self._out and not self._writing:
            buffers = self._send_now(self._socket, buffers)
            if not buffers:
                return
        self._out += buffers
        self._out_size += sum(map(len, buffers))
        if self._out_size > self._high and not self._over:
            self._over = True
            self._worker.counters.limit("write_buffer_high")
            if self._connection is not None:
                self._connection.pause_writing()

    def _send_now(self, sock: socket.socket, buffers: Sequence[Any]) -> Sequence[Any]:
        """Send what the socket takes at once; the rest."""
        if self.file is not None:
            return buffers
        data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._reader_scope.cancel()
            self._eager = self._high + 1  # so that the reader gets its turn
            return []
        self._eager += sent + _WRITE_COST
        return [data[sent:]] if sent < len(data) else []

    def drain(self) -> Awaitable[None] | None:
        """Write what was taken, unless somebody is about it already."""
        if self._out and not self._writing:
            return self._write_out()
        if self._eager > self._high:
            # An application that only sends must leave the others their turn.
            self._eager = 0
            return self._means.checkpoint()
        return None

    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""
        return self._means.checkpoint()

    def kick(self) -> None:
        """Write what was taken in a task of its own."""
        if self._out and not self._writing and not self._gone:
            self._group.start_soon(self._write_out)

    async def _write_out(self) -> None:
        """One write; further bytes are left to the next writer.

        Shielded: a cancelled application must not leave half of another one's frame.
        A peer that takes nothing is cut by the driver's stall timer.
        """
        if self._writing or not self._out:
            return
        self._writing = True
        out, self._out = self._out, []
        size = sum(map(len, out))
        connection = self._connection
        assert connection is not None
        with_file = self.file is not None
        with anyio.CancelScope(shield=True):
            try:
                for piece in _pieces(out):
                    await self._write_piece(piece)
            except GONE:
                self._reader_scope.cancel()
                # The reader is to tell before whoever writes goes on; it may be giving turns.
                for _ in range(_TURNS_TO_TELL):
                    if self._gone:
                        break
                    await self._means.checkpoint()
            except FileUnavailable as exc:
                connection.file_failed(exc)
            finally:
                self._writing = False
                self._out_size -= size
        if self._over and self._out_size <= self._worker.config.write_buffer_low:
            self._over = False
            connection.resume_writing()
        elif with_file and self.file is None:
            connection.resume_writing()  # its sender waits for the last byte
        self.kick()
        if (self._eof_wanted or self._close_wanted) and not self._out and not self._writing:
            await self._finish()

    async def _write_piece(self, piece: bytes | FileRegion) -> None:
        if not isinstance(piece, FileRegion):
            await self._stream.send(piece)
            return
        assert self._socket is not None
        try:
            await sendfile.send_region(self._socket, piece)
        finally:
            self.file = None
            piece.close()

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

    def soon(self, callback: Callable[[], object]) -> bool:
        """Not needed: what is queued during a write leaves together with the next."""
        return False

    def later(self, callback: Callable[[], object]) -> None:
        """In a later turn of the loop."""
        self._call_soon(callback)

    def unsent(self) -> int:
        """Bytes not yet given to the operating system."""
        # What is left of a file counts by itself: it shows that the peer reads.
        return self._out_size if self.file is None else self._out_size + self.file.count

    def in_flight(self) -> int:
        """Bytes given to the operating system that the peer has not acknowledged."""
        names: Any = anyio.abc.SocketAttribute
        return in_flight(self._stream.extra(names.raw_socket, None))

    def pause_reading(self) -> None:
        """Stop taking bytes from the stream."""
        if self._resume is None:
            self._resume = anyio.Event()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self._resume is not None:
            self._resume.set()
            self._resume = None

    def write_eof(self) -> bool:
        """Shut down the sending side behind what is unsent; TLS has no half-close."""
        if self._tls is not None:
            return False
        self._eof_wanted = True
        self._end_soon()
        return True

    def close(self) -> None:
        """Close once what is unsent has gone."""
        if not self._close_wanted and not self._gone:
            self._close_wanted = True
            self._end_soon()

    def _end_soon(self) -> None:
        if not self._out and not self._writing:
            self._group.start_soon(self._finish)
        else:
            self.kick()

    def close_at_once(self) -> None:
        """Close behind what is unsent, as far as the socket takes it, and wait for nothing."""
        self.close()
        self._closing_scope.cancel()  # it begins behind what is unsent

    def abort(self) -> None:
        """Close now."""
        self._reader_scope.cancel()
        self._closing_scope.cancel()

    def spawn(self, coroutine: Coroutine[Any, Any, None], eager: bool = False) -> Scope:
        """Start an application task in the connection's group."""
        scope = self._means.scope()
        # In a copy of this context, not of that of whoever is sending just now, another
        # application perhaps.
        self._worker.context.run(self._group.start_soon, _run_in, scope, coroutine)
        return scope

    def waiter(self) -> EventWaiter:
        """A new one-shot signal."""
        return EventWaiter()


def _pieces(out: list[Any]) -> Iterator[bytes | FileRegion]:
    """What to write, bytes joined."""
    for is_file, group in itertools.groupby(out, lambda piece: piece.__class__ is FileRegion):
        if is_file:
            yield from group
        else:
            run = list(group)
            yield run[0] if len(run) == 1 else b"".join(run)


async def _run_in(scope: Scope, coroutine: Coroutine[Any, Any, None]) -> None:
    with scope:
        await coroutine
