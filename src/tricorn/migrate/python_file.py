"""Configuration files of other servers: TOML, Python files and modules."""

from __future__ import annotations

import contextlib
import os
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tricorn import toml_file
from tricorn.exceptions import ConfigError


def read_toml(path: str) -> Mapping[str, Any]:
    """The top level of a TOML file. Raises `ConfigError`."""
    try:
        return toml_file.read(path)
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from None
    except ValueError as exc:
        raise ConfigError(f"{path} is not valid TOML: {exc}") from None


@contextlib.contextmanager
def at_home(environ: Mapping[str, str]) -> Iterator[None]:
    """As long as it lasts, modules are found in the working directory, and the variables of
    `environ` are set: what a file meets that its server runs."""
    path, before = list(sys.path), dict(os.environ)
    sys.path.insert(0, os.getcwd())
    os.environ.update(environ)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in environ:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)


def run_file(path: str) -> types.ModuleType:
    """The module that a Python file makes, run in a namespace of its own; what it prints goes
    to standard error. Raises `ConfigError`."""
    module = types.ModuleType("__config__")
    module.__file__ = path
    try:
        source = Path(path).read_bytes()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from None
    sys.modules[module.__name__] = module  # dataclasses, for one, look their module up
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"{path} failed: {_in_one_line(exc)}") from exc
    finally:
        sys.modules.pop(module.__name__, None)
    return module


def find_object(name: str) -> object:
    """The object behind ``module`` or ``module.attribute``. Raises `ConfigError`."""
    import importlib

    try:
        with contextlib.redirect_stdout(sys.stderr):
            try:
                return importlib.import_module(name)
            except ImportError:
                if "." not in name:
                    raise
                module, _, attribute = name.rpartition(".")
                found: object = getattr(importlib.import_module(module), attribute)
                return found
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"cannot load python:{name}: {_in_one_line(exc)}") from exc


def _in_one_line(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())
