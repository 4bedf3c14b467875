"""What an option of another server is, and what becomes of its value.

General theory. Each server is a `Peer`: a table of `Row`, one for each of its options, pure
data. A row says how the peer reads the option (flags, type, default) and what it is here: the
options of ours it turns into, or a note that says why it is none and what to do instead.
Options that mean something only together, such as host and port, are joint: the peer's
``join`` takes them. The command line, the file, the page of the documentation and the test
for completeness are all made from the table.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tricorn.config import OPTIONS
from tricorn.config_docs import option_toml
from tricorn.config_values import Kind, coerce
from tricorn.exceptions import ConfigError
from tricorn.migrate.variables import readable, unknown_in, who_fills_in


class Shape(enum.Enum):
    """How an option stands on the command line."""

    VALUE = "value"
    SWITCH = "switch"
    LIST = "list"
    MAYBE = "maybe"  # a flag with or without a value


class Taken(NamedTuple):
    """Options of ours (name to value) that a peer's value becomes, and what to know of it.

    No options and a note: it is not taken over, and the note says why.
    """

    options: Mapping[str, object]
    note: str = ""


class Given(NamedTuple):
    """A value that was given, read by its row's type, and where it stands in words."""

    value: Any
    origin: str


Values = dict[str, Given]
Convert = Callable[[Any], Taken]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One option of a peer.

    ``name`` is the peer's own name: the key of its file, the rest of its environment variable.
    ``off`` are the flags that turn a switch off, ``const`` is the value of a flag without one.
    ``default`` is the peer's, in its own words. ``to`` names options of ours, ``convert``
    turns a value into them; without it the value is taken as it is. ``unset`` is what the peer
    does where the option is not given, in options of ours; None: what the default becomes.
    ``lost`` marks a default that does something which is not done here. ``separator`` stands
    between the items of a list in its variable; None: blanks.
    """

    name: str
    flags: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    shape: Shape = Shape.VALUE
    type: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    const: object = None
    default: object = None
    to: tuple[str, ...] = ()
    convert: Convert | None = None
    joint: bool = False
    unset: Mapping[str, object] | None = None
    note: str = ""
    lost: bool = False
    separator: str | None = None

    def taken(self, value: Any) -> Taken:
        """What `value` becomes. Raises `ConfigError`."""
        if self.convert is not None:
            return self.convert(value)
        return Taken({self.to[0]: value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another server.

    ``release`` is the version the table was made from. ``programs`` are the commands and
    modules that start it. ``prefix`` begins its environment variables, ``variables`` are the
    others (variable to row) and ``arguments`` one that holds a command line. ``habits`` are
    what the peer does without an option, in options of ours; ``changes`` what it does and we
    do not, in words. ``files`` tells the forms of its configuration file, empty: it has none.
    """

    name: str
    title: str
    release: str
    programs: tuple[str, ...]
    rows: tuple[Row, ...]
    join: Callable[[Values, Draft], None]
    abbreviates: bool
    prefix: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    arguments: str = ""
    habits: Mapping[str, object] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    read_file: Callable[[str], Mapping[str, Any]] | None = None
    default_file: str = ""

    def row(self, name: str) -> Row:
        """The row named `name`; raises KeyError."""
        return next(row for row in self.rows if row.name == name)


class Entry(NamedTuple):
    """A value for an option of ours, in its stored form, with its origin and a remark."""

    value: Any
    origin: str
    note: str = ""


class Outside(NamedTuple):
    """An option that a file cannot hold, for the value of a variable in it is not known here.

    ``value`` is what would be written, with the variables; None: what they hold tells what it is.
    ``origin`` and ``note`` are as of an `Entry`.
    """

    value: Any
    variables: Sequence[str]
    origin: str
    note: str = ""

    def reason(self, name: str) -> str:
        """Why the option `name` is left out, and how to give it."""
        option = OPTIONS[name]
        own = self.value is None or unknown_in(self.value)
        why = "a file cannot hold" if own else "it goes with"
        texts = [self.value] if isinstance(self.value, str) else self.value or ()
        words = [f'"{readable(text)}"' for text in texts] if option.kind in _AS_TEXT else []
        flag = "APP" if name == "application" else option.flag
        way = " ".join(f"{flag} {word}" for word in words) or flag
        line = f"{why} {who_fills_in(self.variables)}; give it as {way}, or in {option.variable}"
        return f"{line}; {self.note}" if self.note else line


# Options whose value on the command line is the text that a file holds.
_AS_TEXT = frozenset(Kind) - {Kind.BOOL, Kind.TABLE, Kind.TABLES}


