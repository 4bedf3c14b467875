"""From a configuration that names an application to a served daemon, with or without workers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tricorn import collector, logs
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.importing import refuse_meanwhile

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from types import FrameType

    from tricorn.first_worker import FirstWorker


def run_named(
    config: Config,
    load_config: Callable[[], Config] | None = None,
    first: FirstWorker | None = None,
) -> None:
    """Serve what the configuration names.

    :param load_config: reads the configuration again, for SIGHUP.
    :param first: a process that waits to be the first worker.
    """
    refuse_meanwhile("run()")
    if config.workers == 0:
        from tricorn.application import load
        from tricorn.server import run as run_here

        collector.resume()
        with _ending_on_sigterm():
            loaded = load(config)
        run_here(*loaded)
        return
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "workers: only the main thread can supervise; in another one use serve_in_thread, "
            "which takes an application object"
        )
    from tricorn.supervisor import supervise

    collector.resume()
    supervise(config, load_config, first)


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Have SIGTERM end an import in order; process 1 of a container would not even hear of it."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _end:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    """Nothing has begun that would have to end; an exception might be caught in the import."""
    logs.shutdown()
    os._exit(0)
