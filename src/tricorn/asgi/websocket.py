"""One WebSocket, from the opening handshake to its end: ASGI to its wire (ASGI WebSocket 2.5)."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from tricorn.asgi import messages
from tricorn.asgi.host import WebSocketHost, until_taken
from tricorn.asgi.request_limits import NO_HANDSHAKE
from tricorn.asgi.scope import websocket_scope
from tricorn.asgi.websocket_options import compression, limits
from tricorn.asgi.websocket_wire import WebSocketWire
from tricorn.codecs import choice
from tricorn.counters import WEBSOCKETS
from tricorn.exceptions import ClientDisconnected, InvalidMessage, LocalProtocolError
from tricorn.protocol.events import RequestReceived
from tricorn.protocol.http2_errors import INTERNAL_ERROR
from tricorn.protocol.websocket import ABNORMAL_CLOSURE
from tricorn.protocol.websocket_handshake import WebSocketHandshake
from tricorn.types import Headers, Message

_SERVICE_RESTART: Final = 1012


class _State(enum.Enum):
    """Where the application stands."""

    CONNECTING = "before websocket.accept"
    DENYING = "in the denial response"
    OPEN = "open"
    CLOSED = "closed"

    __hash__ = object.__hash__  # Enum's is in Python


# Looking at an enum's member through its class is dear in CPython 3.11.
_OPEN: Final = _State.OPEN


class WebSocketStream(WebSocketWire):
    """Runs one WebSocket between an HTTP connection and an application."""

    def __init__(self, host: WebSocketHost, request: RequestReceived) -> None:
        """Check the opening handshake.

        :raises RemoteProtocolError: with the status and fields of the refusal.
        """
        version: Literal["1.1", "2"] = "2" if request.http_version == "2" else "1.1"
        self._handshake = WebSocketHandshake.from_request(version, request.method, request.headers)
        super().__init__(host, request)
        self.scope = websocket_scope(host, request, self._handshake.subprotocols)
        identity = host.worker.identity
        self._identity = identity.apply(self.scope) if identity is not None else []
        self._state = _State.CONNECTING
        self._sent_headers: Headers = []
        self._denial_discard = False
        self._connecting_since: float | None = None
        self._answered = False  # the head of a response that is no acceptance is out
        self._given_up = False  # by who sent, the wait for room

    def __repr__(self) -> str:
        return f"<WebSocketStream {self.stream_id} {self._state.value}>"

    @property
    def response_headers(self) -> Headers:
        """The response fields, for the access log."""
        return self._sent_headers

    @property
    def abandoned(self) -> bool:
        """Whether the peer has ended it, or was cut off, before the application closed."""
        over = self._lost or self._wire_ended or self._disconnect is not None
        return over and self._state is not _State.CLOSED

    @property
    def is_open(self) -> bool:
        """Whether it was accepted and has not ended on the wire."""
        return self._connection is not None and not self.complete

    @property
    def owes_response(self) -> bool:
        """Whether the application returned without an answer to the handshake."""
        return self._connection is None and not self.complete and not self.abandoned

    @property
    def cut_short(self) -> bool:
        """Whether the peer or the server, for a restart, has begun its end."""
        if self.abandoned:
            return True
        connection = self._connection
        return self._state is _State.OPEN and connection is not None and connection.close_sent

    # From the connection

    def shutdown(self) -> None:
        """The server is draining: close with 1012 (IANA: service restart)."""
        if self._connection is not None and self._state is _State.OPEN:
            self._begin_close(_SERVICE_RESTART, "server is restarting")

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic): pings, pong and close deadlines."""
        connection = self._connection
        if connection is not None:
            self._keep_time(connection, now)
            return
        if self._answered:
            return
        limit = self.host.worker.config.websocket_handshake_timeout
        if self._connecting_since is None:
            self._connecting_since = now
            return
        overdue = limit is not None and now - self._connecting_since >= limit
        if overdue and not self._lost:
            self.host.report(NO_HANDSHAKE.fault(self.stream_id))
            self.refuse(NO_HANDSHAKE.status, NO_HANDSHAKE.text)
            self.host.end_application(self.stream_id)

    # The application's callables

    async def send(self, message: Message) -> None:
        """Take a message of the application.

        :raises InvalidMessage: if the state does not allow it or it is malformed.
        :raises ClientDisconnected: once the WebSocket is closed (ASGI WebSocket 2.4); not by the
            message that closes or denies it, if the peer was there when that came.
        """
        if self._given_up and isinstance(message, dict) and message.get("type") == "websocket.send":
            await self._wait_for_room()
        opened = self._state is _OPEN and self._disconnect is None and not self._lost
        if opened and isinstance(message, dict) and message.get("type") == "websocket.send":
            # Nearly all there are.
            flushed = self._send_message(message)
            if flushed is not None:
                try:
                    await flushed
                except BaseException:
                    self._given_up = True
                    raise
            return
        try:
            taken = messages.as_dict(message)
        except (TypeError, ValueError):
            raise messages.refuse(self._state.value, message, _TABLE[self._state]) from None
        if taken is not message:
            await self.send(taken)
            return
        kind = taken.get("type")
        kind = kind if isinstance(kind, str) else ""
        handler = _TABLE[self._state].get(kind)
        if handler is None:
            if self._state is _State.CLOSED and kind in _KNOWN:
                await self._too_late("the WebSocket is closed")
            raise messages.refuse(self._state.value, message, _TABLE[self._state])
        if self._lost or self._disconnect is not None:
            await self._too_late("the client has disconnected")
        flushed = handler(self, taken) or self.host.flush(self.stream_id)
        if flushed is not None:
            await until_taken(flushed, self._state is _State.CLOSED)

    async def _wait_for_room(self) -> None:
        """Wait before anything is queued: one who gives up each wait would fill the memory."""
        flushed = self.host.flush(self.stream_id)
        if flushed is not None:
            await flushed
        self._given_up = False

    async def _too_late(self, reason: str) -> None:
        """Raise; one who sends again and again leaves the others their turn."""
        await self.host.after_listeners()
        raise ClientDisconnected(reason)

    # One method for each message

    def _accept(self, message: dict[str, Any]) -> None:
        headers = messages.get_headers(message)
        config = self.host.worker.config
        try:
            status, response, connection = self._handshake.accept(
                message.get("subprotocol"),
                headers,
                compression(config),
                limits(config),
                choice.websocket(config.websocket_codec),
            )
        except LocalProtocolError as exc:
            raise InvalidMessage(f"websocket.accept: {exc}") from None
        response += self._added(response)
        self.status = status
        self._sent_headers = response
        self._connection = connection
        self._state = _State.OPEN
        worker = self.host.worker
        worker.counters.add(WEBSOCKETS[self.http_version])
        self._http.upgrade(self.stream_id, status, response)
        self._pump()
        if self._http.http_version == "1.1":
            self._driver.open_tunnel(self._take_bytes)
        if self.host.worker.draining:
            self.shutdown()

    def _added(self, headers: Headers) -> Headers:
        """The fields the server adds to these."""
        given = {name for name, _ in headers}
        identity = [field for field in self._identity if field[0] not in given]
        return self.host.worker.missing_defaults(headers) + identity

    def _send_message(self, message: dict[str, Any]) -> Awaitable[None] | None:
        text, data = message.get("text"), message.get("bytes")
        connection = self._connection
        assert connection is not None
        if (text is None) == (data is None):
            raise InvalidMessage("websocket.send: exactly one of 'text' and 'bytes' must be given")
        try:
            if text is None:
                connection.send_bytes(messages.get_bytes(message, "bytes"))
            elif isinstance(text, str):
                connection.send_text(text)
            else:
                raise InvalidMessage("websocket.send: 'text' must be a str")
        except LocalProtocolError as exc:
            if isinstance(exc, InvalidMessage):
                raise
            if connection.state.value != "open":
                # The closing handshake began under the application's hands.
                return self._too_late("the WebSocket is closing")
            raise InvalidMessage(f"websocket.send: {exc}") from None
        wire = connection.data_to_send()
        self.bytes_sent += len(wire)
        # With messages at hand the application has more to say, most likely.
        return self._driver.write(self.stream_id, wire, bool(self._queue))

    def _close(self, message: dict[str, Any]) -> None:
        code = message.get("code", 1000)
        reason = message.get("reason") or ""
        if not isinstance(code, int) or not isinstance(reason, str):
            raise InvalidMessage("websocket.close: 'code' must be an int, 'reason' a str")
        assert self._connection is not None
        try:
            self._connection.send_close(code, reason)
        except LocalProtocolError as exc:
            if self._connection.state.value == "open":
                raise InvalidMessage(f"websocket.close: {exc}") from None
        self._state = _State.CLOSED
        self._pump()

    def _begin_close(self, code: int, reason: str) -> None:
        """Start the closing handshake from our side."""
        assert self._connection is not None
        try:
            self._connection.send_close(code, reason)
        except LocalProtocolError:
            pass  # it has begun already
        self._pump()

    def _reject(self, message: dict[str, Any]) -> None:
        """``websocket.close`` before accept is a 403 (ASGI WebSocket)."""
        self.refuse(403, b"Forbidden")

    def _deny_start(self, message: dict[str, Any]) -> None:
        status = messages.get_status(message)
        if 200 <= status < 300 and self.method == "CONNECT":
            # RFC 8441 section 5: on the wire that is an acceptance.
            raise InvalidMessage(f"{message['type']}: over HTTP/2 {status} is no denial")
        # The framing is decided below, whatever length the application had in mind.
        headers = messages.get_headers(message)
        self.status = status
        self._sent_headers = [header for header in headers if header[0] != b"content-length"]
        self._state = _State.DENYING
        self._denial_discard = self.status in (204, 304)

    def _deny_body(self, message: dict[str, Any]) -> None:
        data = messages.get_bytes(message, "body")
        self._deny(b"" if self._denial_discard else data, messages.get_flag(message, "more_body"))

    def _deny(self, data: bytes, more: bool) -> None:
        assert self.status is not None
        if not self._answered:
            self._answered = True
            headers = self._sent_headers.copy()
            known = any(name == b"content-length" for name, _ in headers)
            if not more and not known and not self._denial_discard:
                headers.append((b"content-length", b"%d" % len(data)))
            headers += self._added(headers)
            self._http.send_headers(self.stream_id, self.status, headers)
        self.bytes_sent += len(data)
        self._http.send_data(self.stream_id, data, not more)
        if not more:
            self._end_without_handshake()

    def _end_without_handshake(self) -> None:
        self._ended = True
        self._state = _State.CLOSED
        self._closed(ABNORMAL_CLOSURE, "")
        self._log()
        self._wake()

    # The application's end

    def finished(self, error: BaseException | None) -> None:
        """The application returned (1000) or raised (1011)."""
        if self.complete:
            return
        if self._connection is None:
            if self._answered:
                self._http.reset(self.stream_id, INTERNAL_ERROR)
                self._end_without_handshake()
            else:
                self.refuse(500, b"Internal Server Error")
        elif self._state is _State.OPEN:
            if error is None:
                self._begin_close(1000, "")
            else:
                self._begin_close(1011, "internal error")
            self._state = _State.CLOSED
        if self._connection is not None:
            self._queue.clear()  # nobody takes it
            self._queued = 0
        self.host.flush()

    def refuse(self, status: int, text: bytes, headers: Headers | None = None) -> None:
        """Answer the handshake with a plain response."""
        self.status = status
        self._sent_headers = [(b"content-type", b"text/plain; charset=utf-8"), *(headers or ())]
        self._state = _State.DENYING
        self._denial_discard = False
        self._deny(text, False)
        self.host.flush()


_Handler = Callable[[WebSocketStream, dict[str, Any]], Awaitable[None] | None]

_TABLE: Final[dict[_State, dict[str, _Handler]]] = {
    _State.CONNECTING: {
        "websocket.accept": WebSocketStream._accept,
        "websocket.close": WebSocketStream._reject,
        "websocket.http.response.start": WebSocketStream._deny_start,
    },
    _State.DENYING: {"websocket.http.response.body": WebSocketStream._deny_body},
    _State.OPEN: {
        "websocket.send": WebSocketStream._send_message,
        "websocket.close": WebSocketStream._close,
    },
    _State.CLOSED: {},
}
_KNOWN: Final = frozenset(kind for table in _TABLE.values() for kind in table)
