"""``run``: from an application or its name to a served daemon, with or without workers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tricorn import collector
from tricorn.config import Config
from tricorn.exceptions import ConfigError

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn.first_worker import FirstWorker
    from tricorn.types import Application


def run(app: Application | str | None, config: Config | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the event loop ``worker_class`` names.

    A name is imported in worker processes below a supervisor, as many as ``workers`` says; an
    application object, which cannot be handed to other processes, is served in this one.

    :param app: what ``serve`` takes, or what the option ``application`` takes, such as
        ``"module:attribute"``; None: what ``application`` and ``mounts`` of the configuration
        name.
    :raises TricornError: as ``serve`` does.
    """
    config = config or Config()
    if isinstance(app, str):
        config = config.replace(application=app)
    if app is None or isinstance(app, str):
        run_named(config)
        return
    from tricorn.supervisor_workers import worker_count

    if worker_count(config) > 1:
        raise ConfigError(
            f"workers: expected 1 or 0 for an application object, got {config.workers!r}; give "
            'run() its name, such as "module:app"'
        )
    from tricorn.server import run as run_here

    run_here(app, config)


def run_named(
    config: Config,
    load_config: Callable[[], Config] | None = None,
    first: FirstWorker | None = None,
) -> None:
    """Serve what the configuration names.

    :param load_config: reads the configuration again, for SIGHUP.
    :param first: a process that waits to be the first worker.
    """
    if config.workers == 0:
        from tricorn.application import load
        from tricorn.server import run as run_here

        collector.resume()
        run_here(*load(config))
        return
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("workers: only the main thread can supervise; set workers = 0")
    from tricorn.supervisor import supervise

    collector.resume()
    supervise(config, load_config, first)
