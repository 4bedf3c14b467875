"""A blocking WebSocket client (wsproto) over HTTP/1.1 and over HTTP/2 (RFC 8441)."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Sequence
from typing import Any

import wsproto.connection
import wsproto.events

from helpers.clients import Client, HTTP1Client, HTTP2Client, Response

_KEY = base64.b64encode(b"0123456789abcdef")


class WebSocketClient:
    """One WebSocket; ``handshake`` reads the answer."""

    def __init__(
        self,
        client: Client,
        path: str = "/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        early: bytes = b"",
    ) -> None:
        self.client = client
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = False  # the peer has ended its side
        self._ws = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        self._events: list[wsproto.events.Event] = []
        self._taken = 0
        if isinstance(client, HTTP2Client):
            client.until(lambda: client.h2.remote_settings.enable_connect_protocol)
            self._stream = client.start_raw(
                [
                    (b":method", b"CONNECT"),
                    (b":protocol", b"websocket"),
                    (b":scheme", b"http"),
                    (b":authority", b"localhost"),
                    (b":path", path.encode()),
                    (b"sec-websocket-version", b"13"),
                    *headers,
                ],
                more=True,
            )
            if early:
                client.send(self._stream, early)
        else:
            head = [
                (b"Host", b"localhost"),
                (b"Upgrade", b"websocket"),
                (b"Connection", b"Upgrade"),
                (b"Sec-WebSocket-Key", _KEY),
                (b"Sec-WebSocket-Version", b"13"),
                *headers,
            ]
            lines = b"".join(b"%b: %b\r\n" % item for item in head)
            client.sock.sendall(b"GET %b HTTP/1.1\r\n%b\r\n" % (path.encode(), lines) + early)

    # The two wires

    def _read(self) -> bytes:
        """Tunnel bytes; empty at the end."""
        client = self.client
        if isinstance(client, HTTP1Client):
            return client._receive()
        assert isinstance(client, HTTP2Client)
        found = client.response(self._stream, self._more)
        data = bytes(found.body[self._taken :])
        self._taken += len(data)
        return data

    def _more(self, response: Response) -> bool:
        return len(response.body) > self._taken

    @property
    def has_news(self) -> bool:
        """Whether there is an event, or part of one, without a wait; over HTTP/2."""
        assert isinstance(self.client, HTTP2Client)
        return bool(self._events) or self._more(self.client.responses[self._stream])

    def send_bytes(self, data: bytes) -> None:
        """Send raw tunnel bytes."""
        if isinstance(self.client, HTTP2Client):
            self.client.send(self._stream, data)
        else:
            self.client.sock.sendall(data)

    def handshake(self) -> int:
        """Read the answer; its status (int), 200 for 101 on HTTP/1.1."""
        client = self.client
        if isinstance(client, HTTP2Client):
            found = client.response(self._stream, lambda r: r.status > 0)
            self.status, self.headers = found.status, found.headers
            if self.status != 200:
                self.body = bytes(client.response(self._stream).body)
            return self.status
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._read()
            assert piece, data
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        pairs = [line.partition(b":")[::2] for line in lines]
        self.headers = [(name.lower(), value.strip()) for name, value in pairs]
        self.status = int(first.split()[1])
        if self.status == 101:
            self.status = 200
            if rest:
                self._feed(rest)
            return 200
        if dict(self.headers).get(b"transfer-encoding") == b"chunked":
            while not rest.endswith(b"0\r\n\r\n"):
                rest += self._read()
            # No data of the tests looks like a chunk's line: odd ones are sizes.
            self.body = b"".join(rest.split(b"\r\n")[1:-3:2])
            return self.status
        length = int(dict(self.headers).get(b"content-length", b"0"))
        while len(rest) < length:
            rest += self._read()
        self.body = rest
        return self.status

    # Messages

    def _feed(self, data: bytes) -> None:
        self._ws.receive_data(data or None)
        self._events += self._ws.events()

    def send(self, event: wsproto.events.Event) -> None:
        """Send an event of wsproto."""
        self.send_bytes(self._ws.send(event))

    def send_text(self, text: str) -> None:
        """Send a text message."""
        self.send(wsproto.events.TextMessage(data=text))

    def close(self, code: int | None = 1000, reason: str | None = None) -> None:
        """Send a close frame; without a code an empty one."""
        if code is None:
            self.send_bytes(b"\x88\x80\0\0\0\0")
        else:
            self.send(wsproto.events.CloseConnection(code=code, reason=reason))

    def event(self) -> Any:
        """The next event of wsproto; None at the end of the tunnel without one."""
        while not self._events:
            data = self._read()
            if not data:
                self.ended = True
                return None
            self._feed(data)
        return self._events.pop(0)

    def text(self) -> str:
        """The next whole text message."""
        pieces = []
        while True:
            event = self.event()
            assert isinstance(event, wsproto.events.TextMessage), event
            pieces.append(event.data)
            if event.message_finished:
                return "".join(pieces)

    def close_code(self) -> int | None:
        """Skip to the peer's close frame; its code (int), 1006 without one."""
        while True:
            event = self.event()
            if event is None:
                return 1006
            if isinstance(event, wsproto.events.CloseConnection):
                return event.code

    def at_end(self) -> bool:
        """Read to the end of the tunnel; whether it was in order."""
        while not self.ended:
            if self._events:
                self._events.clear()
            elif not self._read():
                self.ended = True
        if isinstance(self.client, HTTP2Client):
            return self.client.responses[self._stream].complete
        return True

    def end(self) -> None:
        """End this side of the tunnel; over TLS, which has no such end, leave."""
        if isinstance(self.client, HTTP2Client):
            self.client.send(self._stream, b"", more=False)
        elif isinstance(self.client.sock, ssl.SSLSocket):
            self.client.sock.close()
        else:
            self.client.sock.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Vanish without a closing handshake."""
        if isinstance(self.client, HTTP2Client):
            self.client.leave(self._stream)
        else:
            self.client.sock.close()
