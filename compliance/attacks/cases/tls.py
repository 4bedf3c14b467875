"""TLS: handshakes that stall or are none, sessions that end in the wrong way."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, connect, hang_up

_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_WAIT = b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"
_PAUSE = 0.02


class _Records:
    """Notes TLS alerts, and HTTP/1.1 statuses in the clear."""

    def __init__(self, answers: Counter[str]) -> None:
        self._answers = answers
        self._clear = f.HTTP1Reader(answers)

    def feed(self, data: bytes) -> None:
        """Bytes from the server."""
        if data[:1] == b"\x15":
            self._answers["alert"] += 1
        elif data[:1] != b"\x16":
            self._clear.feed(data)


def _context(protocol: str = "http/1.1") -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


def _client_hello() -> bytes:
    """The first flight of a handshake."""
    outgoing = ssl.MemoryBIO()
    session = _context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def _sessions(
    stage: Stage, act: Callable[[ssl.SSLSocket], None], protocol: str = "http/1.1", most: int = 100
) -> None:
    """Open sessions one after the other and do something to each."""
    context = _context(protocol)
    end = time.monotonic() + stage.seconds
    while time.monotonic() < end and stage.report.connections < most:
        sock = connect(stage, blocking=True)
        if sock is None:
            stage.report.answers["refused"] += 1
            continue
        stage.report.connections += 1
        try:
            session = context.wrap_socket(sock, server_hostname="localhost")
            act(session)
        except OSError as error:
            stage.tell([type(error).__name__])
        finally:
            hang_up(sock)
        time.sleep(_PAUSE)


@attack(
    "tls-stalled-handshake",
    "TLS",
    "300 handshakes that stop: nothing sent, half a ClientHello, nothing behind it",
    bounds=("ssl_handshake_timeout",),
    source="CVE-2007-6750",
    answer="closed",
    every=True,
    options={"ssl_handshake_timeout": 1},
    tls=True,
    seconds=3.5,
    subset=True,
)
def stalled_handshake(stage: Stage) -> None:
    """Three places to stop at."""
    hello = _client_hello()

    def script(number: int) -> Iterator[bytes | float]:
        if number % 3:
            yield hello[:100] if number % 3 == 1 else hello

    Play(stage, script, _Records, width=300, respawn=False).run()


@attack(
    "tls-cleartext",
    "TLS",
    "HTTP/1.1, HTTP/2 and noise in the clear on a TLS address",
    bounds=("(400 to HTTP/1.1)",),
    source="RFC 8446 section 5.1",
    answer=r"400|alert|closed",
    every=True,
    tls=True,
)
def cleartext(stage: Stage) -> None:
    """Whatever comes is answered or closed, never logged as a fault of ours."""
    forms = [_GET, f.OPENING, os.urandom(4096), b"\x16\x03\x01" + os.urandom(600), b"\x80\x2e\x01"]

    def script(number: int) -> Iterator[bytes | float]:
        yield forms[number % len(forms)]
        if number % len(forms) == 4:
            yield bytes(100)

    Play(stage, script, _Records, width=5, most=100).run()


@attack(
    "tls-cleartext-answer",
    "TLS",
    "a cleartext GET on a TLS address",
    bounds=("(400 to HTTP/1.1)",),
    source="nginx",
    answer="400",
    every=True,
    tls=True,
)
def cleartext_answer(stage: Stage) -> None:
    """A person who typed http:// is told what is wrong."""

    def script(number: int) -> Iterator[bytes | float]:
        yield _GET

    Play(stage, script, _Records, width=2, most=20).run()


@attack(
    "tls-handshake-flood",
    "TLS",
    "handshakes as fast as one peer can, each dropped behind the server's answer",
    bounds=("(one turn of the loop for one read)",),
    source="CVE-2011-1473",
    tls=True,
)
def handshake_flood(stage: Stage) -> None:
    """The server pays for a signature each time; the attacker for next to nothing."""
    hello = _client_hello()

    class Leaver(Play):
        """Closes a connection once the server has answered."""

        def _turn(self, now: float) -> None:
            before = dict.fromkeys(self.peers, self.stage.report.received)
            super()._turn(now)
            for peer in list(self.peers):
                if peer.done and self.stage.report.received > before.get(peer, 0):
                    self._settle(peer, "dropped")

    def script(number: int) -> Iterator[bytes | float]:
        yield hello

    Leaver(stage, script, _Records, width=2, most=2000).run()


