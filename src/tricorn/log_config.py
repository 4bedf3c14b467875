"""The standard library's logging configuration from a file or a table (option ``logconfig``)."""

from __future__ import annotations

import configparser
import importlib
import json
import logging.config
import os
import tomllib
from typing import Any

from tricorn.config import Config
from tricorn.exceptions import ConfigError


def apply(config: Config) -> None:
    """Set up the loggers as ``logconfig`` or ``logconfig_dict`` says.

    :raises ConfigError: if that is not possible.
    """
    try:
        found = config.logconfig_dict if config.logconfig is None else _read(config.logconfig)
        if isinstance(found, configparser.ConfigParser):
            logging.config.fileConfig(found, disable_existing_loggers=False)
        elif found is not None:
            # Without these words dictConfig silences loggers that exist already: ours.
            table = {"version": 1, "disable_existing_loggers": False, **found}
            logging.config.dictConfig(table)
    except Exception as exc:  # dictConfig raises whatever the classes it names raise
        raise ConfigError(f"logconfig: {exc}") from exc


def check(name: str) -> None:
    """Read the file that ``logconfig`` names; nothing is set up.

    :raises ConfigError: if it is not in its form.
    """
    try:
        found = _read(name)
        if isinstance(found, configparser.ConfigParser):
            for section in ("loggers", "handlers", "formatters"):  # fileConfig begins there
                found.get(section, "keys")
    except Exception as exc:  # each form has its own
        raise ConfigError(f"logconfig: {' '.join(str(exc).split())}") from exc


def _read(name: str) -> dict[str, Any] | configparser.ConfigParser:
    """What a file holds, a table or the sections of an ini file.

    ``json:PATH`` and ``toml:PATH`` as in Hypercorn; else the suffix tells, else ini.
    """
    prefix, colon, path = name.partition(":")
    if not colon or prefix not in ("json", "toml"):
        prefix, path = os.path.splitext(name)[1].lstrip(".").lower(), name
    if prefix not in ("json", "toml", "yaml", "yml"):
        with open(path, encoding="utf-8") as file:
            parser = configparser.ConfigParser(
                {"__file__": path, "here": os.path.dirname(os.path.abspath(path))}
            )
            parser.read_file(file)
        return parser
    with open(path, "rb") as file:
        if prefix == "json":
            table = json.load(file)
        elif prefix == "toml":
            table = tomllib.load(file)
        else:
            table = importlib.import_module("yaml").safe_load(file)
    if not isinstance(table, dict):
        raise TypeError(f"{path} does not hold a table")
    return table
