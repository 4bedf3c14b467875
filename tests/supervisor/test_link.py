"""What a worker heeds of its supervisor's messages, by itself."""

from __future__ import annotations

import signal
import threading

import anyio
import anyio.to_thread
import pytest

from helpers.apps import hello
from helpers.serving import BACKENDS
from tricorn.config import Config
from tricorn.control_channel import Channel
from tricorn.last_resort import LastResort
from tricorn.server import Server
from tricorn.worker_process import Link


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_answer_to_a_worker_that_drains_by_itself_counts(backend: str) -> None:
    """Even where the supervisor is quicker than the worker's own next step."""
    name, options = BACKENDS[backend]

    class Answered(Channel):
        def send(self, kind: str, **fields: object) -> bool:  # type: ignore[override]
            sent = super().send(kind, **fields)  # type: ignore[arg-type]
            if kind == "draining":
                link._heed({"type": "drain", "delay": 0.0, "stopping": False})
            return sent

    supervisor, worker = Channel.pair()
    config = Config(bind="127.0.0.1:0", lifespan="off")
    link = Link(Answered(worker.socket), config)
    server = Server(hello, config)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.serve, server)
            messages = await anyio.to_thread.run_sync(lambda: supervisor.receive(wait=True))
            assert messages is not None
            assert messages[0]["type"] == "ready"
            link.on_sigterm(signal.SIGTERM, None)

    anyio.run(main, backend=name, backend_options=options)
    supervisor.close()
    worker.close()
    assert server.worker.draining
    assert server.worker.ready, "it answers that the daemon stops"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cut_needs_no_thread(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """The system may give no more of them, also for what would end the process."""
    name, options = BACKENDS[backend]

    def start(self: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", start)
    supervisor, worker = Channel.pair()
    config = Config(bind="127.0.0.1:0", lifespan="off")
    link = Link(worker, config)
    server = Server(hello, config)
    server.last_resort = LastResort()

    async def main() -> None:
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(link.serve, server)
                await anyio.to_thread.run_sync(lambda: supervisor.receive(wait=True))
                link._heed({"type": "cut"})

    try:
        anyio.run(main, backend=name, backend_options=options)
        server.last_resort.cancel()
    finally:
        supervisor.close()
        worker.close()