@dataclass(slots=True)
class Draft:
    """The configuration in the making.

    ``entries`` are options of ours that were given, ``defaults`` those the peer has another
    default for, ``left_out`` pairs of origin and reason, ``unknown`` names of rows in whose
    value a variable stands, ``outside`` options of ours that such a variable keeps out.
    ``environ`` are the variables of the peer's process, ``read`` the names of those it reads.
    """

    title: str
    environ: Mapping[str, str] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    entries: dict[str, Entry] = field(default_factory=dict)
    defaults: dict[str, Entry] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    outside: dict[str, Outside] = field(default_factory=dict)

    def take(self, taken: Taken, origin: str, note: str = "") -> None:
        """Enter what a given value became; what we cannot take is left out with the reason."""
        remark = taken.note or note
        if not taken.options and remark:
            self.left_out.append((origin, remark))
        for name, value in taken.options.items():
            if variables := unknown_in(value):
                self._put_outside(name, Outside(value, variables, origin, remark))
            else:
                self._enter(name, value, origin, remark)

    def _enter(self, name: str, value: object, origin: str, remark: str) -> None:
        try:
            stored = coerce(OPTIONS[name], value, text=isinstance(value, str), origin=origin)
            option_toml(OPTIONS[name], stored)
        except ConfigError as exc:
            reason = str(exc).removesuffix(f" ({origin})")
            self.left_out.append((origin, f"Tricorn does not take this value: {reason}"))
        except TypeError as exc:
            reason = f"{exc}: set {name} in a Python file, and give that with -c"
            self.left_out.append((origin, reason))
        else:
            self.entries[name] = Entry(stored, origin, remark)
            self.outside.pop(name, None)

    def _put_outside(self, name: str, found: Outside) -> None:
        self.outside[name] = found
        self.entries.pop(name, None)

    def leave(self, options: Iterable[str], *given: Given) -> None:
        """Keep options out of which nothing can be said before what is `given` is known."""
        variables = unknown_in([item.value for item in given])
        origin = ", ".join(item.origin for item in given)
        for name in options:
            self._put_outside(name, Outside(None, variables, origin))

    def together(self, *options: str) -> None:
        """Keep all of these options out where one of them is: alone they are refused."""
        found = [self.outside[name] for name in options if name in self.outside]
        for name in options:
            if found and name in self.entries:
                value, origin, note = self.entries[name]
                self._put_outside(name, Outside(value, found[0].variables, origin, note))

    def take_default(self, options: Mapping[str, object]) -> None:
        """Note what the peer does where nothing is given, as far as we do something else."""
        for name, value in options.items():
            stored = coerce(OPTIONS[name], value)
            if stored != OPTIONS[name].default:
                self.defaults[name] = Entry(stored, f"{self.title}'s default")


def address(host: str, port: int | str) -> str:
    """``bind`` for a host, with or without brackets, and a port."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(values: Values) -> tuple[list[str], str]:
    """``bind`` for ``host`` and ``port``, of which one may be missing, and where they were given;
    no address where both are."""
    given = [values[name] for name in ("host", "port") if name in values]
    if not given:
        return [], ""
    host = values["host"].value if "host" in values else "127.0.0.1"
    port = values["port"].value if "port" in values else 8000
    return [address(host, port)], ", ".join(item.origin for item in given)


def both_or_neither(values: Values, draft: Draft, certificate: str, key: str) -> bool:
    """The rows of the two files, for a peer that leaves TLS off where it has one alone; whether
    TLS is on."""
    pair = [values[name] for name in (certificate, key) if name in values]
    if len(pair) == 1:
        draft.left_out.append((pair[0].origin, f"alone, it leaves TLS off with {draft.title}"))
    elif pair:
        draft.take(Taken({"certfile": pair[0].value}), pair[0].origin)
        draft.take(Taken({"keyfile": pair[1].value}), pair[1].origin)
    return len(pair) == 2


def none(name: str, flags: str, note: str, **extra: Any) -> Row:
    """A row without a counterpart; `flags` are separated by spaces."""
    return Row(name=name, flags=tuple(flags.split()), note=note, **extra)


def same(name: str, flags: str, to: str, **extra: Any) -> Row:
    """A row whose value is taken over; `flags` and `to` are separated by spaces."""
    return Row(name=name, flags=tuple(flags.split()), to=tuple(to.split()), **extra)


def switch(name: str, flags: str, to: str = "", **extra: Any) -> Row:
    """A row that is on or off; flags after a slash turn it off."""
    on, _, off = flags.partition("/")
    extra.setdefault("default", False)
    return Row(
        name=name, flags=tuple(on.split()), off=tuple(off.split()), to=tuple(to.split()),
        shape=Shape.SWITCH, **extra,
    )  # fmt: skip


def several(name: str, flags: str, to: str = "", **extra: Any) -> Row:
    """A row that may be given more than once."""
    extra.setdefault("default", ())
    return Row(
        name=name, flags=tuple(flags.split()), to=tuple(to.split()), shape=Shape.LIST, **extra
    )


def off_at_zero(option: str) -> Convert:
    """0 is no limit with the peer, and none here."""
    return lambda value: Taken({option: value or None})


def logging_file(loggers: str) -> Convert:
    """A logging configuration by its extension; `loggers` are the names the peer uses."""

    def convert(value: Any) -> Taken:
        name = os.fspath(value)
        note = f"its loggers {loggers} are tricorn.error and tricorn.access here: rename them"
        if name.endswith((".yaml", ".yml")):
            note += "; PyYAML reads it, which must be installed"
        return Taken({"logconfig": name}, note)

    return convert


def access_format(value: Any) -> Taken:
    """A line of the access log with Gunicorn's atoms."""
    from tricorn.access_log import compile_format

    try:
        compile_format(value)
    except ConfigError as exc:
        return Taken({}, str(exc))
    return Taken({"access_log_format": value})


def binds(values: Sequence[str], clean: Callable[[str], str] = str) -> list[str]:
    """Addresses without repetition, each through `clean`."""
    return list(dict.fromkeys(clean(value) for value in values))


SERVICE_MANAGER = "leave it to the service manager"
