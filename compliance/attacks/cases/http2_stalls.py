"""HTTP/2: peers that hold a stream or a window and do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.cases.http2_resets import CALM
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, dribbled

_IDS = range(1, 200, 2)


def _streams(path: bytes) -> bytes:
    return b"".join(f.headers(n, f.request(path)) for n in _IDS)


@attack(
    "h2-zero-window",
    "HTTP/2",
    "100 downloads with a window of 0",
    bounds=("write_timeout", "write_buffer_high"),
    source="CVE-2019-9517, CVE-2023-43622",
    answer=r"RST_STREAM CANCEL|GOAWAY.*",
    every=True,
    calls=100,
    options={"write_timeout": 1},
    seconds=3.0,
    subset=True,
)
def zero_window(stage: Stage) -> None:
    """The window never opens."""
    opening = f.PREFACE + f.settings((4, 0)) + _streams(b"/big")

    def script(number: int) -> Iterator[bytes | float]:
        yield opening

    Play(stage, script, f.HTTP2Reader, width=5, respawn=False, pause=0.1).run()


@attack(
    "h2-one-byte-window",
    "HTTP/2",
    "100 downloads, a byte of window at a time",
    bounds=("h2_max_glitches", "h2_glitches_per_second", "write_buffer_high"),
    source="CVE-2019-9511",
    answer=CALM,
    every=True,
    calls=100,
)
def one_byte_window(stage: Stage) -> None:
    """Each WINDOW_UPDATE lets one byte go, framed by nine."""
    opening = f.PREFACE + f.settings((4, 1)) + _streams(b"/big")
    updates = b"".join(f.frame(f.WINDOW_UPDATE, 0, n, f.word(1)) for n in _IDS) * 10

    def script(number: int) -> Iterator[bytes | float]:
        yield opening
        while True:
            yield updates

    Play(stage, script, f.HTTP2Reader, width=2).run()


@attack(
    "h2-unread",
    "HTTP/2",
    "100 downloads with open windows, nothing read from the socket",
    bounds=("write_timeout", "write_buffer_high"),
    source="CVE-2019-9517",
    calls=100,
    answer=r"closed",
    options={"write_timeout": 1},
    seconds=3.0,
)
def unread(stage: Stage) -> None:
    """Windows of 1 GiB, a socket that is full."""
    opening = (
        f.PREFACE
        + f.settings((4, 2**30))
        + f.frame(f.WINDOW_UPDATE, 0, 0, f.word(2**30))
        + _streams(b"/big")
    )

    def script(number: int) -> Iterator[bytes | float]:
        yield opening
        # Only sending tells one that does not read that the connection is gone.
        while True:
            yield 0.4
            yield f.frame(f.PING, 0, 0, b"12345678")

    Play(stage, script, f.HTTP2Reader, width=5, respawn=False, reads=False).run()


@attack(
    "h2-window-overflow",
    "HTTP/2",
    "window of the connection beyond 2^31-1, and INITIAL_WINDOW_SIZE beyond it",
    bounds=("(RFC 9113 section 6.9.1)",),
    source="RFC 9113 section 6.9.1",
    answer=r"GOAWAY FLOW_CONTROL_ERROR",
    every=True,
)
def window_overflow(stage: Stage) -> None:
    """A connection error each."""
    forms = [
        f.frame(f.WINDOW_UPDATE, 0, 0, f.word(f.MAX_WINDOW)),
        f.settings((4, 2**32 - 1)),
    ]

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING + forms[number % 2]

    Play(stage, script, f.HTTP2Reader, width=2).run()


@attack(
    "h2-upload-unread",
    "HTTP/2",
    "100 uploads to an application that does not read, past the windows",
    bounds=("h2_stream_window_size", "h2_connection_window_size"),
    source="RFC 9113 section 10.5",
    answer=r"GOAWAY FLOW_CONTROL_ERROR|RST_STREAM.*",
    calls=100,
    options={"disconnect_grace": 1},
)
def upload_unread(stage: Stage) -> None:
    """Fills every window, then goes on."""
    block = f.request(b"/deaf", method=b"POST")
    opening = f.OPENING + b"".join(f.headers(n, block, end=False) for n in _IDS)
    data = [f.frame(f.DATA, 0, n, bytes(16384)) for n in _IDS]

    def script(number: int) -> Iterator[bytes | float]:
        yield opening
        for _ in range(40):
            yield from data

    Play(stage, script, f.HTTP2Reader, width=1, respawn=False).run()


@attack(
    "h2-slow-frames",
    "HTTP/2",
    "200 connections inside the preface, a frame or a field section",
    bounds=("header_timeout",),
    source="CVE-2007-6750",
    answer=r"GOAWAY.*|408|closed",
    every=True,
    options={"header_timeout": 1},
    seconds=3.5,
)
def slow_frames(stage: Stage) -> None:
    """A byte every quarter of a second, or nothing."""
    half = f.frame(f.HEADERS, f.END_STREAM, 1, f.request())
    forms = [f.PREFACE[:10], f.PREFACE, f.OPENING + half[:12], f.OPENING + half]

    def script(number: int) -> Iterator[bytes | float]:
        yield forms[number % 4]
        if number % 4 == 3:
            for _ in range(8):
                yield 0.25
                yield f.frame(f.CONTINUATION, 0, 1, b"\x82")

    Play(stage, script, f.HTTP2Reader, width=200, respawn=False).run()


@attack(
    "h2-slow-body",
    "HTTP/2",
    "100 uploads of a byte every quarter of a second, and of nothing",
    bounds=("min_body_rate", "min_body_rate_grace", "read_timeout"),
    source="R-U-Dead-Yet",
    answer=r"RST_STREAM.*|GOAWAY.*|response",
    every=True,
    calls=2,
    options={"read_timeout": 1, "min_body_rate_grace": 1},
    seconds=4.0,
)
def slow_body(stage: Stage) -> None:
    """Half of them stand still, the others nearly."""
    opening = f.OPENING + f.headers(1, f.request(b"/read", method=b"POST"), end=False)
    slow = dribbled(opening, f.frame(f.DATA, 0, 1, b"x"), 0.25)

    def script(number: int) -> Iterator[bytes | float]:
        if number % 2:
            yield from slow(number)
        yield opening

    Play(stage, script, f.HTTP2Reader, width=100, respawn=False).run()
