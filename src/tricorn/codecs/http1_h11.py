"""The HTTP/1.1 slot on h11: request heads and chunked bodies."""

from __future__ import annotations

import h11

from tricorn.exceptions import RemoteProtocolError
from tricorn.types import Headers

# The caller bounds heads before they get here; h11 then only bounds one chunk header.
_MAX_INCOMPLETE = 16384


class H11Head:
    """A request head as h11 parsed it."""

    __slots__ = ("_headers", "headers", "http_version", "method", "target")

    def __init__(self, request: h11.Request) -> None:
        self.method = request.method
        self.target = request.target
        self.http_version = request.http_version
        self._headers = request.headers
        self.headers: Headers = list(request.headers)

    @property
    def raw_headers(self) -> Headers:
        """The fields with their names as received."""
        return self._headers.raw_items()


class H11ChunkedDecoder:
    """Decodes a chunked body through the h11 connection that parsed its head."""

    __slots__ = ("_connection", "chunks", "complete", "trailers")

    def __init__(self, connection: h11.Connection) -> None:
        self._connection = connection
        self.complete = False
        self.trailers: Headers = []
        self.chunks = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Body bytes in ``data``.

        :raises RemoteProtocolError: 400 on malformed framing.
        """
        connection = self._connection
        pieces: list[bytes] = []
        try:
            connection.receive_data(data)
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if type(event) is h11.Data:
                    self.chunks += event.chunk_end  # h11 loses a start that ends a read
                    pieces.append(bytes(event.data))
                elif type(event) is h11.EndOfMessage:
                    self.complete = True
                    self.trailers = list(event.headers)
                    break
        except h11.RemoteProtocolError as exc:
            raise _remote_error(exc) from None
        return pieces

    def unused(self) -> bytes:
        """Once complete: the bytes behind the body."""
        return self._connection.trailing_data[0]


class H11Codec:
    """Request heads and chunked bodies by h11.

    h11 ties its parser to a full connection cycle. Only the parser is wanted here, since
    responses are serialised once for every HTTP/1.1 codec, so each request gets a parser
    of its own instead of a cycle driven by sending through h11.
    """

    __slots__ = ("_connection",)

    name = "h11"

    def __init__(self) -> None:
        self._connection: h11.Connection | None = None

    def parse_head(self, head: bytes) -> H11Head:
        """Parse one request head, its final empty line included.

        :raises RemoteProtocolError: with the status that tells the peer.
        """
        connection = self._connection = h11.Connection(
            h11.SERVER, max_incomplete_event_size=_MAX_INCOMPLETE
        )
        try:
            connection.receive_data(head)
            event = connection.next_event()
        except h11.RemoteProtocolError as exc:
            raise _remote_error(exc) from None
        if type(event) is not h11.Request:
            raise RemoteProtocolError("incomplete request head")
        return H11Head(event)

    def chunked_decoder(self) -> H11ChunkedDecoder:
        """A decoder for the body of the request last parsed."""
        if self._connection is None:
            raise RuntimeError("no request head was parsed")
        return H11ChunkedDecoder(self._connection)


def _remote_error(exc: h11.RemoteProtocolError) -> RemoteProtocolError:
    return RemoteProtocolError(str(exc), exc.error_status_hint)
