"""One WSGI request between its thread and its task on the event loop.

The thread appends output and goes on until too much of it waits; the task sends what has
come together in one message. Whoever has nothing to do sleeps and is woken by the other,
so a small response costs one way into a thread and one back.
"""

from __future__ import annotations

import errno
import threading
from dataclasses import dataclass
from typing import BinaryIO

import anyio

from tricorn.asgi.exchange import has_left
from tricorn.asgi.host import Waiter
from tricorn.asgi.threads import LoopCalls
from tricorn.counters import CURRENT
from tricorn.exceptions import ClientDisconnected, InvalidMessage
from tricorn.types import Message, Receive, Send

# Bytes of output that may wait for the task before the thread waits.
HIGH_WATER = 65536


class BodyTooLarge(OSError):
    """The request body is above ``wsgi_max_body_size``."""

    def __init__(self, limit: int) -> None:
        super().__init__(errno.EFBIG, f"the request body is above {limit} bytes")


@dataclass(frozen=True, slots=True)
class FilePiece:
    """``count`` bytes of a file from ``offset`` on, for ``http.response.zerocopysend``."""

    file: BinaryIO
    offset: int
    count: int

    def __len__(self) -> int:
        return self.count


async def refuse_body(send: Send) -> None:
    """Answer 413 (RFC 9110 section 15.5.14)."""
    _count("wsgi_max_body_size")
    fields = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 413, "headers": fields})
    await send({"type": "http.response.body", "body": b"Content Too Large"})


def _count(limit: str) -> None:
    counters = CURRENT.get(None)
    if counters is not None:  # below another server there are none
        counters.limit(limit)


