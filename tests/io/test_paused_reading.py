"""The driver stops reading at its bounds, and counts which one it was."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from tricorn.asgi.host import Worker
from tricorn.config import Config
from tricorn.io.connection import Connection
from tricorn.io.registry import Registry
from tricorn.io.transport import Transport

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
PING = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"


class FullTransport(Transport):
    """One whose peer takes nothing: what the driver asks of it, and no bytes."""

    def __init__(self) -> None:
        self.cancelled = KeyError
        self.file = None
        self.eager = False
        self.sends_files = False
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def spawn(self, coroutine: Coroutine[Any, Any, None], eager: bool = False) -> FullTransport:
        coroutine.close()  # the application never gets its turn
        return self

    def cancel(self) -> None:
        """There is no task."""

    def kick(self) -> None:
        """Nothing goes anyway."""

    def write(self, buffers: Any) -> None:
        raise AssertionError("written above high water")

    def unwanted(self, *_: Any) -> Any:
        raise AssertionError("not asked for here")

    drain = turn = unsent = in_flight = write_eof = close = close_at_once = abort = waiter = (
        unwanted
    )
    soon = later = unwanted  # type: ignore[assignment]


def connection(**options: Any) -> tuple[Connection, FullTransport]:
    transport = FullTransport()
    worker = Worker(None, Config(**options))  # type: ignore[arg-type]
    made = Connection(
        worker,
        transport,
        Registry(),
        client=("192.0.2.1", 1234),
        server=("192.0.2.2", 80),
    )
    made.pause_writing()
    return made, transport


@pytest.mark.parametrize(
    ("option", "received", "options"),
    [
        ("h2_max_output_control", PREFACE + PING * 20, {"h2_max_output_control": 10}),
        (
            "request_buffer_size",
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\r\n" + b"x" * 2000,
            {"request_buffer_size": 1024},
        ),
        (
            "h11_max_incomplete_size",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 100,
            {"h11_max_incomplete_size": 1024},
        ),
    ],
)
def test_a_pause_is_counted_once(option: str, received: bytes, options: dict[str, Any]) -> None:
    driver, transport = connection(**options)
    driver.bytes_received(received)
    assert not transport.reading
    assert driver.worker.counters.limit_count(option) == 1
    driver.bytes_received(b"")
    assert driver.worker.counters.limit_count(option) == 1
