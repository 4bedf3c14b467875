"""A blocking WebSocket client over HTTP/1.1 (RFC 6455) or HTTP/2 (RFC 8441), for the shims."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
import h11
import wsproto.connection
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    TextMessage,
)

Fields = Sequence[tuple[bytes, bytes]]
# Seconds for a read; longer than any wait of the server's that a test provokes.
_TIMEOUT = 10.0
_ENABLE_CONNECT_PROTOCOL = 8


class Refused(Exception):
    """The handshake was answered with something else: `status`, `headers` and `body`."""

    def __init__(self, status: int, headers: Fields, body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    """The peer closed; `code` is 1006 where it sent no close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class WebSocketClient:
    """One WebSocket: connected when made, see `headers`; raises `Refused`."""

    def __init__(
        self,
        address: tuple[str, int],
        target: bytes,
        fields: Fields,
        *,
        protocol: str = "http/1.1",
        tls: bool = False,
        authority: bytes,
    ) -> None:
        self._socket = socket.create_connection(address, _TIMEOUT)
        self._frames = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self._closed: Closed | None = None
        self.headers: Fields = []
        try:
            if tls:
                self._socket = _wrap(self._socket, protocol)
            self._wire: _Plain | _Stream
            if protocol == "h2":
                self._wire = _Stream(self._socket)
            else:
                self._wire = _Plain(self._socket)
            self.headers = self._wire.handshake(target, authority, fields, tls)
        except BaseException:
            self._socket.close()
            raise

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self._wire.send(self._frames.send(TextMessage(data=text)))

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._wire.send(self._frames.send(BytesMessage(data=bytes(data))))

    def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Send a close frame, once, and leave the connection open for the answer."""
        if self._frames.state.name in ("OPEN", "REMOTE_CLOSING") and self._closed is None:
            with contextlib.suppress(OSError):
                self._wire.send(self._frames.send(CloseConnection(code=code, reason=reason)))

    def abort(self) -> None:
        """Close the socket."""
        self._socket.close()

    def receive(self) -> str | bytes:
        """The next message; raises `Closed`."""
        parts: list[Any] = []
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, Ping):
                    self._wire.send(self._frames.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self._closed = Closed(event.code, event.reason or "")
                    with contextlib.suppress(Exception):
                        self._wire.send(self._frames.send(event.response()))
                elif isinstance(event, TextMessage | BytesMessage):
                    parts.append(event.data)
                    if event.message_finished:
                        joined = parts[0][:0].join(parts)
                        return joined if isinstance(joined, str) else bytes(joined)
            if self._closed is not None:
                raise self._closed
            try:
                data = self._wire.receive()
            except OSError:
                data = b""
            if not data:
                self._closed = Closed(1006, "")
                raise self._closed
            self._frames.receive_data(data)
            self._events.extend(self._frames.events())


def _wrap(sock: socket.socket, protocol: str) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(sock, server_hostname="localhost")


class _Plain:
    """The connection after a 101 answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._rest = b""

    def handshake(self, target: bytes, authority: bytes, fields: Fields, tls: bool) -> Fields:
        http = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method="GET",
            target=target,
            headers=[
                (b"host", authority),
                (b"connection", b"Upgrade"),
                (b"upgrade", b"websocket"),
                (b"sec-websocket-version", b"13"),
                (b"sec-websocket-key", base64.b64encode(os.urandom(16))),
                *fields,
            ],
        )
        self._socket.sendall((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        status, headers, body = 0, [], b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(self._socket.recv(65536))
            elif isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    self._rest = http.trailing_data[0]
                    return list(event.headers)
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, list(event.headers)
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                raise Refused(status, headers, body)

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest or self._socket.recv(65536)


class _Stream:
    """A stream of extended CONNECT."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._id = 0
        self._data = b""
        self._ended = False
        self._response: Fields | None = None

    def handshake(self, target: bytes, authority: bytes, fields: Fields, tls: bool) -> Fields:
        self._http.initiate_connection()
        while not self._http.remote_settings.get(_ENABLE_CONNECT_PROTOCOL):
            self._turn()
        self._id = self._http.get_next_available_stream_id()
        head = [
            (b":method", b"CONNECT"),
            (b":scheme", b"https" if tls else b"http"),
            (b":authority", authority),
            (b":path", target),
            (b":protocol", b"websocket"),
            (b"sec-websocket-version", b"13"),
            *fields,
        ]
        self._http.send_headers(self._id, head)
        while self._response is None:
            self._turn()
        headers = [(name, value) for name, value in self._response if name[:1] != b":"]
        status = int(dict(self._response)[b":status"])
        if status == 200:
            return headers
        while not self._ended:
            self._turn()
        raise Refused(status, headers, self._data)

    def _turn(self) -> None:
        """Send what is queued and take what comes."""
        self._socket.sendall(self._http.data_to_send())
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self._response = event.headers
            elif isinstance(event, h2.events.DataReceived):
                self._data += event.data
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                self._ended = True
        self._socket.sendall(self._http.data_to_send())

    def send(self, data: bytes) -> None:
        while data and not self._ended:
            room = min(
                self._http.local_flow_control_window(self._id), self._http.max_outbound_frame_size
            )
            if room > 0:
                self._http.send_data(self._id, data[:room])
                data = data[room:]
                self._socket.sendall(self._http.data_to_send())
            else:
                self._turn()

    def receive(self) -> bytes:
        while not self._data and not self._ended:
            self._turn()
        data, self._data = self._data, b""
        return data
