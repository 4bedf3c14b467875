"""Clients with a pace, for what load generators do not measure.

HTTP/1.1 over a raw socket and HTTP/2 through h2, with prior knowledge or over TLS. They
are plain blocking code: each connection has a thread of its own.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from types import TracebackType
from typing import Self

import h2.config
import h2.connection
import h2.events
import h2.settings

PIECE = 16_384
"""Bytes read or written at a time: the smallest maximum DATA frame (RFC 9113 section 4.2)."""

SLOW_RECEIVE_BUFFER = 65_536
"""Kernel receive buffer in bytes of a client that reads slowly.

Without it the kernel would take in most of a download at once, and nothing would press
back on the server.
"""

OPERATION_SECONDS = 15.0
"""Longest wait for the socket to move at all."""

HEAD_LIMIT = 65_536


class ClientError(Exception):
    """The server did not answer as it should."""


class Pace:
    """Keeps a transfer at `rate` bytes per second on average (None: no limit)."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._began = time.monotonic()
        self._total = 0

    def moved(self, size: int) -> None:
        """Sleep as long as `size` more bytes are ahead of the rate."""
        self._total += size
        if self._rate is not None:
            ahead = self._began + self._total / self._rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)


def connect(
    host: str, port: int, *, slow: bool = False, protocol: str | None = None
) -> socket.socket:
    """A TCP connection; `slow` keeps its receive buffer small.

    With a `protocol`, TLS with that one in ALPN. The certificate is not looked at: it is of
    our own making, and what costs the server is the same.
    """
    wire = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        wire.settimeout(OPERATION_SECONDS)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if slow:
            # Before connect(): it bounds the window scale offered in the handshake.
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_RECEIVE_BUFFER)
        wire.connect((host, port))
        if protocol is None:
            return wire
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        return context.wrap_socket(wire, server_hostname=host)
    except TimeoutError as error:
        wire.close()
        raise ClientError(f"no connection in {OPERATION_SECONDS:.0f} s") from error
    except BaseException:
        wire.close()
        raise


