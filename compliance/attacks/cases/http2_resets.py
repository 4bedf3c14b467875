"""HTTP/2: streams that are opened and reset, by the peer or because of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play

CALM = r"GOAWAY ENHANCE_YOUR_CALM"
_STREAMS = 2000
_BATCH = 50
# Streams that may be open, resets forgiven in a burst, and what time and answers give back.
_CALLS = 350
_BUDGET = ("h2_max_resets", "h2_resets_per_second", "h2_max_concurrent_streams")
_Streams = Callable[[int], bytes]


def _opened_and(each: _Streams) -> list[bytes]:
    """Blocks that open stream after stream and do something to each."""
    ids = range(1, 2 * _STREAMS, 2)
    return [
        b"".join(each(stream) for stream in ids[start : start + _BATCH])
        for start in range(0, _STREAMS, _BATCH)
    ]


def _play(stage: Stage, forms: list[list[bytes]], width: int = 2) -> None:
    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING
        yield from forms[number % len(forms)]

    Play(stage, script, f.HTTP2Reader, width=width).run()


def _reset(stream: int) -> bytes:
    return f.frame(f.RST_STREAM, 0, stream, f.word(8))


@attack(
    "h2-rapid-reset",
    "HTTP/2",
    "HEADERS and RST_STREAM, again and again",
    bounds=_BUDGET,
    source="CVE-2023-44487",
    answer=CALM,
    every=True,
    calls=_CALLS,
    subset=True,
)
def rapid_reset(stage: Stage) -> None:
    """Resets each stream right behind its request."""
    _play(stage, [_opened_and(lambda n: f.headers(n, f.request(b"/wait")) + _reset(n))])


@attack(
    "h2-rapid-reset-posts",
    "HTTP/2",
    "requests with half a body, reset a write later",
    bounds=_BUDGET,
    source="CVE-2023-44487",
    answer=CALM,
    every=True,
    calls=_CALLS,
)
def rapid_reset_posts(stage: Stage) -> None:
    """Lets the application begin, then resets."""
    opened = _opened_and(
        lambda n: (
            f.headers(n, f.request(b"/read", method=b"POST"), end=False)
            + f.frame(f.DATA, 0, n, b"x" * 100)
        )
    )
    resets = _opened_and(_reset)
    _play(stage, [[block for pair in zip(opened, resets, strict=True) for block in pair]])


@attack(
    "h2-rapid-reset-websocket",
    "HTTP/2",
    "extended CONNECT for a WebSocket, reset at once",
    bounds=_BUDGET,
    source="CVE-2023-44487, RFC 8441",
    answer=CALM,
    every=True,
    calls=_CALLS,
)
def rapid_reset_websocket(stage: Stage) -> None:
    """Resets WebSockets in their handshake."""
    connect = f.websocket_request(b"/ws")
    _play(stage, [_opened_and(lambda n: f.headers(n, connect, end=False) + _reset(n))])


def _made_you_reset(stage: Stage, block: bytes, *what: Callable[[int], bytes], end: bool) -> None:
    forms = [
        _opened_and(lambda n, one=one: f.headers(n, block, end=end) + one(n))  # type: ignore[misc]
        for one in what
    ]
    _play(stage, forms, width=max(2, len(forms)))


@attack(
    "h2-made-you-reset",
    "HTTP/2",
    "makes the server reset: WINDOW_UPDATE of 0, window overflow, DATA behind END_STREAM, "
    "a stream that depends on itself",
    bounds=_BUDGET,
    source="CVE-2025-8671",
    answer=r"GOAWAY (ENHANCE_YOUR_CALM|PROTOCOL_ERROR|STREAM_CLOSED|FLOW_CONTROL_ERROR)",
    every=True,
    calls=_CALLS,
    subset=True,
)
def made_you_reset(stage: Stage) -> None:
    """Four ways to make the server send RST_STREAM."""
    _made_you_reset(
        stage,
        f.request(b"/wait"),
        lambda n: f.frame(f.WINDOW_UPDATE, 0, n, f.word(0)),
        lambda n: 2 * f.frame(f.WINDOW_UPDATE, 0, n, f.word(f.MAX_WINDOW)),
        lambda n: f.frame(f.DATA, 0, n, b"more"),
        lambda n: f.frame(f.PRIORITY, 0, n, f.word(n) + b"\x10"),
        end=True,
    )


@attack(
    "h2-made-you-reset-requests",
    "HTTP/2",
    "makes the server reset with malformed requests: a body that is not as long as "
    "Content-Length, broken trailers, connection-specific fields",
    bounds=_BUDGET,
    source="CVE-2025-8671, RFC 9113 section 8.1.1",
    answer=r"GOAWAY (ENHANCE_YOUR_CALM|PROTOCOL_ERROR)",
    every=True,
    calls=_CALLS,
)
def made_you_reset_requests(stage: Stage) -> None:
    """Requests that are broken in three ways."""
    post = f.request(b"/read", f.literal(b"content-length", b"5"), method=b"POST")
    upper = f.request(b"/", f.literal(b"transfer-encoding", b"chunked"))
    trailers = f.literal(b":path", b"/")
    forms = [
        _opened_and(
            lambda n: f.headers(n, post, end=False) + f.frame(f.DATA, 1, n, b"longer than that")
        ),
        _opened_and(lambda n: f.headers(n, upper)),
        _opened_and(lambda n: f.headers(n, post, end=False) + f.headers(n, trailers)),
    ]
    _play(stage, forms, width=3)


@attack(
    "h2-refused-storm",
    "HTTP/2",
    "opens streams above the limit for ever, and is refused",
    bounds=_BUDGET,
    source="CVE-2019-9514",
    answer=CALM,
    every=True,
    calls=120,
)
def refused_storm(stage: Stage) -> None:
    """Hundreds of long polls on one connection."""
    _play(stage, [_opened_and(lambda n: f.headers(n, f.request(b"/wait")))])


@attack(
    "h2-data-after-reset",
    "HTTP/2",
    "resets a stream and goes on sending DATA on it at length",
    bounds=("(closed streams give no window back)", "h2_max_resets"),
    source="RFC 9113 section 5.4.2",
    calls=5,
)
def data_after_reset(stage: Stage) -> None:
    """16 KiB frames for a stream that is gone, as far as the window lets them, and farther."""
    opening = f.OPENING + f.headers(1, f.request(b"/read", method=b"POST"), end=False) + _reset(1)
    data = f.frame(f.DATA, 0, 1, bytes(16384)) * 16

    def script(number: int) -> Iterator[bytes | float]:
        yield opening
        while True:
            yield data

    Play(stage, script, f.HTTP2Reader, width=2).run()


@attack(
    "h2-abandoned",
    "HTTP/2",
    "opens a full set of streams with half a body each, and leaves",
    bounds=("disconnect_grace", "h2_max_concurrent_streams"),
    source="RFC 9113 section 10.5",
    calls=110,
)
def abandoned(stage: Stage) -> None:
    """100 streams on each connection, which is then closed without a word."""
    block = f.request(b"/read", method=b"POST")
    streams = b"".join(f.headers(n, block, end=False) for n in range(1, 200, 2))

    class Leaver(Play):
        """Closes a connection once its streams have been opened."""

        def _turn(self, now: float) -> None:
            super()._turn(now)
            for peer in list(self.peers):
                if peer.done and now > peer.begun + 0.1:
                    self._settle(peer, "closed")

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING + streams

    Leaver(stage, script, f.HTTP2Reader, width=2, most=30).run()
