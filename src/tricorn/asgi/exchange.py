"""What both kinds of exchange share: waking whoever waits, and the access log line."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from tricorn.asgi.host import Exchange, Host, TaskHandle, Waiter
from tricorn.protocol.events import RequestReceived
from tricorn.types import Headers, Message, Receive, Scope

# Up to this size (bytes) pieces are joined: each takes about 50 bytes besides its own.
_SMALL: Final = 1024


def put(pieces: list[bytes] | deque[bytes], data: bytes) -> None:
    """Put received bytes behind those that wait.

    The bounds on what waits count bytes, and a peer may send them one or two at a time.
    """
    if pieces and len(pieces[-1]) + len(data) <= _SMALL:
        pieces[-1] += data
    else:
        pieces.append(data)


class BaseStream:
    """One exchange of a connection, as the access log and the driver see it."""

    # What most exchanges never change is set here once instead of for each of them.
    status: int | None = None
    bytes_sent = 0
    bytes_received = 0
    duration = 0.0  # seconds
    finished_at = 0.0  # seconds since the epoch
    close_code: int | None = None
    is_websocket = False
    scope: Scope
    body_limit: int | None = None  # bytes of request body above which the answer is 413
    _access_log: Callable[[Exchange], None] | None = None
    _started_at = 0.0
    _lost = False  # the stream is gone; sending is an error

    def __init__(self, host: Host, request: RequestReceived) -> None:
        self.host = host
        # The application's, while it runs; the driver's business.
        self.task: TaskHandle | None = None
        self.stream_id = request.stream_id
        self.method = request.method
        self.http_version = request.http_version
        self._http = host.http
        self._waiters: list[Waiter] = []
        access_log = host.worker.access_log
        if access_log is not None:
            self._access_log = access_log
            self._started_at = time.perf_counter()

    @property
    def response_headers(self) -> Headers:
        """The response fields."""
        raise NotImplementedError

    @property
    def disconnected(self) -> bool:
        """Whether the peer left before the end."""
        raise NotImplementedError

    @property
    def complete(self) -> bool:
        """Whether nothing more will happen on the wire."""
        raise NotImplementedError

    @property
    def abandoned(self) -> bool:
        """Whether the peer left an exchange that has not ended."""
        raise NotImplementedError

    @property
    def owes_response(self) -> bool:
        """Whether the application that has returned was to respond, and has not to the end."""
        return not self.complete and not self.abandoned

    @property
    def cut_short(self) -> bool:
        """Whether its end has begun and is not the application's doing."""
        return self.abandoned

    async def receive(self) -> Message:
        """The next message for the application."""
        raise NotImplementedError

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        raise NotImplementedError

    def finished(self, error: BaseException | None) -> None:
        """The application returned or raised: what it left undone is answered or reset."""
        raise NotImplementedError

    async def _news(self) -> None:
        """Wait until something has happened.

        A wait that is given up leaves nothing behind: the next event may be a long time off, and
        frameworks poll for a disconnect by cancelling ``receive`` again and again.
        """
        waiter = self.host.waiter()
        self._waiters.append(waiter)
        try:
            await waiter.wait()
        except BaseException:
            if waiter in self._waiters:  # else it was set in the same turn
                self._waiters.remove(waiter)
            raise

    def _wake(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.set()

    def _log(self) -> None:
        """Write the access log line, once, at the true end."""
        access_log, self._access_log = self._access_log, None
        if access_log is not None:
            self.duration = time.perf_counter() - self._started_at
            self.finished_at = time.time()
            access_log(self)


def has_left(receive: Receive) -> bool:
    """Whether the peer has left the exchange whose application was given this ``receive``.

    Any thread may ask. False where ``receive`` is not the server's own.
    """
    stream = getattr(receive, "__self__", None)
    return isinstance(stream, BaseStream) and stream.abandoned
