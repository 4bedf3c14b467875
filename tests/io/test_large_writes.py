"""How many writes a large body takes, and that nothing comes out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from tricorn import Config
from tricorn.asgi.host import Worker
from tricorn.io.admission import Admission
from tricorn.io.asyncio_transport import AsyncioTransport
from tricorn.io.registry import Registry

uvloop = pytest.importorskip("uvloop")

LARGE = b"x" * 65536


class Wire:
    """What asyncio would give: notes each write, and takes it at once unless ``slow``."""

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self.writes: list[bytes] = []
        self.closing = False
        self.events: list[str] = []

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.writes.append(bytes(data))

    def writelines(self, buffers: Iterable[bytes]) -> None:
        self.write(b"".join(buffers))

    def get_write_buffer_size(self) -> int:
        return 1 if self.slow else 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 80) if name == "sockname" else default

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.events.append(f"eof behind {sum(map(len, self.writes))}")

    def close(self) -> None:
        self.closing = True
        self.events.append(f"closed behind {sum(map(len, self.writes))}")

    abort = close


def run(play: Any, *, slow: bool = False, tls: Any = None) -> Wire:
    """Have ``play`` write, then let the loop turn."""
    wire = Wire(slow=slow)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        worker = Worker(None, Config())  # type: ignore[arg-type]
        place = Admission(worker.config, ()).enter(None)
        assert place is not None
        transport = AsyncioTransport(loop, worker, Registry(), tls, None, client=None, place=place)
        transport.connection_made(wire)  # type: ignore[arg-type]
        play(transport)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not wire.closing:
            assert transport.unsent() == wire.get_write_buffer_size()

    uvloop.run(main())
    return wire


def write(*pieces: bytes) -> Any:
    def play(transport: AsyncioTransport) -> None:
        for piece in pieces:
            transport.write([piece])

    return play


def sizes(wire: Wire) -> list[int]:
    return list(map(len, wire.writes))


def test_large_pieces_of_a_turn_leave_together() -> None:
    # The first shows that the peer is fast.
    wire = run(write(*[LARGE] * 7))
    assert sizes(wire) == [65536, 4 * 65536, 2 * 65536]


def test_what_comes_behind_takes_them_along_in_order() -> None:
    wire = run(write(LARGE, b"a" * 20000, b"b" * 20000, b"end", b"next"))
    assert sizes(wire) == [65536, 40003, 4]
    assert wire.writes[1] == b"a" * 20000 + b"b" * 20000 + b"end"


def test_a_peer_that_is_behind_gets_each_at_once() -> None:
    assert sizes(run(write(*[LARGE] * 3), slow=True)) == [65536] * 3


def test_small_pieces_do_not_wait() -> None:
    assert sizes(run(write(LARGE, *[b"small"] * 3))) == [65536, 5, 5, 5]


def test_what_is_held_counts_as_unsent() -> None:
    seen = []

    def play(transport: AsyncioTransport) -> None:
        write(LARGE, LARGE)(transport)
        seen.append(transport.unsent())

    run(play)
    assert seen == [65536]


@pytest.mark.parametrize(("end", "event"), [("close", "closed"), ("write_eof", "eof")])
def test_the_end_comes_behind_it(end: str, event: str) -> None:
    def play(transport: AsyncioTransport) -> None:
        write(LARGE, LARGE)(transport)
        getattr(transport, end)()

    assert run(play).events == [f"{event} behind 131072"]


def test_a_cut_drops_it() -> None:
    def play(transport: AsyncioTransport) -> None:
        write(LARGE, LARGE)(transport)
        transport.abort()

    assert sizes(run(play)) == [65536]
