"""The HTTP slots: exactly the methods the protocol layer uses of a codec.

A codec turns bytes into one wire syntax and back. It holds no policy: limits, framing
decisions, push rules and drain live above, once, in ``tricorn.protocol``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tricorn.plain import Plain

if TYPE_CHECKING:
    from tricorn.types import Headers

#: A parsed HTTP/1.1 request head: method, target, version (such as ``b"1.1"``) and the fields,
#: with their names as received and their values without white space around them.
RequestHead: TypeAlias = "tuple[bytes, bytes, bytes, Headers]"


class HTTP1Codec(Protocol):
    """The HTTP/1.1 slot: request heads. Bodies and responses are the same for every codec."""

    name: str
    #: It refuses bare CR and LF and folded lines by itself; else the caller looks for them.
    strict: bool

    @property
    def parse_first(self) -> Callable[[bytes], tuple[RequestHead, int] | None] | None:
        """Where it can, and is strict: parses the head that bytes begin with.

        It gives the head and its size (bytes), None unless there is one, whole and in order.
        """
        ...

    def parse_head(self, head: bytes) -> RequestHead:
        """Parse one request head, its final empty line included.

        It refuses all control characters but HTAB in field values.

        :raises RemoteProtocolError: with the status that tells the peer.
        """
        ...


class HeadersFrame(Plain):
    """A header block: a request, or (``trailers``) the end of one."""

    __slots__ = ("end_stream", "headers", "stream_id", "trailers")

    def __init__(
        self, stream_id: int, headers: Headers, end_stream: bool, trailers: bool = False
    ) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.end_stream = end_stream
        self.trailers = trailers


class DataFrame(Plain):
    """Body bytes; ``flow`` is what they cost in flow control, padding included (bytes)."""

    __slots__ = ("data", "end_stream", "flow", "stream_id")

    def __init__(self, stream_id: int, data: bytes, flow: int, end_stream: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.flow = flow
        self.end_stream = end_stream


def headers_frame(
    stream_id: int, headers: Headers, end_stream: bool, trailers: bool
) -> HeadersFrame:
    """A ``HeadersFrame``; compiled, the class itself takes its arguments more slowly."""
    return HeadersFrame(stream_id, headers, end_stream, trailers)


def data_frame(stream_id: int, data: bytes, flow: int, end_stream: bool) -> DataFrame:
    """A ``DataFrame``, likewise."""
    return DataFrame(stream_id, data, flow, end_stream)


class ResetFrame(Plain):
    """The stream was reset, by the peer or (``local``) by the codec for a stream error.

    ``limit`` is the option whose bound was passed, None where it was another rule.
    """

    __slots__ = ("code", "limit", "local", "stream_id")

    def __init__(
        self, stream_id: int, code: int, local: bool = False, limit: str | None = None
    ) -> None:
        self.stream_id = stream_id
        self.code = code
        self.local = local
        self.limit = limit


class PriorityFrame(Plain):
    """An RFC 7540 priority signal."""

    __slots__ = ("depends_on", "exclusive", "stream_id", "weight")

    def __init__(self, stream_id: int, depends_on: int, weight: int, exclusive: bool) -> None:
        self.stream_id = stream_id
        self.depends_on = depends_on
        self.weight = weight
        self.exclusive = exclusive


class PriorityUpdateFrame(Plain):
    """An RFC 9218 PRIORITY_UPDATE frame, undecoded."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class PingAck(Plain):
    """The peer acknowledged a PING."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class GoAwayFrame(Plain):
    """The peer will open no more streams, and accept no push above ``last_stream_id``."""

    __slots__ = ("code", "last_stream_id")

    def __init__(self, last_stream_id: int, code: int) -> None:
        self.last_stream_id = last_stream_id
        self.code = code


class SettingsReceived(Plain):
    """The peer's settings arrived or changed (already acknowledged)."""

    __slots__ = ("no_rfc7540_priorities",)

    def __init__(self, no_rfc7540_priorities: bool = False) -> None:
        self.no_rfc7540_priorities = no_rfc7540_priorities


