"""A client for many streams on one HTTP/2 connection, on h2."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from compliance.fuzzing.frames import split_frames
from compliance.servers import HOST
from compliance.soak.ledger import Origin, Restarted, Wrong

_GOAWAY = 7


@dataclass(slots=True)
class Exchange:
    """One stream and what has come on it."""

    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None


class HTTP2Client:
    """One connection; a task of its own reads."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.tls = tls
        self.origin = Origin()
        self.leaving = False  # the server has sent GOAWAY
        self._streams: dict[int, Exchange] = {}
        self._window = asyncio.Event()
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._reading: asyncio.Task[None]
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Open it and send the preface."""
        reader, self._writer = await asyncio.open_connection(
            HOST, self.port, ssl=self.tls, server_hostname="localhost" if self.tls else None
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(1 << 24)
        self._flush()
        self._reading = asyncio.create_task(self._read(reader))

    @property
    def usable(self) -> bool:
        """Whether another stream may be opened."""
        return not (self.leaving or self._reading.done())

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())

    async def request(
        self, method: str, path: str, body: bytes = b"", *, read: bool = True
    ) -> tuple[int, bytes]:
        """Status and content of the answer.

        :param read: False: reset the stream when the answer begins.
        :raises Restarted: if the server took this stream not up.
        :raises Wrong: if it broke off.
        """
        if not self.usable:
            raise Restarted
        exchange = Exchange()
        stream_id = self._h2.get_next_available_stream_id()
        self._streams[stream_id] = exchange
        scheme = "https" if self.tls else "http"
        fields = [
            (":method", method),
            (":scheme", scheme),
            (":authority", "localhost"),
            (":path", path),
        ]
        try:
            self._h2.send_headers(stream_id, fields, end_stream=not body)
            self._flush()
            if body:
                await self._send(stream_id, body, exchange)
            if not read:
                self._h2.reset_stream(stream_id, h2.errors.ErrorCodes.CANCEL)
                self._flush()
                return 0, b""
            await exchange.done.wait()
        except h2.exceptions.ProtocolError as exc:
            raise Wrong(f"cannot ask: {exc!r}") from None
        finally:
            self._streams.pop(stream_id, None)
        if exchange.error is not None:
            raise exchange.error
        return exchange.status, bytes(exchange.body)

    async def _send(self, stream_id: int, body: bytes, exchange: Exchange) -> None:
        while body and not exchange.done.is_set():
            room = min(
                self._h2.local_flow_control_window(stream_id), self._h2.max_outbound_frame_size
            )
            if not room:
                self._window.clear()
                await self._window.wait()
                continue
            piece, body = body[:room], body[room:]
            self._h2.send_data(stream_id, piece, end_stream=not body)
            self._flush()
            await self._writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        held = b""
        try:
            while data := await reader.read(65536):
                held += data
                whole = 0
                for frame in split_frames(held):
                    if len(frame) < 9 or len(frame) < 9 + int.from_bytes(frame[:3], "big"):
                        break
                    whole += len(frame)
                    self._take(frame)
                held = held[whole:]
                self._flush()
        except (OSError, h2.exceptions.ProtocolError) as exc:
            self._end(Wrong(f"connection failed: {exc!r}"))
        else:
            self._end(Wrong("connection closed"))

    def _take(self, frame: bytes) -> None:
        if frame[3] == _GOAWAY:
            # Kept from h2, which reads nothing behind it, whatever streams are open.
            last, code = (int.from_bytes(frame[at : at + 4], "big") for at in (9, 13))
            self._on_goaway(last, code, frame[17:])
            return
        for event in self._h2.receive_data(frame):
            self._on(event)

    def _on(self, event: Any) -> None:
        exchange = self._streams.get(getattr(event, "stream_id", 0) or 0)
        match event:
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self._window.set()
            case h2.events.DataReceived():
                if exchange is not None:
                    exchange.body += event.data
                if event.flow_controlled_length:
                    self._h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
            case h2.events.ResponseReceived() if exchange is not None:
                # Text, as asked of h2, whose types say bytes.
                headers: dict[Any, Any] = dict(event.headers)
                exchange.status = int(headers[":status"])
                if "x-worker" in headers:
                    self.origin.worker = int(headers["x-worker"])
            case h2.events.StreamEnded() if exchange is not None:
                exchange.done.set()
            case h2.events.StreamReset() if exchange is not None:
                code = event.error_code
                refused = code == h2.errors.ErrorCodes.REFUSED_STREAM
                exchange.error = Restarted() if refused else Wrong(f"stream reset: {code}")
                exchange.done.set()
                self._window.set()

    def _on_goaway(self, last: int, code: int, reason: bytes) -> None:
        """The streams above the last one are not taken up; those below go on."""
        self.leaving = True
        if code:
            self._end(Wrong(f"GOAWAY {code}: {reason!r}"))
            return
        for stream_id, exchange in self._streams.items():
            if stream_id > last:
                exchange.error = Restarted()
                exchange.done.set()
        self._window.set()

    def _end(self, error: Exception) -> None:
        for exchange in self._streams.values():
            if not exchange.done.is_set():
                exchange.error = error
                exchange.done.set()
        self._window.set()

    def abort(self) -> None:
        """Drop the connection with a reset."""
        self._reading.cancel()
        self._writer.transport.abort()

    async def close(self) -> None:
        """Say goodbye and close."""
        if not self._reading.done() and not self.leaving:
            self._h2.close_connection()
            self._flush()
        self._writer.close()
        self._reading.cancel()
        try:
            async with asyncio.timeout(10):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            pass
