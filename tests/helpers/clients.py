"""Blocking clients for HTTP/1.1 (h11) and HTTP/2 (h2) with one interface."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11

from helpers.serving import PATIENCE

Headers = Sequence[tuple[bytes, bytes]]


@dataclass
class Response:
    """What has arrived of one response."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    informational: list[tuple[int, list[tuple[bytes, bytes]]]] = field(default_factory=list)
    complete: bool = False
    cut: bool = False  # reset, or the connection closed in between
    reset_code: int | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of the one field of that name."""
        found = [value for key, value in self.headers if key.lower() == name]
        assert len(found) <= 1, found
        return found[0] if found else None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


Condition = Callable[[Response], bool]


def _over(response: Response) -> bool:
    return response.complete or response.cut


def open_socket(
    address: tuple[str, int] | str,
    tls: ssl.SSLContext | None = None,
    alpn: str | None = None,
    receive_buffer: int | None = None,
) -> socket.socket:
    """A connected blocking socket, with TLS where a context is given."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    if family == socket.AF_INET and ":" in address[0]:
        family = socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        sock.connect(address)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return sock
        if alpn is not None:
            tls.set_alpn_protocols([alpn])
        return tls.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise


def reset_socket(sock: socket.socket) -> None:
    """Close with a TCP reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Not SSLSocket.close, which may say goodbye first.
    sock.close()


class Client(Protocol):
    """One connection; exchanges are named by the number ``start`` gives."""

    http_version: str
    sock: socket.socket

    def start(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Headers = (),
        body: bytes = b"",
        *,
        more: bool = False,
    ) -> int: ...
    def send(self, stream: int, data: bytes, *, more: bool = True) -> None: ...
    def offer(self, stream: int, size: int, quiet: float = 0.15) -> int: ...
    def response(self, stream: int, until: Condition = _over) -> Response: ...
    def get(self, path: str = "/", headers: Headers = ()) -> Response: ...
    def leave(self, stream: int) -> None: ...
    def close(self) -> None: ...


class HTTP1Client:
    """HTTP/1.1."""

    http_version = "1.1"

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._h11 = h11.Connection(h11.CLIENT)
        self._stream = 0
        self._response = Response()
        self._unsent = b""

    def start(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Headers = (),
        body: bytes = b"",
        *,
        more: bool = False,
    ) -> int:
        """Send a request, or its first part."""
        if self._stream:
            self._h11.start_next_cycle()
        self._stream += 1
        self._response = Response()
        fields = [(b"host", b"localhost"), *headers]
        names = {name for name, _ in fields}
        if more and b"content-length" not in names:
            fields.append((b"transfer-encoding", b"chunked"))
        elif body and b"content-length" not in names:
            fields.append((b"content-length", b"%d" % len(body)))
        data = self._h11.send(h11.Request(method=method, target=path, headers=fields)) or b""
        if body:
            data += self._h11.send(h11.Data(data=body)) or b""
        if not more:
            data += self._h11.send(h11.EndOfMessage()) or b""
        self.sock.sendall(data)
        return self._stream

    def send(self, stream: int, data: bytes, *, more: bool = True) -> None:
        """Send body bytes."""
        out = (self._h11.send(h11.Data(data=data)) or b"") if data else b""
        if not more:
            out += self._h11.send(h11.EndOfMessage()) or b""
        self.sock.sendall(self._unsent + out)
        self._unsent = b""

    def offer(self, stream: int, size: int, quiet: float = 0.15) -> int:
        """Send at most ``size`` body bytes until the peer takes none for ``quiet`` seconds."""
        self.sock.settimeout(quiet)
        sent = 0
        try:
            while sent < size:
                piece = b"x" * min(16384, size - sent)
                self._unsent += self._h11.send(h11.Data(data=piece)) or b""
                sent += len(piece)  # what is left of it goes with the next ``send``
                while self._unsent:
                    taken = self.sock.send(self._unsent)
                    self._unsent = self._unsent[taken:]
        except TimeoutError:
            pass
        finally:
            self.sock.settimeout(PATIENCE)
        return sent

    def response(self, stream: int, until: Condition = _over) -> Response:
        """Read until the condition holds or the response is over."""
        assert stream == self._stream
        found = self._response
        while not until(found) and not _over(found):
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError:
                found.cut = True
                break
            if event is h11.NEED_DATA:
                self._h11.receive_data(self._receive())
            elif isinstance(event, h11.InformationalResponse):
                found.informational.append((event.status_code, list(event.headers)))
            elif isinstance(event, h11.Response):
                found.status, found.headers = event.status_code, list(event.headers)
            elif isinstance(event, h11.Data):
                found.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.trailers, found.complete = list(event.headers), True
            else:
                found.cut = True
        return found

    def _receive(self) -> bytes:
        try:
            return self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return b""

    def get(self, path: str = "/", headers: Headers = ()) -> Response:
        """One GET exchange."""
        return self.response(self.start("GET", path, headers))

    def leave(self, stream: int) -> None:
        """Leave the exchange: on HTTP/1.1 the connection."""
        self.sock.close()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


class HTTP2Client:
    """HTTP/2, by prior knowledge or ALPN."""

    http_version = "2"

    def __init__(
        self,
        sock: socket.socket,
        *,
        push: bool = True,
        window: int | None = None,
        credit: bool = True,
    ) -> None:
        self.sock = sock
        self.credit = credit  # give flow control credit for what arrives
        self.responses: dict[int, Response] = {}
        self.promised: dict[int, tuple[int, list[tuple[bytes, bytes]]]] = {}
        self.goaways: list[tuple[int, int]] = []  # last stream id, code
        self.pongs: list[bytes] = []
        self.closed = False
        self._unread = b""
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        settings = {h2.settings.SettingCodes.ENABLE_PUSH: int(push)}
        if window is not None:
            settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self._scheme = b"https" if isinstance(sock, ssl.SSLSocket) else b"http"
        self.flush()

    def flush(self) -> None:
        """Send what the h2 library has queued."""
        data = self.h2.data_to_send()
        if data:
            with contextlib.suppress(ConnectionError):
                self.sock.sendall(data)

    def start(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Headers = (),
        body: bytes = b"",
        *,
        more: bool = False,
    ) -> int:
        """Send a request, or its first part."""
        head = [
            (b":method", method.encode()),
            (b":scheme", self._scheme),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
            *headers,
        ]
        return self.start_raw(head, body, more=more)

    def start_raw(self, head: Headers, body: bytes = b"", *, more: bool = False) -> int:
        """Send a request of this exact header list."""
        stream = self.h2.get_next_available_stream_id()
        self.responses[stream] = Response()
        self.h2.send_headers(stream, list(head), end_stream=not body and not more)
        self.flush()
        if body:
            self.send(stream, body, more=more)
        return stream

    def send(self, stream: int, data: bytes, *, more: bool = True) -> None:
        """Send body bytes as the windows allow."""
        view = memoryview(data)
        while view:
            room = self._room(stream)
            if not room:
                self.pump()
                assert not self.closed, "the connection closed during an upload"
                continue
            self.h2.send_data(stream, bytes(view[:room]))
            view = view[room:]
            self.flush()
        if not more:
            self.h2.end_stream(stream)
            self.flush()

    def _room(self, stream: int) -> int:
        window = self.h2.local_flow_control_window(stream)
        return max(0, min(window, self.h2.max_outbound_frame_size))

    def offer(self, stream: int, size: int, quiet: float = 0.15) -> int:
        """Send at most ``size`` body bytes until the peer takes none for ``quiet`` seconds."""
        self.ping(b"settings")  # what it allows from the start is known behind that
        sent = 0
        while sent < size:
            room = min(self._room(stream), size - sent)
            if room:
                self.h2.send_data(stream, b"x" * room)
                sent += room
                self.flush()
                continue
            self.sock.settimeout(quiet)
            try:
                self.pump()
            except TimeoutError:
                break
            finally:
                self.sock.settimeout(PATIENCE)
        return sent

    def pump(self) -> None:
        """Take one read's worth of events."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self._end()
            return
        self._unread += data
        while frame := self._next_frame():
            for event in self.h2.receive_data(frame):
                self._take(event)
        self.flush()

    def _next_frame(self) -> bytes:
        """One whole frame of what has arrived, or nothing."""
        end = 9 + int.from_bytes(self._unread[:3], "big")
        if len(self._unread) < max(end, 9):
            return b""
        frame, self._unread = self._unread[:end], self._unread[end:]
        return frame

    def _end(self) -> None:
        self.closed = True
        for response in self.responses.values():
            response.cut = not response.complete

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                head = list(event.headers)
                status = int(dict(head)[b":status"])
                self.responses[event.stream_id].informational.append((status, head[1:]))
            case h2.events.ResponseReceived():
                found = self.responses.setdefault(event.stream_id, Response())
                found.headers = [item for item in event.headers if item[0] != b":status"]
                found.status = int(dict(event.headers)[b":status"])
            case h2.events.DataReceived():
                self.responses[event.stream_id].body += event.data
                if self.credit and event.flow_controlled_length:
                    with contextlib.suppress(h2.exceptions.StreamClosedError):
                        self.h2.acknowledge_received_data(
                            event.flow_controlled_length, event.stream_id
                        )
            case h2.events.TrailersReceived():
                self.responses[event.stream_id].trailers = list(event.headers)
            case h2.events.StreamEnded():
                self.responses[event.stream_id].complete = True
            case h2.events.StreamReset():
                found = self.responses[event.stream_id]
                found.reset_code = int(event.error_code)
                found.cut = not found.complete
            case h2.events.PushedStreamReceived(
                parent_stream_id=int(parent), pushed_stream_id=int(promised)
            ):
                self.promised[promised] = (parent, list(event.headers or ()))
                self.responses.setdefault(promised, Response())
            case h2.events.ConnectionTerminated(last_stream_id=int(last), error_code=int(code)):
                self.goaways.append((last, int(code)))
                # h2 takes GOAWAY for the end; RFC 9113 section 6.8 lets open streams go on.
                self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
            case h2.events.PingAckReceived():
                self.pongs.append(event.ping_data)
            case _:
                pass

    def response(self, stream: int, until: Condition = _over) -> Response:
        """Read until the condition holds or the response is over."""
        found = self.responses[stream]
        while not until(found) and not _over(found):
            self.pump()
        return found

    def until(self, condition: Callable[[], object]) -> None:
        """Read until ``condition`` holds or the connection has closed."""
        deadline = time.monotonic() + PATIENCE
        while not condition() and not self.closed:
            assert time.monotonic() < deadline
            self.pump()

    def ping(self, data: bytes = b"12345678") -> None:
        """A PING and its answer."""
        self.h2.ping(data)
        self.flush()
        self.until(lambda: data in self.pongs)
        assert data in self.pongs

    def get(self, path: str = "/", headers: Headers = ()) -> Response:
        """One GET exchange."""
        return self.response(self.start("GET", path, headers))

    def leave(self, stream: int) -> None:
        """Reset the stream."""
        self.h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def post(protocol: str, body: bytes = b"", *, tls: bool = True, more: bool = False) -> bytes:
    """All that a client sends at first, where its bytes have to be at hand.

    :param more: the body goes on.
    """
    if protocol != "h2":
        size = len(body) + more
        return b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size + body
    client = h2.connection.H2Connection()
    client.initiate_connection()
    scheme = "https" if tls else "http"
    head = [(":method", "POST"), (":scheme", scheme), (":authority", "a"), (":path", "/")]
    client.send_headers(1, head)
    client.send_data(1, body, end_stream=not more)
    return client.data_to_send()
