"""What one option is, and how a value from any source becomes the value it holds.

General theory. A value reaches us as a Python object (a TOML file, a Python file, a
keyword argument) or as text (a flag, an environment variable). `coerce` takes both to the
one form the option stores, and is idempotent: a stored value goes through unchanged. Every
refusal is a `ConfigError` of one line that names the option, the value, what was expected
and where the value came from.
"""

from __future__ import annotations

import enum
import json
import math
import os
import re
from collections.abc import Callable, Iterable

from tricorn.config_binds import parse_bind
from tricorn.exceptions import ConfigError
from tricorn.records import Field, Record

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any

LONGEST_DURATION = 31_536_000.0  # one year; "none" says "no limit"
LARGEST_COUNT = 2**31 - 1
LARGEST_SIZE = 2**40  # 1 TiB: above it the number is a slip of the keyboard


class Kind(enum.Enum):
    """The form of an option's value; each has one converter in `_CONVERTERS`."""

    TEXT = "text"
    PATH = "path"
    BOOL = "bool"
    COUNT = "count"
    SIZE = "size"
    SECONDS = "seconds"
    RATE = "rate"
    LIST = "list"
    BINDS = "binds"
    UMASK = "umask"
    MODE = "mode"
    OWNER = "owner"
    VERIFY_MODE = "verify_mode"
    VERIFY_FLAGS = "verify_flags"
    TABLE = "table"
    TABLES = "tables"
    CLASS = "class"


class Option(Record, kw_only=True):
    """One row of the schema: what every source, the help text and the reference page use.

    ``flags`` are extra flag spellings and ``aliases`` extra file keys. ``low`` and ``high``
    bound numbers, both included. ``inert`` says why a value has no effect and what is done
    instead. ``choices`` of a list option bind each of its items. ``words`` are
    taken beside what the kind takes, ``spellings`` (in lower case) for choices. ``hides`` are keys
    of a table whose values are never shown. ``commas`` is a list whose items hold no comma: one
    flag may give several.
    ``free`` is a table whose contents are not ours: in it "none" is a string, and anything of
    Python's may stand.
    """

    name: str = ""
    kind: Kind
    section: str
    default: Any = None
    help: str
    reason: str = ""
    unit: str = ""
    optional: bool = False
    flags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    spellings: tuple[tuple[str, str], ...] = ()
    low: float | None = None
    high: float | None = None
    secret: bool = False
    hides: tuple[str, ...] = ()
    commas: bool = False
    free: bool = False
    inert: str = ""

    @property
    def is_list(self) -> bool:
        """Whether the flag may be repeated and the variable takes commas."""
        return self.kind in (Kind.LIST, Kind.BINDS)

    @property
    def flag(self) -> str:
        """The flag that bears the option's own name."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable of the option."""
        return "TRICORN_" + self.name.upper()


_UNITS = {Kind.SIZE: "bytes", Kind.SECONDS: "seconds"}
_LOWS: dict[Kind, float] = {Kind.COUNT: 0, Kind.SIZE: 1, Kind.SECONDS: 0.001, Kind.RATE: 0.001}
_HIGHS: dict[Kind, float] = {
    Kind.COUNT: LARGEST_COUNT,
    Kind.SIZE: LARGEST_SIZE,
    Kind.SECONDS: LONGEST_DURATION,
    Kind.RATE: 1e9,
    Kind.UMASK: 0o777,
    Kind.MODE: 0o777,
}


def option(
    kind: Kind, section: str, default: object, help: str, reason: str = "", **extra: Any
) -> Any:
    """A field whose metadata is the `Option`'s; ``extra`` are further `Option` fields."""
    extra.setdefault("unit", _UNITS.get(kind, ""))
    extra.setdefault("low", _LOWS.get(kind))
    extra.setdefault("high", _HIGHS.get(kind))
    extra.update(kind=kind, section=section, default=default, help=help, reason=reason)
    return Field(
        default,
        repr=not (extra.get("secret") or extra.get("hides")),
        hash=kind not in (Kind.TABLE, Kind.TABLES),  # a dict has no hash
        metadata=extra,
    )


def flags_of(row: Option) -> list[str]:
    """Every flag spelling of the option, its own name first."""
    flags: list[str] = []
    for flag in (row.flag, *row.flags):
        flags.append(flag)
        if row.kind is Kind.BOOL and flag.startswith("--"):
            flags.append("--no-" + flag.removeprefix("--"))
    return list(dict.fromkeys(flags))


def rows_of(record: type[Record], optional: tuple[str, ...] | None = None) -> dict[str, Option]:
    """The options among the fields of a class, by name.

    :param optional: the names of those that may be None; else the types of the fields say.
    """
    rows = {}
    for name, field in record.__record_fields__.items():
        may = record.__record_types__[name].endswith("| None")
        rows[name] = Option(
            name=name, optional=may if optional is None else name in optional, **field.metadata
        )
    return rows


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """``"; did you mean 'x'?"`` for the nearest of `known`, or the empty string."""
    wanted = word.lower().replace("-", "_")
    names = {name.lower().replace("-", "_"): name for name in known}
    import difflib  # not above: for errors only

    found = difflib.get_close_matches(wanted, names, n=1, cutoff=cutoff)
    return f"; did you mean {names[found[0]]!r}?" if found else ""