class SettingsAcknowledged(Plain):
    """The peer knows our settings."""

    __slots__ = ()


class CodecFailed(Plain):
    """A connection error; the GOAWAY is queued. Nothing follows it.

    ``limit`` is the option whose bound was passed, None where it was another rule.
    """

    __slots__ = ("code", "limit", "reason")

    def __init__(self, code: int, reason: str, limit: str | None = None) -> None:
        self.code = code
        self.reason = reason
        self.limit = limit


HTTP2Event: TypeAlias = (
    HeadersFrame
    | DataFrame
    | ResetFrame
    | PriorityFrame
    | PriorityUpdateFrame
    | PingAck
    | GoAwayFrame
    | SettingsReceived
    | SettingsAcknowledged
    | CodecFailed
)


class Scheduler(Protocol):
    """Who writes next; given in from the protocol floor."""

    def insert(self, stream_id: int) -> None: ...
    def remove(self, stream_id: int) -> None: ...
    def ready(self, stream_id: int) -> None: ...
    def blocked(self, stream_id: int) -> None: ...
    def next(self) -> int | None: ...
    def prioritize(
        self, stream_id: int, urgency: int, incremental: bool, *, initial: bool = False
    ) -> None: ...
    def reprioritize(
        self, stream_id: int, depends_on: int, weight: int, exclusive: bool
    ) -> None: ...
    def disable_rfc7540(self) -> None: ...
    @property
    def has_ready(self) -> bool: ...
    @property
    def is_fair(self) -> bool:
        """Whether the peer has shown no priorities."""
        ...


class HTTP2Settings(Plain):
    """What we announce and bound: counts, bytes."""

    __slots__ = (
        "connection_window", "max_concurrent_streams", "max_continuation_frames",
        "max_frame_size", "max_header_list_size", "stream_window",
    )  # fmt: skip

    def __init__(
        self,
        max_concurrent_streams: int,
        stream_window: int,
        connection_window: int,
        max_frame_size: int,
        max_header_list_size: int,
        max_continuation_frames: int,
    ) -> None:
        self.max_concurrent_streams = max_concurrent_streams
        self.stream_window = stream_window
        self.connection_window = connection_window
        self.max_frame_size = max_frame_size
        self.max_header_list_size = max_header_list_size
        self.max_continuation_frames = max_continuation_frames


