"""WSGI applications (PEP 3333) as ASGI ones: a thread pool of their own, streams both ways."""

from __future__ import annotations

import contextvars
import functools
import logging
from collections.abc import Callable
from typing import Any

from tricorn.asgi.threads import LoopCalls, ThreadPool
from tricorn.asgi.wsgi_environ import ErrorStream, build_environ
from tricorn.asgi.wsgi_exchange import Exchange, refuse_body
from tricorn.asgi.wsgi_input import open_input
from tricorn.asgi.wsgi_response import FileWrapper, Response
from tricorn.exceptions import ClientDisconnected
from tricorn.types import Receive, Scope, Send, WSGIApplication

_log = logging.getLogger("tricorn.error")

COLLECTED = 65536
"""Bytes up to which a request body is taken whole before the application is called."""

_BASE: dict[str, Any] = {
    "wsgi.version": (1, 0),
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.file_wrapper": FileWrapper,
    "wsgi.input_terminated": True,
}


class WSGIAdapter:
    """An ASGI 3 application that runs a WSGI one.

    :param threads: the most requests that run at a time.
    :param max_body_size: bytes of a request body above which the answer is 413.
    :param read_timeout: seconds that a thread waits for the next piece of a request body behind
        the beginning of its response; before that it is the server's to end the request.
    :param multiprocess: whether other processes run the application too.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        threads: int = 40,
        max_body_size: int | None = None,
        read_timeout: float | None = None,
        multiprocess: bool = False,
    ) -> None:
        self.app = app
        self._max_body_size = max_body_size
        self._read_timeout = read_timeout
        self._base = _BASE | {"wsgi.multiprocess": multiprocess}
        self._pool = ThreadPool(threads, "tricorn-wsgi")
        self._calls: LoopCalls | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close"})  # before accept: 403
        else:
            raise ValueError(f"a WSGI application cannot serve scope type {kind!r}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._max_body_size
        length = _declared_length(scope)
        if limit is not None and length is not None and length > limit:
            await refuse_body(send)
            return
        # A peer that is slow to send must not hold a thread.
        body, more = await _begin_body(receive, length, limit)
        if limit is not None and len(body) > limit:
            await refuse_body(send)
            return
        calls = self._calls = LoopCalls.current(self._calls)
        exchange = Exchange(calls, receive, limit, body, more)
        exchange.read_timeout = self._read_timeout
        run = contextvars.copy_context().run
        self._pool.submit(functools.partial(run, self._run, exchange, scope), exchange.postpone)
        await exchange.drive(send)

    def _run(self, exchange: Exchange, scope: Scope) -> Callable[[], None]:
        """Call the application, in a thread; returns what tells the request's task."""
        return functools.partial(exchange.finish, self._outcome(exchange, scope))

    def _outcome(self, exchange: Exchange, scope: Scope) -> BaseException | None:
        """Call the application; what it raised, which holds this frame: it is in no other name."""
        try:
            if not exchange.stopped:
                exchange.check_peer()
                self._respond(exchange, scope)
        except BaseException as exc:
            return exc
        return None

    def _respond(self, exchange: Exchange, scope: Scope) -> None:
        environ = build_environ(scope, self._base)
        body, more = exchange.begin_input()
        if body and not more and len(body) <= COLLECTED:
            # Django, Bottle and others take a body without a length for none at all.
            environ.setdefault("CONTENT_LENGTH", str(len(body)))
        environ["wsgi.input"] = open_input(body, more, exchange.fetch)
        errors = environ["wsgi.errors"] = ErrorStream()
        send_files = "http.response.zerocopysend" in (scope.get("extensions") or ())
        response = Response(exchange, scope["method"], send_files=send_files)
        try:
            result = self.app(environ, response.start)
            close = getattr(result, "close", None)
            try:
                response.run(result, wake=close is not None)
            except BaseException:
                if close is not None:
                    _close_after_failure(close)
                raise
            if close is not None:
                close()
        finally:
            errors.flush()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._pool.running:
            _log.warning(
                "%d WSGI requests are still running; they end with the process",
                self._pool.running,
            )
        self._pool.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _close_after_failure(close: Callable[[], object]) -> None:
    """Call ``close``; its own failure must not take the place of the first one."""
    try:
        close()
    except Exception:
        _log.exception("close() of a WSGI response failed")


def _declared_length(scope: Scope) -> int | None:
    """The request's Content-Length."""
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return None


async def _begin_body(
    receive: Receive, length: int | None, limit: int | None
) -> tuple[bytes, bool]:
    """The beginning of a request body, and whether it goes on.

    A body of up to ``COLLECTED`` bytes is taken whole. One that is known to be larger is
    waited for only until there is something of it.

    :raises ClientDisconnected: if the peer leaves meanwhile.
    """
    most = COLLECTED if length is None or length <= COLLECTED else 0
    if limit is not None:
        most = min(most, limit)
    body, more = b"", True
    pieces: list[bytes] = []
    size = 0
    while more and size <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client has disconnected")
        body, more = message.get("body", b""), message.get("more_body", False)
        size += len(body)
        pieces.append(body)
    return (body if len(body) == size else b"".join(pieces)), more
