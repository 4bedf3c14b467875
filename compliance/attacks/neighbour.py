"""A well-behaved client at a steady rate, in a process of its own, that measures how it is served.

A request's time counts from the moment it was due, not from the moment it could be sent, so a
server that hangs for a second delays all the requests that were due in it.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from compliance.attacks import frames as f

RATE = 50.0
"""Requests a second of each protocol, spread over its connections."""
CONNECTIONS = 5
"""Connections of each protocol."""
# Another address than the attacker's; all of 127.0.0.0/8 is this machine.
_ADDRESS = "127.0.0.2"
_PATIENCE = 5.0
_PATH = b"/neighbour"
_GET = b"GET " + _PATH + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BLOCK = f.request(_PATH)


@dataclass(slots=True)
class Sample:
    """One request: when it was due (seconds, monotonic) and how long it took, None for never."""

    due: float
    took: float | None


@dataclass(slots=True)
class Samples:
    """What a neighbour measured."""

    samples: list[Sample] = field(default_factory=list)

    def between(self, start: float, end: float) -> Samples:
        """The requests that were due in a stretch of time."""
        return Samples([one for one in self.samples if start <= one.due < end])

    @property
    def lost(self) -> int:
        """Requests without an answer."""
        return sum(one.took is None for one in self.samples)

    def percentile(self, share: float) -> float:
        """Seconds within which this share was answered; one that was lost took all patience."""
        times = sorted(_PATIENCE if one.took is None else one.took for one in self.samples)
        return times[max(0, math.ceil(share * len(times)) - 1)] if times else 0.0


class Client:
    """Sends one request at a time over one connection, which it opens again as needed."""

    def __init__(self, host: str, port: int, *, http2: bool, tls: bool) -> None:
        self._where = (host, port)
        self._http2 = http2
        self._context: ssl.SSLContext | None = None
        if tls:
            self._context = ssl.create_default_context()
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
            self._context.set_alpn_protocols(["h2" if http2 else "http/1.1"])
        self._sock: socket.socket | None = None
        self._buffer = b""
        self._stream = 1

    def close(self) -> None:
        """Close the connection."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def ask(self) -> bool:
        """One request; whether it was answered. A second try where the first one broke off."""
        reused = self._sock is not None
        for _ in range(3 if reused else 2):
            try:
                self._exchange()
            except TimeoutError:
                self.close()
                return False
            except OSError:
                self.close()
                continue
            return True
        return False

    def _open(self) -> socket.socket:
        sock = socket.create_connection(self._where, _PATIENCE, source_address=(_ADDRESS, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_hostname="localhost")
        self._buffer, self._stream = b"", 1
        if self._http2:
            sock.sendall(f.OPENING)
        return sock

    def _exchange(self) -> None:
        if self._sock is None:
            self._sock = self._open()
        if self._http2:
            self._sock.sendall(f.headers(self._stream, _BLOCK))
            while not self._answered():
                self._read()
            self._stream += 2
        else:
            self._sock.sendall(_GET)
            while b"\r\n\r\n" not in self._buffer:
                self._read()
            head, _, body = self._buffer.partition(b"\r\n\r\n")
            length = _content_length(head)
            while len(body) < length:
                self._buffer = b""
                self._read()
                body += self._buffer
            self._buffer = body[length:]
            if b"connection: close" in head.lower():
                self.close()

    def _read(self) -> None:
        assert self._sock is not None
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionResetError("closed before the answer")
        self._buffer += data

    def _answered(self) -> bool:
        """Take frames off the buffer; whether one of them ends the stream."""
        assert self._sock is not None
        while len(self._buffer) >= 9:
            size, kind, flags, stream = _head(self._buffer)
            if len(self._buffer) < 9 + size:
                return False
            payload, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            if kind == f.GOAWAY or (kind == f.RST_STREAM and stream == self._stream):
                raise ConnectionResetError("refused")
            if kind == f.PING and not flags & f.ACK:
                self._sock.sendall(f.frame(f.PING, f.ACK, 0, payload))
            elif kind == f.SETTINGS and not flags & f.ACK:
                self._sock.sendall(f.frame(f.SETTINGS, f.ACK))
            elif kind in (f.DATA, f.HEADERS) and flags & f.END_STREAM and stream == self._stream:
                return True
        return False


def _head(data: bytes) -> tuple[int, int, int, int]:
    """Length, type, flags and stream of a frame."""
    return int.from_bytes(data[:3], "big"), data[3], data[4], int.from_bytes(data[5:9], "big")


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


def _steadily(
    client: Client, samples: list[Sample], stop: threading.Event, fresh: bool, offset: float
) -> None:
    due = time.monotonic() + offset
    stop.wait(offset)
    while not stop.is_set():
        if fresh:
            client.close()
        answered = client.ask()
        now = time.monotonic()
        samples.append(Sample(due, now - due if answered else None))
        due += CONNECTIONS / RATE
        if stop.wait(max(0.0, due - time.monotonic())):
            break
    client.close()


def measure(
    host: str,
    port: int,
    protocols: Sequence[str],
    *,
    tls: bool,
    stop: threading.Event,
) -> Samples:
    """Send requests over each protocol (``http/1.1``, ``h2``) until told to stop.

    One request in five of HTTP/1.1 has a connection of its own.
    """
    found: list[list[Sample]] = []
    threads = []
    for protocol in protocols:
        for number in range(CONNECTIONS):
            client = Client(host, port, http2=protocol == "h2", tls=tls)
            samples: list[Sample] = []
            fresh = protocol == "http/1.1" and number == 0
            arguments = (client, samples, stop, fresh, number / RATE)
            thread = threading.Thread(target=_steadily, args=arguments)
            thread.start()
            threads.append(thread)
            found.append(samples)
    for thread in threads:
        thread.join()
    return Samples(sorted((one for each in found for one in each), key=lambda one: one.due))
