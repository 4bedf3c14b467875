"""What a command line asks for, and how one in its plainest form is read.

Building the whole parser takes longer than all else the supervisor does before it starts a
worker, so it is built only for what is not plain: help, mistakes, values that look like flags.
"""

from __future__ import annotations

from collections.abc import Sequence

from tricorn.config import OPTIONS
from tricorn.config_binds import DEFAULT_PORT
from tricorn.config_values import Kind, flags_of

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any

_OWN_FLAGS = {
    "-c": "config",
    "--config": "config",
    "--host": "host",
    "--port": "port",
    "--uds": "uds",
    "--fd": "fd",
}


class Command:
    """A command line taken apart. The parser of `tricorn.cli_parser` fills it, or `plain`."""

    def __init__(self) -> None:
        #: By option: the flag as it was typed, and text, a list of text or a bool.
        self.given: dict[str, tuple[str, Any]] = {}
        self.config: str | None = None
        self.check_config = False
        #: How to print: "toml" or "json".
        self.print_config: str | None = None
        #: How to print: "text" or "json".
        self.version: str | None = None
        self.host: str | None = None
        self.port: str | None = None
        self.uds: str | None = None
        self.fd: str | None = None

    def give(self, name: str, typed: str, value: object) -> None:
        """Note a value of an option: of a list one more, else the last one counts."""
        if OPTIONS[name].is_list:
            value = [*self.given.get(name, ("", []))[1], value]
        self.given[name] = (typed, value)

    def take_addresses(self) -> None:
        """Put what ``--host`` and its like say together as ``bind``, beside what --bind says."""
        addresses: list[tuple[str, str]] = []
        if self.host is not None or self.port is not None:
            host = "127.0.0.1" if self.host is None else self.host.strip("[]")
            port = str(DEFAULT_PORT) if self.port is None else self.port
            flag = "--host" if self.port is None else "--port"
            addresses.append((flag, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
        if self.uds is not None:
            addresses.append(("--uds", f"unix:{self.uds}"))
        if self.fd is not None:
            addresses.append(("--fd", f"fd://{self.fd}"))
        for flag, address in addresses:
            _, given = self.given.get("bind", (flag, []))
            self.given["bind"] = (flag, [*given, address])


def plain(argv: Sequence[str]) -> Command | None:
    """The command, or None for what is left to the parser: all that is not ``APP``, ``--flag``,
    ``--flag value``, ``--flag=value`` or ``-f value`` of flags there are."""
    rows = {flag: row for row in OPTIONS.values() for flag in flags_of(row)}
    command = Command()
    words = iter(argv)
    for word in words:
        if not word.startswith("-"):
            if not word or "application" in command.given:
                return None
            command.give("application", "APP", word)
            continue
        flag, equals, value = word.partition("=")
        row, own = rows.get(flag), _OWN_FLAGS.get(flag)
        if (row is None and own is None) or (equals and not flag.startswith("--")):
            return None
        if row is not None and row.kind is Kind.BOOL:
            if equals:
                return None
            command.give(row.name, flag, not flag.startswith("--no-"))
            continue
        if not equals:
            value = next(words, "")
            if not value or value.startswith("-"):
                return None
        if row is not None:
            command.give(row.name, flag, value)
        elif own is not None:
            setattr(command, own, value)
    return command
