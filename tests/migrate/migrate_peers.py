"""The other servers' own parsers, as far as they are installed."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import pytest

from helpers.peers import peer_module
from tricorn.config import Config
from tricorn.config_sources import Setting, merge
from tricorn.migrate import PEERS, Migration, migrate
from tricorn.migrate.command_line import read_command


@dataclass(frozen=True)
class Known:
    """An option as the server itself declares it, with the separator of a list in its variable."""

    flags: frozenset[str]
    default: Any
    choices: tuple[str, ...] | None = None
    separator: str | None = None


class _Captured(Exception):
    """Carries a parser out of the function that builds it."""


def hypercorn_parser() -> argparse.ArgumentParser:
    module = peer_module("hypercorn.__main__")

    def capture(self: argparse.ArgumentParser, *args: Any) -> None:
        raise _Captured(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", capture)
        with pytest.raises(_Captured) as caught:
            module.main(["app"])
    parser = caught.value.args[0]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def _click(command: Any) -> dict[str, Known]:
    found = {}
    for parameter in command.params:
        choices = tuple(parameter.type.choices) if "choices" in vars(parameter.type) else None
        flags = (*parameter.opts, *parameter.secondary_opts)
        default = parameter.default
        default = None if "UNSET" in repr(default) else getattr(default, "value", default)
        is_flag = any(flag.startswith("-") for flag in flags)
        separator = parameter.type.envvar_list_splitter if parameter.multiple else None
        names = frozenset(flags if is_flag else ())
        found[parameter.name] = Known(names, default, choices, separator)
    return found


def _argparse(parser: argparse.ArgumentParser) -> dict[str, Known]:
    found: dict[str, Known] = {}
    for action in parser._actions:
        if action.dest != "help":
            flags = frozenset(action.option_strings)
            if action.dest in found:  # Daphne's --no-server-name
                found["no_" + action.dest] = Known(flags, None)
            else:
                found[action.dest] = Known(flags, action.default)
    return found


def known_options(peer: str) -> dict[str, Known]:
    """The options of an installed server by the server itself; skips where it is not there."""
    if peer == "uvicorn":
        return _click(peer_module("uvicorn.main").main)
    if peer == "granian":
        return _click(peer_module("granian.cli").cli)
    if peer == "daphne":
        return _argparse(peer_module("daphne.cli").CommandLineInterface().parser)
    if peer == "gunicorn":
        settings = peer_module("gunicorn.config").KNOWN_SETTINGS
        found = {s.name: Known(frozenset(s.cli or ()), s.default) for s in settings}
        return found | {"args": Known(frozenset(), ()), "version": Known(
            frozenset(("-v", "--version")), None)}  # fmt: skip
    return _hypercorn_options()


def _hypercorn_options() -> dict[str, Known]:
    """Attributes of the configuration class, with the flags that set them."""
    flags: dict[str, set[str]] = {}
    names = {
        "access_log": "accesslog", "access_logfile": "accesslog", "binds": "bind",
        "access_logformat": "access_log_format", "application": "application_path",
        "error_log": "errorlog", "error_logfile": "errorlog", "insecure_binds": "insecure_bind",
        "keep_alive": "keep_alive_timeout", "log_config": "logconfig", "log_level": "loglevel",
        "pid": "pid_path", "quic_binds": "quic_bind", "reload": "use_reloader",
    }  # fmt: skip
    for name, known in _argparse(hypercorn_parser()).items():
        flags.setdefault(names.get(name, name), set()).update(known.flags)
    config = peer_module("hypercorn.config").Config
    attributes = {name for name in dir(config) if not name.startswith("_")}
    attributes |= {name for name in config.__annotations__ if not name.startswith("_")}
    keys = {name for name in attributes if not name.startswith(("create_", "from_", "set_"))}
    keys -= {"response_headers", "ssl_enabled", "log"}
    instance = config()
    found = {
        key: Known(frozenset(flags.pop(key, ())), _default(instance, key)) for key in sorted(keys)
    }
    return found | {name: Known(frozenset(rest), None) for name, rest in flags.items()}


def _default(instance: object, key: str) -> Any:
    try:
        value = getattr(instance, key)
    except AttributeError:
        return None
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value


def parse(peer: str, words: list[str]) -> dict[str, Any]:
    """The values of a command line as the server itself reads it."""
    if peer == "hypercorn":
        module = peer_module("hypercorn.__main__")
        with pytest.MonkeyPatch.context() as patch:
            configs: list[Any] = []
            patch.setattr(module, "run", configs.append)
            module.main(words)
        keys = [row.name for row in PEERS[peer].rows if row.name not in ("config", "cert_reqs")]
        return {key: getattr(configs[0], key) for key in keys}
    if peer in ("uvicorn", "granian"):
        command = getattr(*{"uvicorn": (peer_module("uvicorn.main"), "main"),
                            "granian": (peer_module("granian.cli"), "cli")}[peer])  # fmt: skip
        params = command.make_context(peer, list(words)).params
        return {key: getattr(value, "value", value) for key, value in params.items()}
    if peer == "daphne":
        return vars(peer_module("daphne.cli").CommandLineInterface().parser.parse_args(words))
    config = peer_module("gunicorn.config").Config()
    given = vars(config.parser().parse_args(words))
    for key, value in given.items():
        if value is not None and key != "args":
            config.set(key, value)
    values = {key: setting.get() for key, setting in config.settings.items()}
    return values | {"args": given["args"]}


def moved(
    peer: str,
    words: list[str],
    *,
    variables: dict[str, str] | None = None,
    file: str | None = None,
    keep_defaults: bool = False,
) -> Migration:
    """The migration of a command line."""
    environ = variables or {}
    command = read_command(words, list(PEERS.values()), environ)
    return migrate(PEERS[peer], command, environ, file, keep_defaults)


def config_of(found: Migration) -> Config:
    """The configuration of its options."""
    return merge({key: Setting(item.value, "") for key, item in found.entries.items()}).config
