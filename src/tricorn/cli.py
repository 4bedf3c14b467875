"""The ``tricorn`` command: flags and files to a configuration, then the server.

Exit codes are those of `tricorn.exceptions`, and 130 after Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial

from tricorn import collector, first_worker, logs
from tricorn.cli_command import plain
from tricorn.config import Config
from tricorn.config_sources import LoadedConfig, load
from tricorn.exceptions import ConfigError, TricornError
from tricorn.launch_named import run_named
from tricorn.privileges import take_umask
from tricorn.standard_streams import fill_standard_streams
from tricorn.systemd import unused_sockets


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's, which is to end then); the exit code."""
    if argv is not None:
        return _run_command(argv, is_command=False)
    fill_standard_streams()
    try:
        code = _run_command(sys.argv[1:], is_command=True)
    except SystemExit:  # the end of the first worker, which has seen to its threads
        raise
    except BaseException:
        _leave(1)
        raise
    _leave(code)
    return code


def _leave(code: int) -> None:
    if threading.active_count() > 1:  # the application's, for the most part
        from tricorn import last_resort

        last_resort.leave(code)


def _run_command(argv: Sequence[str], *, is_command: bool) -> int:
    try:
        if argv and argv[0] == "migrate":  # an application of that name is migrate:app
            from tricorn import migrate

            return migrate.main(argv[1:])
        return _main(argv, is_command=is_command)
    except KeyboardInterrupt:
        return 130
    except TricornError as exc:
        from tricorn import error_report

        error_report.report(exc)
        return exc.exit_code


def _main(argv: Sequence[str], *, is_command: bool) -> int:
    command = plain(argv)
    if command is None:
        from tricorn.cli_parser import parse  # not above: see cli_command

        command = parse(argv)
        if command is None:
            return 0
    command.take_addresses()
    if command.version is not None:
        from tricorn.cli_versions import version_text

        return _show(version_text(command.version))

    _check_directory()

    def load_config(*, again: bool) -> LoadedConfig:
        return load(command.given, os.environ, command.config, again=again)

    loaded = load_config(again=False)
    if command.print_config is not None:
        from tricorn import config_docs

        as_json = command.print_config == "json"
        return _show((config_docs.config_json if as_json else config_docs.config_toml)(loaded))
    if command.check_config:
        return _check(loaded)
    return _run(loaded, partial(load_config, again=True), is_command=is_command)


def _show(text: str) -> int:
    from tricorn.cli_output import show  # not above: a server has no use for it

    return show(text)


def _check_directory() -> None:
    """Not for a reload: a deployment may have removed it meanwhile."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError(
            "the working directory does not exist any more; start from one that does"
        ) from None


def _check_target(config: Config) -> None:
    if config.application is None and not config.mounts:
        raise ConfigError(
            "no application: give APP as module:attribute, or set application in the file"
        )


def _check(loaded: LoadedConfig) -> int:
    from tricorn.application import compose
    from tricorn.application import load as load_app

    config = loaded.config
    config.check()
    if config.certfile is not None:
        from tricorn.io.tls import TLSContext

        TLSContext(config)
    from tricorn.protocol import negotiate

    negotiate.codecs(config)  # imports them
    _check_target(config)
    compose(*load_app(config))
    for line in [*loaded.notes, *config.warnings()]:
        print(f"tricorn: warning: {line}", file=sys.stderr)
    addresses = ", ".join((*config.bind, *config.insecure_bind))
    served = config.application or "no application"
    if config.mounts:
        served += f" and {len(config.mounts)} mount{'s' if len(config.mounts) > 1 else ''}"
    return _show(f"tricorn: the configuration is valid: {served} on {addresses}")


def _run(loaded: LoadedConfig, load_again: Callable[[], LoadedConfig], *, is_command: bool) -> int:
    logger = logging.getLogger("tricorn.error")

    def reload() -> Config:
        again = load_again()
        _check_target(again.config)
        again.config.check()
        for line in [*again.notes, *again.config.warnings()]:
            logger.warning(line)
        return again.config

    config = loaded.config
    _check_target(config)
    config.check()
    first = None
    if is_command and not loaded.ran_code:
        collector.pause()
        if config.workers != 0:
            first = first_worker.fork()
    try:
        take_umask(config)
        logs.setup(config)
        for line in [*loaded.notes, *config.warnings(), *unused_sockets(config)]:
            logger.warning(line)
        run_named(config, reload, first)
    finally:
        logs.shutdown()  # what is reported next is the last line
        if first is not None:
            first.discard()
    return 0
