"""HTTP/2: field sections that are too large, never end, or play with compression."""

from __future__ import annotations

from collections.abc import Iterator

from compliance.attacks import frames as f
from compliance.attacks.cases.http2_resets import CALM
from compliance.attacks.model import Stage, attack
from compliance.attacks.wire import Play

_FULL = 16384
_LIST = ("h2_max_header_list_size", "max_header_count")
_ENDS = r"GOAWAY (ENHANCE_YOUR_CALM|COMPRESSION_ERROR|PROTOCOL_ERROR)"


def _forms(stage: Stage, *forms: list[bytes]) -> None:
    """Each connection plays the next form."""

    def script(number: int) -> Iterator[bytes | float]:
        yield f.OPENING
        yield from forms[number % len(forms)]

    Play(stage, script, f.HTTP2Reader, width=max(2, len(forms))).run()


def _on_streams(block: bytes, count: int = 200) -> list[bytes]:
    return [f.headers(n, block) for n in range(1, 2 * count, 2)]


@attack(
    "h2-continuation-flood",
    "HTTP/2",
    "a field section that never ends, of full, of empty and of tiny CONTINUATION frames",
    bounds=("h2_max_continuation_frames", "h2_max_header_list_size"),
    source="VU#421644, CVE-2024-27316",
    answer=CALM,
    every=True,
    subset=True,
)
def continuation_flood(stage: Stage) -> None:
    """END_HEADERS never comes."""
    start = f.frame(f.HEADERS, f.END_STREAM, 1, f.request())
    field = f.literal(b"x", b"y" * 1000)
    full = f.frame(f.CONTINUATION, 0, 1, field * 16)
    forms = [full] * 500, [f.frame(f.CONTINUATION, 0, 1) * 1000] * 50
    tiny = [f.frame(f.CONTINUATION, 0, 1, b"\x82") * 1000] * 50
    _forms(stage, *([start, *form] for form in (*forms, tiny)))


@attack(
    "h2-hpack-bomb",
    "HTTP/2",
    "one table entry of 4 KiB, named 16,000 times in a frame: 64 MiB once decoded",
    bounds=_LIST,
    source="CVE-2016-6581",
    answer=_ENDS,
    every=True,
    calls=1,
    subset=True,
)
def hpack_bomb(stage: Stage) -> None:
    """A few bytes that stand for many."""
    entry = f.literal(b"x", b"y" * 4000, 0x40)
    _forms(stage, [f.headers(1, f.request(b"/", entry)), *(_on_streams(b"\xbe" * 16000)[1:])])


@attack(
    "h2-hpack-table",
    "HTTP/2",
    "table sizes changed for ever, in blocks and by SETTINGS, beyond the limit and with entries "
    "that are evicted at once",
    bounds=("(table of 4,096 bytes)", "h2_max_glitches", *_LIST),
    source="CVE-2016-1544, RFC 7541 section 4.3",
    answer=_ENDS,
    calls=250,
)
def hpack_table(stage: Stage) -> None:
    """Four forms; only the last is legal at any length."""
    full, none = f.integer(4096, 5, 0x20), f.integer(0, 5, 0x20)
    changes = (none + full) * 4000
    evicting = b"".join(f.literal(b"x%d" % n, b"y" * 3000, 0x40) for n in range(5))
    sizes = f.settings((1, 0)) + f.settings((1, 2**32 - 1))
    _forms(
        stage,
        _on_streams(changes + f.request()),
        [f.headers(1, f.integer(2**31, 5, 0x20) + f.request())],
        [sizes * 1000] * 50,
        _on_streams(f.request(b"/", evicting)),
    )


@attack(
    "h2-hpack-integers",
    "HTTP/2",
    "integers and strings in HPACK that never end or lie beyond the table",
    bounds=("(an integer of at most 32 bits)",),
    source="RFC 7541 section 5.1",
    answer=r"GOAWAY (COMPRESSION_ERROR|PROTOCOL_ERROR|ENHANCE_YOUR_CALM)",
    every=True,
)
def hpack_integers(stage: Stage) -> None:
    """An endless index, an index of nothing, a string longer than its block, Huffman noise."""
    _forms(
        stage,
        [f.headers(1, b"\xff" + b"\xff" * 16000 + b"\x00")],
        [f.headers(1, f.integer(2**30, 7, 0x80))],
        [f.headers(1, b"\x00\x01x" + f.integer(2**28, 7) + b"y")],
        [f.headers(1, b"\x00\x01x" + f.integer(4000, 7, 0x80) + b"\xff" * 4000)],
    )


@attack(
    "h2-header-list",
    "HTTP/2",
    "field sections over the limits, in bytes and in number, stream after stream",
    bounds=(*_LIST, "max_request_target_size", "h2_max_resets"),
    source="RFC 9113 section 10.5.1",
    answer=CALM,
    every=True,
)
def header_list(stage: Stage) -> None:
    """Too large, too many, a target too long."""
    large = f.literal(b"x", b"y" * 15000)
    block = (
        f.frame(f.HEADERS, f.END_STREAM, 1, f.request()) + f.frame(f.CONTINUATION, 0, 1, large) * 4
    )
    many = f.request(b"/", f.literal(b"x", b"y") * 500)
    target = f.request(b"/" + b"x" * 12000)
    _forms(
        stage,
        [block + f.frame(f.CONTINUATION, f.END_HEADERS, 1, large)],
        _on_streams(many, 1000),
        _on_streams(target, 1000),
    )


@attack(
    "h2-empty-headers-flood",
    "HTTP/2",
    "fields with empty names and values, and empty field sections",
    bounds=("max_header_count", "h2_max_resets"),
    source="CVE-2019-9516",
    answer=_ENDS,
    every=True,
)
def empty_headers(stage: Stage) -> None:
    """0-length names cost as much as others."""
    _forms(
        stage,
        _on_streams(f.request(b"/", f.literal(b"", b"") * 1000), 1000),
        _on_streams(b"", 1000),
    )