def refuse(row: Option, value: object, origin: str, wanted: str = "") -> ConfigError:
    """The one-line error for a `value` from `origin` that `row` cannot take."""
    wanted = wanted or expected(row)
    if row.secret or row.hides:
        return ConfigError(f"{row.name}: expected {wanted} ({origin})")
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    near = nearest(value, row.choices) if isinstance(value, str) else ""
    return ConfigError(f"{row.name}: expected {wanted}, got {shown} ({origin}){near}")


def expected(row: Option) -> str:
    """What values the option takes, in words."""
    if row.choices:
        words = ("a list of " if row.is_list else "one of ") + ", ".join(row.choices)
    else:
        words = _EXPECTED[row.kind] + _range(row)
        words += "".join(f', or "{word}"' for word in row.words)
    return words + (', or "none"' if row.optional and not row.secret else "")


_EXPECTED = {
    Kind.TEXT: "a string",
    Kind.PATH: "a path",
    Kind.BOOL: "true or false",
    Kind.COUNT: "a whole number",
    Kind.SIZE: 'a size in bytes such as 65536 or "64KiB"',
    Kind.SECONDS: 'seconds such as 30 or "1m30s"',
    Kind.RATE: "a number",
    Kind.LIST: "a list of strings",
    Kind.BINDS: "addresses such as host:port, [ipv6]:port, unix:path, fd://number or systemd:name",
    Kind.UMASK: 'a umask such as "0o077"',
    Kind.MODE: 'a file mode such as "0o660"',
    Kind.OWNER: "a name or a number",
    Kind.VERIFY_FLAGS: "names of ssl.VerifyFlags separated by commas",
    Kind.TABLE: "a table (as text: a JSON object)",
    Kind.TABLES: "an array of tables (as text: a JSON array of objects)",
    Kind.CLASS: "a class or its dotted name",
}


def _range(row: Option) -> str:
    if row.low is None or row.high is None:
        return ""
    if row.high == _HIGHS[row.kind]:  # the general bound would only make the line longer
        return f", at least {_plain(row.low)}" if row.low else ""
    return f", {_plain(row.low)} to {_plain(row.high)}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_DURATION_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(b|kib|mib|gib|kb|mb|gb)?", re.IGNORECASE)
_SIZE_UNITS = {
    "": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "kb": 10**3, "mb": 10**6, "gb": 10**9
}  # fmt: skip


def parse_duration(text: str) -> float:
    """Seconds from ``"30"``, ``"1.5"``, ``"500ms"`` or ``"1h30m"``; raises ValueError."""
    text = text.strip().lower()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _DURATION_PART.findall(text)
    units = [unit for _, unit in parts]
    rest = _DURATION_PART.sub("", text).strip()
    # Units go down in size, each once, so that "1m1h" and "5s5s" are seen as slips.
    if not parts or rest or units != [unit for unit in _DURATION_UNITS if unit in units]:
        raise ValueError("not a duration")
    return round(sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts), 9)


