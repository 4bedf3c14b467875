"""Connections: too many, too fast, and more than there are descriptors."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, connect, hang_up

_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_WAIT = b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@attack(
    "connect-flood",
    "Connections",
    "connections opened and reset at once, a thousand a second",
    bounds=("backlog", "(128 accepted in one turn of the loop)"),
    source="CWE-400",
    subset=True,
)
def connect_flood(stage: Stage) -> None:
    """Some are gone before they are accepted."""
    end = time.monotonic() + stage.seconds
    while time.monotonic() < end and stage.report.connections < 4000:
        for _ in range(5):
            sock = connect(stage)
            if sock is None:
                stage.report.answers["refused"] += 1
                continue
            stage.report.connections += 1
            hang_up(sock)
        time.sleep(0.005)


@attack(
    "request-and-reset",
    "Connections",
    "requests whose connection is reset behind them, a thousand a second",
    bounds=("disconnect_grace",),
    source="CWE-400",
    calls=1,
    options={"disconnect_grace": 1},
)
def request_and_reset(stage: Stage) -> None:
    """Rapid reset by the means of HTTP/1.1."""
    end = time.monotonic() + stage.seconds
    while time.monotonic() < end and stage.report.connections < 4000:
        for _ in range(5):
            sock = connect(stage)
            if sock is None:
                stage.report.answers["refused"] += 1
                continue
            stage.report.connections += 1
            try:
                sock.send(_WAIT)
            except OSError:
                pass
            hang_up(sock)
        time.sleep(0.005)


def _hold(stage: Stage, opening: bytes, count: int, pause: float = 0.0) -> None:
    """Open connections and keep them, one every ``pause`` seconds."""

    def script(number: int) -> Iterator[bytes | float]:
        if opening:
            yield opening

    Play(stage, script, f.HTTP1Reader, width=count, respawn=False, pause=pause).run()


@attack(
    "idle-connections",
    "Connections",
    "600 idle connections against a limit of 100",
    bounds=("max_connections",),
    source="RFC 9112 section 9.5",
    answer="closed",
    calls=1,
    options={"max_connections": 100},
    subset=True,
)
def idle_connections(stage: Stage) -> None:
    """The longest idle one makes room."""
    _hold(stage, _GET, 600, 0.002)


@attack(
    "connections-per-address",
    "Connections",
    "300 connections with a request under way from one address that may have 20",
    bounds=("max_connections_per_address",),
    source="CWE-400",
    answer="closed",
    calls=1,
    options={"max_connections_per_address": 20},
)
def connections_per_address(stage: Stage) -> None:
    """Another address, the neighbour's, gets in."""
    _hold(stage, _WAIT, 300)


@attack(
    "concurrent-requests",
    "Connections",
    "300 long polls at once against a limit of 50",
    bounds=("max_concurrent_requests", "retry_after"),
    source="RFC 9110 section 15.6.4",
    answer="503",
    calls=1,
    options={"max_concurrent_requests": 50},
)
def concurrent_requests(stage: Stage) -> None:
    """The limit is the worker's: while it holds, neighbours get 503 as well, at once."""
    _hold(stage, _WAIT, 300)


@attack(
    "emfile-idle",
    "Connections",
    "400 idle connections where there are descriptors for 100",
    bounds=("(the longest idle one is closed)",),
    source="CWE-775",
    answer="closed",
    calls=1,
    descriptors=128,
    log=(r"cannot accept",),
    subset=True,
)
def emfile_idle(stage: Stage) -> None:
    """Accepting makes room for itself."""
    _hold(stage, _GET, 400, 0.002)


@attack(
    "emfile-busy",
    "Connections",
    "400 connections with a head under way where there are descriptors for 100",
    bounds=("header_timeout", "(new connections are closed)"),
    source="CWE-775",
    answer="closed|408",
    calls=0,
    options={"header_timeout": 1},
    descriptors=128,
    log=(r"cannot accept",),
    delay=2.5,
    seconds=3.0,
)
def emfile_busy(stage: Stage) -> None:
    """None of them is idle: until their time is up there is room for nobody else."""
    _hold(stage, _HEAD, 400)


@attack(
    "urgent-data",
    "Connections",
    "TCP urgent data inside requests",
    bounds=("(ignored)",),
    source="RFC 6093",
    calls=1,
)
def urgent_data(stage: Stage) -> None:
    """Out-of-band bytes are not part of the stream."""
    for _ in range(20):
        sock = connect(stage)
        if sock is None:
            continue
        stage.report.connections += 1
        sock.send(_HEAD)
        sock.send(b"!", socket.MSG_OOB)
        sock.send(b"\r\n")
        time.sleep(0.02)
        hang_up(sock)
