"""The output half of an HTTP/1.1 connection: framing, persistence, and what is queued.

RFC 9112 sections 6 (message body) and 9 (connection).
"""

from __future__ import annotations

from typing import Final

from tricorn.protocol import fields, http1_response
from tricorn.protocol.flow import Buffer, FileRegion, WriteQueue
from tricorn.protocol.http1_body import BodyReader
from tricorn.protocol.http1_request import Request
from tricorn.protocol.http1_state import (
    CHUNKED,
    DISCARD_LIMIT,
    IN_BODY,
    IN_HEAD,
    LENGTH,
    NO_CONTENT,
    OUT_DONE,
    OUT_NONE,
    PASSED_ON,
    UNTIL_CLOSE,
    WRITE_SIZE,
    Output,
)
from tricorn.protocol.idleness import Idleness
from tricorn.protocol.outbound import CONNECTION, FieldList
from tricorn.protocol.outbound import LENGTH as GIVES_LENGTH
from tricorn.types import Headers

_CLOSE: Final = frozenset({b"close"})
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()


class HTTP1Output(Idleness):
    """Sends the response of the exchange that is open."""

    http_version = "1.1"
    takes_files = True

    def __init__(self) -> None:
        self._buffer: bytes | bytearray = b""  # received, and not looked at yet
        self._input = IN_HEAD
        self._output: Output | http1_response.Framing = OUT_DONE
        self._stream_id = 0
        self._request: Request | None = None
        self._body: BodyReader | None = None
        self._unconsumed = 0  # body bytes the application has not taken
        self._awaits_continue = False  # the peer may keep its body until it is asked for it
        self._keep_alive = True
        self._until_close = False  # the end of the connection is that of the response
        self._given_up = False  # the response, in the middle
        self._out = WriteQueue()
        self._unsent = False  # of a response that is complete; the next exchange waits for it
        self._applications = 0  # that run; some do so behind their exchange

    def _response_complete(self) -> None:
        """The response is queued whole."""
        raise NotImplementedError

    def _next_exchange(self) -> None:
        """Go on to the next request, or to the end of the connection."""
        raise NotImplementedError

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None:
        """A 1xx response; dropped for HTTP/1.0 and once the final one has begun."""
        if stream_id != self._stream_id or self._output is not OUT_NONE:
            return
        request = self._request
        if request is None or request.event.http_version == "1.0":
            return
        if status == 100:
            # RFC 9110 10.1.1: needless once content has arrived.
            if not self._awaits_continue:
                return
            self._awaits_continue = False
        self._out.put(http1_response.head(status, headers, b""))

    def send_headers(
        self, stream_id: int, status: int, headers: Headers, end_stream: bool = False
    ) -> None:
        """The final response head; the framing is decided here (RFC 9112 section 6.3)."""
        if stream_id != self._stream_id or self._output is not OUT_NONE:
            return
        request = self._request
        assert request is not None
        http10 = request.event.http_version == "1.0"
        sent, mode, framing, options = http1_response.frame(
            request.event.method, status, headers, http10=http10
        )
        self._output = mode
        framing += self._persistence(options, http10=http10)
        self._out.put(http1_response.head(status, sent, framing))
        if end_stream:
            self.send_data(stream_id, b"", True)

    def send_response(
        self,
        stream_id: int,
        status: int,
        given: FieldList,
        added: FieldList,
        length: int = -1,
        end_stream: bool = False,
        content: Buffer = b"",
    ) -> None:
        """The final response head: the usual ones are framed without a look at their fields."""
        if stream_id != self._stream_id or self._output is not OUT_NONE:
            return
        request = self._request
        assert request is not None
        event = request.event
        if (
            given.kinds & CONNECTION
            or added.kinds & (CONNECTION | GIVES_LENGTH)
            or not fields.has_body(event.method, status)
        ):
            super().send_response(stream_id, status, given, added, length, end_stream, content)
            return
        http10 = event.http_version == "1.0"
        framing = b""
        if length >= 0:
            self._output = LENGTH
            framing = http1_response.length_line(length)
        elif given.length is not None:
            self._output = LENGTH
        elif http10:
            self._output = UNTIL_CLOSE
        else:
            self._output = CHUNKED
            framing = http1_response.CHUNKED_LINE
        framing += self._persistence(_NO_OPTIONS, http10=http10)
        self._out.put(http1_response.joined(status, given.lines, added.block, framing))
        if end_stream:
            self.send_data(stream_id, content, True)

    def _persistence(self, options: frozenset[bytes], *, http10: bool) -> bytes:
        """The Connection line of a response whose framing is decided (RFC 9112 section 9.3)."""
        self._until_close = self._output is UNTIL_CLOSE
        if b"close" in options or self._until_close:
            self._keep_alive = False
        if self._keep_alive and not self._can_reuse():
            self._keep_alive = False
        if not self._keep_alive:
            return b"connection: %b\r\n" % b", ".join([*(options - _CLOSE), b"close"])
        if http10:
            return b"connection: %b\r\n" % b", ".join([*options, b"keep-alive"])
        if options:
            return b"connection: %b\r\n" % b", ".join(options)
        return b""

    def _can_reuse(self) -> bool:
        """Whether what is left of the request body can be read away."""
        if self._input is not IN_BODY:
            return True
        if self._awaits_continue:
            return False  # the peer may send the body or not: only closing is safe
        return self._body is None or self._body.remaining <= DISCARD_LIMIT

    def send_data(self, stream_id: int, data: Buffer, end_stream: bool = False) -> None:
        """Body bytes, framed; or tunnel bytes."""
        if stream_id != self._stream_id:
            return
        output = self._output
        if isinstance(data, FileRegion):
            if output is CHUNKED or output in PASSED_ON:
                http1_response.put_file(self._out, data, chunked=output is CHUNKED)
            data = b""
        if output is CHUNKED:
            if data:
                data = http1_response.chunk(data)
            if end_stream:
                data += http1_response.LAST_CHUNK
            self._out.put(data)
        elif output in PASSED_ON:
            self._out.put(data)
        elif output is not NO_CONTENT:
            return
        if end_stream:
            self._response_complete()

    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """The trailer section; only a chunked response can carry one."""
        if stream_id != self._stream_id:
            return
        if self._output is CHUNKED:
            self._out.put(http1_response.last_chunk(headers))
            self._response_complete()
        else:
            self.send_data(stream_id, b"", True)

    def cut_short(self, unsent: int) -> bool:
        """Of a response without a length, over HTTP/1.0 (RFC 9112 section 8)."""
        if not self._until_close:
            return False
        return self._given_up or self._output is UNTIL_CLOSE or self._out.size + unsent > 0

    def released(self, stream_id: int) -> None:
        """An application has ended; its exchange may have done so before."""
        self._applications -= 1

    def buffered(self, stream_id: int) -> int:
        """Bytes queued and not yet given to the transport."""
        return self._out.size

    @property
    def has_output(self) -> bool:
        """Whether something is queued."""
        return self._out.size > 0

    def data_to_send(self) -> list[Buffer]:
        """Buffers to write now."""
        out = self._out
        buffers = out.take(WRITE_SIZE)
        if self._unsent and not out.size:
            self._unsent = False
            self._next_exchange()
        return buffers
