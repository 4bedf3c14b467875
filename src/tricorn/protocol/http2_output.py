"""The output half of an HTTP/2 connection: responses, what has left of them, and the drain.

The codec buffers bodies and frames them. What it could frame at once, the whole response of most
exchanges, needs no second look: only while it buffers some is it asked what became of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tricorn.codecs.base import HTTP2Codec
from tricorn.config import Config
from tricorn.protocol import http2_errors as errors
from tricorn.protocol.events import Event, StreamReset
from tricorn.protocol.flow import Buffer
from tricorn.protocol.http2_drain import Drain
from tricorn.protocol.http2_flood import FloodGuard
from tricorn.protocol.http2_limits import WRITE_SIZE, Limits
from tricorn.protocol.http2_push import PushPolicy
from tricorn.protocol.http2_response import joined_fields, response_fields
from tricorn.protocol.http2_streams import CREDIT_STEP, HTTP2Stream, StreamTable
from tricorn.protocol.idleness import Idleness
from tricorn.protocol.outbound import CONNECTION, FieldList
from tricorn.protocol.timer import PhaseTimer
from tricorn.types import Headers

_NO_CONTENT: Final = 204


class HTTP2Output(Idleness):
    """Sends the responses of the streams that are open."""

    http_version = "2"
    can_early_hint = True
    takes_files = False

    def __init__(
        self, codec: HTTP2Codec, config: Config, defaults: Callable[[], Headers], *, secure: bool
    ) -> None:
        self._codec = codec
        # What every exchange calls, looked up once: bound methods.
        self._receive: Any = codec.receive_data
        self._quiet: Any = codec.quiet
        self._respond: Any = codec.respond
        self._take: Any = codec.data_to_send
        self._config, self._defaults = config, defaults
        self._limits = Limits(config)
        self._scheme = b"https" if secure else b"http"
        self.closing = self.lingering = self.has_events = False
        self._heard = False  # the peer has said something
        self._events: list[Event] = []
        self._pushes = PushPolicy(config.h2_max_pushes)
        self._streams = StreamTable(self._pushes)
        self._ended: list[HTTP2Stream] = []  # their END_STREAM is framed, and has not left
        self._unsent = True  # the codec may have something to send
        self._freed = False  # body bytes went with their stream: the window for all may open
        self._requests = 0
        self._floods = FloodGuard(config)
        self._drain = Drain()
        self._timer = PhaseTimer()

    @property
    def has_output(self) -> bool:
        """Whether ``data_to_send`` may have something."""
        return self._unsent

    @property
    def wants_data(self) -> bool:
        """Whether to go on reading: not while answers wait for the peer (CVE-2019-9512)."""
        if self.closing:
            return False
        if not self._unsent:
            return True
        control, responses = self._codec.pending()
        limits = self._limits
        return control + max(responses - limits.responses, 0) <= limits.pending

    @property
    def busy_streams(self) -> int:
        """How many streams are open."""
        return len(self._streams.by_id)

    def send_informational(self, stream_id: int, status: int, headers: Headers) -> None:
        """A 1xx response; dropped once the final one has begun."""
        stream = self._streams.find(stream_id)
        if stream is None or stream.response_started or stream.pushed:  # h2 allows none on a push
            return
        if status == 100:
            # RFC 9110 10.1.1: needless once content has arrived.
            if stream.request_ended or not stream.awaits_continue:
                return
            stream.awaits_continue = False
            stream.touched = True  # the time for the body begins
        self._unsent = True
        self._codec.send_headers(stream_id, [(b":status", b"%d" % status), *headers], False)

    def send_headers(
        self, stream_id: int, status: int, headers: Headers, end_stream: bool = False
    ) -> None:
        """The final response head."""
        stream = self._streams.find(stream_id)
        if stream is not None and not stream.response_started:
            self._send_whole(stream, status, response_fields(status, headers), b"", end_stream)

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
        """The final response head, and what is known whole in one with its content."""
        stream = self._streams.find(stream_id)
        if stream is None or stream.response_started:
            return
        fields = joined_fields(status, given.pairs, added.pairs, length)
        if status == _NO_CONTENT or (given.kinds | added.kinds) & CONNECTION:
            fields = response_fields(status, fields[1:])
        self._send_whole(stream, status, fields, content, end_stream)

    def _send_whole(
        self, stream: HTTP2Stream, status: int, fields: Headers, content: Buffer, end_stream: bool
    ) -> None:
        """The final response head; where it ends the stream, with the content."""
        if stream.pushed and self.withdrawn(stream.id):
            return
        stream.response_started = stream.touched = True
        stream.tunnel = stream.tunnel and status < 300  # a refused CONNECT opens none
        self._unsent = True
        if content and end_stream:
            self._ends(stream, self._respond(stream.id, fields, content))
            return
        self._codec.send_headers(stream.id, fields, end_stream)
        if end_stream:
            self._response_ended(stream.id, stream)

    def withdrawn(self, stream_id: int) -> bool:
        """Withdraw a push where the peer has lowered its limit below what was promised to it.

        What it wants of that it can ask for; the limit may never rise again (RFC 9113 5.1.2).
        """
        if self._streams.find(stream_id) is None:
            return True
        if self._pushes.open <= self._codec.peer_max_streams:
            return False
        self.reset(stream_id, errors.CANCEL)
        self._events.append(StreamReset(stream_id, errors.CANCEL))
        self.has_events = True
        return True

    def send_data(self, stream_id: int, data: Buffer, end_stream: bool = False) -> None:
        """Body or tunnel bytes, behind the head."""
        stream = self._streams.find(stream_id)
        if stream is None or stream.response_ended or not stream.response_started:
            return
        self._unsent = True
        waits = self._codec.send_data(stream_id, data, end_stream)  # type: ignore[arg-type]
        if end_stream:
            self._ends(stream, waits)
        elif waits:
            self._streams.wait(stream)

    def send_trailers(self, stream_id: int, headers: Headers) -> None:
        """The trailer section, which ends the response."""
        stream = self._streams.find(stream_id)
        if stream is not None and stream.response_started and not stream.response_ended:
            self._unsent = True
            self._codec.send_trailers(stream_id, headers)
            self._ends(stream, True)

    def _ends(self, stream: HTTP2Stream, waits: bool) -> None:
        """The response is handed over; with ``waits`` the codec will tell when it is framed."""
        stream.response_ended = True
        if waits:
            self._streams.wait(stream)
        else:
            self._ended.append(stream)

    def upgrade(self, stream_id: int, status: int, headers: Headers) -> None:
        """Accept an extended CONNECT; the stream is a tunnel from here on (RFC 8441)."""
        self.send_headers(stream_id, status, headers)

    def reset(self, stream_id: int, code: int) -> None:
        """Abandon the stream."""
        if (stream := self._streams.find(stream_id)) is not None:
            self._drop(stream_id, stream)
            self._unsent = True
            self._codec.reset(stream_id, code)

    def _response_ended(self, stream_id: int, stream: HTTP2Stream) -> None:
        """END_STREAM is framed: the exchange is over."""
        stream.response_ended = stream.sent = True
        if stream.request_ended:
            self._drop(stream_id, stream, completed=True)
        elif stream.connect and not stream.tunnel:
            self._end_unwanted(stream_id, stream)  # refused: nothing can come of it
        # Else the peer may finish what fits its window: a reset now could overtake a
        # WebSocket's closing handshake, and some clients take it for a failed request.

    def _end_unwanted(self, stream_id: int, stream: HTTP2Stream) -> None:
        """The rest of a request is not needed, and that is no error (RFC 9113 8.1)."""
        self._drop(stream_id, stream, completed=True)
        self._unsent = True
        self._codec.reset(stream_id, errors.NO_ERROR)

    def _drop(self, stream_id: int, stream: HTTP2Stream, *, completed: bool = False) -> None:
        if stream.buffered:
            self._unsent = self._freed = True
        self._streams.close(stream_id, stream, completed=completed)
        if completed and not stream.pushed:
            self._floods.completed()
        if not stream.sent:  # else the codec has done so
            self._codec.forget(stream_id)
        if not self._streams.by_id:
            self._close_if_done()

    def _open_window(self) -> None:
        """Let the peer send what may be buffered besides what is."""
        self._unsent = True
        self._freed = False
        self._codec.open_connection_window(self._limits.window - self._streams.buffered)

    def consumed(self, stream_id: int, n: int) -> None:
        """The application has taken ``n`` body bytes."""
        if (stream := self._streams.find(stream_id)) is None:
            return
        self._streams.consumed(stream, n)
        self._open_window()
        if not stream.request_ended:
            stream.touched = True
            stream.credit += n
            if stream.credit * CREDIT_STEP >= self._limits.stream_window:
                self._codec.credit(stream_id, stream.credit)
                stream.credit = 0

    def released(self, stream_id: int) -> None:
        """The application of this stream has ended."""
        self._streams.released(stream_id)

    def buffered(self, stream_id: int) -> int:
        """Bytes buffered for the stream."""
        stream = self._streams.find(stream_id)
        return 0 if stream is None or not stream.waits else self._codec.buffered(stream_id)

    @property
    def framed(self) -> int | None:
        """Body bytes of all streams that have left their buffers."""
        return self._codec.framed

    def data_to_send(self) -> list[bytes]:
        """Buffers to write now."""
        if self._freed and not self.closing:
            self._open_window()
        buffers: list[bytes] = self._take(WRITE_SIZE)
        if not buffers:
            self._unsent = False  # what waits needs more of a window
            return buffers
        self._unsent = waits = self._streams.waiting > 0
        if self._ended:
            over, self._ended = self._ended, []
            for stream in over:
                if self._streams.find(stream.id) is stream:
                    self._response_ended(stream.id, stream)
        if waits:
            for ended in self._codec.take_finished():
                if (found := self._streams.find(ended)) is not None:
                    self._response_ended(ended, found)
            if self._codec.take_progress():
                self._floods.written()
        return buffers

    # The end

    def drain(self) -> None:
        """Ask the peer for no new streams; close once the open ones have ended."""
        if not self.closing:
            self._unsent = True
            self._drain.begin(self._codec)

    def _finish_drain(self) -> None:
        self._unsent = True
        self._drain.finish(self._codec)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._drain.over(len(self._streams.by_id)):
            self._close()

    def _close(self) -> None:
        """The end, and time for the peer to read it.

        What it sends until then, a WINDOW_UPDATE perhaps, would be answered with a reset, which
        takes away what is still on its way to it.
        """
        self.closing = self.lingering = True

    def end_idle(self) -> None:
        """Close with no stream open."""
        self._unsent = True
        self._codec.goaway(self._codec.highest_stream_id, errors.NO_ERROR)
        self._close()
