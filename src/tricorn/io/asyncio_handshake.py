"""The TLS handshakes of asyncio and uvloop: who may begin one, when, and how long it may take.

``Handshake`` is the protocol of the loop's transport until both sides agree; ``AsyncioTLS`` goes
on from there. A connection goes through these states, in this order, and may end in any:

- HELLO: the first record is collected; there is no TLS session yet.
- QUEUED: the record is there, and it is not its turn (``Handshakes``).
- HANDSHAKE: until both sides agree, or an alert has gone out and the peer has made its next move.
- OPEN: the connection above TLS is there.
- CLOSING: close_notify is sent, and the peer's is waited for (RFC 8446 section 6.1).
- REFUSED: cleartext HTTP was answered, and its sender gets to read that.
- OVER: closed here; the loop's transport has bytes to send, or is about to tell.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from tricorn.asgi.host import Worker
from tricorn.io import pacing
from tricorn.io.asyncio_transport import PushProtocol
from tricorn.io.cleartext import ANSWER, MOST_DISCARDED, REASON
from tricorn.io.in_flight import in_flight
from tricorn.io.tls import close_limit
from tricorn.protocol.client_hello import is_cleartext_http, wanted

if TYPE_CHECKING:
    from tricorn.io.admission import Silent
    from tricorn.io.tls import TLSContext

HELLO: Final = 0
QUEUED: Final = 1
HANDSHAKE: Final = 2
OPEN: Final = 3
CLOSING: Final = 4
REFUSED: Final = 5
OVER: Final = 6

# Bytes of one read from the socket.
_LARGEST_READ: Final = 131072
# Seconds in which the loop reads what is there; uvloop, told none, would not read before.
_LAST_LOOK: Final = 0.001


class Handshakes:
    """The connections of one event loop whose TLS handshake is not done yet, and what all share.

    :param context: of the configuration; what it holds for new connections may change.
    :param silent: has those in it whose first record is not there.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        worker: Worker,
        context: TLSContext,
        silent: set[Silent],
    ) -> None:
        self.loop = loop
        self.worker = worker
        self.context = context
        self.silent = silent
        # As with cleartext, what is read is taken from here at once.
        self.buffer = memoryview(bytearray(_LARGEST_READ))
        # libuv reads from a socket again, up to 32 times, as long as the buffer gets full.
        self.rests = not isinstance(loop, asyncio.BaseEventLoop)
        self.cancelled = False
        self._open: set[Handshake] = set()
        self._queue: deque[Handshake] = deque()
        self._begun = 0  # in this turn of the loop
        self._settled: asyncio.Future[None] | None = None

    def add(self, connection: Handshake) -> None:
        """A connection begins."""
        self._open.add(connection)
        self.silent.add(connection)

    def done(self, connection: Handshake) -> None:
        """Its handshake is done, or it is gone; a second time does nothing."""
        self._open.discard(connection)
        self.silent.discard(connection)
        if not self._open and self._settled is not None:
            self._settled.set_result(None)
            self._settled = None

    async def settle(self) -> None:
        """Wait for the handshakes under way."""
        while self._open:
            if self._settled is None:
                self._settled = self.loop.create_future()
            await asyncio.wait([self._settled])

    def cancel(self) -> None:
        """End the handshakes under way, and all to come."""
        self.cancelled = True
        for connection in list(self._open):
            connection.abort()

    def queue(self, connection: Handshake) -> None:
        """Begin its handshake, in this turn of the loop or in one of the next."""
        if self._begun < pacing.HANDSHAKES and not self._queue:
            self._begin(connection)
        else:
            self._queue.append(connection)

    def _begin(self, connection: Handshake) -> None:
        if not self._begun:
            self.loop.call_soon(self._turn)
        self._begun += 1
        connection.begin()

    def _turn(self) -> None:
        self._begun = 0
        while self._queue and self._begun < pacing.HANDSHAKES:
            self._begin(self._queue.popleft())


