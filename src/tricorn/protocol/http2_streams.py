"""What an HTTP/2 connection keeps of its streams."""

from __future__ import annotations

from typing import Final

from tricorn.codecs.base import HTTP2Codec
from tricorn.config import Config
from tricorn.protocol.events import LimitReached, PeerFault, RequestReceived
from tricorn.protocol.http2_push import PushPolicy

# A stream's window is given back in steps of this share of it.
CREDIT_STEP: Final = 4
# Of the streams opened last, a power of two less one; and how far back their ids go, all odd.
_RECENT_MASK: Final = 63
_RECENT: Final = 2 * (_RECENT_MASK + 1)
# Bytes of a response that its peer has to let us send within write_timeout (or all that is left).
_LEAST_PROGRESS: Final = 1024


class HTTP2Stream:
    """One exchange. Counts are bytes; ``since`` is seconds on the ticks' clock."""

    __slots__ = (
        "awaits_continue",
        "buffered",
        "connect",
        "credit",
        "framed",
        "headers",
        "id",
        "phase",
        "pushed",
        "released",
        "request_ended",
        "response_ended",
        "response_started",
        "sent",
        "since",
        "still_due",
        "taken",
        "touched",
        "tunnel",
        "waits",
    )

    def __init__(self, event: RequestReceived) -> None:
        self.id = event.stream_id
        self.connect = event.method == "CONNECT"
        self.headers = event.headers
        self.pushed = event.pushed
        self.tunnel = event.protocol is not None
        self.request_ended = event.end_stream
        self.awaits_continue = event.expects_continue  # the peer may keep its body until asked
        self.released = False  # its application has ended
        self.response_started = False
        self.response_ended = False
        self.sent = False  # END_STREAM is framed; a tunnel then waits for the peer's
        self.waits = False  # some of the response may be in the codec's buffer
        self.buffered = 0  # body bytes the application has not taken
        self.credit = 0  # bytes taken and not yet given back to the peer
        self.still_due = event.content_length  # bytes, if the request told
        self.touched = True  # progress since the last tick
        self.phase = ""  # what was waited for at the last tick, since ``since``
        self.taken = 0  # response bytes sent when something last moved
        self.framed = 0  # those of all streams then
        self.since = 0.0

    def takes(self, size: int, *, ended: bool) -> bool:
        """Body bytes came; whether Content-Length allows them (RFC 9113 8.1.1)."""
        if self.still_due is None:
            return True
        self.still_due -= size
        return not self.still_due if ended else self.still_due >= 0

    def stands_still(
        self, now: float, unsent: int, taken: int, framed: int, *, queues: bool
    ) -> bool:
        """Note the time; whether nothing worth the name has moved since it last did.

        While response bytes wait for the peer's window only what it takes counts: neither
        a window of one byte (CVE-2019-9511) nor request bytes keep the stream. Behind the
        response nothing counts any more.

        :param framed: response bytes of all streams.
        :param queues: whether it waits for others: its response, and they move, or its request.
        """
        phase = "sent" if self.sent else "unsent" if unsent else "received"
        moved = phase != self.phase
        if phase == "unsent":
            moved = moved or queues or taken >= self.taken + _LEAST_PROGRESS
        elif phase == "received":
            moved = moved or queues or self.touched
        self.touched = False
        if moved:
            self.phase, self.taken, self.framed, self.since = phase, taken, framed, now
        return not moved

    def waited(self, now: float, limit: float | None) -> bool:
        """Whether the stream has stood still for ``limit`` seconds (None: never)."""
        return limit is not None and now - self.since >= limit

    def overdue(self, now: float, unsent: int, config: Config) -> tuple[str, str] | None:
        """Why a stream that stands still should be reset by now, and the option; or None.

        :param unsent: response bytes the peer has not let us send.
        """
        if unsent:
            late = self.waited(now, config.write_timeout)
            return ("peer takes no response data", "write_timeout") if late else None
        # A tunnel may be silent, and so may a request that is being answered already, or whose
        # body nobody has asked for; with the application not reading, the silence may be ours.
        silent = not (self.request_ended or self.response_started or self.tunnel or self.buffered)
        if silent and not self.awaits_continue and self.waited(now, config.read_timeout):
            return "timed out in the request body", "read_timeout"
        return None


