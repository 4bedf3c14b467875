"""The wire of a WebSocket: what the peer sends, the messages that come of it, and its end.

The wire is stream data, on HTTP/1.1 the connection after 101, on HTTP/2 the DATA of an
extended CONNECT stream. Its bytes are parsed only while the application's queue has
room, and credited to the peer as they are parsed: a slow application slows its peer.
That holds for what the peer sent before its end too: little of it may inflate to much.
Behind our close frame no message is wanted, and room for none: the peer's is looked for.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tricorn.asgi import messages
from tricorn.asgi.exchange import BaseStream, put
from tricorn.asgi.host import WebSocketHost
from tricorn.protocol.events import (
    DataReceived,
    Event,
    PeerFault,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from tricorn.protocol.websocket import (
    ABNORMAL_CLOSURE,
    CloseReceived,
    ConnectionFailed,
    WebSocketConnection,
    WebSocketEvent,
)
from tricorn.types import Message

# Compressed input is inflated in slices of this size (bytes), so that one read cannot
# turn into more messages than the queue should hold.
_SLICE: Final = 16384
# What a message takes of the queue's room (bytes) besides its length.
_MESSAGE_ROOM: Final = 64


class WebSocketWire(BaseStream):
    """The side of a WebSocket that faces its peer."""

    def __init__(self, host: WebSocketHost, request: RequestReceived) -> None:
        super().__init__(host, request)
        self.is_websocket = True
        self._driver = host  # as one that tunnels
        self._connection: WebSocketConnection | None = None  # until it is accepted
        self._room = host.worker.config.websocket_max_queue_size
        self._told_connect = False
        self._told_disconnect = False
        self._wire: deque[bytes] = deque()  # not parsed for want of room
        self._wire_ended = False  # nothing comes behind that
        self._queue: deque[str | bytes] = deque()
        self._queued = 0  # bytes of messages the application has not taken
        self._disconnect: tuple[int, str] | None = None
        self._vanished = False  # it came without a closing handshake
        self._ended = False  # our side of the stream has ended

    @property
    def disconnected(self) -> bool:
        """Whether the peer left without a closing handshake."""
        return self._vanished

    @property
    def complete(self) -> bool:
        """Whether nothing more will happen on the wire."""
        return self._ended or (self._lost and not self._wire)

    # From the connection

    def feed(self, event: Event) -> None:
        """Take an event of this stream."""
        kind = type(event)
        if kind is DataReceived:
            put(self._wire, event.data)  # type: ignore[union-attr]
            self._pump()
        elif kind is StreamEnded and self._connection is not None:
            self._wire_ended = True
            self._pump()
        else:
            self._lost = self._lost or kind is StreamReset
            # What came before the end is still to be had; what a reset cuts off is not.
            if not self._wire_ended:
                self._wire.clear()
            if not self._wire:
                self._gone()

    def _take_bytes(self, data: bytes) -> bool:
        """Parse bytes that came through a tunnel of our own, and are credited to nobody.

        Gives False where they have to wait for room, or for nothing at all.
        """
        if self._wire or self._queued >= self._room or self._ended or len(data) > _SLICE:
            return False
        connection = self._connection
        assert connection is not None
        self.bytes_received += len(data)
        self._take(connection.receive_data(data, bool(self._queue)))
        if connection.has_output:
            self._flush_wire()
            self.host.flush()
        return True

    def _pump(self, *, answering: bool = False) -> None:
        """Parse what the queue has room for; with ``answering`` one was taken from it just now."""
        connection = self._connection
        if connection is None:
            return
        room = self._room
        while self._wire and (self._queued < room or connection.close_sent):
            data = self._wire.popleft()
            if len(data) > _SLICE:
                self._wire.appendleft(data[_SLICE:])
                data = data[:_SLICE]
            self.bytes_received += len(data)
            self._http.consumed(self.stream_id, len(data))
            self._take(connection.receive_data(data, answering or bool(self._queue)))
        if self._wire:
            self.host.worker.counters.limit("websocket_max_queue_size")
        elif self._wire_ended:
            self._gone()
        self._flush_wire()

    def _take(self, events: list[WebSocketEvent]) -> None:
        for event in events:
            kind = event.__class__
            if kind is str or kind is bytes:
                self._queue.append(event)  # type: ignore[arg-type]
                # An empty message takes room too.
                self._queued += len(event) + _MESSAGE_ROOM  # type: ignore[arg-type]
            elif kind is CloseReceived:
                self._closed(event.code, event.reason)  # type: ignore[union-attr]
            elif kind is ConnectionFailed:
                self._failed(event)  # type: ignore[arg-type]
        if events:
            self._wake()

    def _failed(self, event: ConnectionFailed) -> None:
        vanished = event.code == ABNORMAL_CLOSURE
        self._closed(event.code, event.reason, vanished=vanished)
        # A peer that just went away has broken no rule.
        if event.limit is not None or not vanished:
            reason = f"WebSocket: {event.reason or event.code}"
            self.host.report(PeerFault(self.stream_id, reason, None, event.limit))

    def _flush_wire(self) -> None:
        """Hand on what the sans-IO WebSocket has queued, and end the stream behind it."""
        connection = self._connection
        if connection is None or self._ended or self._lost:
            return
        if connection.owes_pongs_only:
            high = self.host.worker.config.write_buffer_high
            if self._http.buffered(self.stream_id) > high:
                return  # the peer reads nothing; they leave with a message, or at a tick
        if connection.wants_abort:
            self._ended = True
            self._driver.cut(self.stream_id)
            self._log()
            return
        data = connection.data_to_send()
        self.bytes_sent += len(data)
        if connection.closed:
            self._ended = True
            self._http.send_data(self.stream_id, data, True)
            self._log()
        elif data:
            self._http.send_data(self.stream_id, data)

    def _gone(self) -> None:
        """Nothing more comes from the peer, be it without a closing handshake."""
        if self._connection is not None:
            self._take(self._connection.receive_eof())
            self._flush_wire()
        self._closed(ABNORMAL_CLOSURE, "", vanished=True)
        self._log()
        self._wake()

    def _closed(self, code: int, reason: str, *, vanished: bool = False) -> None:
        if self._disconnect is None:
            self._disconnect = (code, reason)
            self.close_code = code
            self._vanished = vanished

    def _keep_time(self, connection: WebSocketConnection, now: float) -> None:
        """Pings, and the deadlines of the answers to a ping and to our close frame."""
        http, sent = self._http, self.bytes_sent
        buffered = others = taken = 0
        if connection.awaits_answer:
            buffered = http.buffered(self.stream_id)
            if http.framed is not None:
                others = http.framed - (sent - buffered)
            taken = sent + others - self._driver.untaken(self.stream_id)
        # A peer that was left no window has nothing to answer in.
        reading = self._queued < self._room or connection.close_sent
        events = connection.handle_timeout(
            now,
            reading=reading and http.may_receive,
            arriving=http.arriving(self.stream_id),
            sent=sent,
            buffered=buffered,
            others=others,
            taken=taken,
        )
        self._take(events)
        self._flush_wire()

    # To the application

    async def receive(self) -> Message:
        """The next ``websocket.connect``, ``.receive`` or ``.disconnect``."""
        if not self._told_connect:
            self._told_connect = True
            return {"type": "websocket.connect"}
        queue = self._queue
        while not queue:
            connection = self._connection
            if connection is not None and connection.has_held and self._disconnect is None:
                # What came before a fault has been taken: now the fault.
                self._take(connection.settle())
                self._flush_wire()
                self.host.flush()
            if self._disconnect is not None:
                code, reason = self._disconnect
                if self._told_disconnect:
                    self._told_disconnect = False
                    await self.host.turn()  # as with HTTP
                self._told_disconnect = True
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await self._news()
        data = queue.popleft()
        self._queued -= len(data) + _MESSAGE_ROOM
        if self._wire:
            self._pump(answering=True)
            self.host.flush()
        if data.__class__ is str:
            return {"type": "websocket.receive", "text": data}
        return messages.binary_received(data)  # type: ignore[arg-type]
