"""What is being imported as the application, so that it starts no server meanwhile.

A program that calls `run` where it is imported too, and not below ``if __name__ ==
"__main__":``, would have each worker start a daemon with workers that do the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tricorn.exceptions import ConfigError


class _Here(threading.local):
    """By thread, for a server in another one is the application's affair."""

    target: str | None = None


_here = _Here()


@contextmanager
def importing(target: str) -> Iterator[None]:
    """While this thread imports the application that `target` names."""
    former, _here.target = _here.target, target
    try:
        yield
    finally:
        _here.target = former


def refuse_meanwhile(call: str) -> None:
    """Raise `ConfigError` if `call`, which serves, comes from what is being imported."""
    if _here.target is not None:
        raise ConfigError(
            f"{call} is called while {_here.target!r} is imported, which would wait for its end; "
            f'let the program call it below if __name__ == "__main__":'
        )
