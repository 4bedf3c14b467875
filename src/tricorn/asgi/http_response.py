"""The response half of an HTTP exchange: ASGI messages to the connection (ASGI HTTP 2.5).

The response start is held until its first body message, so that head, body and end leave
in one write and an error page is still possible; that of an event stream is not, whose client
waits for it (HTML, EventSource: ``open``). Which message a state allows is a table.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from tricorn.asgi import files, messages, preload
from tricorn.asgi.exchange import BaseStream
from tricorn.asgi.host import Host, until_taken
from tricorn.asgi.replies import TARGET_SAFE
from tricorn.counters import CUT_ABORTED, CUT_LOST
from tricorn.exceptions import ClientDisconnected, FileUnavailable, InvalidMessage
from tricorn.percent import quote
from tricorn.protocol import fields, outbound
from tricorn.protocol.events import RequestReceived
from tricorn.protocol.flow import Buffer, FileRegion
from tricorn.protocol.http2_errors import INTERNAL_ERROR
from tricorn.types import Headers


class State(enum.Enum):
    """Where the response stands."""

    REQUEST = "before http.response.start"
    HELD = "after http.response.start"
    BODY = "in the response body"
    TRAILERS = "before http.response.trailers"
    DONE = "after the response"

    __hash__ = object.__hash__  # Enum's is in Python


# CPython 3.11 needs 60 ns for each look at an enum's member through its class.
REQUEST: Final = State.REQUEST
HELD: Final = State.HELD
BODY: Final = State.BODY
TRAILERS: Final = State.TRAILERS
DONE: Final = State.DONE
_ENDED: Final = "the exchange was ended by the server"
# What a response has until it is given some; never changed in place.
NO_FIELDS: Final[Headers] = []


class HTTPResponse(BaseStream):
    """Takes the application's messages of one exchange."""

    _pushed = False  # the request is one we promised ourselves
    _discard = False  # a body that must not be sent (HEAD, 204, 304)
    _remaining: int | None = None  # bytes of the declared Content-Length to come
    _trailers: Headers | None = None
    _handed_over: FileRegion | None = None  # being sent by the transport

    def __init__(self, host: Host, request: RequestReceived) -> None:
        super().__init__(host, request)
        self._state = REQUEST
        self._allowed = REQUEST_TABLE
        self._given = outbound.NOTHING  # the fields that the application gave
        self._identity = NO_FIELDS

    @property
    def response_headers(self) -> Headers:
        """The application's response fields, for the access log."""
        return self._given.pairs

    # One method for each message; True where something is to be written, an awaitable
    # where that takes several writes

    def _start(self, message: dict[str, Any]) -> bool:
        status = messages.get_status(message)
        given = messages.get_fields(message)
        if given.length == outbound.INVALID_LENGTH:
            value = [value for name, value in given.pairs if name == b"content-length"][-1]
            raise InvalidMessage(f"http.response.start: invalid content-length {value!r}")
        self.status = status
        self._given = given
        self._remaining = given.length
        self._discard = not fields.has_body(self.method, status)
        if messages.get_flag(message, "trailers"):
            self._trailers = []
        self._move(HELD)
        kinds = given.kinds
        written = False
        if kinds & outbound.LINK and self.host.worker.link_preload and not self._pushed:
            written = preload.announce(self, given.pairs)
        if kinds & outbound.EVENT_STREAM and given.length is None and not self._discard:
            self._send_head(0, complete=False)
            self._state = BODY
            self._allowed = _OPENED_TABLE
            return True
        return written

    def _body_message(self, message: dict[str, Any]) -> bool | Awaitable[None]:
        data = messages.get_bytes(message, "body")
        more = messages.get_flag(message, "more_body")
        if self._discard:
            return self._drop_content(len(data), more)
        if more and not data:
            return self._send_nothing()
        excess = False
        if self._remaining is not None:
            excess = len(data) > self._remaining
            if excess:
                data, more = data[: self._remaining], False
            self._remaining -= len(data)
        if not more and self._remaining:
            self._refuse_short(self._remaining)
        self._send_body(data, more, len(data))
        if excess:
            self.host.flush()
            raise InvalidMessage("response is longer than its content-length")
        return True

    def _drop_content(self, size: int, more: bool) -> bool | Awaitable[None]:
        """Content of a response that has none: HEAD, 204, 304."""
        if size and self.method != "HEAD":
            self.host.worker.warn_once(
                f"body of {self.status}",
                "a %d response has no content; the application's is dropped (%s %s)",
                self.status,
                self.method,
                self.scope.get("path"),
            )
        if more:
            return self._send_nothing()
        self._send_body(b"", False, size)
        return True

    def _send_nothing(self) -> bool | Awaitable[None]:
        """A piece without content, and more to come: of the response only its head may leave.

        One who sends on without a wait must leave the others their turn: no write sees to it.
        """
        held = self._state is HELD
        self._send_body(b"", True, 0)
        return True if held else self.host.turn()

    def _refuse_short(self, missing: int) -> None:
        """Half a promise is no response: the peer must be able to tell (RFC 9112 8)."""
        if self._state is HELD:
            self._send_head(0, complete=False)
        self._abort()
        raise InvalidMessage(f"response is {missing} bytes shorter than its content-length")

    def _path_send(self, message: dict[str, Any]) -> bool | Awaitable[None]:
        region = files.open_path(message)
        if self._remaining is not None and not self._discard:
            # A file that has grown since its length was told is sent up to there.
            region.count = min(region.count, self._remaining)
            if region.count < self._remaining:
                missing = self._remaining - region.count
                raise FileUnavailable(
                    f"http.response.pathsend: {message['path']!r} is {missing} bytes shorter "
                    "than the response's content-length"
                )
        return self._send_file(region, False)

    def _zero_copy_send(self, message: dict[str, Any]) -> bool | Awaitable[None]:
        more = messages.get_flag(message, "more_body")
        region = files.open_file(message)
        if self._remaining is not None and not self._discard:
            if region.count > self._remaining:
                raise InvalidMessage("response is longer than its content-length")
            if not more and region.count < self._remaining:
                self._refuse_short(self._remaining - region.count)
        return self._send_file(region, more)

    def _send_file(self, region: FileRegion, more: bool) -> bool | Awaitable[None]:
        size = region.count
        if self._discard:
            region.close()
            return self._drop_content(size, more)
        before = (self._given, self._remaining, self._allowed)
        if self._remaining is not None:
            self._remaining -= size
        elif not more and self._state is HELD and self._trailers is None:
            # Known whole: framed by its length.
            self._given = outbound.checked([*self._given.pairs, (b"content-length", b"%d" % size)])
            self._remaining = 0
        if not size:
            region.close()
            if more:
                return self._send_nothing()
            self._send_body(b"", False, 0)
            return True
        if self.host.can_send_file:
            return self._hand_over(region, more)
        return self._copy_file(region, more, before)

    async def _hand_over(self, region: FileRegion, more: bool) -> None:
        """Let the transport send a piece of a file, and wait until it has.

        A wait that is given up changes nothing for the piece: it is sent whole.
        """
        self._send_body(region, True, region.count)
        self._handed_over = region
        self._allowed = _COPYING_TABLE
        try:
            await self.host.flush_file(self.stream_id, region)
            await self._check_open()
        except ClientDisconnected:
            if region.failure is None:
                raise
        finally:
            self._handed_over = None
            self._copied()
        if region.failure is not None:
            # Behind the head: the connection has been cut.
            raise files.unavailable(region.failure)
        if not more:
            self._send_body(b"", False, 0)
            self.host.flush()

    async def _copy_file(self, region: FileRegion, more: bool, before: _Before) -> None:
        """Send a piece of a file by reading it as the peer takes it.

        :param before: what is so again where nothing of the piece could be sent.
        """
        size = region.count
        self._allowed = _COPYING_TABLE
        try:
            while region.count:
                data = await files.read_piece(region)
                await self._check_open()
                if not data:
                    raise FileUnavailable("a file shrank while it was sent")
                self._send_body(data, more or region.count > 0, len(data))
                if region.count:
                    # Nothing else may come between.
                    self._allowed = _COPYING_TABLE
                flushed = self.host.flush(self.stream_id)
                if flushed is not None:
                    await until_taken(flushed, self._state is DONE)
        except BaseException:
            if not (self._lost or self._state is DONE):
                if region.count == size:
                    self._given, self._remaining, self._allowed = before
                elif region.count:
                    # Nobody can tell which bytes are missing, and they are promised perhaps.
                    self._abort()
            raise
        finally:
            region.close()
            self._copied()

    async def _check_open(self) -> None:
        """Whether the rest of a file is still wanted."""
        if self._lost or self._state is DONE:
            reason = "the client has disconnected" if self._lost else _ENDED
            await self.host.after_listeners()
            raise ClientDisconnected(reason)

    def _copied(self) -> None:
        """Other messages are allowed again, unless the exchange was ended meanwhile."""
        if self._allowed is _COPYING_TABLE:
            self._allowed = _TABLE[self._state]

    def _send_body(self, data: Buffer, more: bool, size: int) -> None:
        if self._pushed and self._state is HELD and self._http.withdrawn(self.stream_id):
            return  # its reset is about to come
        end = not more and self._trailers is None
        self.bytes_sent += len(data)
        if self._state is HELD and end:
            self._send_head(size, complete=True, content=data)
        else:
            if self._state is HELD:
                self._send_head(size, complete=False)
            if data or end:
                self._http.send_data(self.stream_id, data, end)
        if end:
            self._complete()
        elif not more:
            self._move(TRAILERS)
        elif self._state is not BODY or self._allowed is _OPENED_TABLE:
            self._move(BODY)

    def _send_head(self, size: int, *, complete: bool, content: Buffer = b"") -> None:
        """Write the held head; a body known whole goes with it, and gets its Content-Length."""
        given = self._given
        status = self.status
        assert status is not None
        length = -1
        known = complete and self._remaining is None and (not self._discard or size)
        if known and fields.allows_content(status):
            length = size
        worker = self.host.worker
        # Few applications give one of these themselves.
        if given.kinds & outbound.WATCHED:
            added = outbound.checked(worker.missing_defaults(given.pairs))
        else:
            added = worker.default_fields()
        if self._identity:
            names = {name for name, _ in given.pairs}
            identity = [field for field in self._identity if field[0] not in names]
            added = outbound.checked(added.pairs + identity)
        self._http.send_response(self.stream_id, status, given, added, length, complete, content)

    def _trailers_message(self, message: dict[str, Any]) -> bool:
        headers = messages.get_headers(message)
        forbidden = [name for name, _ in headers if name in fields.FORBIDDEN_TRAILERS]
        if forbidden:
            raise InvalidMessage(f"http.response.trailers: {forbidden[0]!r} may not be a trailer")
        more = messages.get_flag(message, "more_trailers")
        assert self._trailers is not None
        self._trailers += headers
        if more:
            return False
        if self._trailers and self.offers("http.response.trailers"):
            if self.http_version == "1.1" and self._given.length is not None and not self._discard:
                self._warn_of_trailers()
            self._http.send_trailers(self.stream_id, self._trailers)
        else:
            # RFC 9110 6.5.1: not to a peer that did not say it takes them.
            self._http.send_data(self.stream_id, b"", True)
        self._complete()
        return True

    def _warn_of_trailers(self) -> None:
        """They are for chunks (RFC 9112 section 7.1.2), and the application has given a length."""
        self.host.worker.warn_once(
            "trailers behind a length",
            "trailers of a response with Content-Length are not sent over HTTP/1.1 (%s %s)",
            self.method,
            self.scope.get("path"),
        )

    def _early_hint(self, message: dict[str, Any]) -> bool:
        links = message.get("links", ())
        listed = isinstance(links, Iterable) and not isinstance(links, bytes | str)
        links = list(links) if listed else [None]
        if not all(isinstance(link, bytes) for link in links):
            raise InvalidMessage("http.response.early_hint: 'links' must be a list of bytes")
        if self._state in (BODY, TRAILERS) or not links:
            return False  # too late to be a hint
        headers = messages.get_headers(
            {"type": message["type"], "headers": [(b"link", link) for link in links]}
        )
        if self.offers("http.response.early_hint"):
            self._http.send_informational(self.stream_id, 103, headers)
        return True

    def _push(self, message: dict[str, Any]) -> bool:
        path = message.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            raise InvalidMessage("http.response.push: 'path' must be a str that begins with '/'")
        try:
            # ASGI has the path decoded; most applications give it as it stands in a link.
            target = quote(path, safe=TARGET_SAFE + "%").encode("ascii")
        except UnicodeEncodeError:
            raise InvalidMessage(f"http.response.push: 'path' is no text: {path!r}") from None
        headers = [
            header
            for header in messages.get_headers(message)
            if header[0] not in fields.CONNECTION_SPECIFIC and header[0] != b"host"
        ]
        if not self.can_push or self._http.push(self.stream_id, target, headers) is None:
            return False
        self.host.flush()
        return True

    def _debug(self, message: dict[str, Any]) -> bool:
        info = message.get("info")
        if not isinstance(info, dict):
            raise InvalidMessage("http.response.debug: 'info' must be a dict")
        if self.offers("http.response.debug"):
            path = self.scope.get("path")
            self.host.worker.log.debug("http.response.debug: %s %r", path, info)
        return False

    def offers(self, extension: str) -> bool:
        """Whether it is in the scope, where the application may have left anything."""
        offered: Any = self.scope.get("extensions")
        return isinstance(offered, dict) and extension in offered

    @property
    def can_push(self) -> bool:
        """Whether a push would be taken now; a pushed 503 would pass for the resource."""
        gate = self.host.worker.gate
        return self._http.can_push and not (gate is not None and gate.full)

    def push_preload(self, target: bytes) -> int | None:
        """Push what a Link field of the response names; None where it is declined."""
        return self._http.push(self.stream_id, target, preload.request_headers(self.scope))

    def hint(self, links: list[bytes]) -> None:
        """Send 103 Early Hints (RFC 8297) with these Link values."""
        self._http.send_informational(self.stream_id, 103, [(b"link", link) for link in links])

    def _ignore(self, message: dict[str, Any]) -> Awaitable[None]:
        """Behind the response; one who does not stop leaves the others their turn."""
        return self.host.turn()

    async def _too_late(self, message: dict[str, Any]) -> None:
        """The server has answered in the application's place."""
        await self.host.after_listeners()
        raise ClientDisconnected(_ENDED)

    def _move(self, state: State) -> None:
        self._state = state
        self._allowed = _TABLE[state]

    def _complete(self) -> None:
        """The response is handed over whole."""
        raise NotImplementedError

    def _abort(self) -> None:
        """End a response that cannot be completed, so that the peer can tell."""
        self.host.worker.counters.add(CUT_LOST if self.abandoned else CUT_ABORTED)
        self.host.flush()
        self._http.reset(self.stream_id, INTERNAL_ERROR)
        self._complete()
        self.host.flush()


