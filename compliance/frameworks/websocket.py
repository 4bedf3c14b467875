"""A WebSocket client: websockets over HTTP/1.1, wsproto in a stream of HTTP/2 (RFC 8441)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import websockets.exceptions
import wsproto.connection
import wsproto.events
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as websockets_connect
from websockets.typing import Subprotocol

from compliance.frameworks.wire import PATIENCE, HTTP2Client


class Refused(Exception):
    """The handshake was answered with another status."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status = status
        self.body = body


class WebSocket(Protocol):
    """An open WebSocket."""

    subprotocol: str | None

    def send(self, message: str | bytes) -> None:
        """Send a whole message."""

    def receive(self) -> str | bytes:
        """The next whole message. Raises EOFError where the peer closes instead."""

    def closed(self) -> tuple[int, str]:
        """Wait for the peer's close: its code and reason."""


class HTTP1WebSocket:
    """Over HTTP/1.1."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.subprotocol: str | None = connection.subprotocol

    def send(self, message: str | bytes) -> None:
        self._connection.send(message)

    def receive(self) -> str | bytes:
        try:
            return self._connection.recv(timeout=PATIENCE)
        except websockets.exceptions.ConnectionClosed as error:
            raise EOFError(str(error)) from error

    def closed(self) -> tuple[int, str]:
        try:
            self._connection.recv(timeout=PATIENCE)
        except websockets.exceptions.ConnectionClosed as error:
            close = error.rcvd
            return (close.code, close.reason) if close is not None else (1006, "")
        return 0, "a message came instead"


@contextmanager
def over_http1(sock: socket.socket, path: str, offer: Sequence[str]) -> Iterator[HTTP1WebSocket]:
    """Open a WebSocket on a cleartext connection. Raises Refused."""
    protocols = [Subprotocol(name) for name in offer] or None
    uri = f"ws://localhost{path}"
    try:
        opened = websockets_connect(
            uri, sock=sock, subprotocols=protocols, open_timeout=PATIENCE, close_timeout=PATIENCE
        )
        connection = opened.__enter__()
    except websockets.exceptions.InvalidStatus as error:
        raise Refused(error.response.status_code, bytes(error.response.body or b"")) from error
    try:
        yield HTTP1WebSocket(connection)
    finally:
        opened.__exit__(None, None, None)


class HTTP2WebSocket:
    """Over one stream of HTTP/2."""

    def __init__(self, client: HTTP2Client, stream: int) -> None:
        self._client = client
        self._stream = stream
        self._taken = 0
        self._ws = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        self._events: list[wsproto.events.Event] = []
        self._answered = False
        fields = dict(client.exchanges[stream].headers)
        found = fields.get(b"sec-websocket-protocol")
        self.subprotocol = None if found is None else found.decode()

    def send(self, message: str | bytes) -> None:
        event: wsproto.events.Event
        if isinstance(message, str):
            event = wsproto.events.TextMessage(data=message)
        else:
            event = wsproto.events.BytesMessage(data=message)
        self._client.send(self._stream, self._ws.send(event))

    def receive(self) -> str | bytes:
        texts: list[str] = []
        binary = bytearray()
        while True:
            event = self._event()
            if isinstance(event, wsproto.events.TextMessage):
                texts.append(event.data)
                if event.message_finished:
                    return "".join(texts)
            elif isinstance(event, wsproto.events.BytesMessage):
                binary += event.data
                if event.message_finished:
                    return bytes(binary)
            elif isinstance(event, wsproto.events.CloseConnection):
                self._answer(event)
                raise EOFError(f"closed with {event.code}")

    def closed(self) -> tuple[int, str]:
        while True:
            event = self._event()
            if isinstance(event, wsproto.events.CloseConnection):
                self._answer(event)
                return event.code, event.reason or ""

    def close(self) -> None:
        """The closing handshake, begun by the client where the peer has not."""
        if not self._answered:
            close = wsproto.events.CloseConnection(code=1000)
            self._client.send(self._stream, self._ws.send(close))
            self._answered = True
        exchange = self._client.wait(self._stream)
        if not exchange.ended:
            raise EOFError("the server reset the stream instead of ending it")

    def _answer(self, event: wsproto.events.CloseConnection) -> None:
        self._client.send(self._stream, self._ws.send(event.response()))
        self._answered = True

    def _event(self) -> wsproto.events.Event:
        while not self._events:
            exchange = self._client.wait(self._stream, lambda found: len(found.body) > self._taken)
            data = bytes(exchange.body[self._taken :])
            self._taken += len(data)
            if not data:
                raise EOFError("the stream ended without a close frame")
            self._ws.receive_data(data)
            for event in self._ws.events():
                if isinstance(event, wsproto.events.Ping):
                    self._client.send(self._stream, self._ws.send(event.response()))
                else:
                    self._events.append(event)
        return self._events.pop(0)


@contextmanager
def over_http2(client: HTTP2Client, path: str, offer: Sequence[str]) -> Iterator[HTTP2WebSocket]:
    """Open a WebSocket on a stream. Raises Refused."""
    client.pump(lambda: bool(client.h2.remote_settings.enable_connect_protocol))
    head = [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":path", path.encode()),
        (b"sec-websocket-version", b"13"),
    ]
    if offer:
        head.append((b"sec-websocket-protocol", ", ".join(offer).encode()))
    stream = client.request(head, end=False)
    answer = client.wait(stream, lambda found: found.status > 0)
    if answer.status != 200:
        raise Refused(answer.status, bytes(client.wait(stream).body))
    opened = HTTP2WebSocket(client, stream)
    yield opened
    opened.close()
