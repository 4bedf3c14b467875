"""python-socketio's client: WebSocket, long polling, and the upgrade from one to the other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import socketio
from compliance.workloads.checks import PATIENCE, Suite, Target, Unmet, expect, until

# The clients of both transports, websocket-client and requests, speak HTTP/1.1 only.
suite = Suite("http/1.1")


@contextmanager
def client(target: Target, *transports: str) -> Iterator[socketio.SimpleClient]:
    with socketio.SimpleClient() as opened:
        opened.connect(target.url(), transports=list(transports) or None, wait_timeout=PATIENCE)
        yield opened


def talk(target: Target, opened: socketio.SimpleClient) -> None:
    name, _ = opened.receive(timeout=PATIENCE)
    expect(name, "welcome", "first event")
    for data in ("Zoë", {"list": [1, 2.5, None]}, b"\x00\xff" * 1000, "x" * 100_000):
        expect(opened.call("echo", data, timeout=PATIENCE), data, "echo")
    numbers = [opened.call("echo", number, timeout=PATIENCE) for number in range(100)]
    expect(numbers, list(range(100)), "answers in order")


@suite.check()
def websocket(target: Target) -> None:
    with client(target, "websocket") as opened:
        expect(opened.transport, "websocket", "transport")
        talk(target, opened)


@suite.check()
def long_polling(target: Target) -> None:
    with client(target, "polling") as opened:
        expect(opened.transport, "polling", "transport")
        talk(target, opened)


@suite.check()
def upgrade(target: Target) -> None:
    """Polling first, then the same session over WebSocket."""
    with client(target) as opened:
        until(lambda: opened.transport == "websocket", "no upgrade")
        talk(target, opened)


@suite.check()
def rooms(target: Target) -> None:
    """What one client tells a room reaches all in it, by either transport."""
    with client(target, "websocket") as one, client(target, "polling") as other:
        for member in (one, other):
            member.receive(timeout=PATIENCE)
            expect(member.call("enter", "room", timeout=PATIENCE), True, "entered")
        one.emit("tell", ("room", {"n": 1}))
        for member in (one, other):
            expect(member.receive(timeout=PATIENCE), ["told", {"n": 1}], "told")


@suite.check()
def refused(target: Target) -> None:
    with socketio.SimpleClient() as opened:
        try:
            opened.connect(target.url(), auth={"refuse": True}, wait_timeout=PATIENCE)
        except socketio.exceptions.ConnectionError:
            return
    raise Unmet("the connection was not refused")


@suite.check()
def leave(target: Target) -> None:
    """The server's handler runs when a client goes without a word."""
    with client(target, "websocket") as watcher:
        watcher.receive(timeout=PATIENCE)
        before = watcher.call("count_left", timeout=PATIENCE)
        with client(target, "websocket") as leaving:
            leaving.receive(timeout=PATIENCE)
            leaving.client.eio.ws.sock.close()
            until(
                lambda: watcher.call("count_left", timeout=PATIENCE) == before + 1,
                "the handler did not run",
            )


@suite.check()
def bad_session(target: Target) -> None:
    """A session that is not there."""
    path = "/socket.io/?EIO=4&transport=polling&sid=unknown"
    expect(requests.get(target.url(path), timeout=PATIENCE).status_code, 400, "status")


@suite.at_stop()
def stop(target: Target, opened) -> None:
    """A WebSocket session is closed by the server."""
    gone = threading.Event()
    welcome: queue.Queue[object] = queue.Queue()
    one = socketio.Client(reconnection=False)
    one.on("disconnect", lambda reason: gone.set())
    one.on("welcome", welcome.put)
    one.connect(target.url(), transports=["websocket"], wait_timeout=PATIENCE)
    welcome.get(timeout=PATIENCE)
    opened()
    if not gone.wait(PATIENCE):
        raise Unmet("the client was not told")
    one.disconnect()


if __name__ == "__main__":
    raise SystemExit(suite.main())
