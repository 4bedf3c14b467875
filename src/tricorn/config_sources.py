"""Where option values come from, and which of them wins: flag, environment, file, default.

Each reader gives a `Layer`: option name to `Setting`, already in its stored form, with the
words that tell an operator where it stands. `merge` puts layers over each other, the later
one on top, and makes the `Config`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterable, Mapping

from tricorn.config import (
    ADDRESS_FLAGS,
    OPTIONS,
    CombinationError,
    Config,
    flagged,
    option_named,
)
from tricorn.config_values import Option, coerce, nearest
from tricorn.exceptions import ConfigError
from tricorn.records import Record, replace

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any

PREFIX = "TRICORN_"
CONFIG_VARIABLE = "TRICORN_CONFIG"  # names the file, as -c does
DEFAULT_FILE = "tricorn.toml"
PYPROJECT = "pyproject.toml"

# Kubernetes gives every container such variables for a service named "tricorn"; its TRICORN_PORT is
# the URL of one.
_SERVICE_LINK = re.compile(
    r"TRICORN_(SERVICE_(HOST|PORT(_\w+)?)=.*|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=.*|PORT=\w+://.*)"
)
_ADDRESSES = {PREFIX + name.upper(): form for name, form in ADDRESS_FLAGS.items()}
_MISSING = object()


class Setting(Record):
    """One value in its stored form, and the place it came from in words."""

    value: Any
    origin: str


Layer = dict[str, Setting]


class LoadedConfig(Record):
    """A configuration with the origin of each value that is not a default.

    ``notes`` are lines an operator should see, about what was read rather than its values.
    ``ran_code``: reading it took a Python file or module.
    """

    config: Config
    origins: dict[str, str]
    notes: list[str]
    ran_code: bool = False

    def origin(self, name: str) -> str:
        """Where the value of option `name` came from."""
        return self.origins.get(name, "default")


def merge(*layers: Layer, notes: list[str] | None = None) -> LoadedConfig:
    """Put `layers` over each other, the last one on top. Raises `ConfigError`."""
    settings: Layer = {}
    for layer in layers:
        settings.update(layer)
    origins = {name: setting.origin for name, setting in settings.items()}
    try:
        config = Config(**{name: setting.value for name, setting in settings.items()})
    except CombinationError as exc:
        places = [f"{name}: {origins[name]}" for name in exc.options if name in origins]
        where = f" ({'; '.join(places)})" if places else ""
        raise CombinationError(f"{exc}{where}", *exc.options) from None
    return LoadedConfig(config, origins, notes or [])


def _read(items: Mapping[str, Any], where: str) -> Layer:
    layer: Layer = {}
    for key, value in items.items():
        row = option_named(key, where)
        if row.name in layer:
            raise ConfigError(f"{row.name} is given twice, once as {key!r} ({where})")
        layer[row.name] = Setting(coerce(row, value, origin=where), where)
    return layer


def read_mapping(mapping: Mapping[str, Any], where: str) -> Layer:
    """The options of a mapping; `where` names it in errors. Raises `ConfigError`."""
    return _read(mapping, where)


def read_toml(path: str | os.PathLike[str]) -> Layer:
    """The options of a TOML file: of its top level, its ``[tricorn]`` table, or, in a
    ``pyproject.toml``, its ``[tool.tricorn]``. Raises `ConfigError`."""
    where = os.fspath(path)
    document = _parse_toml(where)
    if os.path.basename(where) == PYPROJECT:
        table = _pyproject_table(document, where)
        return _read(table, f"{where} [tool.tricorn]") if table is not None else {}
    table = document.get("tricorn")
    if isinstance(table, dict):
        others = [key for key in document if key != "tricorn"]
        if others:
            raise ConfigError(f"{others[0]!r} stands outside the table [tricorn] ({where})")
        return _read(table, f"{where} [tricorn]")
    return _read(document, where)


def _parse_toml(path: str) -> dict[str, Any]:
    from tricorn import toml_file  # not above: nobody else in the process needs it

    try:
        return toml_file.read(path)
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from None
    except ValueError as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}") from None


def _pyproject_table(document: dict[str, Any], where: str) -> dict[str, Any] | None:
    tool = document.get("tool")
    table = tool.get("tricorn") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"tool.tricorn is not a table ({where})")
    return table


def read_pyfile(path: str | os.PathLike[str]) -> Layer:
    """The options among the names that a Python file defines. Raises `ConfigError`."""
    where = os.fspath(path)
    if not os.path.isfile(where):
        raise ConfigError(f"cannot read {where}: no such file")
    module = types.ModuleType("tricorn_config")
    module.__file__ = where
    try:
        with open(where, "rb") as file:
            source = file.read()
        exec(compile(source, where, "exec", dont_inherit=True), module.__dict__)
    except OSError as exc:
        raise ConfigError(f"cannot read {where}: {exc.strerror}") from exc
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"{where} failed: {_in_one_line(exc)}") from exc
    return _read_attributes(module, where)


def read_object(instance: object, *, again: bool = False) -> Layer:
    """The options among the attributes of `instance`, or of the object it names as
    ``module``, ``module.attribute`` or ``module:attribute``. With `again` the module is imported
    anew, though not what it imports. Raises `ConfigError`."""
    if isinstance(instance, str):
        return _read_attributes(_import_object(instance, again=again), f"python:{instance}")
    return _read_attributes(instance, f"object {type(instance).__name__}")


def put_first(directory: str) -> bool:
    """Look for modules in `directory` before all else; whether that is new.

    It may be in ``sys.path`` already, behind others: an editable installation adds it at the end.
    """
    if sys.path[:1] == [directory]:
        return False
    sys.path[:] = [directory, *(path for path in sys.path if path != directory)]
    return True


def _import_object(name: str, *, again: bool) -> object:
    put_first(os.getcwd())  # a console script begins without it
    module_name, colon, attributes = name.partition(":")
    try:
        if not colon and not _find_module(module_name):
            module_name, _, attributes = name.rpartition(".")
        if again:
            sys.modules.pop(module_name, None)
            importlib.invalidate_caches()
        found: object = importlib.import_module(module_name)
        for attribute in filter(None, attributes.split(".")):
            found = getattr(found, attribute)
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"cannot load python:{name}: {_in_one_line(exc)}") from exc
    return found


def _find_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _in_one_line(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def _read_attributes(instance: object, where: str) -> Layer:
    layer: Layer = {}
    for row in OPTIONS.values():
        for key in (row.name, *row.aliases):
            # Hypercorn's cert_reqs can be written and not read, which is an AttributeError.
            value = getattr(instance, key, _MISSING)
            if value is not _MISSING and not isinstance(value, types.ModuleType):
                layer[row.name] = Setting(coerce(row, value, origin=where), where)
    known = [name for row in OPTIONS.values() for name in (row.name, *row.aliases)]
    for name, value in _own_names(instance).items():
        if name.startswith("_") or name in known or _is_code(value):
            continue
        # Other names are the file's own affair, unless they look like a slip.
        if near := nearest(name, known, cutoff=0.8):
            raise ConfigError(f"unknown option {name!r} ({where}){near}")
    return layer


def _own_names(instance: object) -> dict[str, Any]:
    kinds = instance.__mro__ if isinstance(instance, type) else type(instance).__mro__
    names: dict[str, Any] = {}
    if not isinstance(instance, types.ModuleType):
        for kind in reversed(kinds[:-1]):
            names.update(vars(kind))
    return names | getattr(instance, "__dict__", {})


def _is_code(value: object) -> bool:
    kinds = (types.ModuleType, property, classmethod, staticmethod, types.MemberDescriptorType)
    return callable(value) or isinstance(value, kinds)


def read_environment(environ: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """The options among ``TRICORN_*`` variables, and notes about the others.

    An empty variable counts as not set. A name close to an option's is an error, any other
    unknown one a note: the prefix is not ours alone. Raises `ConfigError`.
    """
    layer: Layer = {}
    notes: list[str] = []
    variables = {row.variable: row for row in OPTIONS.values()}
    for row in OPTIONS.values():
        variables.update((PREFIX + alias.upper(), row) for alias in row.aliases)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        origin = f"environment variable {variable}"
        if variable in variables:
            if environ[variable]:
                row = variables[variable]
                value = coerce(row, environ[variable], text=True, origin=origin)
                layer[row.name] = Setting(value, origin)
        elif not _SERVICE_LINK.fullmatch(f"{variable}={environ[variable]}"):
            notes.append(_unknown_variable(variable, variables))
    return layer, notes


def _unknown_variable(variable: str, known: Iterable[str]) -> str:
    """The note about a variable that names no option; raises `ConfigError` if it nearly does."""
    name = variable.removeprefix(PREFIX)
    if row := flagged(name):
        near = f"; did you mean {row.variable!r}?"
    elif variable in _ADDRESSES:
        near = ""
    else:
        near = nearest(name, [other.removeprefix(PREFIX) for other in known], cutoff=0.75)
        near = near.replace("'", f"'{PREFIX}", 1)
    if near:
        raise ConfigError(f"unknown environment variable {variable}{near}")
    form = _ADDRESSES.get(variable)
    instead = f"; {PREFIX}BIND={form} says it" if form else ""
    return f"environment variable {variable} names no option and is ignored{instead}"


def read_flags(values: Mapping[str, tuple[str, Any]]) -> Layer:
    """The options given as flags: option name to (flag as typed, text, list of text or bool).

    Raises `ConfigError`.
    """
    layer: Layer = {}
    for name, (spelling, value) in values.items():
        row = OPTIONS[name]
        origin = f"flag {spelling}" if spelling.startswith("-") else "argument APP"
        layer[name] = Setting(_from_flag(row, value, origin), origin)
    return layer


def _from_flag(row: Option, value: object, origin: str) -> object:
    if row.is_list and value == ["none"]:
        return ()
    return coerce(row, value, text=True, origin=origin)


def _is_python(name: str) -> bool:
    return name.startswith(("python:", "file:")) or name.endswith(".py")


def read_named(name: str, *, again: bool = False) -> Layer:
    """The options of the file that ``-c`` names: TOML, ``file:x.py`` or ``python:module``."""
    if name.startswith("python:"):
        return read_object(name.removeprefix("python:"), again=again)
    if name.startswith("file:"):
        return read_pyfile(name.removeprefix("file:"))
    if name.endswith(".py"):
        return read_pyfile(name)
    if os.path.basename(name) == PYPROJECT and _pyproject_table(_parse_toml(name), name) is None:
        raise ConfigError(f"{name} has no table [tool.tricorn]")
    return read_toml(name)


def read_default_file(directory: str) -> Layer:
    """The options of ``tricorn.toml`` in `directory`, else of its ``pyproject.toml``, else none.

    A pyproject.toml that cannot be parsed is an error only if it mentions us. Raises
    `ConfigError`.
    """
    own = os.path.normpath(os.path.join(directory, DEFAULT_FILE))
    if os.path.exists(own):
        return read_toml(own)
    shared = os.path.normpath(os.path.join(directory, PYPROJECT))
    try:
        with open(shared, "rb") as file:
            mentioned = b"tool.tricorn" in file.read()
    except OSError:
        return {}
    return read_toml(shared) if mentioned else {}


def load(
    flags: Mapping[str, tuple[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
    directory: str = os.curdir,
    *,
    again: bool = False,
) -> LoadedConfig:
    """The configuration from all sources: `flags` over `environ` over the file.

    The file is `config` (as ``-c`` takes it), else the one that ``TRICORN_CONFIG`` names,
    else a default file in `directory`. With `again`, a module that was imported for it is imported
    anew. Raises `ConfigError`.
    """
    environ = {} if environ is None else environ
    from_environment, notes = read_environment(environ)
    name = config or environ.get(CONFIG_VARIABLE)
    from_file = read_named(name, again=again) if name else read_default_file(directory)
    loaded = merge(from_file, from_environment, read_flags(flags or {}), notes=notes)
    return replace(loaded, ran_code=name is not None and _is_python(name))
