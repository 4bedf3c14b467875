"""Signals, Ctrl-C and errors of the program that has the server in it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import anyio
import anyio.abc
import pytest

from helpers.apps import reply
from helpers.serving import BACKENDS, LOOPS, PATIENCE, Records, address_of
from tricorn import Config, run, serve
from tricorn.exceptions import ConfigError
from tricorn.io import ending
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


def test_signals_are_taken_until_the_application_is_gone(
    loop: str, told: list[int], records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more while it cleans up behind a start that was given up kills nobody."""
    records.expect("SIGTERM again")
    monkeypatch.setattr(ending, "CANCEL_TIME", 0.05)
    log = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        signal.raise_signal(signal.SIGTERM)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.1)
                signal.raise_signal(signal.SIGTERM)
                await anyio.sleep(0.1)
            log.append("cleaned up")

    async def main() -> None:
        config = Config(bind="127.0.0.1:0", lifespan="on")
        await serve(app, config, install_signal_handlers=True)

    backend, options = BACKENDS[loop]
    anyio.run(main, backend=backend, backend_options=options)
    assert (log, told) == (["cleaned up"], [])


@pytest.mark.parametrize("way", ["run", "serve"])
def test_another_thread_is_told_what_it_can_have(loop: str, way: str, records: Records) -> None:
    config = Config(bind="127.0.0.1:0", lifespan="off", worker_class=loop)

    async def main() -> None:
        await serve(stops_itself, config, install_signal_handlers=True)

    def call() -> None:
        if way == "run":
            run(stops_itself, config)
        else:
            backend, options = BACKENDS[loop]
            anyio.run(main, backend=backend, backend_options=options)

    with ThreadPoolExecutor(1) as threads, pytest.raises(ConfigError, match="serve_in_thread"):
        threads.submit(call).result(PATIENCE)


class Interrupted:
    """Meets Ctrl-C at a place, in the task that runs just then, as trio has it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.log: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                await self._pass(phase)
                self.log.append(phase)
                await send({"type": f"lifespan.{phase}.complete"})
        else:
            await self._pass("request")
            await reply(send, b"done")

    async def _pass(self, place: str) -> None:
        if place == self._where:
            signal.raise_signal(signal.SIGINT)
        elif f"{place} in a nursery" == self._where:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_interrupt)


async def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("where", "log"),
    [
        ("startup", []),
        ("startup in a nursery", []),
        ("request", ["startup", "shutdown"]),
        ("request in a nursery", ["startup", "shutdown"]),
        ("shutdown", ["startup"]),
    ],
)
def test_ctrl_c_in_the_application_ends_the_program(
    where: str, log: list[str], records: Records
) -> None:
    """It is the program's, which gets it as it is; on the other loops no task meets it."""
    app = Interrupted(where)

    async def main() -> None:
        stop = anyio.Event()
        config = Config(bind="127.0.0.1:0", disconnect_grace=None)

        async def server(*, task_status: anyio.abc.TaskStatus[list[str]]) -> None:
            try:
                await serve(app, config, shutdown_trigger=stop, task_status=task_status)
            except BaseException as exc:
                ends.append(exc)
                raise

        async with anyio.create_task_group() as tasks:
            (url,) = await tasks.start(server)
            async with await anyio.connect_tcp(*address_of(url)) as stream:
                await stream.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                await stream.receive()
                stop.set()
                await anyio.sleep_forever()

    ends: list[BaseException] = []
    with pytest.raises(BaseExceptionGroup):
        anyio.run(main, backend="trio")
    assert [type(exc) for exc in ends] == [KeyboardInterrupt]
    assert app.log == log


class Told(Exception):
    """Why a program ends its server."""


def test_what_the_trigger_raises_comes_out_as_it_is(loop: str, records: Records) -> None:
    async def trigger() -> None:
        raise Told from ZeroDivisionError()

    async def main() -> None:
        await serve(stops_itself, Config(bind="127.0.0.1:0", lifespan="off"),
                    shutdown_trigger=trigger)  # fmt: skip

    backend, options = BACKENDS[loop]
    with pytest.raises(Told) as caught:
        anyio.run(main, backend=backend, backend_options=options)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not isinstance(caught.value.__context__, BaseExceptionGroup)
