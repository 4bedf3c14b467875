"""HTTP/1.1: peers that take their time."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, dribbled

_POST = b"POST /read HTTP/1.1\r\nHost: localhost\r\n"
_GET = b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n"


@attack(
    "h1-slow-head",
    "HTTP/1.1",
    "300 heads of a field every quarter of a second, and connections that say nothing",
    bounds=("header_timeout",),
    source="CVE-2007-6750",
    answer=r"408|closed",
    every=True,
    options={"header_timeout": 1},
    seconds=3.5,
    subset=True,
)
def slow_head(stage: Stage) -> None:
    """Slowloris."""
    slow = dribbled(b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X-a: b\r\n", 0.25)

    def script(number: int) -> Iterator[bytes | float]:
        if number % 3:
            yield from slow(number)

    Play(stage, script, f.HTTP1Reader, width=300, respawn=False).run()


@attack(
    "h1-slow-body",
    "HTTP/1.1",
    "300 bodies of a byte every quarter of a second, and of nothing",
    bounds=("min_body_rate", "min_body_rate_grace", "read_timeout"),
    source="R-U-Dead-Yet",
    answer=r"408|closed",
    every=True,
    calls=1,
    options={"read_timeout": 1, "min_body_rate_grace": 1, "close_timeout": 1},
    seconds=4.0,
)
def slow_body(stage: Stage) -> None:
    """By Content-Length and chunked."""
    plain = dribbled(_POST + b"Content-Length: 1000000\r\n\r\n", b"x", 0.25)
    chunked = dribbled(_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.25)

    def script(number: int) -> Iterator[bytes | float]:
        if number % 3 == 0:
            yield _POST + b"Content-Length: 1000000\r\n\r\n"
        else:
            yield from (plain if number % 3 == 1 else chunked)(number)

    Play(stage, script, f.HTTP1Reader, width=300, respawn=False).run()


@attack(
    "h1-slow-read",
    "HTTP/1.1",
    "100 downloads of 100 MiB that nobody reads",
    bounds=("write_timeout", "write_buffer_high"),
    source="RFC 9110 section 17.5",
    calls=1,
    options={"write_timeout": 1},
    seconds=3.0,
    subset=True,
)
def slow_read(stage: Stage) -> None:
    """The socket is full and stays so."""

    def script(number: int) -> Iterator[bytes | float]:
        yield _GET

    Play(stage, script, f.HTTP1Reader, width=100, respawn=False, reads=False).run()


@attack(
    "h1-idle",
    "HTTP/1.1",
    "500 connections that are left open behind an answer",
    bounds=("keep_alive_timeout",),
    source="CVE-2007-6750",
    answer=r"closed",
    every=True,
    calls=1,
    options={"keep_alive_timeout": 1},
    seconds=3.5,
)
def idle(stage: Stage) -> None:
    """One request each, then silence."""

    def script(number: int) -> Iterator[bytes | float]:
        yield b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

    Play(stage, script, f.HTTP1Reader, width=500, respawn=False).run()
