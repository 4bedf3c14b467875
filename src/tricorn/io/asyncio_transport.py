"""The byte-moving leaf for asyncio and uvloop: ``asyncio.BufferedProtocol`` pushes to the driver.

A connection gets one read of a bounded size in one turn of the loop: left alone, uvloop takes
up to 8 MiB from one socket before it looks at the next.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from tricorn.asgi.host import Worker
from tricorn.compilation import mypyc_attr
from tricorn.io import pacing, sendfile
from tricorn.io.accepting import pair
from tricorn.io.admission import Place
from tricorn.io.connection import Connection
from tricorn.io.in_flight import in_flight
from tricorn.io.registry import Registry
from tricorn.io.resetting import reset_at_close
from tricorn.io.sendfile import FileSender
from tricorn.io.transport import Transport
from tricorn.protocol.flow import FileRegion

if TYPE_CHECKING:
    from tricorn.io.tls import TLSContext
    from tricorn.protocol.proxy_protocol import ProxyHeader

# Below this size (bytes) joining costs less than a vectored write.
_JOIN_LIMIT: Final = 65536
# Pieces of a body of at least the first size leave together where the peer takes them as fast as
# they come, by the second size, or at the end of the loop's turn: the system's part of a write
# costs more than ours.
_LARGE: Final = 16384
_TOGETHER: Final = 262144
# Writes an application may make before the loop turns, so that a fast reader cannot keep
# the others out, and so that the news of a lost connection comes through.
_WRITES_A_TURN: Final = 4

# asyncio before 3.12 joins what is written together.
_JOINS_NOTHING: Final = sys.version_info >= (3, 12)

# Looked up once: it is asked for at every read.
_UNTIMED: Final = pacing.UNTIMED


class FutureWaiter:
    """A one-shot signal on an asyncio future."""

    __slots__ = ("_future",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._future: asyncio.Future[None] = loop.create_future()

    def set(self) -> None:
        """Wake whoever waits."""
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> Awaitable[None]:
        """Wait for ``set``."""
        return self._future


@mypyc_attr(allow_interpreted_subclasses=True)
class AsyncioTransport(Transport):
    """One connection on an asyncio event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        worker: Worker,
        registry: Registry,
        tls: TLSContext | None,
        address: tuple[str, int | None] | None,
        *,
        client: tuple[str, int] | None,
        place: Place,
        header: ProxyHeader | None = None,
    ) -> None:
        self.cancelled = asyncio.CancelledError
        self._loop = loop
        self._worker = worker
        self._registry = registry
        self._tls = tls
        self._address = address
        self._client = client
        self._place = place
        self._header = header
        self._transport: asyncio.Transport
        self._connection: Connection | None = None
        self._buffer = registry.first_read  # the read buffer, as long as the next read
        self._crowd = registry.crowd
        self._late = b""  # read, and to be looked at when it is this connection's turn
        self._reading = True  # as the driver wants it
        # libuv reads from a socket again, up to 32 times, as long as the buffer gets full.
        libuv = not isinstance(loop, asyncio.BaseEventLoop)
        self._rests = libuv and tls is None
        self._plain_tasks = loop.get_task_factory() is None
        self.eager = self._plain_tasks and sys.version_info >= (3, 12)
        self._resting = False  # until the loop has turned
        self._writes = 0  # since the loop is known to have turned
        # While one piece is encrypted, the peer is to be at work on the one before.
        self._gathers = tls is None and (libuv or _JOINS_NOTHING)
        self._fast = False  # the last large write was taken whole
        self._held: list[Any] = []  # to leave together
        self._held_size = 0
        self._sender: FileSender | None = None  # sends beside the transport
        self.file = None
        self.sends_files = tls is None and sendfile.AVAILABLE

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """What the event loop knows this connection by."""
        if isinstance(self._loop, asyncio.BaseEventLoop):
            return PushProtocol(self, self._loop)
        return cast("asyncio.BaseProtocol", self)  # uvloop asks for the methods, not the class

    # The methods of asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open, its TLS handshake done."""
        # uvloop's transports and ours are no asyncio.Transport, though they have all of it.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        config = self._worker.config
        transport.set_write_buffer_limits(config.write_buffer_high, config.write_buffer_low)
        info, alpn = None, None
        if self._tls is not None:
            ssl_object = transport.get_extra_info("ssl_object")
            info, alpn = self._tls.describe(ssl_object), ssl_object.selected_alpn_protocol()
        self._connection = Connection(
            self._worker,
            self,
            self._registry,
            client=self._client,
            server=self._address or pair(transport.get_extra_info("sockname")),
            secure=self._tls is not None,
            tls=info,
            alpn=alpn,
            header=self._header,
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the peer."""
        data = self._buffer[:nbytes].tobytes()
        if self._late:
            self._catch_up()  # behind the copy: it may want less to be read
        if nbytes <= pacing.FIRST_READ and self._crowd.is_full(self._worker):
            self._late = data
            self._crowd.queue(self._worker, self._catch_up, self._loop.call_soon)
        else:
            self._receive(data)

    def _catch_up(self) -> None:
        """Look at what was left for later, if it is still there."""
        late, self._late = self._late, b""
        if late and not self._transport.is_closing():
            self._receive(late)

    def _receive(self, data: bytes) -> None:
        self._writes = 0
        connection = self._connection
        if connection is None:
            return
        size = len(data)
        if size < _UNTIMED:
            connection.bytes_received(data)
            return
        begun = time.perf_counter()
        connection.bytes_received(data)
        took = time.perf_counter() - begun
        full = size == len(self._buffer)
        if not full and took < pacing.DEAR:
            return
        size = pacing.next_size(len(self._buffer), full, took)
        if size != len(self._buffer):
            self._buffer = self._registry.read_buffer[:size]
        if pacing.is_dear(took):
            self._rest()
            self._registry.slow_lane.queue(self._rested, self._loop.call_soon)
        elif full and self._rests:
            self._rest()
            self._loop.call_soon(self._rested)

    def _rest(self) -> None:
        """Read no more until the others have had their turn."""
        self._resting = True
        if self._reading and not self._transport.is_closing():
            self._transport.pause_reading()

    def _rested(self) -> None:
        self._resting = False
        if self._reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """The peer shut down its side; keep ours open where the wire has two (not TLS)."""
        self._catch_up()
        if self._connection is not None:
            self._connection.eof_received()
            if self._tls is not None:
                # It is closed behind what is unsent.
                self._connection.ended()
        return self._tls is None

    def pause_writing(self) -> None:
        """Above high water. Also called from inside ``connection_made``."""
        if self._connection is not None:
            self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Below low water; with a file to send, empty."""
        if self._sender is not None:
            if self._sender.step():
                self._file_sent(None)
        elif self._connection is not None:
            self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._place.leave()
        # So says TLS; the system's own timeouts have a number.
        if isinstance(exc, TimeoutError) and exc.errno is None:
            from tricorn.io.tls import close_limit_option  # not above: for TLS only

            self._worker.counters.limit(close_limit_option(self._worker.config))
        if self._sender is not None:
            self._sender.close()
            self._sender = self.file = None
        if self._connection is not None:
            self._connection.lost()
            self._connection = None  # it has us, but not the other way round

    # Transport

    def write(self, buffers: Sequence[Any]) -> None:
        """Take bytes, or one piece of a file."""
        self._writes += 1
        if self._writes > 1 and self._transport.is_closing():
            self._stop(buffers)
            return
        if self._fast and self._hold(buffers):
            return
        if len(buffers) == 1:
            data = buffers[0]
            if data.__class__ is FileRegion:
                self._write_file(data)
            else:
                self._transport.write(data)
                if self._gathers and len(data) >= _LARGE:
                    self._fast = not self._transport.get_write_buffer_size()
        elif _size(buffers) <= _JOIN_LIMIT:
            self._transport.write(b"".join(buffers))
        else:
            write_lines(self._transport, buffers)

    def _stop(self, buffers: Sequence[Any]) -> None:
        """Take nothing more of a connection that a write has found lost.

        It hears of that behind the turn's end; until then asyncio warns of each further write.
        """
        if buffers[0].__class__ is FileRegion:
            buffers[0].close()
        if self._connection is not None:
            self._connection.pause_writing()

    def _hold(self, buffers: Sequence[Any]) -> bool:
        """Keep large pieces for a moment; what comes behind them takes them along."""
        size = _size(buffers)
        large = size >= _LARGE and buffers[0].__class__ is not FileRegion
        if not self._held:
            if not large:
                return False
            self._loop.call_soon(self._write_held)
        elif buffers[0].__class__ is FileRegion:
            self._write_held()
            return False
        self._held += buffers
        self._held_size += size
        if not large or self._held_size >= _TOGETHER:
            self._write_held()
        return True

    def _write_held(self) -> None:
        held, self._held = self._held, []
        self._held_size = 0
        if held and not self._transport.is_closing():
            write_lines(self._transport, held)
            self._fast = not self._transport.get_write_buffer_size()

    def _write_file(self, region: FileRegion) -> None:
        """Send a piece of a file once what is before it has gone."""
        transport = self._transport
        if transport.is_closing():
            region.close()
            return
        sock = transport.get_extra_info("socket")
        sender = FileSender(self._loop, sock, region, self._file_sent)
        if not transport.get_write_buffer_size() and sender.step():
            return
        if region.fd < 0:
            return  # it failed, and was told
        self._sender, self.file = sender, region
        assert self._connection is not None
        self._connection.pause_writing()
        # With bytes before it the transport tells when they have gone.
        transport.set_write_buffer_limits(0)

    def _file_sent(self, error: Exception | None) -> None:
        self._sender = self.file = None
        connection = self._connection
        assert connection is not None
        if error is not None:
            connection.file_failed(error)
            return
        config = self._worker.config
        self._transport.set_write_buffer_limits(config.write_buffer_high, config.write_buffer_low)
        connection.resume_writing()

    def drain(self) -> Awaitable[None] | None:
        """Writing is eager; but now and then the loop has to turn."""
        if self._writes < _WRITES_A_TURN:
            return None
        self._writes = 0
        return asyncio.sleep(0)

    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""
        return asyncio.sleep(0)

    def kick(self) -> None:
        """Writing is eager."""

    def soon(self, callback: Callable[[], object]) -> None:
        """Behind what is to run by now."""
        self._loop.call_soon(callback)

    def unsent(self) -> int:
        """Bytes not yet given to the operating system."""
        file = self.file.count if self.file is not None else 0
        return self._transport.get_write_buffer_size() + self._held_size + file

    def in_flight(self) -> int:
        """Bytes given to the operating system that the peer has not acknowledged."""
        return in_flight(self._transport.get_extra_info("socket"))

    def pause_reading(self) -> None:
        """Stop taking bytes from the socket."""
        self._reading = False
        if not self._resting and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        self._reading = True
        if not self._resting and not self._transport.is_closing():
            self._transport.resume_reading()

    def write_eof(self) -> bool:
        """Shut down the sending side; TLS has no half-close."""
        self._write_held()
        if not self._transport.can_write_eof() or self._transport.is_closing():
            return False
        try:
            self._transport.write_eof()
        except OSError:
            return False  # the peer has reset the connection
        return True

    def close(self) -> None:
        """Close once what is unsent has gone."""
        self._write_held()
        if not self._transport.is_closing():
            self._transport.close()

    def close_at_once(self) -> None:
        """Close behind what is unsent, as far as the socket takes it, and wait for nothing."""
        self.close()
        # Behind the turn's end, when uvloop too has written.
        self._loop.call_soon(self.abort)

    def abort(self, reset: bool = False) -> None:
        """Close now."""
        if reset and self._connection is not None:  # else its number may be another's by now
            reset_at_close(self._transport.get_extra_info("socket"))
        self._transport.abort()

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], eager: bool = False
    ) -> asyncio.Task[None]:
        """Start an application task; the driver owns it."""
        # Not in the context of whoever is sending just now, another application perhaps.
        context = self._worker.context.copy()
        if self._plain_tasks:
            # Without a name asyncio would write a number into one.
            if eager:
                return _eager_task(coroutine, self._loop, context)
            return asyncio.Task(coroutine, loop=self._loop, name="exchange", context=context)
        # A task factory of the program's may know of no context, as none did before Python 3.11.
        return context.run(self._loop.create_task, coroutine)

    def waiter(self) -> FutureWaiter:
        """A new one-shot signal."""
        return FutureWaiter(self._loop)


