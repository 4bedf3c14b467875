"""HTTP/1.1: heads, bodies and pipelines without measure."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play, for_ever

_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
_POST = b"POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
_GET = _HEAD + b"\r\n"


@attack(
    "h1-giant-head",
    "HTTP/1.1",
    "a field value without end",
    bounds=("h11_max_incomplete_size",),
    source="RFC 9112 section 3",
    answer="431",
)
def giant_head(stage: Stage) -> None:
    """No line break ever comes."""
    Play(stage, for_ever(b"y" * 65536, _HEAD + b"X: "), f.HTTP1Reader).run()


@attack(
    "h1-endless-headers",
    "HTTP/1.1",
    "fields without end",
    bounds=("h11_max_incomplete_size", "max_header_count"),
    source="RFC 9110 section 5.4",
    answer="431",
)
def endless_headers(stage: Stage) -> None:
    """No empty line ever comes."""
    Play(stage, for_ever(b"X-a: b\r\n" * 1000, _HEAD), f.HTTP1Reader).run()


@attack(
    "h1-giant-target",
    "HTTP/1.1",
    "a target without end",
    bounds=("max_request_target_size",),
    source="RFC 9112 section 3",
    answer="414",
)
def giant_target(stage: Stage) -> None:
    """The request line never ends."""
    Play(stage, for_ever(b"y" * 65536, b"GET /"), f.HTTP1Reader).run()


@attack(
    "h1-empty-lines",
    "HTTP/1.1",
    "empty lines without end in front of a request",
    bounds=("h11_max_incomplete_size", "header_timeout"),
    source="RFC 9112 section 2.2",
    answer=r"4\d\d|closed",
)
def empty_lines(stage: Stage) -> None:
    """A server should ignore at least one of them."""
    Play(stage, for_ever(b"\r\n" * 32768), f.HTTP1Reader).run()


@attack(
    "h1-chunk-extensions",
    "HTTP/1.1",
    "chunks of one byte with extensions of 4 KiB",
    bounds=("max_chunk_overhead",),
    source="CVE-2023-39326, CVE-2024-22019",
    answer=r"431|400",
    calls=1,
    subset=True,
)
def chunk_extensions(stage: Stage) -> None:
    """Framing a thousand times as large as the body; or one extension without end."""
    block = (b"1;a=" + b"y" * 4096 + b"\r\nx\r\n") * 16

    def script(number: int) -> Iterator[bytes | float]:
        yield _POST
        if number % 2:
            yield b"1;a="
        while True:
            yield b"y" * 65536 if number % 2 else block

    Play(stage, script, f.HTTP1Reader).run()


@attack(
    "h1-chunk-sizes",
    "HTTP/1.1",
    "chunk sizes that are giant, endless, negative, signed or no numbers",
    bounds=("(20 digits)",),
    source="RFC 9112 section 7.1",
    answer=r"400|431",
    calls=1,
)
def chunk_sizes(stage: Stage) -> None:
    """Another form on each connection."""
    sizes = [
        b"FFFFFFFFFFFFFFFFFFFFF", b"0" * 65536, b"-1", b"+1", b"0x1", b"1_0", b" 1", b"\r\n",
        b"1\n", b"\xc2\xb2", b"1\x00",
    ]  # fmt: skip

    def script(number: int) -> Iterator[bytes | float]:
        yield _POST + sizes[number % len(sizes)] + b"\r\nx\r\n0\r\n\r\n"

    Play(stage, script, f.HTTP1Reader, width=4).run()


@attack(
    "h1-tiny-chunks",
    "HTTP/1.1",
    "a body of one byte a chunk",
    bounds=("request_buffer_size", "(one turn of the loop for one read)"),
    source="CVE-2025-69229",
    calls=1,
)
def tiny_chunks(stage: Stage) -> None:
    """Legal to the end: it must only not keep the others waiting. 1 MiB, as what waits in the
    socket is worked off behind the attack."""

    def script(number: int) -> Iterator[bytes | float]:
        yield _POST
        for _ in range(17):
            yield b"1\r\nx\r\n" * 10000

    Play(stage, script, f.HTTP1Reader, respawn=False).run()


@attack(
    "h1-endless-trailers",
    "HTTP/1.1",
    "trailer fields without end",
    bounds=("max_chunk_overhead", "max_header_count"),
    source="CVE-2026-22815",
    answer=r"431|400",
    calls=1,
)
def endless_trailers(stage: Stage) -> None:
    """Behind the last chunk no empty line ever comes."""
    Play(stage, for_ever(b"X-a: b\r\n" * 1000, _POST + b"0\r\n"), f.HTTP1Reader).run()


@attack(
    "h1-pipelining",
    "HTTP/1.1",
    "requests sent on and on, the answers read",
    bounds=("h11_max_incomplete_size", "(one request at a time)"),
    source="RFC 9112 section 9.3.2",
    calls=100_000,
)
def pipelining(stage: Stage) -> None:
    """An honest flood: it may be served, and must not starve others."""
    Play(stage, for_ever(_GET * 1000), f.HTTP1Reader, width=4).run()


@attack(
    "h1-pipelining-unread",
    "HTTP/1.1",
    "requests sent on and on, the answers left unread",
    bounds=("h11_max_incomplete_size", "write_buffer_high", "write_timeout"),
    source="RFC 9112 section 9.3.2",
    calls=100_000,
)
def pipelining_unread(stage: Stage) -> None:
    """Answers pile up in the socket, and nowhere else."""
    Play(stage, for_ever(_GET * 1000), f.HTTP1Reader, width=4, reads=False).run()


@attack(
    "h1-giant-body",
    "HTTP/1.1",
    "bodies announced and sent above the limit, by Content-Length and chunked",
    bounds=("max_request_body_size",),
    source="RFC 9110 section 15.5.14",
    answer="413",
    every=False,
    calls=1,
    options={"max_request_body_size": 1_000_000},
)
def giant_body(stage: Stage) -> None:
    """413 at once where the length is told, else in the middle."""
    plain = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n"

    def script(number: int) -> Iterator[bytes | float]:
        yield _POST if number % 2 else plain
        while True:
            yield b"10000\r\n" + bytes(65536) + b"\r\n" if number % 2 else bytes(65536)

    Play(stage, script, f.HTTP1Reader).run()


@attack(
    "h1-body-unread",
    "HTTP/1.1",
    "bodies sent on and on to an application that does not read",
    bounds=("request_buffer_size", "disconnect_grace"),
    source="RFC 9110 section 17.5",
    calls=1,
    options={"disconnect_grace": 1},
)
def body_unread(stage: Stage) -> None:
    """What is not read stays in the socket."""
    head = b"POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n"
    Play(stage, for_ever(bytes(65536), head), f.HTTP1Reader, width=20, respawn=False).run()