_Handler = Callable[[HTTPResponse, dict[str, Any]], "bool | Awaitable[None]"]
_Before: TypeAlias = tuple[outbound.FieldList, int | None, dict[str, _Handler]]

_TABLE: Final[dict[State, dict[str, _Handler]]] = {
    REQUEST: {
        "http.response.start": HTTPResponse._start,
        "http.response.early_hint": HTTPResponse._early_hint,
        "http.response.push": HTTPResponse._push,
        "http.response.debug": HTTPResponse._debug,
    },
    HELD: {
        "http.response.body": HTTPResponse._body_message,
        "http.response.pathsend": HTTPResponse._path_send,
        "http.response.zerocopysend": HTTPResponse._zero_copy_send,
        "http.response.early_hint": HTTPResponse._early_hint,
        "http.response.push": HTTPResponse._push,
    },
    BODY: {
        "http.response.body": HTTPResponse._body_message,
        "http.response.zerocopysend": HTTPResponse._zero_copy_send,
        "http.response.early_hint": HTTPResponse._early_hint,
        "http.response.push": HTTPResponse._push,
    },
    TRAILERS: {
        "http.response.trailers": HTTPResponse._trailers_message,
        "http.response.push": HTTPResponse._push,
    },
    # ASGI HTTP: messages behind the last one are ignored.
    DONE: dict.fromkeys(
        (
            "http.response.start",
            "http.response.body",
            "http.response.pathsend",
            "http.response.zerocopysend",
            "http.response.trailers",
            "http.response.early_hint",
            "http.response.push",
            "http.response.debug",
        ),
        HTTPResponse._ignore,
    ),
}
REQUEST_TABLE: Final = _TABLE[REQUEST]
OVERRULED_TABLE: Final[dict[str, _Handler]] = dict.fromkeys(_TABLE[DONE], HTTPResponse._too_late)
# The head is sent, and no body message has come yet.
_OPENED_TABLE: Final = _TABLE[BODY] | {"http.response.pathsend": HTTPResponse._path_send}
_COPYING_TABLE: Final[dict[str, _Handler]] = {"http.response.push": HTTPResponse._push}
