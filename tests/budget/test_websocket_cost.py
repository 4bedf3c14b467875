"""What an echoed WebSocket message costs the event loop, counted exactly."""

from __future__ import annotations

import socket

import pytest
from test_exchange_cost import Cost, measure

from tricorn.types import Receive, Scope, Send

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
# Masked with zeros, and the answer.
MESSAGE, ECHO = b"\x81\x85\0\0\0\0hello", b"\x81\x05hello"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})


class Client:
    """Opens a WebSocket with the first exchange, and has ``count`` messages echoed in each."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._open = False
        self._data = b""

    def send(self, sock: socket.socket) -> None:
        self._data = b""
        sock.send(MESSAGE * self._count if self._open else HANDSHAKE)

    def receive(self, sock: socket.socket) -> bool:
        try:
            self._data += sock.recv(65536)
        except BlockingIOError:
            return False
        if self._open:
            return self._data == ECHO * self._count
        self._open = self._data.endswith(b"\r\n\r\n")
        return self._open


def test_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(1)
    cost = measure(monkeypatch, echo, client.send, client.receive)
    # The socket is ready; the application takes one step.
    assert cost == Cost(callbacks=2, tasks=0, writes=1)


def test_messages_of_one_read_are_answered_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(20)
    cost = measure(monkeypatch, echo, client.send, client.receive)
    assert cost.writes == 1
    assert cost.callbacks <= 3  # as above, and the end of the turn where that came first
