"""From a target string to the application object.

A target is ``module:attribute``, ``path/file.py:attribute``, ``path/file:attribute`` or one of
them with a call,
``module:create_app("prod", debug=True)``, whose arguments are literals: they are parsed,
never evaluated. Without ``:attribute`` the name is ``app``. In front may stand ``asgi:`` or
``wsgi:``, which says what the application is written for. Every failure is an
`AppImportError` of one line; its ``__cause__`` is set only where the application's own
code raised.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any, cast

from tricorn.config_sources import put_first
from tricorn.config_values import nearest
from tricorn.exceptions import AppImportError, ConfigError
from tricorn.importing import importing
from tricorn.records import Record
from tricorn.types import Application

DEFAULT_ATTRIBUTE = "app"

_PREFIX = re.compile(r"(asgi|wsgi):(?=[^:(]+:)")  # Hypercorn's; "asgi:app" is a module
_OF_APPLICATIONS = {("scope", "receive", "send"), ("environ", "start_response")}
_FILE = re.compile(r"(?P<place>.+?\.py)(?::(?P<attribute>.*))?", re.DOTALL)


class Target(Record):
    """A parsed target: ``place`` is a dotted module name or the path of a Python file."""

    place: str
    attributes: tuple[str, ...]
    is_file: bool = False
    is_call: bool = False
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 (nobody changes it)

    @property
    def attribute(self) -> str:
        """The dotted attribute."""
        return ".".join(self.attributes)


def load_app(target: str, *, factory: bool = False, app_dir: str | None = None) -> Application:
    """Import and return the application that `target` names, of whatever interface.

    `factory` calls what was found, without arguments. `app_dir` (else the working directory)
    goes to the front of ``sys.path``. Raises `AppImportError`, or `ConfigError` for `app_dir`.
    """
    parsed = parse_target(target)
    _add_to_path(_checked_directory(app_dir))
    with importing(target):
        return _load(parsed, factory=factory)


def _load(parsed: Target, *, factory: bool) -> Application:
    module = _import_file(parsed.place) if parsed.is_file else _import_module(parsed.place)
    found = _find_attribute(module, parsed)
    if not callable(found):
        raise AppImportError(
            f"{parsed.attribute!r} in {parsed.place!r} is not callable: {_describe(found)}"
        )
    if parsed.is_call or factory:
        return _call_factory(found, parsed)
    _refuse_factory(found, parsed)
    return cast("Application", found)


def interface_of(target: str, interface: str) -> str:
    """`interface` (auto, asgi3, asgi2 or wsgi), which a prefix of `target` may decide.

    ``asgi:`` stands for ASGI 3, as in Hypercorn, or for ASGI 2 where `interface` says so.
    Raises `ConfigError` if the two contradict each other.
    """
    match = _PREFIX.match(target.strip())
    if match is None:
        return interface
    named = "wsgi" if match[1] == "wsgi" else "asgi3"
    if interface == "auto":
        return named
    if (named == "wsgi") != (interface == "wsgi"):
        raise ConfigError(f"interface: {interface} contradicts the application, {target!r}")
    return interface


def parse_target(target: str) -> Target:
    """Take a target apart. Raises `AppImportError`."""
    text = target.strip()
    if prefix := _PREFIX.match(text):
        text = text[prefix.end() :]
    if match := _FILE.fullmatch(text):
        place, attribute, is_file = match["place"], match["attribute"], True
    else:
        place, _, attribute = text.partition(":")
        is_file = "/" in place and not place.endswith("/")
        if not is_file and not all(part.isidentifier() for part in place.split(".")):
            raise _bad_target(target)
        if is_file:  # Hypercorn's way
            place += "/__init__.py" if os.path.isdir(place) else ".py"
    if attribute is None or (not attribute and not text.endswith(":")):
        return Target(place, (DEFAULT_ATTRIBUTE,), is_file)
    return _parse_attribute(target, place, attribute, is_file)


def _bad_target(target: str) -> AppImportError:
    return AppImportError(
        f"{target!r} does not name an application; "
        "give module:attribute, path/file.py:attribute or module:factory(...)"
    )


def _parse_attribute(target: str, place: str, attribute: str, is_file: bool) -> Target:
    try:
        node = ast.parse(attribute.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _bad_target(target) from None
    if not isinstance(node, ast.Call):
        return Target(place, _chain(node, target), is_file)
    try:
        args = tuple(ast.literal_eval(arg) for arg in node.args)
        kwargs = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
    except ValueError:
        args, kwargs = (), {}
    if len(args) != len(node.args) or len(kwargs) != len(node.keywords):
        raise AppImportError(f"{target!r}: the arguments of a factory must be literals")
    return Target(place, _chain(node.func, target), is_file, True, args, kwargs)


def _chain(node: ast.expr, target: str) -> tuple[str, ...]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _bad_target(target)
    return (node.id, *reversed(names))


def _checked_directory(app_dir: str | None) -> str:
    directory = os.path.abspath(app_dir or os.curdir)
    if not os.path.isdir(directory):
        raise ConfigError(f"app_dir: {app_dir!r} is not a directory")
    return directory


def _add_to_path(directory: str) -> None:
    if put_first(directory):
        importlib.invalidate_caches()


def _import_module(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(exc.name + ".")):
            raise AppImportError(_not_found(name, exc.name)) from None
        raise AppImportError(f"importing {name!r} failed: {_in_one_line(exc)}") from exc
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # SystemExit, or a panic of what is written in Rust
        raise AppImportError(f"importing {name!r} failed: {_in_one_line(exc)}") from exc


def _not_found(name: str, missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    if parent:
        paths = [str(path) for path in getattr(sys.modules.get(parent), "__path__", ())]
        if not paths:
            return f"cannot import {name!r}: {parent!r} is a module, not a package"
    else:
        paths = sys.path[:1]
    near = nearest(last, _module_names(paths))
    return f"cannot import {name!r}: there is no module {missing!r} in {paths[0]}{near}"


def _module_names(directories: list[str]) -> list[str]:
    names = []
    for directory in directories:
        try:
            entries = sorted(os.listdir(directory or os.curdir))
        except OSError:
            continue
        for entry in entries:
            stem, extension = os.path.splitext(entry)
            is_package = os.path.isfile(os.path.join(directory, entry, "__init__.py"))
            if extension == ".py" or is_package:
                names.append(stem)
    return names


def _import_file(path: str) -> types.ModuleType:
    full = os.path.realpath(path)
    if not os.path.isfile(full):
        names = [name + ".py" for name in _module_names([os.path.dirname(full)])]
        near = nearest(os.path.basename(path), names)
        raise AppImportError(f"there is no file {path!r}{near}")
    directory, filename = os.path.split(full)
    parts = [filename.removesuffix(".py")]
    if "." in parts[0]:
        raise AppImportError(f"{path!r}: a module's file name has no dot before .py")
    if parts[0] == "__init__":
        directory, parts[0] = os.path.split(directory)
    # A file inside a package is imported by its dotted name, so its relative imports work.
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    _add_to_path(directory)
    module = _import_module(".".join(parts))
    if os.path.realpath(getattr(module, "__file__", None) or "") != full:
        raise AppImportError(
            f"{path!r} has the name of another module, {module.__name__!r}; rename the file"
        )
    return module


def _find_attribute(module: types.ModuleType, target: Target) -> object:
    found: object = module
    holder = target.place
    for name in target.attributes:
        try:
            found = getattr(found, name)
        except AttributeError:
            near = nearest(name, [known for known in dir(found) if not known.startswith("_")])
            raise AppImportError(f"{holder!r} has no attribute {name!r}{near}") from None
        except Exception as exc:
            what = f"reading {name!r} of {holder!r} failed"
            raise AppImportError(f"{what}: {_in_one_line(exc)}") from exc
        holder = f"{holder}:{name}" if holder == target.place else f"{holder}.{name}"
    return found


def _describe(value: object) -> str:
    return "it is None" if value is None else f"it is of type {type(value).__name__}"


def _in_one_line(exc: BaseException) -> str:
    return " ".join(f"{type(exc).__name__}: {exc}".split())


def _accepts(function: Callable[..., Any], *args: object, **kwargs: object) -> bool | None:
    """Whether a call with these arguments would bind; None where it cannot be known."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _call_factory(factory: Callable[..., Any], target: Target) -> Application:
    name = f"factory {target.attribute!r} in {target.place!r}"
    if _accepts(factory, *target.args, **target.kwargs) is False:
        signature = inspect.signature(factory)
        if tuple(signature.parameters) in _OF_APPLICATIONS:
            raise AppImportError(f"{name} is the application itself; leave out --factory")
        raise AppImportError(f"{name} cannot be called so: it takes {signature}")
    try:
        app = factory(*target.args, **target.kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # SystemExit, or a panic of what is written in Rust
        raise AppImportError(f"{name} failed: {_in_one_line(exc)}") from exc
    if inspect.iscoroutine(app):
        app.close()
        raise AppImportError(f"{name} is a coroutine function; a factory must be a plain one")
    if not callable(app):
        raise AppImportError(f"{name} returned no application: {_describe(app)}")
    return cast("Application", app)


def _refuse_factory(found: Callable[..., Any], target: Target) -> None:
    # ASGI 3 is called with three arguments, WSGI with two, ASGI 2 with one; what takes none
    # of these but can be called without would fail on every request.
    counts: tuple[tuple[int, ...], ...] = ((1, 2, 3), (1, 2), (1,))
    if _accepts(found) and not any(_accepts(found, *arguments) for arguments in counts):
        raise AppImportError(
            f"{target.attribute!r} in {target.place!r} takes no arguments: "
            f"if it makes the application, add --factory or write {target.attribute}()"
        )
