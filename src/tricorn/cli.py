"""The ``tricorn`` command: flags and files to a configuration, then the server.

Exit codes are those of `tricorn.exceptions`, and 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from tricorn import config_docs
from tricorn.codecs import choice
from tricorn.config import OPTIONS, Config
from tricorn.config_binds import DEFAULT_PORT
from tricorn.config_sources import CONFIG_VARIABLE, LoadedConfig, load
from tricorn.config_values import Kind, Option, nearest
from tricorn.exceptions import ConfigError, TricornError

LIBRARIES = ("anyio", "h11", "h2", "hpack", "priority", "wsproto", "trio", "uvloop", "httptools")

_METAVARS = {
    Kind.PATH: "PATH",
    Kind.COUNT: "N",
    Kind.SIZE: "BYTES",
    Kind.SECONDS: "SECONDS",
    Kind.RATE: "N",
    Kind.BINDS: "ADDRESS",
    Kind.UMASK: "MODE",
    Kind.MODE: "MODE",
    Kind.OWNER: "NAME",
    Kind.TABLE: "JSON",
    Kind.TABLES: "JSON",
    Kind.VERIFY_FLAGS: "NAMES",
    Kind.CLASS: "NAME",
}
_ADDRESS_FLAGS = (  # of Uvicorn and Granian
    ("--host", "HOST", "host of --bind; with --port, or alone for port 8000"),
    ("--port", "PORT", "port of --bind; with --host, or alone for 127.0.0.1"),
    ("--uds", "PATH", "the same as --bind unix:PATH"),
    ("--fd", "N", "the same as --bind fd://N"),
)
_EPILOG = f"""\
Without -c the file is the one that {CONFIG_VARIABLE} names, else ./tricorn.toml, else
[tool.tricorn] of ./pyproject.toml. A flag wins over the environment variable TRICORN_NAME,
that over the file, the file over the default. Times also take 500ms, 10s or 1h30m, sizes
64KiB or 16MiB; none turns off what may be off.

tricorn migrate turns the command line or file of Hypercorn, Uvicorn, Granian, Daphne or
Gunicorn into tricorn.toml; see tricorn migrate --help.
"""


class _Parser(argparse.ArgumentParser):
    """Reports its own errors as `ConfigError`, so that all errors look the same."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


class _Give(argparse.Action):
    """Notes the value under the option's name, with the flag as it was typed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if values is None:  # APP was left out
            return
        row = OPTIONS[self.dest]
        value: object = values
        if row.kind is Kind.BOOL:
            value = not (option_string or "").startswith("--no-")
        elif row.is_list:
            value = [*namespace.given.get(row.name, ("", []))[1], values]
        namespace.given[row.name] = (option_string or "APP", value)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's); the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv and argv[0] == "migrate":  # an application of that name is migrate:app
            from tricorn import migrate

            return migrate.main(argv[1:])
        return _main(argv)
    except KeyboardInterrupt:
        return 130
    except TricornError as exc:
        _report(exc)
        return exc.exit_code


def _main(argv: Sequence[str]) -> int:
    try:
        arguments, rest = build_parser().parse_known_args(argv, argparse.Namespace(given={}))
    except SystemExit:  # --help
        return 0
    _refuse_rest(rest)
    _take_addresses(arguments)
    if arguments.version is not None:
        return _print(_version_text(arguments.version))

    def load_config() -> LoadedConfig:
        return load(arguments.given, os.environ, arguments.config)

    loaded = load_config()
    if arguments.print_config is not None:
        as_json = arguments.print_config == "json"
        return _print((config_docs.config_json if as_json else config_docs.config_toml)(loaded))
    if arguments.check_config:
        return _check(loaded)
    return _run(loaded, load_config)


def _print(text: str) -> int:
    try:
        print(text.rstrip("\n"), flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser, made from the schema."""
    parser = _Parser(
        prog="tricorn",
        usage="tricorn [OPTIONS] [APP]\n       tricorn migrate [FROM] [OPTIONS] [--] [COMMAND ...]",
        description="Serve an ASGI application over HTTP/1.1, HTTP/2 and WebSocket.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "application", metavar="APP", nargs="?", action=_Give, help=OPTIONS["application"].help
    )
    command = parser.add_argument_group("Command")
    command.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        help="TOML file; or file:FILE.py, a Python file; or python:MODULE",
    )
    command.add_argument(
        "--check-config", action="store_true", help="check values, files and APP, then end"
    )
    _add_form(command, "--print-config", "toml", "print every value and its source, then end")
    _add_form(command, "--version", "text", "print versions, then end")
    for flag, metavar, text in _ADDRESS_FLAGS:
        command.add_argument(flag, metavar=metavar, help=text)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for row in OPTIONS.values():
        if row.section not in groups:
            groups[row.section] = parser.add_argument_group(row.section)
        _add_option(groups[row.section], row)
    return parser


