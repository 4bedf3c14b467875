"""Tricorn in a thread of this process, on the event loop a test asks for."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import anyio
import anyio.abc
from anyio.from_thread import BlockingPortal, start_blocking_portal

import tricorn
from tricorn.exceptions import ClientDisconnected
from tricorn.types import ASGIApplication, Message, Scope

#: "asyncio", "uvloop" or "trio": what asyncio tests are served by; trio tests always by trio.
WORKER_CLASS = os.environ.get("UPSTREAM_WORKER_CLASS", "asyncio")
#: "http/1.1" or "h2": what the shim's own clients speak.
PROTOCOL = os.environ.get("UPSTREAM_PROTOCOL", "http/1.1")

#: Names the request to `Witness`, which takes the field out of the scope again.
WITNESS_FIELD = b"x-upstream-request"
# Seconds after which something that a test waits for is taken not to happen.
PATIENCE = 5.0

_portals: dict[str, BlockingPortal] = {}
_stack = contextlib.ExitStack()
atexit.register(_stack.close)


def portal(backend: str) -> BlockingPortal:
    """The event loop thread of a backend ("asyncio", "uvloop", "trio"); lives with the process."""
    if backend not in _portals:
        options = {} if backend == "trio" else {"use_uvloop": backend == "uvloop"}
        name = "trio" if backend == "trio" else "asyncio"
        _portals[backend] = _stack.enter_context(start_blocking_portal(name, options))
    return _portals[backend]


class LiveServer:
    """One running server; `url` and `port` are of its first address."""

    def __init__(self, app: ASGIApplication, backend: str = WORKER_CLASS, **options: Any) -> None:
        options.setdefault("bind", ["127.0.0.1:0"])
        self.app = app
        self.config = tricorn.Config(**options)
        self.backend = backend
        self.urls: list[str] = []
        self._stop: anyio.Event
        self._future: Future[None]

    @property
    def url(self) -> str:
        """``scheme://host:port``."""
        return self.urls[0]

    @property
    def port(self) -> int:
        """The bound TCP port."""
        return int(self.url.rpartition(":")[2])

    def start(self) -> LiveServer:
        """Start and wait until connections are accepted; raises what ``tricorn.serve`` does."""

        async def serve(*, task_status: anyio.abc.TaskStatus[list[str]]) -> None:
            self._stop = anyio.Event()
            await tricorn.serve(
                self.app, self.config, shutdown_trigger=self._stop, task_status=task_status
            )

        self._future, self.urls = portal(self.backend).start_task(serve)
        return self

    def stop(self) -> None:
        """Drain and wait for the end; raises what ``tricorn.serve`` does."""
        if not self._future.done():
            portal(self.backend).call(self._stop.set)
        self._future.result(60)

    def __enter__(self) -> LiveServer:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


class Record:
    """What the application did with one request."""

    def __init__(self) -> None:
        self.started = False
        self.done = threading.Event()
        self.exception: BaseException | None = None
        self.debug: dict[str, Any] | None = None

    def finish(self, patience: float = PATIENCE) -> None:
        """Wait for the application and raise what it raised; at once where it was not called.

        To be called once there is an answer or a lost connection.
        """
        if self.started and self.done.wait(patience) and self.exception is not None:
            exception, self.exception = self.exception, None
            raise exception


class Witness:
    """An application around another that tells a client in this process how each call went."""

    _numbers = itertools.count(1)

    def __init__(self, app: Any, adapt: Callable[[Scope], None] | None = None) -> None:
        self._app = app
        self._adapt = adapt
        self.records: dict[bytes, Record] = {}
        self.lifespan: BaseException | None = None

    def expect(self) -> tuple[bytes, Record]:
        """A new request: the value of its `WITNESS_FIELD`, and its record."""
        number = b"%d" % next(self._numbers)
        record = self.records[number] = Record()
        return number, record

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            try:
                await self._app(scope, receive, send)
            except BaseException as exc:
                self.lifespan = exc
                raise
            return
        number = next((v for k, v in scope["headers"] if k == WITNESS_FIELD), b"")
        scope["headers"] = [(k, v) for k, v in scope["headers"] if k != WITNESS_FIELD]
        record = self.records.pop(number, None) or Record()
        record.started = True
        if self._adapt is not None:
            self._adapt(scope)

        async def watched(message: Message) -> None:
            if message.get("type") == "http.response.debug":
                record.debug = message["info"]
                return
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as exc:
            if not from_disconnect(exc):
                record.exception = exc
            raise
        finally:
            record.done.set()


def from_disconnect(exc: BaseException | None) -> bool:
    """Whether an application failed because its client left: no failure of a live server."""
    while exc is not None and not isinstance(exc, ClientDisconnected):
        exc = exc.__cause__ or exc.__context__
    return exc is not None


@contextlib.contextmanager
def all_stopped(servers: list[LiveServer]) -> Iterator[None]:
    """Stop every server of the list behind the block."""
    try:
        yield
    finally:
        while servers:
            servers.pop().stop()
