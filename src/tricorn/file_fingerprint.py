"""Whether files have changed, told without reading them."""

from __future__ import annotations

import os
from collections.abc import Iterable

Fingerprint = tuple[tuple[int, ...] | None, ...]


def fingerprint(paths: Iterable[str]) -> Fingerprint:
    """What changes about files when they are written, replaced or reached by another link.

    None for a file that is not there.

    :raises PermissionError: if one may not even be looked at.
    """
    return tuple(map(_look, paths))


def _look(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except PermissionError:
        raise
    except OSError:
        return None
    # The change time too: rights that are given later make a file readable.
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
