"""The public names: there, documented, annotated, typed."""

from __future__ import annotations

import importlib.resources
import inspect
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import tricorn
import tricorn.exceptions
import tricorn.server
import tricorn.types

EXCEPTIONS = [
    cls
    for _, cls in inspect.getmembers(tricorn.exceptions, inspect.isclass)
    if cls.__module__ == "tricorn.exceptions"
]
FUNCTIONS = [tricorn.serve, tricorn.run, tricorn.serve_in_thread]


def test_public_names() -> None:
    assert sorted(tricorn.__all__) == [
        "Config",
        "ServerThread",
        "__version__",
        "push",
        "run",
        "serve",
        "serve_in_thread",
    ]
    for name in tricorn.__all__:
        assert hasattr(tricorn, name)
    assert tricorn.__version__.count(".") == 2


@pytest.mark.parametrize(
    "thing", [tricorn.Config, tricorn.ServerThread, tricorn.push, *FUNCTIONS, *EXCEPTIONS]
)
def test_documented(thing: object) -> None:
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_annotated(function: object) -> None:
    assert callable(function)
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function)
    assert set(hints) == {*signature.parameters, "return"}
    assert list(signature.parameters)[:2] == ["app", "config"]
    for parameter in list(signature.parameters.values())[2:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", ["serve", "run", "serve_in_thread"])
def test_what_is_raised_is_documented(name: str) -> None:
    assert ":raises " in (inspect.getdoc(getattr(tricorn, name)) or "")


def test_exceptions_have_one_root_and_their_exit_codes() -> None:
    codes = {
        cls.__name__: cls.exit_code
        for cls in EXCEPTIONS
        if issubclass(cls, tricorn.exceptions.TricornError)
    }
    rest = {cls.__name__ for cls in EXCEPTIONS} - set(codes)
    # ASGI HTTP 2.4: what send() raises is an OSError.
    assert rest == {"ClientDisconnected"}
    assert issubclass(tricorn.exceptions.ClientDisconnected, OSError)
    expected = {"ConfigError": 2, "LifespanError": 3, "AppImportError": 4, "BindError": 5}
    assert expected.items() <= codes.items()


def test_typed() -> None:
    assert importlib.resources.files("tricorn").joinpath("py.typed").is_file()


def test_import_is_light() -> None:
    """Importing the package starts nothing and loads no event loop that is not asked for."""
    code = (
        "import sys, tricorn;"
        "print([name for name in ('trio', 'uvloop', 'cryptography', 'tricorn.demo')"
        " if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (found.stdout, found.stderr) == ("[]\n", "")


def test_modules_name_the_files_they_are_in() -> None:
    """Compiled ones too: debuggers, reloaders and tracebacks go by it."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "tricorn"]
    assert tricorn.server in ours
    for module in ours:
        spec = module.__spec__
        assert spec is not None
        assert module.__file__ == spec.origin
        assert Path(str(spec.origin)).is_file()
        assert module.__loader__ == spec.loader
