"""What ``apps/<name>/framework.toml`` says of a framework."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compliance.servers import WORKER_CLASSES

APPS = Path(__file__).with_name("apps")
INTERFACES = ("asgi3", "wsgi")

NOT_IN_WSGI = {
    "push": "PEP 3333 has no server push.",
    "websocket": "PEP 3333 has no WebSocket.",
    "subprotocol": "PEP 3333 has no WebSocket.",
    "denial": "PEP 3333 has no WebSocket.",
    "close-code": "PEP 3333 has no WebSocket.",
    "lifespan": "PEP 3333 has no lifespan.",
}
"""Features that no WSGI application has."""

_KEYS = {
    "title": str,
    "interface": str,
    "worker_classes": list,
    "options": list,
    "distribution": str,
    "denial_status": int,
    "extra": list,
    "absent": dict,
}


class CatalogueError(Exception):
    """A framework's folder is incomplete or its framework.toml wrong."""


@dataclass(frozen=True, slots=True)
class Framework:
    """One folder below ``apps``."""

    name: str
    folder: Path
    title: str
    interface: str
    worker_classes: tuple[str, ...]
    distribution: str
    """The package whose version is told in the table."""
    options: tuple[str, ...] = ()
    """Further options of the ``tricorn`` command."""
    denial_status: int = 401
    """How ``/ws/deny`` refuses: 401 with a body, or 403 where there is no API for the former."""
    extra: tuple[str, ...] = ()
    """Features that are asked of this framework and not of all."""
    absent: dict[str, str] = field(default_factory=dict)
    """Features that the framework does not have, and why: sentences."""

    @property
    def requirements(self) -> Path:
        """The file that pip installs."""
        return self.folder / "requirements.txt"


def load(apps: Path = APPS) -> list[Framework]:
    """All frameworks that have a ``framework.toml``, by name. Raises CatalogueError."""
    return [_read(path.parent) for path in sorted(apps.glob("*/framework.toml"))]


def choose(frameworks: Sequence[Framework], only: Sequence[str]) -> list[Framework]:
    """Those named in `only`, or all. Raises CatalogueError where a name is not there."""
    known = {framework.name: framework for framework in frameworks}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise CatalogueError(f"no framework {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in only] if only else list(frameworks)


def _read(folder: Path) -> Framework:
    for name in ("app.py", "requirements.txt"):
        if not (folder / name).is_file():
            raise CatalogueError(f"{folder.name}: no {name}")
    text = (folder / "framework.toml").read_text(encoding="utf-8")
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{folder.name}: framework.toml: {error}") from error
    _check(folder.name, data)
    absent = dict(NOT_IN_WSGI) if data["interface"] == "wsgi" else {}
    absent |= data.pop("absent", {})
    return Framework(
        name=folder.name,
        folder=folder,
        title=data["title"],
        interface=data["interface"],
        worker_classes=tuple(data["worker_classes"]),
        distribution=data.get("distribution") or _first_requirement(folder),
        options=tuple(data.get("options", ())),
        denial_status=data.get("denial_status", 401),
        extra=tuple(data.get("extra", ())),
        absent=absent,
    )


def _check(name: str, data: dict[str, Any]) -> None:
    for key, value in data.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            raise CatalogueError(f"{name}: framework.toml: {key} is unknown or of the wrong type")
    for key in ("title", "interface", "worker_classes"):
        if not data.get(key):
            raise CatalogueError(f"{name}: framework.toml: no {key}")
    if data["interface"] not in INTERFACES:
        raise CatalogueError(f"{name}: framework.toml: interface is one of {INTERFACES}")
    if not set(data["worker_classes"]) <= set(WORKER_CLASSES):
        raise CatalogueError(f"{name}: framework.toml: worker_classes are of {WORKER_CLASSES}")


def _first_requirement(folder: Path) -> str:
    for line in (folder / "requirements.txt").read_text(encoding="utf-8").splitlines():
        found = re.match(r"[A-Za-z0-9._-]+", line)
        if found:
            return found[0]
    raise CatalogueError(f"{folder.name}: requirements.txt names no package")