@attack(
    "tls-renegotiation",
    "TLS",
    "renegotiation in TLS 1.2, asked for by the client",
    bounds=("(off)",),
    source="CVE-2009-3555, CVE-2011-1473",
    answer="refused",
    calls=1,
    tls=True,
)
def renegotiation(stage: Stage) -> None:
    """The ``openssl`` program asks; it says so where the server does not agree."""
    command = ["openssl", "s_client", "-tls1_2", "-alpn", "http/1.1", "-connect"]
    end = time.monotonic() + stage.seconds
    while time.monotonic() < end and stage.report.connections < 5:
        stage.report.connections += 1
        try:
            done = subprocess.run(
                [*command, f"{stage.host}:{stage.port}"],
                input=b"R\n" + _GET,
                capture_output=True,
                timeout=3.0,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            stage.tell([type(error).__name__])
            continue
        text = done.stdout + done.stderr
        asked = b"RENEGOTIATING" in text
        agreed = asked and text.rpartition(b"RENEGOTIATING")[2].count(b"verify return") > 0
        stage.tell(["agreed" if agreed else "refused" if asked else "not asked"])
        if agreed:
            stage.report.faults.append("the server agreed to renegotiate")


@attack(
    "tls-cut",
    "TLS",
    "sessions that end without close_notify: a reset in the middle of a request, of an answer and "
    "when idle",
    bounds=("disconnect_grace",),
    source="RFC 8446 section 6.1",
    calls=1,
    options={"disconnect_grace": 1},
    tls=True,
    subset=True,
)
def cut(stage: Stage) -> None:
    """The TCP connection is reset; TLS is not told."""
    forms = [b"GET / HT", _GET, _WAIT, _WAIT.replace(b"/wait", b"/big")]

    def act(session: ssl.SSLSocket) -> None:
        session.sendall(forms[stage.report.connections % len(forms)])
        session.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            session.recv(100)
        hang_up(session)

    _sessions(stage, act)


@attack(
    "tls-half-close",
    "TLS",
    "half-close below TLS and close_notify in the middle of requests",
    bounds=("ssl_shutdown_timeout", "disconnect_grace"),
    source="RFC 8446 section 6.1",
    calls=1,
    options={"ssl_shutdown_timeout": 1, "disconnect_grace": 1},
    tls=True,
)
def half_close(stage: Stage) -> None:
    """The peer has said its last word and stays."""
    kept: list[ssl.SSLSocket] = []

    def act(session: ssl.SSLSocket) -> None:
        number = stage.report.connections
        session.sendall(_WAIT if number % 2 else _WAIT.replace(b"/wait", b"/big"))
        twin = socket.socket(fileno=os.dup(session.fileno()))
        if number % 4 < 2:
            twin.shutdown(socket.SHUT_WR)
        else:
            session.settimeout(0.05)
            with contextlib.suppress(OSError):
                session.unwrap()
        kept.append(twin)  # type: ignore[arg-type]

    context = _context()
    end = time.monotonic() + stage.seconds
    for _ in range(40):
        sock = connect(stage, blocking=True)
        if sock is None or time.monotonic() > end:
            break
        stage.report.connections += 1
        with contextlib.suppress(OSError):
            act(context.wrap_socket(sock, server_hostname="localhost"))
        sock.close()
    time.sleep(max(0.0, end - time.monotonic()))
    for one in kept:
        one.close()


@attack(
    "tls-unread",
    "TLS",
    "20 downloads over TLS that nobody reads",
    bounds=("write_timeout", "ssl_shutdown_timeout"),
    source="RFC 9110 section 17.5",
    calls=1,
    options={"write_timeout": 1, "ssl_shutdown_timeout": 1},
    tls=True,
    seconds=4.0,
)
def unread(stage: Stage) -> None:
    """Neither data nor the close is taken."""
    kept: list[ssl.SSLSocket] = []
    context = _context()
    end = time.monotonic() + stage.seconds
    for _ in range(20):
        sock = connect(stage, blocking=True)
        if sock is None:
            break
        stage.report.connections += 1
        session = context.wrap_socket(sock, server_hostname="localhost")
        session.sendall(_WAIT.replace(b"/wait", b"/big"))
        kept.append(session)
    time.sleep(max(0.0, end - time.monotonic()))
    for session in kept:
        hang_up(session)
