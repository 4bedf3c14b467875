"""``asgiref.testing.ApplicationCommunicator`` over a socket, to a Tricorn in the test's own loop.

Messages for the application become what a client does: a request, its body, a lost connection.
What the client gets becomes messages again. Nobody sees the scope a test makes up; the application
has the one of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from urllib.parse import quote

import anyio
import h11

import tricorn
from compliance.upstream.shims.live import from_disconnect


class _Started(asyncio.Future[list[str]]):
    """Takes the URLs that ``tricorn.serve`` reports."""

    def started(self, value: list[str]) -> None:
        self.set_result(value)


class Communicator:
    """The surface of ``ApplicationCommunicator``; `made` counts its objects."""

    made = 0
    _open: ClassVar[list[Communicator]] = []

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("a client cannot make a connection of an unknown type")
        type(self).made += 1
        self._application, self._scope = application, scope
        self._http = h11.Connection(h11.CLIENT)
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader
        self._server: asyncio.Task[None]
        self._stop = anyio.Event()
        self._done = asyncio.Event()
        self._exception: BaseException | None = None
        self._chunked, self._empty = False, True

    async def _run(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._application(scope, receive, send)
        except Exception as exc:
            if not from_disconnect(exc):
                self._exception = exc
            raise
        finally:
            self._done.set()

    async def _connect(self) -> asyncio.StreamWriter:
        started = _Started()
        self._open.append(self)
        config = tricorn.Config(
            bind=["127.0.0.1:0"],
            lifespan="off",
            graceful_timeout=0.1,
            disconnect_grace=0.0,
            include_date_header=False,
            include_server_header=False,
            errorlog=None,
        )
        status: Any = started
        # A server has none of the variables of a test that runs it.
        self._server = asyncio.create_task(
            tricorn.serve(self._run, config, shutdown_trigger=self._stop, task_status=status),
            context=contextvars.Context(),
        )
        (url,) = await started
        host, _, port = url.rpartition("//")[2].rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self._writer

    def _head(self, length: int | None) -> bytes:
        """The head of the test's request; the length is that of the body, not of the scope."""
        scope = self._scope
        query = scope.get("query_string", b"")
        target = quote(scope["path"]).encode()
        if query:
            target += b"?" + (query.encode() if isinstance(query, str) else query)
        fields = [(name.lower(), value) for name, value in scope["headers"]]
        fields = [field for field in fields if field[0] != b"content-length"]
        if all(name != b"host" for name, _ in fields):
            fields.insert(0, (b"host", b"testserver"))
        if length is not None:
            fields.append((b"content-length", b"%d" % length))
        lines = [b"%b: %b\r\n" % field for field in fields]
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (scope["method"].encode(), target, b"".join(lines))

    async def send_input(self, message: dict[str, Any]) -> None:
        """Do what lets the server give the application this message."""
        self._raise()
        kind, body = message["type"], message.get("body", b"")
        if kind not in ("http.request", "http.disconnect") or message.get("more_body"):
            raise NotImplementedError(f"a client cannot have the server say {kind}")
        writer = self._writer
        if writer is None:
            writer = await self._connect()
            # h11 only reads here: it has to know what request the response is for.
            known = h11.Request(method=self._scope["method"], target="/", headers=[("host", "x")])
            self._http.send(known)
            self._http.send(h11.EndOfMessage())
            # A client that leaves at once leaves before the end of its request.
            length = 1 if kind == "http.disconnect" else len(body) or None
            writer.write(self._head(length) + body)
        if kind == "http.disconnect":
            writer.close()
        else:
            await writer.drain()

    async def receive_output(self, timeout: float = 1) -> dict[str, Any]:
        """The next message of the response; the application's exception; TimeoutError."""
        writer = self._writer
        assert writer is not None
        async with asyncio.timeout(timeout):
            while not writer.is_closing():
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(65536))
                    continue
                message = self._message(event)
                if message is not None:
                    return message
                if event is h11.PAUSED:
                    break
            self._raise()
            # Nothing more comes: the answer of the original to that is to wait.
            await anyio.sleep_forever()
        raise AssertionError("the timeout has ended the block")

    def _message(self, event: Any) -> dict[str, Any] | None:
        if isinstance(event, h11.Response):
            if event.status_code == 500:
                self._raise()
            self._chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            self._empty = True
            # The tests spell field names as Django does; their case says nothing (RFC 9110 5.1).
            headers = [
                (name.title(), value)
                for name, value in event.headers
                if name not in (b"transfer-encoding", b"connection")
            ]
            return {
                "type": "http.response.start",
                "status": event.status_code,
                "headers": headers,
            }
        if isinstance(event, h11.Data):
            self._empty = False
            return {"type": "http.response.body", "body": bytes(event.data)}
        if isinstance(event, h11.EndOfMessage) and (self._empty or self._chunked):
            return {"type": "http.response.body", "body": b""}
        return None

    async def wait(self, timeout: float = 1) -> None:
        """Wait for the application's end, raise what it raised, and stop the server."""
        try:
            async with asyncio.timeout(timeout):
                await self._done.wait()
            self._raise()
        finally:
            await self._end()

    async def _end(self) -> None:
        if self in self._open:
            self._open.remove(self)
            if self._writer is not None:
                self._writer.close()
            self._stop.set()
            with contextlib.suppress(Exception):
                await self._server

    @classmethod
    def ending(cls, test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Any]:
        """The test, with the servers that it leaves open stopped in its event loop."""

        async def whole(*arguments: Any) -> None:
            try:
                await test(*arguments)
            finally:
                for communicator in cls._open.copy():
                    await communicator._end()

        return whole

    def stop(self, exceptions: bool = True) -> None:
        """Ask the server to end."""
        self._stop.set()
        if exceptions:
            self._raise()

    def _raise(self) -> None:
        exception, self._exception = self._exception, None
        if exception is not None:
            raise exception
