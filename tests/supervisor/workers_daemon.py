"""A daemon with workers, the application its tests use, and requests to it."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers.daemon import COMMAND, Daemon, daemon

DEADLINE = 15.0  # seconds, generous: the machine may be busy
_PIDS = re.compile(r"\d+ workers? \(([\d, ]+)\) below supervisor (\d+)")

APP = """
import os, signal, threading, time
import anyio

VERSION = 1

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/block":
        time.sleep(60)
    if path == "/exit":
        os._exit(7)
    if path == "/segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path == "/thread":  # one that keeps the interpreter from ending
        threading.Thread(target=time.sleep, args=(60,)).start()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/slow":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.sleep(0.5)
    if path == "/echo":  # as it comes, so that whoever asks decides how long it takes
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            body = message.get("body", b"")
            await send({"type": "http.response.body", "body": body, "more_body": True})
    if path == "/stopping":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await scope["extensions"]["tricorn.stopping"]["signal"].wait()
    if path == "/stuck":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await anyio.sleep_forever()
    body = f"{os.getpid()} {VERSION}".encode()
    await send({"type": "http.response.body", "body": body})

async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


class Workers:
    """A daemon and what it says of its workers."""

    def __init__(self, server: Daemon) -> None:
        self.server = server

    @property
    def said(self) -> list[tuple[list[int], int]]:
        """Process ids of workers and of the supervisor, each time they were told."""
        found = _PIDS.findall(self.server.errors)
        return [([int(pid) for pid in pids.split(",")], int(above)) for pids, above in found]

    def wait_said(self, times: int) -> tuple[list[int], int]:
        """Wait until the workers were told so often; the last ones."""
        self.server.wait_until(lambda errors: len(_PIDS.findall(errors)) >= times)
        return self.said[-1]

    def connection(self) -> http.client.HTTPConnection:
        """A new connection."""
        host, port = self.server.address
        return http.client.HTTPConnection(host, port, timeout=DEADLINE)

    def get(self, path: str = "/") -> str:
        """The body of one request on a connection of its own."""
        client = self.connection()
        try:
            client.request("GET", path)
            return client.getresponse().read().decode()
        finally:
            client.close()

    def worker(self) -> int:
        """The process id of whoever answers."""
        return int(self.get().split()[0])

    def version(self) -> str:
        """The version of the application that answers."""
        return self.get().split()[1]


class Echo:
    """A request to ``/echo`` that is in flight until its six bytes are sent."""

    def __init__(self, site: Workers) -> None:
        self.sock = socket.create_connection(site.server.address, DEADLINE)
        self.sock.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n")
        self.received = b""
        self.send(b"a")

    def send(self, byte: bytes) -> None:
        """Send one byte of the body, and wait until it has come back."""
        self.sock.sendall(byte)
        while b"\r\n1\r\n" + byte not in self.received:
            data = self.sock.recv(4096)
            assert data, "the response was cut"
            self.received += data

    def end(self) -> bytes:
        """What comes behind it, to the end."""
        received = b""
        with self.sock, suppress(ConnectionResetError):
            while data := self.sock.recv(4096):
                received += data
        return received


@contextmanager
def workers(folder: Path, *argv: str, command: Sequence[str] = COMMAND) -> Iterator[Workers]:
    """``site_app:app`` below a supervisor, ready."""
    (folder / "site_app.py").exists() or (folder / "site_app.py").write_text(APP)
    arguments = ("site_app:app", "--bind", "127.0.0.1:0", *argv)
    with daemon(folder, *arguments, command=command) as server:
        found = Workers(server)
        found.wait_said(1)
        yield found


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def refuses(address: tuple[str, int] | str) -> bool:
    """Whether nobody listens at a TCP address, or at the path of a Unix socket."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(DEADLINE)
        try:
            sock.connect(address)
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            pass  # it was closed just now, with this connection in its queue
    return False


def is_alive(pid: int) -> bool:
    """Whether the process is there; one that only waits to be reaped is not."""
    return state_of(pid) not in ("", "Z")


def state_of(pid: int) -> str:
    """The letter that the system has for the state of a process; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