def parse_size(text: str) -> int:
    """Bytes from ``"65536"``, ``"64KiB"``, ``"1.5MiB"`` or ``"10MB"``; raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("not a size")
    size = float(match[1]) * _SIZE_UNITS[(match[2] or "").lower()]
    if size != int(size):
        raise ValueError("not a whole number of bytes")
    return int(size)


def coerce(row: Option, value: object, *, text: bool = False, origin: str = "argument") -> Any:
    """The stored form of `value` for option `row`.

    ``text`` marks values of flags and environment variables, where everything is a string;
    elsewhere a number or a boolean in quotes is refused. Raises `ConfigError`.
    """
    if value is None and row.optional:
        return None
    if isinstance(value, str) and not row.secret and value.strip().lower() == "none":
        if row.optional:
            return None
        if row.is_list:
            return ()
    if isinstance(value, str) and value.strip().lower() in row.words:
        return value.strip().lower()
    try:
        result = _CONVERTERS[row.kind](row, value, text)
    except ConfigError as exc:
        raise ConfigError(f"{row.name}: {exc} ({origin})") from None
    except (ValueError, TypeError, OverflowError):
        raise refuse(row, value, origin) from None
    if row.low is not None and result < row.low:
        raise refuse(row, value, origin)
    if row.high is not None and result > row.high:
        raise refuse(row, value, origin, "" if row.low is None else f"at most {_plain(row.high)}")
    return result


def _choice(row: Option, value: str) -> str:
    if not row.choices:
        return value
    choices = {choice.casefold(): choice for choice in row.choices} | dict(row.spellings)
    return choices[value.strip().casefold()]


def _to_text(row: Option, value: object, text: bool) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError("not a string")
    try:
        return _choice(row, value)
    except KeyError:
        raise ValueError("not a choice") from None


def _to_path(row: Option, value: object, text: bool) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str) or not path or "\0" in path:
        raise TypeError("not a path")
    return path


_BOOLS = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


def _to_bool(row: Option, value: object, text: bool) -> bool:
    if text and isinstance(value, str) and value.strip().lower() in _BOOLS:
        return _BOOLS[value.strip().lower()]
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _to_count(row: Option, value: object, text: bool) -> int:
    if text and isinstance(value, str):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a whole number")
    return value


def _to_size(row: Option, value: object, text: bool) -> int:
    return parse_size(value) if isinstance(value, str) else _to_count(row, value, text)


def _to_number(row: Option, value: object, text: bool) -> float:
    if text and isinstance(value, str):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("not a number")
    return float(value)


def _to_seconds(row: Option, value: object, text: bool) -> float:
    return parse_duration(value) if isinstance(value, str) else _to_number(row, value, text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _to_list(row: Option, value: object, text: bool) -> tuple[str, ...]:
    if isinstance(value, str):
        value = _parts(value) if text else [value]
    elif text and row.commas and isinstance(value, list):
        value = [part for item in value for part in (_parts(item) or [item])]
    if not isinstance(value, list | tuple):
        raise TypeError("not a list")
    items = tuple(_to_text(row, item, text) for item in value)
    # These become field values on the wire (RFC 9110 section 5.5) or names compared with them.
    if any(not item.strip() or "\r" in item or "\n" in item for item in items):
        raise ValueError("an empty item or a line break")
    return items


def _to_binds(row: Option, value: object, text: bool) -> tuple[str, ...]:
    items = tuple(item.strip() for item in _to_list(row, value, text))
    for item in items:
        parse_bind(item)
    return items


def _to_umask(row: Option, value: object, text: bool) -> int:
    # Hypercorn's flag is decimal; a leading zero has meant octal to every shell since 1971.
    if isinstance(value, str):
        value = int(value, 8 if value.strip().startswith("0") else 10)
    result = _to_count(row, value, text)
    if result < 0:
        raise ValueError("negative")
    return result


def _to_mode(row: Option, value: object, text: bool) -> int:
    if isinstance(value, str):
        value = int(value, 8)  # as chmod reads it, with or without a leading 0 or 0o
    return _to_umask(row, value, text)


def _to_owner(row: Option, value: object, text: bool) -> str | int:
    if isinstance(value, str):
        name = value.strip()
        if not name or any(char.isspace() for char in name):
            raise ValueError("not a name")
        if not name.isdecimal():
            return name
        value = int(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32 - 1:
        raise TypeError("not an id")
    return value


def _to_verify_mode(row: Option, value: object, text: bool) -> str:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        import ssl  # not above: the supervisor has no use for it, and stays small

        value = ssl.VerifyMode(value).name
    return _to_text(row, value, text)


def _to_verify_flags(row: Option, value: object, text: bool) -> str:
    import ssl

    if isinstance(value, int) and not isinstance(value, bool):
        flags = ssl.VerifyFlags(value)
        if not flags:
            return ssl.VerifyFlags.VERIFY_DEFAULT.name or "VERIFY_DEFAULT"
        value = ",".join(flag.name or "" for flag in ssl.VerifyFlags if flag and flag in flags)
    if not isinstance(value, str):
        raise TypeError("not names")
    names = [name.strip().upper() for name in re.split(r"[,|]", value)]
    if any(name not in ssl.VerifyFlags.__members__ for name in names):
        raise ValueError("not a name")
    return ",".join(names)


def _to_table(row: Option, value: object, text: bool) -> dict[str, Any]:
    if text and isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, dict):
        raise TypeError("not a table")
    return value


def _to_tables(row: Option, value: object, text: bool) -> tuple[dict[str, Any], ...]:
    if text and isinstance(value, str):
        value = json.loads(value)
    if not isinstance(value, list | tuple):
        raise TypeError("not an array")
    return tuple(_to_table(row, item, False) for item in value)


def _to_class(row: Option, value: object, text: bool) -> str:
    # Kept by name only: nothing is made of it, and the configuration stays plain data.
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    return _to_path(row, value, text)


_CONVERTERS: dict[Kind, Callable[[Option, object, bool], Any]] = {
    Kind.TEXT: _to_text,
    Kind.PATH: _to_path,
    Kind.BOOL: _to_bool,
    Kind.COUNT: _to_count,
    Kind.SIZE: _to_size,
    Kind.SECONDS: _to_seconds,
    Kind.RATE: _to_number,
    Kind.LIST: _to_list,
    Kind.BINDS: _to_binds,
    Kind.UMASK: _to_umask,
    Kind.MODE: _to_mode,
    Kind.OWNER: _to_owner,
    Kind.VERIFY_MODE: _to_verify_mode,
    Kind.VERIFY_FLAGS: _to_verify_flags,
    Kind.TABLE: _to_table,
    Kind.TABLES: _to_tables,
    Kind.CLASS: _to_class,
}
