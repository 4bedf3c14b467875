"""Blocking HTTP/1.1 (h11) and HTTP/2 (h2) clients for what httpx does not show.

103 Early Hints, server push, a reset in the middle of a response, and the tunnel of RFC 8441.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import h11

HOST = "127.0.0.1"
PATIENCE = 10.0
"""Seconds that a peer may take for one step."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass
class Exchange:
    """What has arrived of one response."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    hints: list[list[tuple[bytes, bytes]]] = field(default_factory=list)
    """The fields of each 103."""
    ended: bool = False
    cut: bool = False

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.ended or self.cut


Condition = Callable[[Exchange], bool]


def connect(port: int, tls: ssl.SSLContext | None, alpn: str) -> socket.socket:
    """A connected socket; TLS with `alpn` where a context is given."""
    sock = socket.create_connection((HOST, port), timeout=PATIENCE)
    if tls is None:
        return sock
    try:
        tls.set_alpn_protocols([alpn])
        secured = tls.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise
    assert secured.selected_alpn_protocol() == alpn
    return secured


class _Client:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sock.close()

    def receive(self) -> bytes:
        """Bytes of the connection, empty at its end."""
        try:
            return self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return b""


class HTTP1Client(_Client):
    """One GET over HTTP/1.1."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._h11 = h11.Connection(h11.CLIENT)
        self._exchange = Exchange()

    def get(self, path: str, until: Condition | None = None) -> Exchange:
        """Send a GET and read until `until` holds or the response is over."""
        head = h11.Request(method="GET", target=path, headers=[("host", "localhost")])
        self.sock.sendall(
            (self._h11.send(head) or b"") + (self._h11.send(h11.EndOfMessage()) or b"")
        )
        found = self._exchange
        while not found.over and not (until is not None and until(found)):
            self._step(found)
        return found

    def _step(self, found: Exchange) -> None:
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError:
            found.cut = True
            return
        if event is h11.NEED_DATA:
            self._h11.receive_data(self.receive())
        elif isinstance(event, h11.InformationalResponse):
            if event.status_code == 103:
                found.hints.append(list(event.headers))
        elif isinstance(event, h11.Response):
            found.status, found.headers = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            found.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            found.ended = True
        else:
            found.cut = True

    def abandon(self) -> None:
        """Leave in the middle: close the connection."""
        self.sock.close()


class HTTP2Client(_Client):
    """Streams over one HTTP/2 connection; with `push` it takes pushes."""

    def __init__(self, sock: socket.socket, *, push: bool = False) -> None:
        super().__init__(sock)
        self.exchanges: dict[int, Exchange] = {}
        self.promises: dict[int, list[tuple[bytes, bytes]]] = {}
        """The promised request by the pushed stream."""
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        settings = {h2.settings.SettingCodes.ENABLE_PUSH: int(push)}
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self._last = 0
        self._scheme = b"https" if isinstance(sock, ssl.SSLSocket) else b"http"
        self.flush()

    def flush(self) -> None:
        """Write what the library has queued."""
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def request(self, head: Headers, *, end: bool = True) -> int:
        """Send a request; `head` begins with ``:method``. The stream (int)."""
        stream = self.h2.get_next_available_stream_id()
        self.exchanges[stream] = Exchange()
        pseudo = [(b":scheme", self._scheme), (b":authority", b"localhost")]
        self.h2.send_headers(stream, [head[0], *pseudo, *head[1:]], end_stream=end)
        self.flush()
        return stream

    def get(self, path: str, until: Condition | None = None) -> Exchange:
        """Send a GET and read until `until` holds or the response is over."""
        self._last = self.request([(b":method", b"GET"), (b":path", path.encode())])
        return self.wait(self._last, until)

    def wait(self, stream: int, until: Condition | None = None) -> Exchange:
        """Read until `until` holds for the stream or its response is over."""
        found = self.exchanges[stream]
        self.pump(lambda: found.over or (until is not None and until(found)))
        return found

    def pump(self, until: Callable[[], bool]) -> None:
        """Read until `until` holds or the connection ends. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError("the server sends, but not what was waited for")
            data = self.receive()
            if not data:
                for exchange in self.exchanges.values():
                    exchange.cut = exchange.cut or not exchange.ended
                return
            for event in self.h2.receive_data(data):
                self._take(event)
            self.flush()

    def send(self, stream: int, data: bytes) -> None:
        """Send data that the windows have room for, as it is with a few messages."""
        size = self.h2.max_outbound_frame_size
        for start in range(0, len(data), size):
            self.h2.send_data(stream, data[start : start + size])
        self.flush()

    def abandon(self) -> None:
        """Leave in the middle: reset the stream of the last ``get``."""
        self.h2.reset_stream(self._last, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                if dict(event.headers)[b":status"] == b"103":
                    self.exchanges[event.stream_id].hints.append(list(event.headers))
            case h2.events.ResponseReceived():
                found = self.exchanges[event.stream_id]
                found.status = int(dict(event.headers)[b":status"])
                found.headers = [item for item in event.headers if item[0] != b":status"]
            case h2.events.DataReceived():
                self.exchanges[event.stream_id].body += event.data
                if event.flow_controlled_length and not self.exchanges[event.stream_id].over:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.exchanges[event.stream_id].ended = True
            case h2.events.StreamReset():
                found = self.exchanges[event.stream_id]
                found.cut = not found.ended
            case h2.events.PushedStreamReceived(pushed_stream_id=int(promised)):
                self.promises[promised] = list(event.headers or ())
                self.exchanges[promised] = Exchange()
            case _:
                pass
