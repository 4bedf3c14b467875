"""Where a request goes."""

from __future__ import annotations

from tricorn.types import Scope


def route_path(scope: Scope) -> str:
    """Return the path below ``root_path``, which servers leave in ``path`` (ASGI HTTP 2.4)."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        return path[len(root) :] or "/"
    return path
