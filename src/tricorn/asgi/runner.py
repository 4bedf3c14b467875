"""Runs the application for one exchange and sees to what it leaves behind."""

from __future__ import annotations

from asyncio import CancelledError, Task
from typing import Final

from anyio import BrokenResourceError

from tricorn.asgi import cancellation
from tricorn.asgi.exchange import BaseStream
from tricorn.asgi.host import Worker
from tricorn.counters import APPLICATION_ERRORS
from tricorn.exceptions import ClientDisconnected

_FILE_HINT: Final = (
    "; if it was to send a file, a middleware has dropped http.response.pathsend: "
    "set file_sending = false"
)
# What Starlette, FastAPI and Litestar raise of a disconnect that `receive` told them.
_DISCONNECTS: Final = frozenset({"ClientDisconnect", "WebSocketDisconnect"})


async def run(worker: Worker, stream: BaseStream, cancelled: type[BaseException]) -> None:
    """Call the application; never raises but for cancellation and Ctrl-C.

    :param cancelled: the cancellation exception of the event loop in use.
    """
    error: BaseException | None = None
    worker.caught_up = worker.requests
    try:
        await worker.app(stream.scope, stream.receive, stream.send)
    except BaseException as exc:
        # SystemExit too: a handler does not end the server.
        error = exc
        if cancellation.interrupted(exc) or _was_cancelled(worker, stream, exc, cancelled):
            raise
    else:
        if stream.owes_response:
            told = describe(stream) + _dropped_file(worker, stream)
            worker.log.error("application returned without a whole response: %s", told)
    finally:
        try:
            if not stream.complete:
                stream.finished(error)
        finally:
            # Its traceback holds this frame: without the cycle, what the application left
            # suspended (a generator of a response) is closed now and not by the collector.
            error = None
            stream.host.released(stream.stream_id)


def _was_cancelled(
    worker: Worker, stream: BaseStream, exc: BaseException, cancelled: type[BaseException]
) -> bool:
    """Whether an exception is the cancellation to be handed on; a failure is logged."""
    failure = cancellation.apart(exc, cancelled)
    if failure is None:
        if cancellation.requested(cancelled):
            if _is_nobodys(worker, stream):
                _failed(worker, stream, exc)
            # Of a group asyncio would say that it is an error of the task.
            return cancelled is not CancelledError or isinstance(exc, cancelled)
        if not stream.abandoned:
            _failed(worker, stream, exc)
    elif not _is_of_disconnect(stream, failure):
        _failed(worker, stream, failure)
    return False


def _is_of_disconnect(stream: BaseStream, failure: BaseException) -> bool:
    """Whether the peer is behind it and no fault of the application's."""
    if _only_disconnects(failure):
        return True
    if not stream.cut_short:
        return False
    return _names_disconnect(failure) or _came_of_disconnect(failure)


def _is_nobodys(worker: Worker, stream: BaseStream) -> bool:
    """Whether the server had no reason to cancel: another task of the application's has done it.

    Elsewhere than in tasks of asyncio's own nothing but a scope around it cancels an application.
    """
    if stream.complete or stream.abandoned or worker.draining:
        return False
    return isinstance(stream.task, Task)


def _failed(worker: Worker, stream: BaseStream, exc: BaseException) -> None:
    worker.counters.add(APPLICATION_ERRORS)
    worker.log.error("application failed: %s", describe(stream), exc_info=exc)


def _dropped_file(worker: Worker, stream: BaseStream) -> str:
    """What the log says, once, of a response that is missing and may have been a file.

    A middleware that drops the message of a file leaves no other trace, and the application is
    right on servers that do not offer to send files.
    """
    if not worker.config.file_sending or stream.is_websocket or stream.method != "GET":
        return ""
    if stream.bytes_sent or _FILE_HINT in worker.warned:
        return ""
    worker.warned.add(_FILE_HINT)
    return _FILE_HINT


def describe(stream: BaseStream) -> str:
    """The request in a few words, for the error log.

    The application may have left anything in its scope, or nothing; this is how its end is told.
    """
    scope, host = stream.scope, stream.host
    client = scope.get("client", host.client)  # not of the connection behind a trusted proxy
    peer = ":".join(map(str, client)) if isinstance(client, tuple | list) else "-"
    method = "WEBSOCKET" if stream.is_websocket else stream.method
    path = ascii(str(scope.get("path", "-")))[1:-1]
    version = scope.get("http_version", host.http.http_version)
    return f"{method} {path} HTTP/{version} from {peer}"


def _came_of_disconnect(exc: BaseException, known: dict[int, bool] | None = None) -> bool:
    """Whether our disconnect error is behind it, as with Starlette's ClientDisconnect.

    What a peer can cause is never a traceback. A group came of it if all of its members did, be it
    the cause of another error, as with Litestar's.

    :param known: what was found of errors by their ids; False for those that are being looked at.
    """
    if known is None:
        known = {}
    chain = []
    found = False
    cause: BaseException | None = exc
    while cause is not None:
        if id(cause) in known:
            found = known[id(cause)]
            break
        known[id(cause)] = False
        chain.append(id(cause))
        if isinstance(cause, ClientDisconnected):
            found = True
            break
        if isinstance(cause, BaseExceptionGroup):
            members = [_came_of_disconnect(inner, known) for inner in cause.exceptions]
            # Who feeds a task that has ended with the disconnect is told that nobody takes it.
            found = any(members) and all(
                came or isinstance(inner, BrokenResourceError)
                for came, inner in zip(members, cause.exceptions, strict=True)
            )
            break
        cause = cause.__cause__ or cause.__context__
    known.update(dict.fromkeys(chain, found))
    return found


def _names_disconnect(exc: BaseException) -> bool:
    """Whether it is a framework's own error for a disconnect, which nobody has caught.

    What an application raises while it handles one is another, and its own failure.
    """
    if isinstance(exc, BaseExceptionGroup):
        return all(_names_disconnect(inner) for inner in exc.exceptions)
    return any(kind.__name__ in _DISCONNECTS for kind in type(exc).__mro__)


def _only_disconnects(exc: BaseException) -> bool:
    """Whether nothing but our own disconnect error comes back (never an error: ASGI 2.4)."""
    if isinstance(exc, BaseExceptionGroup):
        return all(_only_disconnects(inner) for inner in exc.exceptions)
    return isinstance(exc, ClientDisconnected)
