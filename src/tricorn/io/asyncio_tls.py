"""TLS for asyncio and uvloop, between the loop's transport and an ``AsyncioTransport``.

``AsyncioTLS`` is the protocol of the loop's transport, and the transport of the connection above
it. It goes through these states, in this order, and may end in any:

- HELLO: the first record is collected; there is no TLS session yet.
- QUEUED: the record is there, and it is not its turn (``Handshakes``).
- HANDSHAKE: until both sides agree, or an alert has gone out and the peer has made its next move.
- OPEN: ``AsyncioTransport`` is made, and has its connection.
- CLOSING: close_notify is sent, and the peer's is waited for (RFC 8446 section 6.1).
- REFUSED: cleartext HTTP was answered, and its sender gets to read that.
- OVER: closed here; the loop's transport has bytes to send, or is about to tell.

What is read is decrypted into the buffer of the connection, several records at a time; what is
written is encrypted at once and given to the loop's transport, whose high and low water are those
of the connection.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from tricorn.asgi.host import Worker
from tricorn.compilation import mypyc_attr
from tricorn.io import pacing
from tricorn.io.asyncio_transport import AsyncioTransport, PushProtocol
from tricorn.io.cleartext import ANSWER, MOST_DISCARDED, REASON
from tricorn.protocol.client_hello import is_cleartext_http, wanted

if TYPE_CHECKING:
    from tricorn.io.tls import TLSContext

_HELLO: Final = 0
_QUEUED: Final = 1
_HANDSHAKE: Final = 2
_OPEN: Final = 3
_CLOSING: Final = 4
_REFUSED: Final = 5
_OVER: Final = 6

# Handshakes begun in one turn of the loop: each takes a millisecond or two on a slow machine, in
# which nobody else is served.
_TURN: Final = 2
# Bytes of one read from the socket. OpenSSL's buffers grow to this size and keep it for as long
# as the connection lasts.
_LARGEST_READ: Final = 131072
# What is encrypted at a time: a record is this large at most (RFC 8446 section 5.1), and more
# lets OpenSSL's buffers grow for good.
_PIECE: Final = 16384

_NO_BIO: Final = ssl.MemoryBIO()


class Handshakes:
    """The connections of one event loop whose TLS handshake is not done yet, and what all share.

    :param context: of the configuration; what it holds for new connections may change.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, worker: Worker, context: TLSContext
    ) -> None:
        self.loop = loop
        self.worker = worker
        self.context = context
        # As with cleartext, what is read is taken from here at once.
        self.buffer = memoryview(bytearray(_LARGEST_READ))
        # libuv reads from a socket again, up to 32 times, as long as the buffer gets full.
        self.rests = not isinstance(loop, asyncio.BaseEventLoop)
        self.cancelled = False
        self._open: set[AsyncioTLS] = set()
        self._queue: deque[AsyncioTLS] = deque()
        self._begun = 0  # in this turn of the loop
        self._settled: asyncio.Future[None] | None = None

    def add(self, connection: AsyncioTLS) -> None:
        """A connection begins."""
        self._open.add(connection)

    def done(self, connection: AsyncioTLS) -> None:
        """Its handshake is done, or it is gone; a second time does nothing."""
        self._open.discard(connection)
        if not self._open and self._settled is not None:
            self._settled.set_result(None)
            self._settled = None

    async def settle(self) -> None:
        """Wait for the handshakes under way."""
        while self._open:
            if self._settled is None:
                self._settled = self.loop.create_future()
            await asyncio.wait([self._settled])

    def hurry(self) -> None:
        """The server stops: who has not said anything yet has little time for it."""
        for connection in list(self._open):
            connection.hurry()

    def cancel(self) -> None:
        """End the handshakes under way, and all to come."""
        self.cancelled = True
        for connection in list(self._open):
            connection.abort()

    def queue(self, connection: AsyncioTLS) -> None:
        """Begin its handshake, in this turn of the loop or in one of the next."""
        self._queue.append(connection)
        if not self._begun:
            self._turn()

    def _turn(self) -> None:
        self._begun = 0
        while self._queue and self._begun < _TURN:
            self._begun += self._queue.popleft().begin()
        if self._begun:
            self.loop.call_soon(self._turn)