class StreamTable:
    """The open streams by id, with what is counted over all of them.

    ``clients`` counts those the peer opened, ``buffered`` the body bytes (of all) that
    applications have not taken, ``waiting`` those of whose response the codec may buffer some.
    """

    __slots__ = (
        "_abandoned", "_newest", "_pushes", "_recent", "buffered", "by_id", "clients", "waiting",
    )  # fmt: skip

    def __init__(self, pushes: PushPolicy) -> None:
        self.by_id: dict[int, HTTP2Stream] = {}
        self.clients = 0
        self.buffered = 0
        self.waiting = 0
        self._pushes = pushes
        self._abandoned: set[int] = set()
        # Those the peer opened last, by their ids: an exchange takes several calls, and a look
        # into a dictionary costs compiled code more.
        self._newest = 0
        self._recent: list[HTTP2Stream | None] = [None] * (_RECENT_MASK + 1)

    def find(self, stream_id: int) -> HTTP2Stream | None:
        """The open stream of that id."""
        if stream_id & 1:
            stream = self._recent[stream_id >> 1 & _RECENT_MASK]
            if stream is not None and stream.id == stream_id:
                return stream
            if stream_id > self._newest - _RECENT:
                return None  # else it would be there
        return self.by_id.get(stream_id)

    def full(self, limit: int) -> bool:
        """Whether another stream of the peer's would be one too many.

        Streams that were reset count by themselves while their applications run: the limit
        is one on work, which a peer must not get past by resetting (CVE-2023-44487), and a
        client that cancels at the limit may still open new ones.
        """
        return self.clients >= limit or len(self._abandoned) >= limit

    def open(self, event: RequestReceived) -> HTTP2Stream:
        """Enter the stream of a request."""
        stream = HTTP2Stream(event)
        self.by_id[stream.id] = stream
        if not event.pushed:
            self.clients += 1
            self._newest = stream.id
            self._recent[stream.id >> 1 & _RECENT_MASK] = stream
        return stream

    def may_grow(self, window: int) -> bool:
        """Whether peers may send any more, as far as a window for all streams goes (bytes).

        It is used up by what applications have not taken.
        """
        return window - self.buffered >= _LEAST_PROGRESS

    def wait(self, stream: HTTP2Stream) -> None:
        """The codec buffers some of the response."""
        if not stream.waits:
            stream.waits = True
            self.waiting += 1

    def received(self, stream: HTTP2Stream, size: int) -> None:
        """Body bytes arrived."""
        stream.awaits_continue = False
        stream.buffered += size
        self.buffered += size

    def consumed(self, stream: HTTP2Stream, size: int) -> None:
        """The application took body bytes."""
        stream.buffered -= size
        self.buffered -= size

    def close(self, stream_id: int, stream: HTTP2Stream, *, completed: bool) -> None:
        """Remove a stream."""
        del self.by_id[stream_id]
        self.buffered -= stream.buffered
        if stream.waits:
            self.waiting -= 1
        if stream.pushed:
            self._pushes.open -= 1
        else:
            self.clients -= 1
            place = stream_id >> 1 & _RECENT_MASK
            if self._recent[place] is stream:
                self._recent[place] = None
            if not completed and not stream.released:
                self._abandoned.add(stream_id)

    def released(self, stream_id: int) -> None:
        """The application of a stream has ended."""
        stream = self.find(stream_id)
        if stream is not None:
            stream.released = True
        elif self._abandoned:
            self._abandoned.discard(stream_id)

    def overdue(
        self, now: float, codec: HTTP2Codec, config: Config, held: bool
    ) -> list[PeerFault | LimitReached]:
        """Streams on which nothing has moved for too long, and why each should be reset.

        No fault is a stream whose response is sent and whose request goes on unread.

        :param held: whether the peer is still to take what was written to it, and does.
        """
        found: list[PeerFault | LimitReached] = []
        no_credit = not self.may_grow(config.h2_connection_window_size)
        for stream_id, stream in self.by_id.items():
            unsent, taken = codec.backlog(stream_id)
            queues = (held or self._queues(stream, unsent, codec)) if unsent else no_credit
            if not stream.stands_still(now, unsent, taken, codec.framed, queues=queues):
                continue
            if stream.sent:
                if stream.waited(now, config.close_timeout):
                    found.append(LimitReached(stream_id, "close_timeout"))
            elif (late := stream.overdue(now, unsent, config)) is not None:
                found.append(PeerFault(stream_id, late[0], None, late[1]))
        return found

    def _queues(self, stream: HTTP2Stream, unsent: int, codec: HTTP2Codec) -> bool:
        """Whether a response waits for others, and they move.

        Where the peer's window for all of them is used up, each is owed its share of what is
        to move. Where both windows are open it is the transport that takes nothing, and its
        time is that of the connection.
        """
        own, shared = codec.windows(stream.id)
        least = min(unsent, _LEAST_PROGRESS)
        if own < least:
            return False
        return shared >= least or codec.framed >= stream.framed + _LEAST_PROGRESS * self.waiting
