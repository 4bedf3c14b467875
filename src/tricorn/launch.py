"""``run``: from an application or its name to a served daemon, with or without workers."""

from __future__ import annotations

import logging

from tricorn import collector
from tricorn.config import Config
from tricorn.exceptions import ConfigError
from tricorn.importing import refuse_meanwhile
from tricorn.launch_named import run_named
from tricorn.standard_streams import fill_standard_streams
from tricorn.types import Application

_log = logging.getLogger("tricorn.error")


def run(app: Application | str | None, config: Config | None = None) -> None:
    """Serve until SIGTERM or SIGINT, on the event loop ``worker_class`` names.

    A name is imported in worker processes below a supervisor, as many as ``workers`` says; an
    application object, which cannot be handed to other processes, is served in this one.

    :param app: what ``serve`` takes, or what the option ``application`` takes, such as
        ``"module:attribute"``; None: what ``application`` and ``mounts`` of the configuration
        name.
    :raises TricornError: as ``serve`` does.
    """
    fill_standard_streams()
    refuse_meanwhile("run()")
    config = config or Config()
    if isinstance(app, str):
        config = config.replace(application=app)
    if app is None or isinstance(app, str):
        _warn(config)
        with collector.lent():
            run_named(config)
        return
    if config.worker_count > 1:
        raise ConfigError(
            f"workers: expected 1 or 0 for an application object, got {config.workers!r}; give "
            'run() its name, such as "module:app"'
        )
    config = config.replace(workers=0)  # as it is, and as the warnings are to see it
    _warn(config)
    from tricorn.server import run as run_here

    with collector.lent():
        collector.set_threshold(config.gc_threshold, loaded=True)
        run_here(app, config)


def _warn(config: Config) -> None:
    for line in config.warnings():
        _log.warning(line)