def _add_form(group: argparse._ArgumentGroup, flag: str, form: str, help: str) -> None:
    # Not nargs="?", which would take APP for the form.
    group.add_argument(flag, action="store_const", const=form, help=f"{help}; also {flag}=json")
    dest = flag.removeprefix("--").replace("-", "_")
    for other in (form, "json"):
        group.add_argument(
            f"{flag}={other}", dest=dest, action="store_const", const=other, help=argparse.SUPPRESS
        )


def _add_option(group: argparse._ArgumentGroup, row: Option) -> None:
    text = row.help + ("" if row.default is None else f" Default: {config_docs.default_text(row)}")
    kind: dict[str, Any] = {"nargs": 0} if row.kind is Kind.BOOL else {"metavar": _metavar(row)}
    group.add_argument(
        *config_docs.flags_of(row),
        dest=row.name,
        action=_Give,
        default=argparse.SUPPRESS,
        help=text.replace("%", "%%"),
        **kind,
    )


def _metavar(row: Option) -> str:
    if row.choices:
        return "{" + ",".join(row.choices) + "}"
    return _METAVARS.get(row.kind, "TEXT")


def _take_addresses(arguments: argparse.Namespace) -> None:
    """Put what ``_ADDRESS_FLAGS`` say together as ``bind``, beside what --bind says."""
    addresses: list[tuple[str, str]] = []
    if arguments.host is not None or arguments.port is not None:
        host = "127.0.0.1" if arguments.host is None else arguments.host.strip("[]")
        port = str(DEFAULT_PORT) if arguments.port is None else arguments.port
        flag = "--host" if arguments.port is None else "--port"
        addresses.append((flag, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
    if arguments.uds is not None:
        addresses.append(("--uds", f"unix:{arguments.uds}"))
    if arguments.fd is not None:
        addresses.append(("--fd", f"fd://{arguments.fd}"))
    for flag, address in addresses:
        _, given = arguments.given.get("bind", (flag, []))
        arguments.given["bind"] = (flag, [*given, address])


def _refuse_rest(rest: list[str]) -> None:
    for word in rest:
        if word.startswith("-"):
            flag = word.partition("=")[0]
            known = [name for row in OPTIONS.values() for name in config_docs.flags_of(row)]
            known += [flag for flag, _, _ in _ADDRESS_FLAGS]
            known += ["--config", "--check-config", "--print-config", "--version", "--help"]
            raise ConfigError(f"unknown flag {flag!r}{nearest(flag, known)}")
    if rest:
        raise ConfigError(f"unexpected argument {rest[0]!r}; one APP is served")


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
    print(f"tricorn: the configuration is valid: {served} on {addresses}")
    return 0


def _run(loaded: LoadedConfig, load_again: Callable[[], LoadedConfig]) -> int:
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
    from tricorn import logs

    logs.setup(config)
    logger = logging.getLogger("tricorn.error")
    for line in [*loaded.notes, *config.warnings()]:
        logger.warning(line)
    from tricorn.launch import run_named

    try:
        run_named(config, reload)
    finally:
        logs.shutdown()  # what is reported next is the last line
    return 0


def _report(exc: TricornError) -> None:
    from tricorn import error_report

    sys.stderr.write(error_report.application_traceback(exc))
    print(error_report.last_line(exc), file=sys.stderr)


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _codecs() -> dict[str, dict[str, Any]]:
    """By slot: the codec that auto takes, with its version, and all that are installed."""
    return {
        slot: {"in_use": choice.choose(slot).describe(), "available": names}
        for slot, names in choice.available().items()
    }


def _version_text(form: str) -> str:
    import ssl  # not above: the supervisor has no use for it, and stays small

    own = _version("tricorn") or getattr(importlib.import_module("tricorn"), "__version__", None)
    libraries = {name: _version(name) for name in LIBRARIES}
    codecs = _codecs()
    if form == "json":
        python = {"version": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
        return json.dumps(
            {"tricorn": own, "python": python, "codecs": codecs, "libraries": libraries}, indent=2
        )
    shown = [
        f"{slot} codec: {row['in_use']}; available: {', '.join(row['available'])}"
        for slot, row in codecs.items()
    ]
    return "\n".join(
        [
            f"tricorn {own or 'unknown'}",
            f"{platform.python_implementation()} {platform.python_version()}",
            ssl.OPENSSL_VERSION,
            *shown,
            *(f"{name} {version or 'is not installed'}" for name, version in libraries.items()),
        ]
    )
