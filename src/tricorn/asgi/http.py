"""One HTTP exchange: protocol events to ASGI messages and back (ASGI HTTP 2.5).

``feed`` never waits; ``receive`` and ``send`` are the application's callables. The
messages of the response are in ``http_response``.
"""

from __future__ import annotations

from typing import Final

from tricorn.asgi import messages
from tricorn.asgi.exchange import put
from tricorn.asgi.host import Host, until_taken
from tricorn.asgi.http_response import (
    DONE,
    HELD,
    NO_FIELDS,
    OVERRULED_TABLE,
    REQUEST,
    HTTPResponse,
)
from tricorn.asgi.request_limits import BODY_TOO_LARGE, NO_RESPONSE, Patience, Refusal
from tricorn.asgi.scope import http_scope
from tricorn.exceptions import ClientDisconnected
from tricorn.protocol import outbound
from tricorn.protocol.events import (
    DataReceived,
    Event,
    PeerHalfClosed,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from tricorn.types import Headers, Message

_ERROR_HEADERS: Final[Headers] = [(b"content-type", b"text/plain; charset=utf-8")]


class HTTPStream(HTTPResponse):
    """Runs one exchange between an HTTP connection and an application."""

    unfinished = False  # the application left its response undone
    _told_end = False  # the application has had its last http.request
    _told_disconnect = False
    _disconnected = False  # the peer has left; writing may still work
    _overruled = False  # the server ended the exchange in the application's place
    _patience: Patience | None = None
    _given_up = False  # by who sent, the wait for room

    def __init__(self, host: Host, request: RequestReceived) -> None:
        super().__init__(host, request)
        self.scope = http_scope(host, request)
        if host.worker.identity is not None:
            self._identity = host.worker.identity.apply(self.scope)
        self._request_trailers = NO_FIELDS
        self._body: list[bytes] = []
        self._pushed = request.pushed
        self._request_ended = request.end_stream
        self._expects_continue = request.expects_continue

    def __repr__(self) -> str:
        return f"<HTTPStream {self.stream_id} {self.method} {self._state.value}>"

    @property
    def disconnected(self) -> bool:
        """Whether the peer left before the response was complete."""
        return self._lost and self._state is not DONE

    @property
    def complete(self) -> bool:
        """Whether nothing more will happen on the wire."""
        return self._lost or self._state is DONE

    @property
    def abandoned(self) -> bool:
        """Whether the peer left a response that is not complete."""
        return self._overruled or ((self._lost or self._disconnected) and self._state is not DONE)

    # From the connection

    def feed(self, event: Event) -> None:
        """Take an event of this stream."""
        kind = type(event)
        if kind is DataReceived:
            data = event.data  # type: ignore[union-attr]
            self.bytes_received += len(data)
            if self._state is DONE:
                self._http.consumed(self.stream_id, len(data))
                return
            self._expects_continue = False  # the peer did not wait
            if self.body_limit is not None and self.bytes_received > self.body_limit:
                self._http.consumed(self.stream_id, len(data))
                self._overrule(BODY_TOO_LARGE)
                return
            put(self._body, data)
        elif kind is StreamEnded:
            self._request_ended = True
        elif kind is TrailersReceived:
            self._request_trailers = event.headers  # type: ignore[union-attr]
        elif kind is StreamReset:
            self._lost = self._disconnected = True
            if self._handed_over is not None:
                self.bytes_sent -= self._handed_over.count
            self._log()
        elif kind is PeerHalfClosed:
            self._disconnected = True
        self._wake()

    def shutdown(self) -> None:
        """The server is draining; an HTTP exchange just goes on to its end."""

    def tick(self, now: float) -> None:
        """Let time pass (seconds, monotonic): what is waited for before the response."""
        limits = self.host.worker.limits
        if limits is None or self._lost or self._state not in (REQUEST, HELD):
            return
        if self._patience is None:
            self._patience = Patience(limits, now)
        waits = bool(self._waiters) and not self._request_ended and not self._disconnected
        waits = waits and self._http.may_receive
        received = self.bytes_received + self._http.arriving(self.stream_id)
        refusal = self._patience.ends(now, received, waits_for_body=waits)
        if refusal is not None:
            self._overrule(refusal)
            if refusal is NO_RESPONSE:
                self.host.end_application(self.stream_id)

    def _overrule(self, refusal: Refusal) -> None:
        """End the exchange in the application's place, which is told of a disconnect."""
        self.host.report(refusal.fault(self.stream_id))
        if self._state in (REQUEST, HELD):
            self.refuse(refusal.status, refusal.text, refusal.headers)
        else:
            self._abort()
        self._overruled = True
        self._allowed = OVERRULED_TABLE

    # The application's callables

    async def receive(self) -> Message:
        """The next ``http.request`` or ``http.disconnect``."""
        while True:
            if self._lost or self._state is DONE:
                return await self._disconnect()
            if self._body:
                return self._take_body()
            if self._request_ended and not self._told_end:
                self._told_end = True
                return self._request(b"", False)
            if self._disconnected:
                return await self._disconnect()
            if self._expects_continue and not self._request_ended:
                # RFC 9110 10.1.1: only now does anybody want the body.
                self._expects_continue = False
                if self._state is REQUEST or self._state is HELD:
                    self._http.send_informational(self.stream_id, 100, [])
                    flushed = self.host.flush(self.stream_id)
                    if flushed is not None:
                        await flushed
                        continue  # the body may have come meanwhile
            await self._news()

    async def _disconnect(self) -> Message:
        """One who asks again and again must leave the others their turn."""
        if self._told_disconnect:
            # Given up there, as by one who polls, it is answered the next time.
            self._told_disconnect = False
            await self.host.turn()
        self._told_disconnect = True
        return {"type": "http.disconnect"}

    def _take_body(self) -> Message:
        body = self._body
        data = body[0] if len(body) == 1 else b"".join(body)
        body.clear()
        self._told_end = self._request_ended
        self.host.consumed(self.stream_id, len(data))
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
        :raises ClientDisconnected: once the peer is gone (ASGI HTTP 2.4); not by the message
            that completes the response, if the peer was there when it came.
        """
        if self._given_up and self._state is not DONE:
            await self._wait_for_room()
        try:
            taken = messages.as_dict(message)
            handler = self._allowed[taken["type"]]
        except (KeyError, TypeError, ValueError):
            raise messages.refuse(self._state.value, message, self._allowed) from None
        if self._lost and self._state is not DONE:
            await self.host.after_listeners()
            raise ClientDisconnected("the client has disconnected")
        outcome = handler(self, taken)
        try:
            if outcome is True:
                flushed = self.host.flush(self.stream_id)
                if flushed is not None:
                    await until_taken(flushed, self._state is DONE)
            elif outcome is not False:
                await outcome
        except BaseException:
            self._given_up = True
            raise

    async def _wait_for_room(self) -> None:
        """Wait before anything is queued: one who gives up each wait would fill the memory."""
        flushed = self.host.flush(self.stream_id)
        if flushed is not None:
            await flushed
        self._given_up = False

    def _complete(self) -> None:
        self._move(DONE)
        if self._body:
            self._http.consumed(self.stream_id, sum(map(len, self._body)))
            self._body.clear()
        self._log()
        self._wake()

    # The application's end

    def finished(self, error: BaseException | None) -> None:
        """The application returned or raised: what it left undone is answered or reset."""
        self.unfinished = True
        if self._lost or self._state is DONE:
            return
        if self._state in (REQUEST, HELD):
            self._answer(500, _ERROR_HEADERS, b"Internal Server Error")
        else:
            self._abort()

    def refuse(self, status: int, text: bytes, headers: Headers | None = None) -> None:
        """Answer without the application."""
        self._answer(status, [*_ERROR_HEADERS, *(headers or ())], text)

    def answer(self, status: int, headers: Headers, text: bytes) -> None:
        """Answer what is the server's own matter, without a line in the access log."""
        self._access_log = None
        self._answer(status, headers, text)

    def _answer(self, status: int, headers: Headers, text: bytes) -> None:
        """Answer in the place of the application, whatever start of its own is held."""
        self.status = status
        self._given = outbound.checked(headers)
        self._trailers = None
        self._remaining = None
        self._discard = self.method == "HEAD"
        self._move(HELD)
        self._send_body(b"" if self._discard else text, False, len(text))
        self.host.flush()