@mypyc_attr(allow_interpreted_subclasses=True)
class AsyncioTLS:
    """One connection that speaks TLS.

    :param opened: makes what the connection is above TLS, once the handshake is done.
    :param failed: told why it did not come to that, None where there is nothing to tell, when
        the connection is gone.
    :param client: the peer, for the log.
    """

    def __init__(
        self,
        handshakes: Handshakes,
        opened: Callable[[], AsyncioTransport],
        failed: Callable[[BaseException | None], object],
        client: tuple[str, int] | None,
    ) -> None:
        self._handshakes = handshakes
        self._loop = handshakes.loop
        self._opened: Any = opened
        self._failed: Any = failed
        self._client = client
        self._state = _HELLO
        self._upper: AsyncioTransport | None = None
        self._raw: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._view = handshakes.buffer[: pacing.FIRST_READ]
        self._size = pacing.FIRST_READ  # of the upper buffer that this is for
        self._first = bytearray()
        self._discarded = 0
        self._incoming = _NO_BIO
        self._outgoing = _NO_BIO
        self._object: Any = None
        # Looked up once: bound methods.
        self._decrypt: Any = None
        self._encrypt: Any = None
        self._put: Any = None
        self._take: Any = None
        self._send: Any = None
        self._paused = False  # as the connection wants it
        self._raw_paused = False
        self._scheduled = False  # to go on reading
        self._more = False  # something is left to be decrypted
        self._ended = False  # by the peer: close_notify, or the end of the stream
        self._error: BaseException | None = None  # what ends it
        self._unsent = 0

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """What the event loop knows this connection by."""
        if isinstance(self._loop, asyncio.BaseEventLoop):
            return PushProtocol(self)
        return cast("asyncio.BaseProtocol", self)

    # From the loop's transport

    def connection_made(self, transport: Any) -> None:
        """The connection is there; nothing is known of it."""
        self._raw = transport
        self._send = transport.write
        handshakes = self._handshakes
        if handshakes.cancelled:
            self.abort()
            return
        handshakes.add(self)
        config = handshakes.worker.config
        draining = handshakes.worker.draining
        limit = config.drain_idle_timeout if draining else config.ssl_handshake_timeout
        if limit is not None:
            self._timer = self._loop.call_later(limit, self._late)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the peer."""
        state = self._state
        view = self._view
        if state == _OPEN:
            if self._ended:
                return  # behind close_notify
            self._put(view[:nbytes])
            if nbytes == len(view) and self._handshakes.rests:
                # One read in a turn of the loop.
                self._pause_raw()
                self._schedule()
            if not self._paused:
                self._read()
            else:
                self._more = True
                self._pause_raw()
        elif state == _HANDSHAKE:
            self._put(view[:nbytes])
            self._shake()
        elif state == _HELLO:
            self._first += view[:nbytes]
            if not wanted(self._first):
                self._begins()
        elif state == _CLOSING:
            self._put(view[:nbytes])
            self._discard()
        elif state == _QUEUED:
            self._first += view[:nbytes]
        elif state == _REFUSED:
            self._discarded += nbytes
            if self._discarded > MOST_DISCARDED:
                self._finish(None)

    def eof_received(self) -> bool:
        """The peer shut down its side; True: this closes, and not the loop."""
        state = self._state
        if state == _OPEN:
            if not self._ended:
                self._ended = True
                if not self._paused or not self._more:
                    self._read()
        elif state in (_CLOSING, _REFUSED):
            self._finish(None)
        elif state != _OVER:
            self._finish(ConnectionResetError("closed before its TLS handshake was done"))
        return True

    def pause_writing(self) -> None:
        """Above high water."""
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """Below low water."""
        if self._upper is not None:
            self._upper.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._state = _OVER
        self._end_timer()
        self._handshakes.done(self)
        upper, self._upper = self._upper, None
        failed = self._failed
        error = exc if self._error is None else self._error
        # All that has us.
        self._opened = self._failed = self._send = None
        self._decrypt = self._encrypt = self._put = self._take = None
        if upper is not None:
            upper.connection_lost(cast("Exception | None", error))
        elif failed is not None:
            failed(error)

    # The handshake

    def hurry(self) -> None:
        """The server stops; who is in its handshake goes on."""
        if self._state != _HELLO:
            return
        limit = self._handshakes.worker.config.drain_idle_timeout
        if self._timer is not None:
            limit = min(limit, self._timer.when() - self._loop.time())
        self._restart_timer(limit)

    def _late(self) -> None:
        """The time for the handshake is up."""
        self._timer = None
        error: Exception = TimeoutError("the TLS handshake was not done in time")
        if self._state == _HELLO and self._handshakes.worker.draining:
            error = ConnectionAbortedError("the server stops")
        self._cut(error)

    def _begins(self) -> None:
        """The first record is there, or what is none."""
        if is_cleartext_http(self._first):
            self._refuse()
            return
        self._state = _QUEUED
        self._handshakes.queue(self)
        if self._state == _QUEUED:
            self._pause_raw()

    def _refuse(self) -> None:
        """Answer cleartext HTTP, and wait until the peer has closed too (RFC 9112 section 9.6)."""
        self._state = _REFUSED
        worker = self._handshakes.worker
        worker.report(REASON, self._client)
        self._error = ConnectionAbortedError(REASON)
        self._discarded = len(self._first)
        self._first.clear()
        self._restart_timer(worker.config.close_timeout)
        self._send(ANSWER)
        try:
            self._raw.write_eof()
        except OSError:
            self.abort()  # the peer has reset the connection

    def begin(self) -> bool:
        """It is its turn; False where it is gone."""
        if self._state != _QUEUED or self._raw.is_closing():
            return False
        self._state = _HANDSHAKE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming, self._outgoing = incoming, outgoing
        self._object = self._handshakes.context.ssl.wrap_bio(incoming, outgoing, server_side=True)
        self._put, self._take = incoming.write, outgoing.read
        self._put(self._first)
        self._first = bytearray()
        self._resume_raw()
        self._shake()
        return True

    def _shake(self) -> None:
        """The next step of the handshake."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except Exception as exc:
            self._flush()
            self._finish(exc)
            return
        try:
            self._established()
        except Exception:
            worker = self._handshakes.worker
            worker.log.exception("internal error; closed the connection from %s", self._client)
            self.abort()

    def _established(self) -> None:
        """The handshake is done."""
        self._end_timer()
        # Beneath Python's wrapper, where there is one: it has nothing to add.
        inner = getattr(self._object, "_sslobj", None) or self._object
        self._decrypt, self._encrypt = inner.read, inner.write
        upper: AsyncioTransport = self._opened()
        self._upper = upper
        self._state = _OPEN
        self._opened = None
        upper.connection_made(cast("asyncio.BaseTransport", self))
        self._handshakes.done(self)
        if self._incoming.pending and not self._paused:
            self._read()
        # Tickets for later sessions leave together with what was written meanwhile.
        self._flush()

    # Reading

    def _read(self) -> None:
        """Give the connection what can be decrypted, as long as it wants any."""
        upper = self._upper
        if upper is None:
            return
        while True:
            buffer = upper.get_buffer(-1)
            size = len(buffer)
            if size != self._size:
                self._size = size
                # Records are larger than what is in them.
                self._view = self._handshakes.buffer[: size + (size >> 4)]
            filled = self._fill(buffer, size)
            if filled:
                upper.buffer_updated(filled)
            if self._state != _OPEN or self._paused or not self._more:
                break
        if self._outgoing.pending:
            self._flush()  # the answer to a KeyUpdate, an alert
        if self._ended and not self._more and self._state == _OPEN:
            self._end()

    def _fill(self, buffer: memoryview, size: int) -> int:
        """Decrypt into a buffer; the bytes. ``_more`` says whether anything may be left."""
        filled = 0
        decrypt = self._decrypt
        incoming = self._incoming
        self._more = False
        # Records may be as small as a byte: where that gets dear, less is read at a time.
        begun = time.perf_counter() if size > pacing.FIRST_READ else 0.0
        try:
            filled = decrypt(size, buffer)
            if not filled:
                self._ended = True  # close_notify
            elif incoming.pending or filled == size:
                while filled < size and incoming.pending:
                    count: int = decrypt(size - filled, buffer[filled:])
                    if not count:
                        self._ended = True
                        break
                    filled += count
                self._more = not self._ended and filled == size
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            self._error = exc
            self._ended = True
        if begun and pacing.is_dear(time.perf_counter() - begun):
            self._view = self._view[: max(len(self._view) // 2, pacing.FIRST_READ)]
        return filled

    def _end(self) -> None:
        """The peer has ended its side, or broken TLS: TLS has no half-close."""
        upper = self._upper
        assert upper is not None
        if self._error is None:
            upper.eof_received()
            self.close()
        else:
            self._flush()
            self._finish(self._error)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read on, unless that was forbidden meanwhile."""
        self._scheduled = False
        if self._paused or self._state != _OPEN:
            return
        if self._more or self._ended:
            self._read()
        if not self._paused:
            self._resume_raw()

    def _pause_raw(self) -> None:
        if not self._raw_paused and not self._raw.is_closing():
            self._raw_paused = True
            self._raw.pause_reading()

    def _resume_raw(self) -> None:
        if self._raw_paused and not self._raw.is_closing():
            self._raw_paused = False
            self._raw.resume_reading()

    # Writing

    def _flush(self) -> None:
        """Hand over what TLS has to say."""
        if self._outgoing.pending and self._send is not None and not self._raw.is_closing():
            self._send(self._take())

    # The end

    def _close_notify(self) -> bool:
        """Say that nothing more comes; whether the peer has said so too."""
        try:
            self._object.unwrap()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:
            # Application data is on its way, or all is lost.
            return self._ended
        finally:
            self._flush()
        return True

    def _discard(self) -> None:
        """Read on until the peer's close_notify; what comes before it is not wanted."""
        nowhere = self._handshakes.buffer
        try:
            while self._decrypt(_PIECE, nowhere):
                pass
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError:
            pass
        self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        """Close the loop's transport behind what it has not sent."""
        if self._error is None:
            self._error = error
        if self._state != _OVER:
            self._state = _OVER
            self._resume_raw()
            self._restart_timer(self._handshakes.worker.config.ssl_shutdown_timeout)
            self._raw.close()

    def _cut(self, error: BaseException) -> None:
        """Close now."""
        if self._error is None:
            self._error = error
        self.abort()

    def _left_waiting(self) -> None:
        """The peer does not close, or takes nothing."""
        self._timer = None
        unsent: int = self._raw.get_write_buffer_size()
        if unsent and unsent != self._unsent and not self._ended and self._state == _CLOSING:
            # The time is for its answer; write_timeout is for what it has to take before.
            self._unsent = unsent
            self._restart_timer(self._handshakes.worker.config.ssl_shutdown_timeout)
        elif self._state == _REFUSED:
            self.abort()
        else:
            self._cut(TimeoutError("the TLS connection was not closed in time"))

    def _restart_timer(self, limit: float | None) -> None:
        self._end_timer()
        if limit is not None:
            late = self._late if self._state == _HELLO else self._left_waiting
            self._timer = self._loop.call_later(max(limit, 0.0), late)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What AsyncioTransport asks of a transport

    def write(self, data: Any) -> None:
        """Encrypt bytes and hand them on."""
        if self._state != _OPEN:
            return
        size = len(data)
        if size > _PIECE:
            self.writelines((data,))
        elif size:
            self._encrypt(data)
            self._send(self._take())

    def writelines(self, buffers: Sequence[Any]) -> None:
        """Encrypt pieces, small ones joined so that they share records."""
        if self._state != _OPEN:
            return
        encrypt, take = self._encrypt, self._take
        records: list[bytes] = []
        part: list[Any] = []
        size = 0
        for piece in buffers:
            length = len(piece)
            if part and size + length > _PIECE:
                encrypt(part[0] if len(part) == 1 else b"".join(part))
                records.append(take())
                part = []
                size = 0
            if length > _PIECE:
                view = memoryview(piece)
                for at in range(0, length, _PIECE):
                    encrypt(view[at : at + _PIECE])
                    records.append(take())
            elif length:
                part.append(piece)
                size += length
        if part:
            encrypt(part[0] if len(part) == 1 else b"".join(part))
            records.append(take())
        self._raw.writelines(records)

    def pause_reading(self) -> None:
        """Give nothing more to the connection.

        The socket is read until something comes: mostly reading is wanted again before.
        """
        self._paused = True

    def resume_reading(self) -> None:
        """Go on."""
        self._paused = False
        if self._raw_paused or self._more or self._ended:
            self._schedule()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._state > _OPEN or bool(self._raw.is_closing())

    def close(self) -> None:
        """Say so to the peer, and wait for its close_notify."""
        if self._state != _OPEN:
            return
        self._state = _CLOSING
        self._more = False
        if self._close_notify() or self._ended:
            self._finish(None)
            return
        self._restart_timer(self._handshakes.worker.config.ssl_shutdown_timeout)
        self._resume_raw()
        self._discard()

    def abort(self) -> None:
        """Close now."""
        self._state = _OVER
        self._raw.abort()

    def get_write_buffer_size(self) -> int:
        """Bytes not yet given to the operating system."""
        return int(self._raw.get_write_buffer_size())

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """High and low water."""
        self._raw.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._object if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def can_write_eof(self) -> bool:
        """TLS has no half-close."""
        return False