class HTTP2Codec(Protocol):
    """The HTTP/2 slot, at stream level: it buffers, windows and schedules what is sent.

    Outbound header lists are already checked and lower-case, pseudo-header fields first.
    """

    name: str
    #: Control and oddly cheap frames received since last read, for the flood budget.
    glitches: int
    #: Bytes of bodies framed, of all streams.
    framed: int

    @property
    def has_more(self) -> bool:
        """Whether frames wait that ``receive_data`` has not looked at."""
        ...

    def quiet(self) -> bool:
        """Whether what ``receive_data`` gave last is all there is to it.

        No glitches, nothing more to deal with, nothing to send, and no DATA since the connection's
        window was looked at. A codec that cannot tell says False.
        """
        ...

    @property
    def mid_frame(self) -> bool:
        """Whether the peer is inside a frame, a header block or the preface."""
        ...

    def partial_data(self) -> tuple[int, int]:
        """The stream of a DATA frame that has come in part, and its bytes so far; 0 and 0: none."""
        ...

    def initiate(self) -> None:
        """Queue our SETTINGS and the opening of the connection window."""
        ...

    def initiate_upgrade(self, settings: bytes) -> None:
        """As ``initiate``, for a connection upgraded from HTTP/1.1 (stream 1 half-closed).

        :param settings: value of HTTP2-Settings (base64url).
        :raises RemoteProtocolError: if it is malformed.
        """
        ...

    def receive_data(self, data: bytes) -> list[HTTP2Event]:
        """Feed bytes; never raises.

        A few frames are dealt with at a time, so that a flood is noticed before it is paid
        for: call again, with no bytes, while ``has_more``.
        """
        ...

    def end_input(self) -> None:
        """No more bytes will come."""
        ...

    def send_headers(self, stream_id: int, headers: Headers, end_stream: bool) -> None:
        """Queue a response head, or an informational one."""
        ...

    def send_data(self, stream_id: int, data: bytes, end_stream: bool) -> bool:
        """Buffer body bytes; they leave as windows and scheduling allow.

        :return: whether any are buffered now; else all are framed, or their stream is gone.
        """
        ...

    def respond(self, stream_id: int, headers: Headers, data: bytes) -> bool:
        """``send_headers``, and ``send_data`` that ends the stream."""
        ...

    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """Buffer trailers behind the body; they end the stream."""
        ...

    def push(self, parent_id: int, headers: Headers) -> int:
        """Queue a PUSH_PROMISE (int promised stream id)."""
        ...

    def reset(self, stream_id: int, code: int) -> None:
        """Queue RST_STREAM and drop what is buffered."""
        ...

    def forget(self, stream_id: int) -> None:
        """Drop the outbound state of a finished stream."""
        ...

    def take_finished(self) -> list[int]:
        """Streams whose END_STREAM ``data_to_send`` has framed since the last call."""
        ...

    def credit(self, stream_id: int, n: int) -> None:
        """Give the peer ``n`` bytes of the stream's receive window back."""
        ...

    def open_connection_window(self, target: int) -> None:
        """Bring the connection's receive window up to ``target`` bytes, in large steps."""
        ...

    def ping(self, data: bytes) -> None:
        """Queue a PING of 8 bytes."""
        ...

    def goaway(self, last_stream_id: int, code: int, debug: bytes = b"") -> None:
        """Queue a GOAWAY; streams go on.

        It names no higher stream than one before it (RFC 9113 section 6.8).
        """
        ...

    def data_to_send(self, limit: int) -> list[bytes]:
        """Control frames, then DATA by priority until about ``limit`` bytes."""
        ...

    def backlog(self, stream_id: int) -> tuple[int, int]:
        """Bytes buffered for the stream, and bytes of it that were framed.

        Where the end of the response is all that waits, it counts as one.
        """
        ...

    def windows(self, stream_id: int) -> tuple[int, int]:
        """Bytes that the stream's own window lets us send, and that of the connection.

        The stream has a backlog.
        """
        ...

    def take_progress(self) -> bool:
        """Whether DATA worth the name was framed since the last call.

        A frame that the peer's window made tiny is a glitch instead.
        """
        ...

    def buffered(self, stream_id: int) -> int:
        """Bytes buffered for the stream."""
        ...

    def pending(self) -> tuple[int, int]:
        """Bytes queued and not yet given out: of control frames, and of responses."""
        ...

    @property
    def push_enabled(self) -> bool:
        """Whether the peer takes pushes."""
        ...

    @property
    def peer_max_streams(self) -> int:
        """How many pushed streams the peer lets us have open."""
        ...

    @property
    def highest_stream_id(self) -> int:
        """The highest client stream seen."""
        ...

    def prioritize(
        self, stream_id: int, urgency: int, incremental: bool, *, initial: bool = False
    ) -> None:
        """Set RFC 9218 parameters of a stream; ``initial`` where they come with its request."""
        ...

    def disable_rfc7540(self) -> None:
        """The peer does without RFC 7540 priorities (RFC 9218 section 2.1)."""
        ...

    def reprioritize(self, stream_id: int, depends_on: int, weight: int, exclusive: bool) -> bool:
        """Apply an RFC 7540 signal; False where it is a stream error."""
        ...