class Handshake:
    """One connection that is to speak TLS.

    :param failed: told why it did not come to that, None where there is nothing to tell, when
        the connection is gone.
    :param client: the peer, for the log.
    """

    def __init__(
        self,
        handshakes: Handshakes,
        failed: Callable[[BaseException | None], object],
        client: tuple[str, int] | None,
    ) -> None:
        self._handshakes = handshakes
        self._loop = handshakes.loop
        self._failed: Any = failed
        self._client = client
        self._state = HELLO
        self._raw: Any = None
        self._raw_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._since: float | None = None  # when a tick has first seen it say nothing
        self._view = handshakes.buffer[: pacing.FIRST_READ]  # of the next read
        self._first = bytearray()
        self._discarded = 0
        self._behind = False  # what was written is not with the peer yet
        self._untaken = 0  # bytes of it, when that was looked at last
        self._incoming = handshakes.context.incoming
        self._outgoing = handshakes.context.outgoing
        self._rest = b""  # of what has come, not decrypted yet
        self._object: Any = None
        # Looked up once: bound methods.
        self._put: Any = self._incoming.write
        self._take: Any = self._outgoing.read
        self._send: Any = None
        self._error: BaseException | None = None  # what ends it

    @property
    def protocol(self) -> asyncio.BaseProtocol:
        """What the event loop knows this connection by."""
        if isinstance(self._loop, asyncio.BaseEventLoop):
            return PushProtocol(self, self._loop)
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
        self._start_timer()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes from the peer."""
        state = self._state
        view = self._view
        if state == HANDSHAKE:
            self._put(view[:nbytes])
            self._shake()
        elif state == HELLO:
            self._first += view[:nbytes]
            if not wanted(self._first):
                self._begins()
        elif state == QUEUED:
            self._first += view[:nbytes]
            self._pause_raw()
        elif state == REFUSED:
            self._discarded += nbytes
            if self._discarded > MOST_DISCARDED:
                self._finish(None)

    def eof_received(self) -> bool:
        """The peer shut down its side; True: this closes, and not the loop."""
        state = self._state
        if state in (CLOSING, REFUSED):
            self._finish(None)
        elif state != OVER:
            self._finish(ConnectionResetError("closed before its TLS handshake was done"))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._state = OVER
        self._end_timer()
        self._handshakes.done(self)
        failed, self._failed = self._failed, None
        self._send = self._put = self._take = None
        self._rest = b""
        error = self._lost_by(exc)
        if failed is not None:
            failed(error)

    def _lost_by(self, exc: Exception | None) -> BaseException | None:
        """What ended the connection, once: its traceback has us, and waits for the collector."""
        error, self._error = self._error, None
        return exc if error is None else error

    # The handshake

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic)."""
        if self._since is None:
            self._since = now

    def idle_since(self) -> float | None:
        """Since when it says nothing (seconds, as of the last tick), None once it has."""
        return None if self._first or self._state != HELLO else self._since

    def evict(self) -> None:
        """Close it in favour of another one."""
        self._cut(ConnectionAbortedError("it makes room"))

    def hurry(self) -> None:
        """The server stops: there is little time left to say something."""
        if self._state != HELLO:
            return
        limit = self._handshakes.worker.config.drain_idle_timeout
        if self._timer is not None:
            limit = min(limit, self._timer.when() - self._loop.time())
        self._restart_timer(limit)

    def _start_timer(self) -> None:
        worker = self._handshakes.worker
        config = worker.config
        limit = config.drain_idle_timeout if worker.draining else config.ssl_handshake_timeout
        if limit is not None:
            self._timer = self._loop.call_later(limit, self._late)

    def _late(self) -> None:
        """The time for the handshake is up, unless what has come in time is to be read yet.

        The loop may have stood still, and uvloop looks at its timers before it reads.
        """
        self._timer = self._loop.call_later(_LAST_LOOK, self._too_late)

    def _too_late(self) -> None:
        self._timer = None
        if self._state == QUEUED:
            self._start_timer()  # its hello is here, and who is waited for are we
            return
        error: Exception = TimeoutError("the TLS handshake was not done in time")
        if self._state == HELLO and self._handshakes.worker.draining:
            error = ConnectionAbortedError("the server stops")
        self._cut(error)

    def _begins(self) -> None:
        """The first record is there, or what is none."""
        self._handshakes.silent.discard(self)
        if is_cleartext_http(self._first):
            self._refuse()
            return
        self._state = QUEUED
        self._handshakes.queue(self)

    def _refuse(self) -> None:
        """Answer cleartext HTTP, and wait until the peer has closed too (RFC 9112 section 9.6)."""
        self._state = REFUSED
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

    def begin(self) -> None:
        """It is its turn."""
        if self._state != QUEUED or self._raw.is_closing():
            return
        self._state = HANDSHAKE
        self._object = self._handshakes.context.connection()
        self._put(self._first)
        self._first = bytearray()
        self._resume_raw()
        self._shake()

    def _shake(self) -> None:
        """The next step of the handshake."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._clear()
            return
        except Exception as exc:
            self._clear()
            self._finish(exc)
            return
        self._clear()
        try:
            self._established()
        except Exception:
            worker = self._handshakes.worker
            worker.log.exception("internal error; closed the connection from %s", self._client)
            self.abort()

    def _established(self) -> None:
        """Both sides agree."""
        raise NotImplementedError

    # The loop's transport

    def _pause_raw(self) -> None:
        if not self._raw_paused and not self._raw.is_closing():
            self._raw_paused = True
            self._raw.pause_reading()

    def _resume_raw(self) -> None:
        if self._raw_paused and not self._raw.is_closing():
            self._raw_paused = False
            self._raw.resume_reading()

    def _clear(self) -> None:
        """Leave OpenSSL's buffers empty: hand over what TLS has to say, and keep what has come."""
        if self._incoming.pending:
            self._rest = self._incoming.read()
        if self._outgoing.pending:
            said = self._outgoing.read()
            if self._send is not None and not self._raw.is_closing():
                self._send(said)

    # The end

    def _finish(self, error: BaseException | None) -> None:
        """Close the loop's transport behind what it has not sent."""
        if self._error is None:
            self._error = error
        if self._state != OVER:
            self._state = OVER
            config = self._handshakes.worker.config
            self._untaken = self._left()
            # No connection is above it any more whose ticks would look after write_timeout.
            self._restart_timer(close_limit(config))
            self._raw.close()

    def _cut(self, error: BaseException) -> None:
        """Close now."""
        if self._error is None:
            self._error = error
        self.abort()

    def _left_waiting(self) -> None:
        """The peer does not close, or takes nothing."""
        self._timer = None
        if self._state == CLOSING and self._is_behind():
            # The time is for its answer; write_timeout is for what it has to take before.
            self._restart_timer(self._handshakes.worker.config.ssl_shutdown_timeout)
        elif self._state == REFUSED:
            self.abort()
        elif self._state == OVER and self._takes():
            self._restart_timer(close_limit(self._handshakes.worker.config))
        else:
            self._cut(TimeoutError("the TLS connection was not closed in time"))

    def _is_behind(self) -> bool:
        """Whether the peer has something to take, or had when this was asked last."""
        before = self._behind
        self._behind = self._left() > 0
        return before or self._behind

    def _takes(self) -> bool:
        """Whether the peer has taken anything since this was asked last."""
        before = self._untaken
        self._untaken = self._left()
        return self._untaken != before

    def _left(self) -> int:
        """Bytes written that the peer has not taken."""
        raw = self._raw
        size: int = raw.get_write_buffer_size()
        return size + in_flight(raw.get_extra_info("socket"))

    def _restart_timer(self, limit: float | None) -> None:
        self._end_timer()
        if limit is not None:
            late = self._late if self._state == HELLO else self._left_waiting
            self._timer = self._loop.call_later(max(limit, 0.0), late)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Close now."""
        self._state = OVER
        self._raw.abort()
