"""The part of a connection's driver that begins exchanges, and lets go of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tricorn.asgi.health import Health
from tricorn.asgi.host import UNSTARTED
from tricorn.asgi.hosts import host_of
from tricorn.asgi.http import HTTPStream
from tricorn.asgi.runner import run
from tricorn.asgi.websocket import WebSocketStream
from tricorn.compilation import mypyc_attr
from tricorn.exceptions import RemoteProtocolError
from tricorn.io.housekeeping import Housekeeping
from tricorn.protocol.events import PeerFault, RequestReceived
from tricorn.types import Scope

_MISDIRECTED: Final = 421

_Stream: TypeAlias = HTTPStream | WebSocketStream


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchanges(Housekeeping):
    """Starts the application of each request, and hears when it has ended."""

    __slots__ = ("_begun", "_gathers", "_running", "_streams", "tunnel")

    _begun: list[HTTPStream | WebSocketStream]  # their applications are to run behind the read
    _gathers: bool  # whether they are put there
    _running: int  # applications
    tunnel: Callable[[bytes], bool] | None

    def _let_go(self) -> None:
        raise NotImplementedError

    def _start(self, request: RequestReceived) -> None:
        worker = self.worker
        if worker.health is not None and self._answer_health(worker.health, request):
            return
        worker.requests += 1
        stream: _Stream
        if request.protocol is None:
            stream = HTTPStream(self, request)
        else:
            try:
                stream = WebSocketStream(self, request)
            except RemoteProtocolError as exc:
                self.report(PeerFault(request.stream_id, str(exc), exc.status, exc.limit))
                refusal = HTTPStream(self, request)
                refusal.refuse(exc.status, str(exc).encode("ascii", "replace"), exc.headers)
                self.http.released(request.stream_id)
                return
        stream_id = request.stream_id
        if worker.server_names and not self._serves(stream.scope):
            stream.refuse(_MISDIRECTED, b"Misdirected Request")
            self.http.released(stream_id)
            return
        if worker.gate is not None and not worker.gate.admits(stream):
            self.http.released(stream_id)
            return
        self._streams[stream_id] = stream
        self._running += 1
        stream.task = UNSTARTED
        if self._gathers:
            self._begun.append(stream)
        else:
            self._spawn(stream, False)

    def _spawn(self, stream: _Stream, eager: bool) -> None:
        transport = self.transport
        task = transport.spawn(run(self.worker, stream, transport.cancelled), eager)
        # It has ended where it was eager, by our wish or by a task factory of the program's.
        if stream.task is not None:
            stream.task = task

    def _run_begun(self) -> None:
        """Run the applications of a small read up to where each first waits.

        Behind the read, so that they find what came with their request; and none within
        another, or a read full of requests would fill the stack.
        """
        self._gathers = False
        begun, self._begun = self._begun, []
        for stream in begun:
            self._spawn(stream, True)

    def _answer_health(self, health: Health, request: RequestReceived) -> bool:
        """Answer what the server itself answers: without its limits, and without a log line."""
        answer = health.answer(request)
        if answer is not None:
            HTTPStream(self, request).answer(*answer)
            self.http.released(request.stream_id)
        return answer is not None

    def released(self, stream_id: int) -> None:
        """The application of an exchange has ended."""
        self._running -= 1
        stream = self._streams[stream_id]
        stream.task = None
        if self._ending is not None:
            self._ending.released(stream_id)
        if self.worker.gate is not None:
            self.worker.gate.running -= 1
        if stream.complete:
            del self._streams[stream_id]
        self.http.released(stream_id)
        if self._gone and not self._running:
            self._let_go()

    def _serves(self, scope: Scope) -> bool:
        secure = scope["scheme"] in ("https", "wss")
        return self.worker.server_names.match(host_of(scope["headers"]), secure=secure)
