"""From a configuration that names an application to a served daemon, with or without workers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tricorn import collector
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.importing import refuse_meanwhile

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
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
        run_here(*load(config))
        return
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError(
            "workers: only the main thread can supervise; in another one use serve_in_thread, "
            "which takes an application object"
        )
    from tricorn.supervisor import supervise

    collector.resume()
    supervise(config, load_config, first)
