"""Cheap raw peers: bytes built beforehand, one selector, no protocol library.

An attack is a script for each connection: bytes to send, and numbers that are seconds to wait.
A reader notes what the server answers.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from compliance.attacks.model import Stage

Script = Callable[[int], Iterable[bytes | float]]
_READ = 262_144
_MOST_BYTES = 512 * 2**20
# Seconds between two looks at scripts that wait.
_LOOK = 0.02
# Seconds a connection whose script is at its end is left open for the answer.
_PATIENCE = 2.0
# Seconds the flooder lets go by between two new connections.
_PAUSE = 0.005


class Reader(Protocol):
    """Notes what a server answers on one connection."""

    def __init__(self, answers: Counter[str]) -> None: ...

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        ...


class Connection:
    """One connection of the attacker."""

    __slots__ = ("begun", "done", "left", "reader", "script", "sock", "until", "words")

    def __init__(self, sock: socket.socket, script: Iterator[bytes | float], reader: type[Reader]):
        self.sock = sock
        self.script = script
        self.words: Counter[str] = Counter()
        self.reader = reader(self.words)
        self.left: memoryview | None = None
        self.begun = time.monotonic()
        self.until = 0.0
        self.done = False

    def next_bytes(self, now: float) -> memoryview | None:
        """What is to be sent now; None where it waits or has nothing more."""
        while not self.left:
            if now < self.until or self.done:
                return None
            step = next(self.script, None)
            if step is None:
                self.done = True
                self.until = now + _PATIENCE
            elif isinstance(step, bytes):
                self.left = memoryview(step)
            else:
                self.until = now + step
        return self.left


class Play:
    """Keeps ``width`` scripted connections open until the stage's time is over.

    :param respawn: one that is at its end is followed by a new one, ``most`` in all.
    :param reads: whether answers are read at all, or left in the socket.
    :param pause: seconds between two of the first ``width`` connections.
    """

    def __init__(
        self,
        stage: Stage,
        script: Script,
        reader: type[Reader],
        *,
        width: int = 2,
        most: int = 400,
        respawn: bool = True,
        reads: bool = True,
        pause: float = 0.0,
    ) -> None:
        self.stage = stage
        self.script = script
        self.reader = reader
        self.width = width
        self.most = most if respawn else width
        self.reads = reads
        self.pause = pause
        self.peers: set[Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._opened = 0
        self._next_open = 0.0

    def run(self) -> None:
        """Play to the end."""
        end = time.monotonic() + self.stage.seconds
        try:
            while (now := time.monotonic()) < end:
                self._open(now)
                if not self.peers and self._opened >= self.most:
                    break
                self._turn(now)
        finally:
            for peer in list(self.peers):
                # One that is kept open on purpose has had its time.
                self.stage.report.cut_short += self.most > self.width
                self._settle(peer, "open")
            self._selector.close()

    def _open(self, now: float) -> None:
        report = self.stage.report
        while len(self.peers) < self.width and self._opened < self.most and now >= self._next_open:
            number = self._opened
            self._opened += 1
            self._next_open = now + (_PAUSE if self._opened > self.width else self.pause)
            sock = connect(self.stage)
            if sock is None:
                report.answers["refused"] += 1
                self._next_open = now + _PAUSE
                return
            now = time.monotonic()
            report.connections += 1
            peer = Connection(sock, iter(self.script(number)), self.reader)
            self.peers.add(peer)
            self._selector.register(sock, self._wanted(peer, now), peer)

    def _wanted(self, peer: Connection, now: float) -> int:
        wanted = selectors.EVENT_READ if self.reads else 0
        if peer.next_bytes(now) is not None and self.stage.report.sent < _MOST_BYTES:
            wanted |= selectors.EVENT_WRITE
        # A selector takes no empty mask; a hang-up is told in any case.
        return wanted or selectors.EVENT_WRITE

    def _turn(self, now: float) -> None:
        busy = False
        wait = self.pause if self._opened < self.width else _LOOK
        for key, mask in self._selector.select(wait):
            peer: Connection = key.data
            if mask & selectors.EVENT_READ and not self._read(peer):
                continue
            if mask & selectors.EVENT_WRITE and peer.next_bytes(now) is not None:
                busy = True
                self._write(peer)
        if not busy and not self.reads:
            time.sleep(_LOOK)
        for peer in list(self.peers):
            if peer.done and now > peer.until and self._opened < self.most:
                self._settle(peer, "open")
            elif peer in self.peers:
                wanted = self._wanted(peer, now)
                if self._selector.get_key(peer.sock).events != wanted:
                    self._selector.modify(peer.sock, wanted, peer)

    def _read(self, peer: Connection) -> bool:
        try:
            data = peer.sock.recv(_READ)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self._settle(peer, "closed")
            return False
        self.stage.report.received += len(data)
        peer.reader.feed(data)
        return True

    def _write(self, peer: Connection) -> None:
        assert peer.left is not None
        try:
            count = peer.sock.send(peer.left)
        except BlockingIOError:
            return
        except OSError:
            # The answer that came before the reset is still to be read, if it is at all.
            self._drain(peer)
            self._settle(peer, "closed")
            return
        self.stage.report.sent += count
        peer.left = peer.left[count:]

    def _drain(self, peer: Connection) -> None:
        with contextlib.suppress(OSError):
            while data := peer.sock.recv(_READ):
                peer.reader.feed(data)

    def _settle(self, peer: Connection, end: str) -> None:
        if peer not in self.peers:
            return
        self.peers.discard(peer)
        self._selector.unregister(peer.sock)
        if end == "open":
            self._drain(peer)
        with contextlib.suppress(OSError):
            peer.sock.close()
        self.stage.tell([*peer.words, end])


def connect(stage: Stage, *, blocking: bool = False) -> socket.socket | None:
    """A connection to the server, None where it does not take it."""
    try:
        sock = socket.create_connection((stage.host, stage.port), timeout=2.0)
    except OSError:
        return None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not blocking:
        sock.setblocking(False)
    return sock


def hang_up(sock: socket.socket) -> None:
    """Close with a reset."""
    with contextlib.suppress(OSError):
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    with contextlib.suppress(OSError):
        sock.close()


def for_ever(block: bytes, opening: bytes = b"") -> Script:
    """The opening, then the block again and again."""

    def script(number: int) -> Iterator[bytes | float]:
        if opening:
            yield opening
        while True:
            yield block

    return script


def dribbled(opening: bytes, piece: bytes, every: float) -> Script:
    """The opening, then a piece every so many seconds."""

    def script(number: int) -> Iterator[bytes | float]:
        yield opening
        while True:
            yield every
            yield piece

    return script
