"""The one interface of an HTTP connection, whatever its version.

Theory of operation. A connection is fed bytes and gives events; it is told what to send
and gives buffers. It never waits and never reads a clock: ``handle_timeout(now)`` is
called about once a tick, and is both the clock and the trigger. What began since the
last tick is taken to have begun at this one, so a limit fires at most one tick late and
the hot path never asks for the time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tricorn.compilation import mypyc_attr
from tricorn.protocol.events import Event
from tricorn.protocol.flow import Buffer
from tricorn.protocol.outbound import FieldList
from tricorn.types import Headers


@mypyc_attr(allow_interpreted_subclasses=True)
class HTTPConnection(ABC):
    """HTTP/1.1 or HTTP/2, server side."""

    http_version: str
    can_early_hint: bool

    #: Nothing will be written behind what is queued; flush, then close the transport.
    closing: bool
    #: With ``closing``: the peer may still be sending; read and discard before closing,
    #: so that a reset does not destroy the response (RFC 9112 section 9.6).
    lingering: bool
    #: More events can be had from ``take_events`` without further bytes.
    has_events: bool
    #: ``send_data`` takes a ``FileRegion`` too.
    takes_files: bool
    #: The peer has not taken all that was written to it, and is about it, or has the limit of
    #: the socket: what is not written yet waits for that. The driver says it at each tick.
    held: bool = False

    @property
    def can_push(self) -> bool:
        """Whether a response may be promised now."""
        return False

    def withdrawn(self, stream_id: int) -> bool:
        """Whether a response that was promised, and has not begun, cannot be sent any more."""
        return False

    @property
    def may_receive(self) -> bool:
        """Whether the peer may send body bytes, whatever other exchanges hold of them."""
        return True

    def arriving(self, stream_id: int) -> int:
        """Body bytes that have come and are no event yet."""
        return 0

    @property
    def framed(self) -> int | None:
        """Body bytes of all streams that have left their buffers; None where there is but one."""
        return None

    @property
    @abstractmethod
    def has_output(self) -> bool:
        """Whether ``data_to_send`` may have something; False only where it has nothing."""

    @property
    @abstractmethod
    def wants_data(self) -> bool:
        """Whether the transport should go on reading."""

    @property
    @abstractmethod
    def idle(self) -> bool:
        """Whether no exchange is open."""

    @property
    @abstractmethod
    def busy_streams(self) -> int:
        """How many exchanges are open."""

    @abstractmethod
    def receive_data(self, data: bytes) -> list[Event]:
        """Feed bytes from the peer."""

    @abstractmethod
    def receive_eof(self) -> list[Event]:
        """The peer closed its sending side."""

    @abstractmethod
    def take_events(self) -> list[Event]:
        """Events caused by our own calls: pushed requests, pipelined ones."""

    @property
    @abstractmethod
    def pause_limit(self) -> str:
        """The option whose bound it is that ``wants_data`` keeps, where it is false."""

    @abstractmethod
    def handle_timeout(self, now: float) -> list[Event]:
        """Let time pass.

        :param now: seconds on a monotonic clock.
        """

    @abstractmethod
    def next_deadline(self) -> float | None:
        """When ``handle_timeout`` will act if nothing else happens (seconds), or None."""

    @abstractmethod
    def idle_since(self) -> float | None:
        """Since when nothing goes on (seconds, as of the last tick), None while something does."""

    @abstractmethod
    def end_idle(self) -> None:
        """Close a connection on which nothing goes on; says so where the protocol can."""

    @abstractmethod
    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None:
        """A 1xx response (RFC 9110 section 15.2); silently dropped where it cannot be sent."""

    @abstractmethod
    def send_headers(
        self, stream_id: int, status: int, headers: Headers, end_stream: bool = False
    ) -> None:
        """The final response head."""

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
        """``send_headers`` of what is prepared.

        :param given: the application's fields.
        :param added: the server's, none of which the application gives.
        :param length: the Content-Length (bytes) that the server adds, negative for none.
        :param content: all of it, with ``end_stream``, if there is any.
        """
        headers = given.pairs.copy()
        if length >= 0:
            headers.append((b"content-length", b"%d" % length))
        headers += added.pairs
        self.send_headers(stream_id, status, headers, end_stream and not content)
        if content:
            self.send_data(stream_id, content, end_stream)

    @abstractmethod
    def send_data(self, stream_id: int, data: Buffer, end_stream: bool = False) -> None:
        """Body bytes, or tunnel bytes after ``upgrade``."""

    @abstractmethod
    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """The trailer section, which ends the response."""

    def push(self, stream_id: int, path: bytes, headers: Headers) -> int | None:
        """Promise a response (RFC 9113 section 8.4); None where it is declined."""
        return None

    @abstractmethod
    def upgrade(self, stream_id: int, status: int, headers: Headers) -> None:
        """Accept the tunnel this stream asked for (WebSocket)."""

    @abstractmethod
    def reset(self, stream_id: int, code: int) -> None:
        """Abandon the stream; on HTTP/1.1 that is the connection."""

    def cut_short(self, unsent: int) -> bool:
        """Whether the end of the connection would pass for that of a response that is not whole.

        :param unsent: bytes that the transport was given and will not send.
        """
        return False

    @abstractmethod
    def consumed(self, stream_id: int, n: int) -> None:
        """The application has taken ``n`` body bytes; the peer may send as many more."""

    @abstractmethod
    def released(self, stream_id: int) -> None:
        """The application of this stream has ended."""

    @abstractmethod
    def buffered(self, stream_id: int) -> int:
        """Bytes queued for the stream and not yet given to the transport."""

    @abstractmethod
    def data_to_send(self) -> Sequence[Buffer]:
        """Buffers to write now, a bounded amount; call again once they are taken."""

    @abstractmethod
    def drain(self) -> None:
        """Take no new exchanges; finish those that are open, then close."""
