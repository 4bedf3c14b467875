"""The command line in all its forms: help, abbreviations it refuses, errors it explains."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn, cast

from tricorn import config_docs
from tricorn.cli_command import Command
from tricorn.config import OPTIONS
from tricorn.config_sources import CONFIG_VARIABLE
from tricorn.config_values import Kind, Option, flags_of, nearest
from tricorn.exceptions import ConfigError

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
        value: object = values
        if OPTIONS[self.dest].kind is Kind.BOOL:
            value = not (option_string or "").startswith("--no-")
        cast("Command", namespace).give(self.dest, option_string or "APP", value)


def parse(argv: Sequence[str]) -> Command | None:
    """The command; None where it was help and has been printed.

    :raises ConfigError: for what no flag and no argument takes.
    """
    command = Command()
    try:
        _, rest = build_parser().parse_known_args(argv, cast("argparse.Namespace", command))
    except SystemExit:  # --help
        return None
    _refuse_rest(rest)
    return command


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
        "application",
        metavar="APP",
        nargs="?",
        action=_Give,
        default=argparse.SUPPRESS,
        help=OPTIONS["application"].help,
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
        *flags_of(row),
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


def _refuse_rest(rest: list[str]) -> None:
    words = [word for word in rest if word != "--"]
    for word in words:
        if word.startswith("-"):
            raise _unknown(word.partition("=")[0])
    if words:
        raise ConfigError(f"unexpected argument {words[0]!r}; one APP is served")


def _unknown(flag: str) -> ConfigError:
    known = [name for row in OPTIONS.values() for name in flags_of(row)]
    known += [name for name, _, _ in _ADDRESS_FLAGS]
    known += ["--config", "--check-config", "--print-config", "--version", "--help"]
    if flag in known:
        return ConfigError(f"flag {flag!r} stands behind --, where there are none")
    from tricorn.migrate.habits import elsewhere  # not above: large, and few need it

    if theirs := elsewhere(flag):  # not the nearest: that of --timeout is --read-timeout
        return ConfigError(f"unknown flag {flag!r}: {theirs}")
    return ConfigError(f"unknown flag {flag!r}{nearest(flag, known)}")