class HTTP1Client:
    """One HTTP/1.1 connection. `rate` (bytes per second) slows bodies both ways."""

    def __init__(
        self, host: str, port: int, rate: float | None = None, *, tls: bool = False
    ) -> None:
        protocol = "http/1.1" if tls else None
        self._wire = connect(host, port, slow=rate is not None, protocol=protocol)
        self._rate = rate
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wire.close()

    def get(self, path: str) -> int:
        """GET `path`; the length of the response body. Raises ClientError or OSError."""
        self._wire.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        length = self._head()
        pace = Pace(self._rate)
        left = length - len(self._buffer)
        self._buffer = b""
        while left > 0:
            data = self._receive(min(PIECE, left))
            if not data:
                raise ClientError(f"{path}: the response ended {left} bytes early")
            left -= len(data)
            pace.moved(len(data))
        return length

    def post(self, path: str, size: int) -> bytes:
        """POST `size` bytes to `path`; the response body. Raises ClientError or OSError."""
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        self._wire.sendall(head % (path.encode(), size))
        pace = Pace(self._rate)
        piece = b"x" * PIECE
        for offset in range(0, size, PIECE):
            self._wire.sendall(piece[: size - offset])
            pace.moved(min(PIECE, size - offset))
        length = self._head()
        while len(self._buffer) < length:
            self._read()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return body

    def _receive(self, most: int) -> bytes:
        try:
            return self._wire.recv(most)
        except TimeoutError as error:
            raise ClientError(f"nothing came in {OPERATION_SECONDS:.0f} s") from error

    def _read(self) -> None:
        data = self._receive(PIECE)
        if not data:
            raise ClientError("the server closed the connection")
        self._buffer += data

    def _head(self) -> int:
        """Read a response head; its Content-Length. Bytes after it stay in the buffer."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > HEAD_LIMIT:
                raise ClientError("a response head without end")
            self._read()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        if not status.startswith(b"HTTP/1.1 200"):
            raise ClientError(f"answered {status!r}")
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return int(value)
        raise ClientError("a response without Content-Length")


class HTTP2Client:
    """One HTTP/2 connection, over TLS or with prior knowledge (RFC 9113 section 3.3).

    `rate` (bytes per second) slows bodies both ways. The receive windows are the initial
    64 KiB and are returned as the body is read.
    """

    def __init__(
        self, host: str, port: int, rate: float | None = None, *, tls: bool = False
    ) -> None:
        self._wire = connect(host, port, slow=rate is not None, protocol="h2" if tls else None)
        self._scheme = "https" if tls else "http"
        self._rate = rate
        self._pace = Pace(rate)
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._h2 = h2.connection.H2Connection(config)
        self._bodies: dict[int, bytearray] = {}
        self._ended: set[int] = set()
        self._settled = False
        self._h2.initiate_connection()
        self._h2.update_settings({h2.settings.SettingCodes.ENABLE_PUSH: 0})
        self._flush()
        # The server's windows and stream limit are known only after its SETTINGS.
        while not self._settled:
            self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wire.close()

    def get(self, path: str) -> int:
        """GET `path`; the length of the response body. Raises ClientError or OSError."""
        self._pace = Pace(self._rate)
        stream_id = self.open("GET", path, end_stream=True)
        self._flush()
        while stream_id not in self._ended:
            self._read()
        return len(self._bodies[stream_id])

    def post(self, path: str, size: int) -> bytes:
        """POST `size` bytes to `path`; the response body. Raises ClientError or OSError."""
        pace = Pace(self._rate)
        stream_id = self.open("POST", path, size=size)
        left = size
        while left:
            sent = self._send_piece(stream_id, left)
            left -= sent
            self._flush()
            pace.moved(sent)
            self._read(wait=not sent)
        return self._bodies_of([stream_id])[0]

    def post_many(self, path: str, count: int, size: int, limit: float) -> list[bytes]:
        """`count` uploads of `size` bytes at once, taking turns piece by piece.

        Returns the response bodies. Raises ClientError if they are not all there after
        `limit` seconds.
        """
        deadline = time.monotonic() + limit
        streams = {self.open("POST", path, size=size): size for _ in range(count)}
        left = dict(streams)
        while left:
            moved = False
            for stream_id in list(left):
                sent = self._send_piece(stream_id, left[stream_id])
                moved = moved or sent > 0
                left[stream_id] -= sent
                if not left[stream_id]:
                    del left[stream_id]
            self._flush(deadline)
            self._read(wait=not moved, deadline=deadline)
        return self._bodies_of(list(streams), deadline)

    def fill(self, stream_id: int, most: int, patience: float = 0.25) -> int:
        """Send on `stream_id` until its window stays shut for `patience` seconds.

        At most `most` bytes; returns how many were sent.
        """
        total = 0
        while total < most:
            sent = self._send_piece(stream_id, most - total, end_stream=False)
            total += sent
            self._flush()
            if not sent and not self._readable(patience):
                break
            self._read(wait=False)
        return total

    def open(
        self, method: str, path: str, *, size: int | None = None, end_stream: bool = False
    ) -> int:
        """Send the request headers on a new stream; its id. `size` is the Content-Length."""
        stream_id = self._h2.get_next_available_stream_id()
        headers = [
            (":method", method),
            (":scheme", self._scheme),
            (":authority", "localhost"),
            (":path", path),
        ]
        if size is not None:
            headers.append(("content-length", str(size)))
        self._h2.send_headers(stream_id, headers, end_stream=end_stream)
        self._bodies[stream_id] = bytearray()
        return stream_id

    def _send_piece(self, stream_id: int, left: int, *, end_stream: bool = True) -> int:
        """Send up to one frame of the `left` bytes, as the windows allow; its size."""
        if stream_id in self._ended:
            raise ClientError("the server answered before it had the whole body")
        window = self._h2.local_flow_control_window(stream_id)
        size = min(window, left, PIECE, self._h2.max_outbound_frame_size)
        if size <= 0:
            return 0
        self._h2.send_data(stream_id, bytes(size), end_stream=end_stream and size == left)
        return size

    def _bodies_of(self, streams: list[int], deadline: float | None = None) -> list[bytes]:
        """Wait for the ends of `streams`; their response bodies."""
        while not self._ended.issuperset(streams):
            self._read(deadline=deadline)
        return [bytes(self._bodies[stream_id]) for stream_id in streams]

    def _allow(self, deadline: float | None) -> None:
        """Let the next socket operation last until `deadline` at most."""
        allowed = OPERATION_SECONDS
        if deadline is not None:
            allowed = min(allowed, deadline - time.monotonic())
            if allowed <= 0:
                raise ClientError("stalled: not done in time")
        self._wire.settimeout(allowed)

    def _flush(self, deadline: float | None = None) -> None:
        data = self._h2.data_to_send()
        if data:
            self._allow(deadline)
            try:
                self._wire.sendall(data)
            except TimeoutError as error:
                raise ClientError("stalled: the server takes no more bytes") from error

    def _readable(self, patience: float) -> bool:
        """Whether something has come, after at most `patience` seconds."""
        if isinstance(self._wire, ssl.SSLSocket) and self._wire.pending():
            return True
        return bool(select.select([self._wire], [], [], patience)[0])

    def _read(self, *, wait: bool = True, deadline: float | None = None) -> None:
        """Take in what has come; with `wait`, block until something has."""
        self._allow(deadline)
        if not wait:
            if not self._readable(0):
                return
            self._wire.settimeout(0)  # over TLS, what has come may hold no bytes for us
        try:
            data = self._wire.recv(PIECE)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except TimeoutError as error:
            raise ClientError("stalled: nothing came from the server in time") from error
        if not data:
            raise ClientError("the server closed the connection")
        for event in self._h2.receive_data(data):
            self._handle(event)
        self._allow(deadline)
        self._flush(deadline)

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                assert event.data is not None
                self._bodies[event.stream_id] += event.data
                self._pace.moved(len(event.data))
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.ResponseReceived():
                status = dict(event.headers or []).get(b":status")
                if status != b"200":
                    raise ClientError(f"answered {status!r}")
            case h2.events.StreamEnded():
                self._ended.add(event.stream_id)
            case h2.events.StreamReset():
                raise ClientError(f"stream reset with error code {event.error_code}")
            case h2.events.ConnectionTerminated():
                raise ClientError(f"GOAWAY with error code {event.error_code}")
            case h2.events.RemoteSettingsChanged():
                self._settled = True
            case _:
                pass