_PUSHED: Final = (
    "connection_made",
    "get_buffer",
    "buffer_updated",
    "eof_received",
    "pause_writing",
    "resume_writing",
    "connection_lost",
)


class PushProtocol(asyncio.BufferedProtocol):
    """Hands on what an event loop pushes that looks at the class."""

    __slots__ = _PUSHED

    def __init__(self, protocol: object, loop: asyncio.AbstractEventLoop) -> None:
        for name in _PUSHED:
            setattr(self, name, getattr(protocol, name))
        # asyncio says it in the middle of a write, and one that is closed there is lost twice.
        resumed = partial(loop.call_soon, self.resume_writing)
        setattr(self, "resume_writing", resumed)  # noqa: B010


def _eager_task(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: Context
) -> asyncio.Task[None]:
    """A task that has run up to where it first waits; most have ended then."""
    make: Any = asyncio.Task  # the argument is not known to what is checked for Python 3.11
    task: asyncio.Task[None] = make(
        coroutine, loop=loop, name="exchange", context=context, eager_start=True
    )
    return task


def write_lines(transport: asyncio.Transport, buffers: Sequence[Any]) -> None:
    """Write several buffers at once.

    asyncio's own ``writelines`` knows no high water in some versions of Python 3.12 and 3.13,
    and would hold whatever it is given: its ``write`` has the last word. On a connection that is
    lost they go on to watch a descriptor, which is that of another connection by then.
    """
    if not _JOINS_NOTHING or not isinstance(transport, asyncio.Transport):
        transport.writelines(buffers)
    elif not transport.is_closing():
        if len(buffers) > 1:
            transport.writelines(buffers[:-1])
        transport.write(buffers[-1])


def _size(buffers: Sequence[Any]) -> int:
    size = 0
    for piece in buffers:
        size += len(piece)
    return size
