"""One HTTP exchange: protocol events to ASGI messages and back (ASGI HTTP 2.5).

``feed`` never waits; ``receive`` and ``send`` are the application's callables. The
response start is held until its first body message, so that head, body and end leave in
one write and an error page is still possible. Which message a state allows is a table.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

from tricorn.asgi import messages
from tricorn.asgi.exchange import BaseStream
from tricorn.asgi.host import Host
from tricorn.asgi.scope import http_scope
from tricorn.exceptions import ClientDisconnected, InvalidMessage
from tricorn.protocol import fields
from tricorn.protocol.events import (
    DataReceived,
    Event,
    PeerHalfClosed,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from tricorn.protocol.http2_errors import INTERNAL_ERROR
from tricorn.types import Headers, Message

# The fields the server adds where the application does not.
_DEFAULTS = frozenset({b"date", b"server", b"alt-svc"})
_ERROR_HEADERS: Headers = [(b"content-type", b"text/plain; charset=utf-8")]


class _State(enum.Enum):
    """Where the response stands."""

    REQUEST = "before http.response.start"
    HELD = "after http.response.start"
    BODY = "in the response body"
    TRAILERS = "before http.response.trailers"
    DONE = "after the response"


# CPython 3.11 needs 60 ns for each look at an enum's member through its class.
_REQUEST, _HELD, _BODY, _TRAILERS, _DONE = _State


class HTTPStream(BaseStream):
    """Runs one exchange between an HTTP connection and an application."""

    _state = _REQUEST
    _told_end = False  # the application has had its last http.request
    _disconnected = False  # the peer has left; writing may still work
    _discard = False  # a body that must not be sent (HEAD, 204, 304)
    _own_defaults = False  # the application gives Date or Server itself
    _remaining: int | None = None  # bytes of the declared Content-Length to come
    _trailers: Headers | None = None
    _request_trailers: Headers = ()  # type: ignore[assignment]
    _headers: Headers = ()  # type: ignore[assignment]

    def __init__(self, host: Host, request: RequestReceived) -> None:
        super().__init__(host, request)
        self.scope = http_scope(host, request)
        self._allowed = _REQUEST_TABLE
        self._body: list[bytes] = []
        self._request_ended = request.end_stream
        self._expects_continue = request.expects_continue

    def __repr__(self) -> str:
        return f"<HTTPStream {self.stream_id} {self.method} {self._state.value}>"

    @property
    def response_headers(self) -> Headers:
        """The application's response fields, for the access log."""
        return self._headers

    @property
    def disconnected(self) -> bool:
        """Whether the peer left before the response was complete."""
        return self._lost and self._state is not _DONE

    @property
    def complete(self) -> bool:
        """Whether nothing more will happen on the wire."""
        return self._lost or self._state is _DONE

    @property
    def abandoned(self) -> bool:
        """Whether the peer left a response that is not complete."""
        return (self._lost or self._disconnected) and self._state is not _DONE

    # From the connection

    def feed(self, event: Event) -> None:
        """Take an event of this stream."""
        kind = type(event)
        if kind is DataReceived:
            data = event.data  # type: ignore[union-attr]
            self.bytes_received += len(data)
            if self._state is _DONE:
                self._http.consumed(self.stream_id, len(data))
                return
            self._expects_continue = False  # the peer did not wait
            self._body.append(data)
        elif kind is StreamEnded:
            self._request_ended = True
        elif kind is TrailersReceived:
            self._request_trailers = event.headers  # type: ignore[union-attr]
        elif kind is StreamReset:
            self._lost = self._disconnected = True
            self._log()
        elif kind is PeerHalfClosed:
            self._disconnected = True
        self._wake()

    def shutdown(self) -> None:
        """The server is draining; an HTTP exchange just goes on to its end."""

    def tick(self, now: float) -> None:
        """An HTTP exchange keeps no timers of its own."""

    # The application's callables

    async def receive(self) -> Message:
        """The next ``http.request`` or ``http.disconnect``."""
        while True:
            if self._lost or self._state is _DONE:
                return {"type": "http.disconnect"}
            if self._body:
                return self._take_body()
            if self._request_ended and not self._told_end:
                self._told_end = True
                return self._request(b"", False)
            if self._disconnected:
                return {"type": "http.disconnect"}
            if self._expects_continue and not self._request_ended:
                # RFC 9110 10.1.1: only now does anybody want the body.
                self._expects_continue = False
                if self._state is _REQUEST or self._state is _HELD:
                    self._http.send_informational(self.stream_id, 100, [])
                    flushed = self.host.flush(self.stream_id)
                    if flushed is not None:
                        await flushed
                        continue  # the body may have come meanwhile
            waiter = self.host.waiter()
            self._waiters.append(waiter)
            await waiter.wait()

    def _take_body(self) -> Message:
        body = self._body
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self._told_end = self._request_ended
        self._http.consumed(self.stream_id, len(data))
        self.host.flush()
        return self._request(data, not self._request_ended)

    def _request(self, body: bytes, more_body: bool) -> Message:
        message: Message = {"type": "http.request", "body": body, "more_body": more_body}
        if self._request_trailers and not more_body:
            # ASGI has no message for request trailers; unknown keys are no error.
            message["trailers"] = self._request_trailers
        return message

    async def send(self, message: Message) -> None:
        """Take a message of the application.

        :raises InvalidMessage: if the state does not allow it or it is malformed.
        :raises ClientDisconnected: once the peer is gone (ASGI HTTP 2.4).
        """
        try:
            handler = self._allowed[message["type"]]
        except (KeyError, TypeError):
            raise messages.refuse(self._state.value, message, self._allowed) from None
        if self._lost and self._state is not _DONE:
            raise ClientDisconnected("the client has disconnected")
        if handler(self, message):
            flushed = self.host.flush(self.stream_id)
            if flushed is not None:
                await flushed

    # One method for each message; True where something is to be written

    def _start(self, message: Message) -> bool:
        self.status = messages.get_status(message)
        headers = messages.get_headers(message)
        length = None
        for name, value in headers:
            if name == b"content-length":
                # 19 digits are more than any file; int() has a limit of its own.
                valid = value.isdigit() and len(value) <= 19
                if not valid or (length is not None and int(value) != length):
                    raise InvalidMessage(f"http.response.start: invalid content-length {value!r}")
                length = int(value)
            elif name in _DEFAULTS:
                self._own_defaults = True
        self._remaining = length
        self._headers = headers
        self._discard = not fields.has_body(self.method, self.status)
        if message.get("trailers", False):
            self._trailers = []
        self._move(_HELD)
        return False

    def _body_message(self, message: Message) -> bool:
        data = messages.get_bytes(message, "body")
        more = bool(message.get("more_body", False))
        if self._discard:
            if data and self.method != "HEAD":
                self.host.worker.warn_once(
                    f"body of {self.status}",
                    "a %d response has no content; the application's is dropped (%s %s)",
                    self.status,
                    self.method,
                    self.scope["path"],
                )
            self._send_body(b"", more, len(data))
            return True
        excess = False
        if self._remaining is not None:
            excess = len(data) > self._remaining
            if excess:
                data, more = data[: self._remaining], False
            self._remaining -= len(data)
        short = not more and self._remaining
        if short:
            # Half a promise is no response: the peer must be able to tell (RFC 9112 8).
            if self._state is _HELD:
                self._send_head(data, complete=False)
            self._abort()
            raise InvalidMessage(f"response is {short} bytes shorter than its content-length")
        self._send_body(data, more, len(data))
        if excess:
            self.host.flush()
            raise InvalidMessage("response is longer than its content-length")
        return True

    def _send_body(self, data: bytes, more: bool, size: int) -> None:
        end = not more and self._trailers is None
        ended = False
        if self._state is _HELD:
            ended = end and not data
            self._send_head(data, complete=end, size=size, end_stream=ended)
        self.bytes_sent += len(data)
        if data or (end and not ended):
            self._http.send_data(self.stream_id, data, end)
        if end:
            self._complete()
        elif not more:
            self._move(_TRAILERS)
        elif self._state is not _BODY:
            self._move(_BODY)

    def _send_head(
        self, data: bytes, *, complete: bool, size: int = 0, end_stream: bool = False
    ) -> None:
        """Write the held head; a body known whole gets its Content-Length."""
        headers = self._headers
        sent = headers.copy()
        if complete and self._remaining is None and (not self._discard or size):
            assert self.status is not None
            if self.status not in fields.NO_BODY_STATUSES:
                sent.append((b"content-length", b"%d" % (size if self._discard else len(data))))
        worker = self.host.worker
        # Few applications give one of these themselves: the rest need no look at the names.
        sent += worker.missing_defaults(headers) if self._own_defaults else worker.default_headers()
        assert self.status is not None
        self._http.send_headers(self.stream_id, self.status, sent, end_stream)

    def _trailers_message(self, message: Message) -> bool:
        headers = messages.get_headers(message)
        forbidden = [name for name, _ in headers if name in fields.FORBIDDEN_TRAILERS]
        if forbidden:
            raise InvalidMessage(f"http.response.trailers: {forbidden[0]!r} may not be a trailer")
        assert self._trailers is not None
        self._trailers += headers
        if message.get("more_trailers", False):
            return False
        if self._trailers and "http.response.trailers" in self.scope["extensions"]:
            self._http.send_trailers(self.stream_id, self._trailers)
        else:
            # RFC 9110 6.5.1: not to a peer that did not say it takes them.
            self._http.send_data(self.stream_id, b"", True)
        self._complete()
        return True

    def _early_hint(self, message: Message) -> bool:
        links = message.get("links", ())
        listed = isinstance(links, Iterable) and not isinstance(links, bytes | str)
        links = list(links) if listed else [None]
        if not all(isinstance(link, bytes) for link in links):
            raise InvalidMessage("http.response.early_hint: 'links' must be a list of bytes")
        if self._state in (_BODY, _TRAILERS) or not links:
            return False  # too late to be a hint
        headers = messages.get_headers(
            {"type": message["type"], "headers": [(b"link", link) for link in links]}
        )
        if "http.response.early_hint" in self.scope["extensions"]:
            self._http.send_informational(self.stream_id, 103, headers)
        return True

    def _push(self, message: Message) -> bool:
        path = message.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            raise InvalidMessage("http.response.push: 'path' must be a str that begins with '/'")
        target = path.encode("utf-8", "replace")
        if not fields.valid_target(target) or not path.isascii() or "#" in path:
            raise InvalidMessage(f"http.response.push: 'path' must be percent-encoded: {path!r}")
        headers = [
            header
            for header in messages.get_headers(message)
            if header[0] not in fields.CONNECTION_SPECIFIC and header[0] != b"host"
        ]
        if self._http.push(self.stream_id, target, headers) is None:
            return False
        self.host.flush()
        return True

    def _ignore(self, message: Message) -> bool:
        return False

    def _move(self, state: _State) -> None:
        self._state = state
        self._allowed = _TABLE[state]

    def _complete(self) -> None:
        self._move(_DONE)
        if self._body:
            self._http.consumed(self.stream_id, sum(map(len, self._body)))
            self._body.clear()
        self._log()
        self._wake()

    def _abort(self) -> None:
        """End a response that cannot be completed, so that the peer can tell."""
        self.host.flush()
        self._http.reset(self.stream_id, INTERNAL_ERROR)
        self._complete()
        self.host.flush()

    # The application's end

    def finished(self, error: BaseException | None) -> None:
        """The application returned or raised: what it left undone is answered or reset."""
        if self._lost or self._state is _DONE:
            return
        if self._state in (_REQUEST, _HELD):
            self.status = None
            self._headers = _ERROR_HEADERS
            self._trailers = None
            self._remaining = None
            self._discard = self.method == "HEAD"
            self.status = 500
            self._move(_HELD)
            self._send_body(b"" if self._discard else b"Internal Server Error", False, 21)
            self.host.flush()
        else:
            self._abort()

    def refuse(self, status: int, text: bytes, headers: Headers | None = None) -> None:
        """Answer without the application."""
        self._headers = [*_ERROR_HEADERS, *(headers or ())]
        self.status = status
        self._discard = self.method == "HEAD"
        self._move(_HELD)
        self._send_body(b"" if self._discard else text, False, len(text))
        self.host.flush()


_Handler = Callable[[HTTPStream, Message], bool]

_TABLE: dict[_State, dict[str, _Handler]] = {
    _REQUEST: {
        "http.response.start": HTTPStream._start,
        "http.response.early_hint": HTTPStream._early_hint,
        "http.response.push": HTTPStream._push,
    },
    _HELD: {
        "http.response.body": HTTPStream._body_message,
        "http.response.early_hint": HTTPStream._early_hint,
        "http.response.push": HTTPStream._push,
    },
    _BODY: {
        "http.response.body": HTTPStream._body_message,
        "http.response.early_hint": HTTPStream._early_hint,
        "http.response.push": HTTPStream._push,
    },
    _TRAILERS: {
        "http.response.trailers": HTTPStream._trailers_message,
        "http.response.push": HTTPStream._push,
    },
    # ASGI HTTP: messages behind the last one are ignored.
    _DONE: dict.fromkeys(
        (
            "http.response.start",
            "http.response.body",
            "http.response.trailers",
            "http.response.early_hint",
            "http.response.push",
        ),
        HTTPStream._ignore,
    ),
}
_REQUEST_TABLE = _TABLE[_REQUEST]
