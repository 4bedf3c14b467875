"""The standard library's logging configuration from a file or a table (option ``logconfig``)."""

from __future__ import annotations

import configparser
import importlib
import json
import logging.config
import os
from collections.abc import Mapping
from typing import Any, Final

from tricorn import toml_file
from tricorn.config import Config
from tricorn.exceptions import ConfigError

# It takes five arguments out of a record, which Uvicorn alone puts there.
_UVICORNS: Final = "uvicorn.logging.AccessFormatter"


def apply(config: Config) -> None:
    """Set up the loggers as ``logconfig`` or ``logconfig_dict`` says.

    :raises ConfigError: if that is not possible.
    """
    try:
        found = config.logconfig_dict if config.logconfig is None else _read(config.logconfig)
        if found is not None:
            _check_formatters(found)
        if isinstance(found, configparser.ConfigParser):
            logging.config.fileConfig(found, disable_existing_loggers=False)
        elif found is not None:
            # Without these words dictConfig silences loggers that exist already: ours.
            table = {"version": 1, "disable_existing_loggers": False, **found}
            logging.config.dictConfig(table)
    except Exception as exc:  # dictConfig raises whatever the classes it names raise
        raise ConfigError(f"{_option(config)}: {_reasons(exc)}") from exc


def check(config: Config) -> None:
    """Read what ``logconfig`` or ``logconfig_dict`` says; nothing is set up.

    :raises ConfigError: if it is not in its form, or names what is not in it.
    """
    try:
        found = config.logconfig_dict if config.logconfig is None else _read(config.logconfig)
        if isinstance(found, configparser.ConfigParser):
            for section in ("loggers", "handlers", "formatters"):  # fileConfig begins there
                found.get(section, "keys")
        elif found is not None:
            _check_table(found)
        if found is not None:
            _check_formatters(found)
    except Exception as exc:  # each form has its own
        raise ConfigError(f"{_option(config)}: {_reasons(exc)}") from exc


def _option(config: Config) -> str:
    """The one that holds."""
    return "logconfig_dict" if config.logconfig is None else "logconfig"


def _reasons(exc: BaseException) -> str:
    """An error with what it comes from, in one line: dictConfig says that a handler cannot be, and
    raises this from what its class has raised."""
    words: list[str] = []
    reason: BaseException | None = exc
    while reason is not None:
        text = " ".join(str(reason).split())
        if words and isinstance(reason, KeyError):
            text = f"there is no {text}"
        if text and not any(text in earlier for earlier in words):
            words.append(text)
        reason = reason.__cause__
    return ": ".join(words) or type(exc).__name__


def _check_table(table: Mapping[str, Any]) -> None:
    """See what needs nothing to be made: the version, and that what is named is there."""
    version = table.get("version", 1)
    if version != 1:
        raise ValueError(f"Unsupported version: {version}")
    if table.get("incremental"):
        return  # what it names may be there already
    handlers, formatters = (table.get(key) or {} for key in ("handlers", "formatters"))
    for name, handler in handlers.items():
        _check_name(f"handler {name!r}", "formatter", handler.get("formatter"), formatters)
    loggers = {**(table.get("loggers") or {}), "root": table.get("root") or {}}
    for name, logger in loggers.items():
        given = logger.get("handlers") or ()
        for handler in () if isinstance(given, str) else given:
            _check_name(f"logger {name!r}", "handler", handler, handlers)


def _check_name(place: str, kind: str, name: object, known: Mapping[str, Any]) -> None:
    # "cfg://" leads elsewhere in the table, which is for dictConfig to follow.
    if isinstance(name, str) and "://" not in name and name not in known:
        raise ValueError(f"{place}: there is no {kind} {name!r}")


def _check_formatters(found: Mapping[str, Any] | configparser.ConfigParser) -> None:
    """See that our records go to no formatter that fails for each; raises ValueError."""
    table: Mapping[str, Any] = found
    if isinstance(found, configparser.ConfigParser):
        table = _sections(found)
    loggers, handlers, formatters = (
        table.get(key) or {} for key in ("loggers", "handlers", "formatters")
    )
    for ours in "tricorn.access", "tricorn.error":
        for name in ours, "tricorn", "", "root":
            logger = loggers.get(name) or (table.get("root") if name == "root" else None) or {}
            for handler in logger.get("handlers") or ():
                formatter = (handlers.get(handler) or {}).get("formatter")
                given = formatters.get(formatter) or {}
                if _UVICORNS in (given.get("()"), given.get("class")):
                    raise ValueError(
                        f"formatter {formatter!r}, of {name or 'root'}, is {_UVICORNS}, which "
                        'reads records of Uvicorn\'s only; give one with "%(message)s"'
                    )
            if str(logger.get("propagate", True)) in ("False", "0"):
                break


def _sections(found: configparser.ConfigParser) -> dict[str, Any]:
    """The sections of an ini file in the form of a table, as far as names lead on in it."""
    table: dict[str, Any] = {"loggers": {}, "handlers": {}, "formatters": {}}
    for title in found.sections():
        kind, _, name = title.partition("_")
        section: dict[str, Any] = dict(found.items(title, raw=True))
        if kind == "logger":
            names = section.get("handlers", "").split(",")
            section["handlers"] = [word.strip() for word in names]
            name = section.get("qualname", name)
        if f"{kind}s" in table and name:
            table[f"{kind}s"][name] = section
    return table


def _read(name: str) -> dict[str, Any] | configparser.ConfigParser:
    """What a file holds, a table or the sections of an ini file.

    ``json:PATH`` and ``toml:PATH`` as in Hypercorn; else the suffix tells, else ini.
    """
    prefix, colon, path = name.partition(":")
    if not colon or prefix not in ("json", "toml"):
        prefix, path = os.path.splitext(name)[1].lstrip(".").lower(), name
    if prefix not in ("json", "toml", "yaml", "yml"):
        with open(path, encoding="utf-8-sig") as file:
            parser = configparser.ConfigParser(
                {"__file__": path, "here": os.path.dirname(os.path.abspath(path))}
            )
            parser.read_file(file)
        return parser
    if prefix == "toml":
        table: object = toml_file.read(path)
    else:
        with open(path, "rb") as file:
            load = json.load if prefix == "json" else importlib.import_module("yaml").safe_load
            table = load(file)
    if not isinstance(table, dict):
        raise TypeError(f"{path} does not hold a table")
    return table
