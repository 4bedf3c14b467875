"""The HTTP/1.1 connection: keep-alive, pipelining, bodies, 100-continue, upgrade.

One exchange at a time. Bytes behind the current request are kept, bounded by the head
limit, and parsed once the transport has all of its response; reading goes on meanwhile, so
that a disconnect is seen at once.
"""

from __future__ import annotations

from collections.abc import Callable

from tricorn.codecs.base import HTTP1Codec, RequestHead
from tricorn.config import Config
from tricorn.exceptions import RemoteProtocolError
from tricorn.protocol import http1_response
from tricorn.protocol.events import (
    DataReceived,
    Event,
    HTTP2Upgraded,
    LimitReached,
    PeerFault,
    PeerHalfClosed,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from tricorn.protocol.http1_body import BodyReader
from tricorn.protocol.http1_output import HTTP1Output
from tricorn.protocol.http1_request import Request, parse_head, read_request, split_head
from tricorn.protocol.http1_state import (
    DISCARD_LIMIT,
    IN_BODY,
    IN_CLOSED,
    IN_DONE,
    IN_HEAD,
    IN_TUNNEL,
    IN_UPGRADING,
    OUT_DONE,
    OUT_NONE,
    OUT_TUNNEL,
)
from tricorn.protocol.timer import PhaseTimer
from tricorn.types import Headers


class HTTP1Connection(HTTP1Output):
    """Server side of one HTTP/1.1 connection (RFC 9112)."""

    def __init__(
        self,
        codec: HTTP1Codec,
        config: Config,
        defaults: Callable[[], Headers] = list,
        *,
        secure: bool = False,
    ) -> None:
        super().__init__()
        self._codec = codec
        self._parse_first = codec.parse_first
        self._config = config
        # What every request asks for.
        self._max_head = config.h11_max_incomplete_size
        self._max_target = config.max_request_target_size
        self._max_headers = config.max_header_count
        self._max_unconsumed = config.request_buffer_size
        self._max_requests = config.keep_alive_max_requests or 0
        self._raw_headers = config.h11_pass_raw_headers
        self._h2c_upgrade = config.h2c_upgrade and not secure  # RFC 7540 3.3: TLS has ALPN
        self._defaults = defaults  # fields of our own answers
        self._peer_closed = False
        self.can_early_hint = config.early_hints_http1
        self.closing = False
        self.lingering = False
        self.has_events = False
        self._discarded = 0
        self._draining = False
        self._h2c: bytearray | None = None  # body of a request that asks for h2c
        self._touched = False  # progress since the last tick
        self._timer = PhaseTimer()

    def __repr__(self) -> str:
        return (
            f"<HTTP1Connection exchange={self._stream_id} in={self._input.name} "
            f"out={self._output.name} queued={self._out.size}B>"
        )

    # Input

    @property
    def wants_data(self) -> bool:
        """Whether the transport should go on reading."""
        if self._input is IN_BODY or self._input is IN_TUNNEL:
            # Behind its response nobody is asked to take what is left of a body.
            return self._output is OUT_DONE or self._unconsumed < self._max_unconsumed
        # A head under way is refused once it is too long; what comes behind a request waits.
        return (
            self._input is IN_HEAD or self._input is IN_CLOSED or len(self._buffer) < self._max_head
        )

    @property
    def pause_limit(self) -> str:
        """The option that says how much is read ahead."""
        held = self._input is IN_BODY or self._input is IN_TUNNEL
        return "request_buffer_size" if held else "h11_max_incomplete_size"

    @property
    def busy_streams(self) -> int:
        """1 while an exchange is open."""
        return 0 if self._output is OUT_DONE and self._input is not IN_BODY else 1

    def receive_data(self, data: bytes) -> list[Event]:
        """Feed bytes from the peer."""
        self._touched = True
        if self._input is IN_TUNNEL:
            self._unconsumed += len(data)
            return [DataReceived(self._stream_id, data)]
        if self._input is IN_CLOSED:
            return []
        if self._buffer:
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer)
            self._buffer += data
        else:
            self._buffer = data
        if self._input is IN_DONE or self._input is IN_UPGRADING:
            return []
        return self._parse()

    def take_events(self) -> list[Event]:
        """Events of bytes that waited for our own response."""
        self.has_events = False
        if self._input is IN_TUNNEL:
            data, self._buffer = bytes(self._buffer), b""
            return self.receive_data(data) if data else []
        return self._parse() if self._buffer else []

    def _parse(self) -> list[Event]:
        events: list[Event] = []
        try:
            if self._input is IN_HEAD and not self._parse_head(events):
                return events
            if self._input is IN_BODY:
                self._parse_body(events)
                if self._peer_closed and self._input is IN_BODY:
                    events.append(StreamReset(self._stream_id))
                    self._close()
        except RemoteProtocolError as exc:
            self._refuse(exc, events)
        return events

    def _parse_head(self, events: list[Event]) -> bool:
        """Read a request head if it is complete; whether it was."""
        parsed = self._common_head()
        if parsed is None:
            head, self._buffer = split_head(
                self._buffer,
                max_head=self._max_head,
                max_target=self._max_target,
            )
            if head is None:
                if self._peer_closed:
                    self._close()
                return False
            self._begin_exchange()
            parsed = parse_head(self._codec, head)
        else:
            self._begin_exchange()
        request = read_request(
            parsed,
            self._stream_id,
            max_headers=self._max_headers,
            raw_headers=self._raw_headers,
        )
        self._begin(request, events)
        return True

    def _begin_exchange(self) -> None:
        self._stream_id += 1
        self._output = OUT_NONE

    def _common_head(self) -> RequestHead | None:
        """The head that stands at the beginning, in order and not long; what is else is for
        ``split_head`` to say."""
        buffer = self._buffer
        if self._parse_first is None or not isinstance(buffer, bytes):
            return None
        found = self._parse_first(buffer)
        if found is None:
            return None
        parsed, size = found
        if size > self._max_head or size > self._max_target:
            return None
        self._buffer = buffer[size:]
        return parsed

    def _begin(self, request: Request, events: list[Event]) -> None:
        self._request = request
        self._keep_alive = request.keep_alive and not self._draining
        if self._stream_id == self._max_requests:
            self._keep_alive = False
            events.append(LimitReached(self._stream_id, "keep_alive_max_requests"))
        self._discarded = self._unconsumed = 0
        if request.has_body:
            self._body = BodyReader(self._config, request.content_length, chunked=request.chunked)
            self._awaits_continue = request.event.expects_continue
        if request.event.protocol is not None:
            self._input = IN_UPGRADING
        elif request.has_body:
            self._input = IN_BODY
        else:
            self._input = IN_DONE
        # HTTP/2 numbers its streams anew, where what runs has numbers already.
        h2c = self._h2c_upgrade and not self._applications
        if h2c and request.offers_h2c(self._max_unconsumed):
            self._h2c = bytearray()
            if self._input is IN_DONE:
                self._grant_h2c(events)
            return
        self._applications += 1
        events.append(request.event)
        if self._peer_closed and self._input is not IN_BODY:
            events.append(PeerHalfClosed(self._stream_id))

    def _parse_body(self, events: list[Event]) -> None:
        if not self._buffer:
            return
        self._awaits_continue = False
        reader = self._body
        assert reader is not None
        body, self._buffer = reader.read(bytes(self._buffer))
        if self._output is OUT_DONE:
            self._discard(len(body), reader.complete)
        elif self._h2c is not None:
            self._h2c += body
            if len(self._h2c) > self._max_unconsumed:
                reason = "request body too large for an h2c upgrade"
                raise RemoteProtocolError(reason, 413, limit="request_buffer_size")
            if reader.complete and not reader.trailers:
                self._grant_h2c(events)
            elif reader.complete:
                # Stream 1 begins behind its request: it has no place for them.
                assert self._request is not None
                self._applications += 1
                events.append(self._request.event)
                gathered, self._h2c = bytes(self._h2c), None
                self._add_body(reader, gathered, events)
        else:
            self._add_body(reader, body, events)

    def _add_body(self, reader: BodyReader, body: bytes, events: list[Event]) -> None:
        if body:
            self._unconsumed += len(body)
            events.append(DataReceived(self._stream_id, body))
        if reader.complete:
            if reader.trailers:
                events.append(TrailersReceived(self._stream_id, reader.trailers))
            events.append(StreamEnded(self._stream_id))
            self._input = IN_DONE

    def _discard(self, n: int, complete: bool) -> None:
        """Body bytes behind a finished response."""
        self._discarded += n
        if complete:
            self._input = IN_DONE
            self._next_exchange()
        elif self._discarded > DISCARD_LIMIT:
            self._close(linger=True)

    def receive_eof(self) -> list[Event]:
        """The peer closed its sending side."""
        events: list[Event] = []
        if self._input is IN_HEAD:
            if self._buffer and self._buffer.strip(b"\r\n"):
                events.append(PeerFault(0, "connection closed inside a request head"))
            self._close()
        elif self._input is IN_BODY:
            if self._output is not OUT_DONE:
                events.append(PeerFault(self._stream_id, "connection closed inside a body"))
                events.append(StreamReset(self._stream_id))
            self._close()
        elif self._input is IN_TUNNEL:
            self._input = IN_CLOSED
            self._peer_closed = True
            events.append(StreamEnded(self._stream_id))
        elif self._input is not IN_CLOSED:
            self._peer_closed = True
            if not self._unsent:
                events.append(PeerHalfClosed(self._stream_id))
        else:
            self.lingering = False
        return events

    def _refuse(self, exc: RemoteProtocolError, events: list[Event]) -> None:
        """Answer a broken request where an answer is still possible, and close."""
        events.append(PeerFault(self._stream_id, str(exc), exc.status, exc.limit))
        started = self._output not in (OUT_NONE, OUT_DONE)
        in_body = self._input is IN_BODY
        if in_body and self._output is not OUT_DONE and self._h2c is None:
            events.append(StreamReset(self._stream_id))
        if not started and not (in_body and self._output is OUT_DONE):
            self._out.put(http1_response.error(exc.status, [*exc.headers, *self._defaults()]))
        self._output = OUT_DONE
        self._close(linger=True)

    # Tunnels

    def upgrade(self, stream_id: int, status: int, headers: Headers) -> None:
        """Accept the tunnel: 101, then raw bytes both ways."""
        if stream_id != self._stream_id or self._output is not OUT_NONE:
            return
        self._out.put(http1_response.head(status, headers, b""))
        self._output = OUT_TUNNEL
        self._keep_alive = False
        if self._input is IN_UPGRADING:
            self._input = IN_TUNNEL
            self.has_events = bool(self._buffer)

    def _grant_h2c(self, events: list[Event]) -> None:
        request = self._request
        assert request is not None
        assert request.http2_settings is not None
        head = [(b"connection", b"Upgrade"), (b"upgrade", b"h2c")]
        self._out.put(http1_response.head(101, head, b""))
        body, rest = bytes(self._h2c or b""), bytes(self._buffer)
        self._h2c, self._buffer = None, b""
        self._input, self._output = IN_CLOSED, OUT_DONE
        settings = request.http2_settings
        events.append(HTTP2Upgraded(self._stream_id, request.event, settings, body, rest))

    def _response_complete(self) -> None:
        tunnel = self._output is OUT_TUNNEL
        self._output = OUT_DONE
        if tunnel:
            # Closing with bytes unread would send a reset, and take the last ones along.
            self._close(linger=True)
        elif self._input is IN_BODY and self._keep_alive:
            self.has_events = bool(self._buffer)
        elif self._input is IN_BODY:
            self._close(linger=True)
        else:
            # An upgrade that was answered otherwise leaves an ordinary exchange.
            self._next_exchange()

    def _next_exchange(self) -> None:
        request, self._request = self._request, None
        self._body = None
        more = self._buffer or not self._peer_closed
        if self._keep_alive and more:
            # A peer that reads nothing is not to have the next response made as well.
            self._unsent = self._out.size > 0
            self._input = IN_DONE if self._unsent else IN_HEAD
            self.has_events = not self._unsent and bool(self._buffer)
        else:
            # A peer that has not asked for the end may have sent more (RFC 9112 section 9.6).
            self._close(linger=bool(self._buffer) or (request is not None and request.keep_alive))

    def _close(self, linger: bool = False) -> None:
        self._input = IN_CLOSED
        self._unsent = False
        self._buffer = b""
        self._h2c = None
        self.closing = True
        self.lingering = linger and not self._peer_closed

    @property
    def _silent(self) -> bool:
        return not self._buffer

    def end_idle(self) -> None:
        """Close between two requests."""
        self._close()

    def reset(self, stream_id: int, code: int) -> None:
        """Abandon the exchange: nothing but closing tells an HTTP/1.1 peer."""
        if stream_id == self._stream_id and self._output is not OUT_DONE:
            self._given_up = True
            self._output = OUT_DONE
            self._close()

    def consumed(self, stream_id: int, n: int) -> None:
        """The application has taken ``n`` body bytes."""
        if stream_id == self._stream_id:
            self._unconsumed -= n

    def drain(self) -> None:
        """Finish the open exchange, and one that may be on its way; then close."""
        self._draining = True
        self._keep_alive = self._keep_alive and self._output is not OUT_NONE

    # Time

    def _phase_now(self) -> tuple[object, float | None]:
        """What is being waited for, and for how long at most (seconds)."""
        config = self._config
        if self._input is IN_HEAD:
            if self._draining and not self._buffer:
                return "drain", config.drain_idle_timeout
            if self._stream_id and not self._buffer:
                return ("idle", self._stream_id), config.keep_alive_timeout
            return ("head", self._stream_id), config.header_timeout
        if self._h2c is not None:
            return ("head", self._stream_id), config.header_timeout  # no stream of it yet
        if self._input is IN_BODY and self.wants_data:
            if self._output is OUT_NONE and not self._awaits_continue:
                return ("body", self._stream_id), config.read_timeout
            if self._output is OUT_DONE and self._draining:
                return "drain", config.drain_idle_timeout  # nothing but the peer is waited for
            if self._output is OUT_DONE:
                return ("rest", self._stream_id), config.read_timeout  # all of it together
        elif self._input is IN_CLOSED and self.lingering:
            return "linger", config.close_timeout
        return None, None

    def handle_timeout(self, now: float) -> list[Event]:
        """Let time pass (seconds, monotonic)."""
        phase, limit = self._phase_now()
        moved = self._touched and self._output is OUT_NONE and self._h2c is None
        self._touched = False
        if not self._timer.expired(now, phase, limit, moved=moved):
            return []
        events: list[Event] = []
        if self._input is IN_HEAD and not self._buffer:
            if not self._draining:
                option = "keep_alive_timeout" if self._stream_id else "header_timeout"
                events.append(LimitReached(0, option))
            self._close()
        elif phase == "drain":
            self._close(linger=True)
        elif self._input is IN_CLOSED:
            events.append(LimitReached(0, "close_timeout"))
            self.lingering = False
        else:
            where = "head" if self._input is IN_HEAD else "body"
            option = "read_timeout" if where == "body" and self._h2c is None else "header_timeout"
            fault = RemoteProtocolError(f"timed out in the request {where}", 408, limit=option)
            self._refuse(fault, events)
        return events
