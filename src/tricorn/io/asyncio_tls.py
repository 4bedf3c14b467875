"""TLS for asyncio and uvloop, between the loop's transport and an ``AsyncioTransport``.

``AsyncioTLS`` is the protocol of the loop's transport, and the transport of the connection above
it, which is made when the handshake is done.

What is read is decrypted into the buffer of the connection, several records at a time; what is
written is encrypted at once and given to the loop's transport, whose high and low water are those
of the connection.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from tricorn.io import pacing
from tricorn.io.asyncio_handshake import CLOSING, OPEN, Handshake, Handshakes
from tricorn.io.asyncio_transport import AsyncioTransport, write_lines
from tricorn.io.tls import MOST_ANSWERS, TOGETHER, UNTAKEN

# A record is this large at most (RFC 8446 section 5.1).
_PIECE: Final = 16384


class AsyncioTLS(Handshake):
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
        super().__init__(handshakes, failed, client)
        self._opened: Any = opened
        self._upper: AsyncioTransport | None = None
        self._size = pacing.FIRST_READ  # of the upper buffer that the read buffer is for
        # Looked up once: bound methods.
        self._decrypt: Any = None
        self._encrypt: Any = None
        self._paused = False  # as the connection wants it
        self._scheduled = False  # to go on reading
        self._more = False  # something is left to be decrypted
        self._ended = False  # by the peer's close_notify, or what is no TLS: none comes behind it
        self._eof = False  # nothing more comes from the socket; what has come is to be decrypted
        self._fresh = False  # the application may not have seen yet what the connection got last
        self._answers = 0  # bytes that TLS has answered by itself since the peer took anything

    # From the loop's transport

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the peer."""
        state = self._state
        if state != OPEN:
            if state == CLOSING:
                self._put(self._view[:nbytes])
                self._discard()
            else:
                super().buffer_updated(nbytes)
            return
        if self._ended:
            return  # behind close_notify
        view = self._view
        if nbytes == len(view) and self._handshakes.rests:
            # One read in a turn of the loop.
            self._pause_raw()
            self._schedule()
        if self._paused:
            self._rest += bytes(view[:nbytes])
            self._more = True
            self._pause_raw()
        else:
            if self._rest:
                self._put_rest()
            self._put(view[:nbytes])
            self._read()

    def eof_received(self) -> bool:
        """The peer shut down its side; True: this closes, and not the loop."""
        if self._state != OPEN:
            return super().eof_received()
        self._eof = True
        self._schedule()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        upper, self._upper = self._upper, None
        if upper is not None:
            self._failed = None
        error = self._lost_by(exc)
        super().connection_lost(cast("Exception | None", error))
        self._opened = self._decrypt = self._encrypt = None  # they have us
        if upper is not None:
            upper.connection_lost(cast("Exception | None", error))

    def pause_writing(self) -> None:
        """Above high water."""
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """Below low water."""
        self._answers = 0
        if self._upper is not None:
            self._upper.resume_writing()

    def _established(self) -> None:
        """The handshake is done."""
        self._end_timer()
        # Beneath Python's wrapper, where there is one: it has nothing to add.
        inner = getattr(self._object, "_sslobj", None) or self._object
        self._decrypt, self._encrypt = inner.read, inner.write
        upper: AsyncioTransport = self._opened()
        self._upper = upper
        self._state = OPEN
        self._opened = None
        upper.connection_made(cast("asyncio.BaseTransport", self))
        self._handshakes.done(self)
        if self._rest:
            # It came together with the last of the handshake.
            if self._paused:
                self._more = True
            else:
                self._read()

    # Reading

    def _put_rest(self) -> None:
        rest, self._rest = self._rest, b""
        self._put(rest)

    def _read(self) -> None:
        """Give the connection what can be decrypted, as long as it wants any."""
        upper = self._upper
        if upper is None:
            self._clear()
            return
        while True:
            if self._rest:
                self._put_rest()
            buffer = upper.get_buffer(-1)
            size = len(buffer)
            if size != self._size:
                self._size = size
                # Records are larger than what is in them.
                self._view = self._handshakes.buffer[: size + (size >> 4)]
            filled = self._fill(buffer, size)
            if self._more or self._ended or self._outgoing.pending:
                self._clear()  # the answer to a KeyUpdate, an alert
            if filled:
                self._fresh = True
                upper.buffer_updated(filled)
            if self._state != OPEN or self._paused or not self._more:
                break
        if (self._ended or self._eof) and not self._more and self._state == OPEN:
            self._schedule()

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
            self._finish(self._error)

    def _clear(self) -> None:
        """Leave OpenSSL's buffers empty.

        What TLS answers by itself, a KeyUpdate by one of ours, waits beyond high water too: to
        read no more could stop two honest peers. So it has a bound of its own.
        """
        answer = self._outgoing.pending
        super()._clear()
        if not answer or self._state not in (OPEN, CLOSING):
            return
        behind = self._raw.get_write_buffer_size() - answer > 0
        self._answers = self._answers + answer if behind else 0
        if self._answers > MOST_ANSWERS:
            self._handshakes.worker.report(UNTAKEN, self._client)
            self._cut(ConnectionAbortedError(UNTAKEN))

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read on, unless that was forbidden meanwhile."""
        self._scheduled = False
        if self._paused or self._state != OPEN:
            return
        if self._more:
            self._read()
        elif self._ended or self._eof:
            if self._fresh:
                # An application that waits for the last of it takes that before.
                self._fresh = False
                self._schedule()
            else:
                self._end()
        if not self._paused:
            self._resume_raw()

    # The end

    def _discard(self) -> None:
        """Read on until the peer's close_notify; what comes before it is not wanted."""
        ended = self._object.discard()
        self._clear()
        if ended:
            self._finish(None)

    # What AsyncioTransport asks of a transport

    def write(self, data: Any) -> None:
        """Encrypt bytes and hand them on."""
        if self._state != OPEN or self._error is not None:
            self._drop()
            return
        size = len(data)
        if size > _PIECE:
            self.writelines((data,))
        elif size:
            self._send(self._encrypted(data))

    def writelines(self, buffers: Sequence[Any]) -> None:
        """Encrypt pieces, joined so that they share records."""
        if self._state != OPEN or self._error is not None:
            self._drop()
            return
        records: list[bytes] = []
        part: list[Any] = []
        size = 0
        for piece in buffers:
            if part and size + len(piece) > TOGETHER:
                self._encrypt_part(part, records)
                part = []
                size = 0
            part.append(piece)
            size += len(piece)
        self._encrypt_part(part, records)
        write_lines(self._raw, records)

    def _encrypt_part(self, part: list[Any], records: list[bytes]) -> None:
        data = part[0] if len(part) == 1 else b"".join(part)
        if len(data) <= TOGETHER:
            records.append(self._encrypted(data))
            return
        view = memoryview(data)
        starts = range(0, len(view), TOGETHER)
        records.extend(self._encrypted(view[at : at + TOGETHER]) for at in starts)

    def _encrypted(self, data: Any) -> bytes:
        try:
            self._encrypt(data)
        except ssl.SSLError:
            self._take()
            raise
        return cast("bytes", self._take())

    def _drop(self) -> None:
        """Nothing can be encrypted any more."""
        if self._state == OPEN:
            # Behind what is no TLS. Who writes hears of it, though it may not have read all that
            # came before.
            self._paused = False
            self._schedule()

    def pause_reading(self) -> None:
        """Give nothing more to the connection.

        The socket is read until something comes: mostly reading is wanted again before.
        """
        self._paused = True

    def resume_reading(self) -> None:
        """Go on."""
        self._paused = False
        if self._raw_paused or self._more or self._ended or self._eof:
            self._schedule()

    def is_closing(self) -> bool:
        """Whether nothing can be written any more."""
        return self._state > OPEN or bool(self._raw.is_closing())

    def close(self) -> None:
        """Say so to the peer, and wait for its close_notify."""
        if self._state != OPEN:
            return
        self._state = CLOSING
        ended = False
        if not self._ended and (self._rest or self._more):
            # Not behind close_notify: OpenSSL, asked for the peer's, takes data in its place for a
            # fault, and reads nothing more.
            if self._rest:
                self._put_rest()
            ended = self._object.discard()
        self._more = False
        ended = self._object.send_close_notify() or ended
        self._clear()
        if ended or self._ended or self._eof:
            self._finish(None)
            return
        self._is_behind()
        self._restart_timer(self._handshakes.worker.config.ssl_shutdown_timeout)
        self._resume_raw()

    def get_write_buffer_size(self) -> int:
        """Bytes not yet given to the operating system.

        Without TLS's own answers, which would pass for a sign that the peer takes anything.
        """
        size: int = self._raw.get_write_buffer_size()
        return max(size - self._answers, 1) if size else 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """High and low water, of twice as much: what waits is encrypted already.

        At once the socket takes more than one piece of a body, and each stop of the application
        costs more than encrypting the next.
        """
        self._raw.set_write_buffer_limits(
            high if high is None else 2 * high, low if low is None else 2 * low
        )

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._object if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def can_write_eof(self) -> bool:
        """TLS has no half-close."""
        return False
