"""``tricorn migrate``: the command line or file of another server becomes ``tricorn.toml``.

What is taken over and what is not stands in one table for each server; see
`tricorn.migrate.table`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from tricorn.cli_output import show
from tricorn.config_sources import DEFAULT_FILE
from tricorn.exceptions import ConfigError
from tricorn.migrate.assemble import assemble, check, gather, settings
from tricorn.migrate.command_line import Command, read_command, read_env_file
from tricorn.migrate.daphne import DAPHNE
from tricorn.migrate.granian import GRANIAN
from tricorn.migrate.gunicorn import GUNICORN
from tricorn.migrate.hypercorn import HYPERCORN
from tricorn.migrate.output import render, write
from tricorn.migrate.table import Entry, Peer
from tricorn.migrate.uvicorn import UVICORN
from tricorn.migrate.variables import readable

__all__ = ["PEERS", "Migration", "main", "migrate"]

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (HYPERCORN, UVICORN, GRANIAN, DAPHNE, GUNICORN)
}

_EPILOG = """\
COMMAND is a command line, or one word that holds it: a line of a shell, Procfile
(web: ...), systemd (ExecStart=...), supervisord (command=...) or Dockerfile (CMD ...).
FROM is needed only where neither the command nor the file tells the server.

A Python file that is named, or gunicorn.conf.py in the working directory for Gunicorn, is
run, as that server does. Exit codes: 0, and 2 where the input is wrong.

  tricorn migrate -- uvicorn shop:app --host 0.0.0.0 --port 80
  tricorn migrate 'web: gunicorn -k uvicorn.workers.UvicornWorker shop:app -b :$PORT'
  tricorn migrate hypercorn --file hypercorn.toml --output -
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"migrate: {message}")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command's own flags."""
    parser = _Parser(
        prog="tricorn migrate",
        usage="tricorn migrate [FROM] [OPTIONS] [--] [COMMAND ...]",
        description="Turn the command line or file of another server into tricorn.toml.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--file", metavar="FILE", help="the server's configuration file")
    parser.add_argument(
        "--env-file", metavar="FILE", action="append", default=[],
        help="variables of the server, NAME=value lines; - is standard input",
    )  # fmt: skip
    parser.add_argument(
        "--output", "-o", metavar="FILE", default=DEFAULT_FILE,
        help=f"what is written, - for standard output; default: {DEFAULT_FILE}",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="write over an existing file")
    parser.add_argument(
        "--keep-defaults", action="store_true",
        help="also write the server's defaults, where ours differ",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str]) -> int:
    """Run ``tricorn migrate`` with `argv`; the exit code. Raises `ConfigError`."""
    own, name, words = _split(argv)
    try:
        arguments = build_parser().parse_args(own)
    except SystemExit:  # --help
        return 0
    environ: dict[str, str] = {}
    for path in arguments.env_file:
        environ.update(read_env_file(_read(path)))
    command = read_command(words, list(PEERS.values()), environ)
    peer = _peer(name, command, arguments.file)
    found = migrate(peer, command, environ, arguments.file, arguments.keep_defaults)
    _tell(found)
    if arguments.output == "-":
        return show(found.text)
    private = "keyfile_password" in found.entries
    write(arguments.output, found.text, force=arguments.force, private=private)
    count = f"{len(found.entries)} option{'s' * (len(found.entries) != 1)}"
    print(f"tricorn: wrote {arguments.output} with {count}", file=sys.stderr)
    return 0


class Migration(NamedTuple):
    """``tricorn.toml`` as text, its options, what was left out (origin and reason), and the
    warnings of the configuration."""

    text: str
    entries: dict[str, Entry]
    left_out: list[tuple[str, str]]
    warnings: list[str]


def migrate(
    peer: Peer,
    command: Command,
    environ: dict[str, str],
    file: str | None = None,
    keep_defaults: bool = False,
) -> Migration:
    """What `command` or `file` becomes, `environ` being the peer's variables. Raises
    `ConfigError`."""
    every = {**environ, **command.variables}
    values, left_out = gather(peer, command.arguments, every, file)
    if not values and not left_out:
        raise ConfigError(f"there is nothing to migrate: give a command line of {peer.title}")
    draft = assemble(peer, values, every)
    draft.left_out += left_out
    entries = settings(draft, keep_defaults)
    warnings = check(entries, draft.outside)
    named = "application" in {**entries, **draft.outside}
    text = render(peer, entries, draft, _notes(command, draft.read, named), keep_defaults)
    return Migration(text, entries, draft.left_out, warnings)


def _notes(command: Command, read: set[str], named: bool) -> list[str]:
    """What else to know; `read` are variables that are taken over, `named`: there is an
    application."""
    notes = []
    if kept := [name for name in command.variables if name not in read]:
        # Names alone: what they hold may be secret.
        notes.append(f"Keep the variables in front of the command: {', '.join(kept)}")
    if command.before:
        words = readable(" ".join(command.before))
        notes.append(f"Keep what stood in front of the command: {words}")
    if command.after:
        words = readable(" ".join(command.after))
        notes.append(f"Keep what stood behind the command: {words}")
    if not named:
        notes.append("No application was named: give APP, as in: tricorn module:app")
    return notes


def _tell(found: Migration) -> None:
    for origin, reason in found.left_out:
        print(f"tricorn: not taken over: {origin}: {reason}", file=sys.stderr)
    for line in found.warnings:
        print(f"tricorn: warning: {line}", file=sys.stderr)


def _split(argv: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Our own flags, FROM, and the words of the command."""
    with_value = {"--file", "--env-file", "--output", "-o"}
    own: list[str] = []
    name: str | None = None
    rest = list(argv)
    while rest:
        word = rest[0]
        if word == "--":
            return own, name, rest[1:]
        if word.startswith("-"):
            taken = 2 if word in with_value else 1
            own += rest[:taken]
            rest = rest[taken:]
        elif name is None and word in PEERS and _is_from(rest[1:]):
            name, rest = word, rest[1:]
        else:
            break
    return own, name, rest


def _is_from(rest: list[str]) -> bool:
    """Whether a server's name is FROM, not the command: nothing or our flags follow it."""
    flags = set(build_parser()._option_string_actions) | {"--"}
    return not rest or rest[0].partition("=")[0] in flags or (len(rest) == 1 and " " in rest[0])


def _peer(name: str | None, command: Command, file: str | None) -> Peer:
    if name and command.program and name != command.program:
        raise ConfigError(f"the command is of {command.program}, not of {name}")
    found = name or command.program
    if not found and file:
        guesses = [peer for peer in PEERS if peer in file.lower()]
        found = guesses[0] if guesses else "hypercorn" if file.endswith(".toml") else ""
    if not found:
        raise ConfigError(f"which server is it from? Give one of {', '.join(PEERS)}")
    return PEERS[found]


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {getattr(exc, 'strerror', exc)}") from None
