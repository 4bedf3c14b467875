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
        name = config.logconfig
        table = config.logconfig_dict if name is None else _read_logconfig(name)
        if table is not None:
            # Without these words dictConfig silences loggers that exist already: ours.
            table = {"version": 1, "disable_existing_loggers": False, **table}
            logging.config.dictConfig(table)
    except Exception as exc:  # dictConfig raises whatever the classes it names raise
        raise ConfigError(f"logconfig: {exc}") from exc


def _read_logconfig(name: str) -> dict[str, Any] | None:
    """The table in a file; None for an ini file, which is applied here.

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
        logging.config.fileConfig(parser, disable_existing_loggers=False)
        return None
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
