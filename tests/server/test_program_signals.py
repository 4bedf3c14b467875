"""Signals and Ctrl-C of the program that has the server in it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import anyio
import pytest

from helpers.serving import BACKENDS, LOOPS, Records
from tricorn import Config, run, serve
from tricorn.types import Receive, Scope, Send

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def told() -> Iterator[list[int]]:
    """What the program's own handlers are told; SIGUSR1 is ignored."""
    numbers: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        numbers.append(number)

    before = [signal.signal(number, handle) for number in NUMBERS]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    yield numbers
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


async def stops_itself(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends a server that takes signals, once it runs."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        signal.raise_signal(signal.SIGTERM)
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("way", ["run", "serve"])
def test_the_handlers_of_the_program_come_back(
    loop: str, way: str, told: list[int], records: Records
) -> None:
    config = Config(bind="127.0.0.1:0", lifespan="on", worker_class=loop)
    handlers = [signal.getsignal(number) for number in NUMBERS]
    if way == "run":
        run(stops_itself, config)
    else:

        async def main() -> None:
            await serve(stops_itself, config, install_signal_handlers=True)
            # Behind it the program cleans up, and may be asked to end once more.
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGUSR1)

        backend, options = BACKENDS[loop]
        anyio.run(main, backend=backend, backend_options=options)
        assert told == [signal.SIGTERM]
    assert [signal.getsignal(number) for number in NUMBERS] == handlers