class Exchange:
    """What thread and task of a request share, under one lock."""

    #: Seconds that the thread waits for input behind the beginning of its response.
    read_timeout: float | None = None

    # What most requests never change.
    _stopped: BaseException | None = None  # nothing more is sent
    _waiter: Waiter | None = None  # where the task sleeps
    _input_error: OSError | None = None
    _room: threading.Lock | None = None  # where the thread sleeps for output to go
    _input: threading.Lock | None = None  # and for input to come
    _wanted = False  # the thread waits for input
    _postponed = False  # there was no free thread for it
    _started = False  # the response start is sent
    _error: BaseException | None = None
    _head: Message | None = None
    _whole = False  # how long the response is was known with its head
    _queued = 0  # bytes of output that wait
    _ended = False  # the response is whole
    _end_sent = False
    _done = False  # the thread is done with the request

    def __init__(
        self, calls: LoopCalls, receive: Receive, limit: int | None, body: bytes, more: bool
    ) -> None:
        """An exchange whose request body of at most ``limit`` bytes begins with ``body``."""
        self._calls = calls
        self._receive = receive
        self._limit = limit
        self._received = len(body)
        self._more = more
        self._piece = body
        self._lock = threading.Lock()
        self._chunks: list[bytes | FilePiece] = []

    # In the thread

    @property
    def stopped(self) -> bool:
        """Whether what the application makes goes nowhere."""
        return self._stopped is not None

    def check_peer(self) -> None:
        """Whether a request that has waited for its thread is still to be run.

        One whose thread was free is: a peer that only has nothing more to say wants its answer.

        :raises ClientDisconnected: if its peer has left meanwhile.
        """
        if self._postponed and has_left(self._receive):
            raise ClientDisconnected("the client has disconnected")

    def begin_input(self) -> tuple[bytes, bool]:
        """The beginning of the request body, once, and whether it goes on."""
        piece, self._piece = self._piece, b""
        return piece, self._more

    def put(
        self,
        data: bytes | FilePiece,
        head: Message | None,
        *,
        last: bool,
        sized: bool = False,
        wake: bool = True,
    ) -> None:
        """Hand on output; waits while the peer does not keep up, and until a file is sent.

        :param head: the response start, with the first output.
        :param last: the response is whole with it.
        :param sized: the head tells the length.
        :param wake: False where ``finish`` follows at once.
        :raises ClientDisconnected: once nothing more can be sent.
        """
        parked = None
        with self._lock:
            self._check()
            if self._ended:
                raise InvalidMessage("the response has ended")
            if head is not None:
                self._head = head
                self._whole = last or sized
            if data:
                self._chunks.append(data)
                self._queued += len(data)
            self._ended = last
            if wake:
                waiter, self._waiter = self._waiter, None
                if self._queued > HIGH_WATER or isinstance(data, FilePiece):
                    parked = self._room = _closed_lock()
        if wake and waiter is not None:
            self._calls.post(waiter.set)
        if parked is not None:
            parked.acquire()
            self._check()

    def fetch(self) -> bytes:
        """The next bytes of the request body, b"" at its end.

        :raises OSError: if there will be no end.
        """
        while True:
            with self._lock:
                self._check_input()
                if not self._more:
                    return b""
                self._wanted = True
                waiter, self._waiter = self._waiter, None
                parked = self._input = _closed_lock()
            if waiter is not None:
                self._calls.post(waiter.set)
            parked.acquire()
            piece, self._piece = self._piece, b""
            if piece:
                return piece

    def finish(self, error: BaseException | None) -> None:
        """The thread is done with the request."""
        with self._lock:
            self._done = True
            self._error = error
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            try:
                self._calls.post(waiter.set)
            except RuntimeError:
                pass  # the loop has ended, and its tasks with it

    def _check(self) -> None:
        if self._stopped is not None:
            raise ClientDisconnected("the response has been stopped") from self._stopped

    def _check_input(self) -> None:
        error = self._input_error or self._stopped
        if isinstance(error, BodyTooLarge):
            raise OSError(*error.args) from error
        if error is not None:
            raise ClientDisconnected("the request body has no end") from error

    # In the task

    def postpone(self) -> None:
        """The request has to wait for its thread."""
        self._postponed = True

    async def drive(self, send: Send) -> None:
        """Send what the thread makes and fetch what it reads, until it is done.

        :raises BaseException: what the application or ``send`` raised.
        """
        failure: Exception | None = None
        try:
            while await self._step(send):
                pass
        except Exception as exc:
            failure = exc
        except BaseException as exc:
            # Cancelled; the thread, which cannot be, ends when it next reads or writes.
            self._stop(exc)
            raise
        # Not in the handler: the application's own error is no consequence of ours.
        try:
            if failure is not None:
                self._stop(failure)
                await self._until_done()
                await self._give_up(send, failure)
            elif self._error is not None:
                raise self._error
        finally:
            # They hold this frame; but a thread that goes on must find that it is stopped.
            failure = self._error = None
            if self._done:
                self._end_input()
                self._stopped = None

    async def _step(self, send: Send) -> bool:
        """Do what there is to do, or sleep; False once there is nothing more to come."""
        with self._lock:
            head, self._head = self._head, None
            chunks, self._chunks = self._chunks, []
            room = self._room  # who parks from here on waits for more than is taken
            size, wanted, done = self._queued, self._wanted, self._done
            ended = self._ended and not self._end_sent
            idle = not (head or chunks or ended or wanted or done)
            if idle:
                waiter = self._waiter = self._calls.waiter()
        if idle:
            await waiter.wait()
            return True
        if head or chunks or ended:
            await self._forward(send, head, chunks, ended)
            with self._lock:
                self._queued -= size
                self._end_sent = self._end_sent or ended
                if room is not None:
                    self._room = None
            if room is not None:
                room.release()
        if wanted and not done:
            await self._take_input()
        return not done

    async def _forward(
        self, send: Send, head: Message | None, chunks: list[bytes | FilePiece], ended: bool
    ) -> None:
        if head is not None:
            self._started = True
            await send(head)
        # A file is the last of a response, if there is one.
        piece = chunks.pop() if chunks and isinstance(chunks[-1], FilePiece) else None
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)  # type: ignore[arg-type]
        if data or piece is None:
            more = not ended or piece is not None
            if data and head is not None and not more and not self._whole:
                # Whether the end came in time must not be seen: no Content-Length by chance.
                await send({"type": "http.response.body", "body": data, "more_body": True})
                data = b""
            await send({"type": "http.response.body", "body": data, "more_body": more})
        if isinstance(piece, FilePiece):
            await send(
                {
                    "type": "http.response.zerocopysend",
                    "file": piece.file,
                    "offset": piece.offset,
                    "count": piece.count,
                    "more_body": not ended,
                }
            )

    async def _take_input(self) -> None:
        message = await self._next_message()
        error = None
        if message["type"] == "http.disconnect":
            error = ClientDisconnected(message.get("reason", "the client has disconnected"))
        body = message.get("body", b"")
        self._received += len(body)
        if self._limit is not None and self._received > self._limit:
            raise BodyTooLarge(self._limit)
        with self._lock:
            self._piece, self._more = body, message.get("more_body", False)
            self._input_error = error
            self._wanted = False
            parked, self._input = self._input, None
        if parked is not None:
            parked.release()

    async def _next_message(self) -> Message:
        """From the server, which lets a body stand still once it is being answered: a dialogue
        may be silent. But there are few threads, and one does not wait for ever.
        """
        if self.read_timeout is None or not self._started:
            return await self._receive()
        with anyio.move_on_after(self.read_timeout):
            return await self._receive()
        _count("read_timeout")
        return {"type": "http.disconnect", "reason": "the request body stands still"}

    def _end_input(self) -> None:
        """Give no more input: a thread of the application's own would wait for it for ever."""
        if not self._more:
            return
        with self._lock:
            self._input_error = self._input_error or OSError("the request is over")
            parked, self._input = self._input, None
        if parked is not None:
            parked.release()

    def _stop(self, reason: BaseException) -> None:
        """Take no more output, give no more input."""
        with self._lock:
            self._stopped = reason
            self._chunks.clear()
            parked = (self._room, self._input)
            self._room = self._input = None
        for lock in parked:
            if lock is not None:
                lock.release()

    async def _until_done(self) -> None:
        while True:
            with self._lock:
                if self._done:
                    return
                waiter = self._waiter = self._calls.waiter()
            await waiter.wait()

    async def _give_up(self, send: Send, reason: Exception) -> None:
        """Tell why the response was stopped."""
        try:
            if isinstance(reason, BodyTooLarge):
                if self._started:
                    # Half a response: its stream is cut, and that is the peer's doing.
                    _count("wsgi_max_body_size")
                    raise ClientDisconnected(str(reason)) from reason
                await refuse_body(send)
            elif self._error is None or _from_disconnect(self._error):
                raise reason
            else:
                raise self._error
        finally:
            del reason  # it holds this frame


def _closed_lock() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _from_disconnect(error: BaseException | None) -> bool:
    """Whether an error is a consequence of our own."""
    while error is not None:
        if isinstance(error, ClientDisconnected):
            return True
        error = error.__cause__ or error.__context__
    return False
