"""What is being imported as the application, so that it starts no server meanwhile.

A program that calls `run` where it is imported too, and not below ``if __name__ ==
"__main__":``, would have each worker start a daemon with workers that do the same.
"""

from __future__ import annotations

import threading
from types import TracebackType

from tricorn.exceptions import ConfigError

# By thread, for a server in another one is the application's affair.
_targets: dict[int, str] = {}


class Importing:
    """While it is entered, this thread imports the application that `target` names."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._former: str | None = None

    def __enter__(self) -> None:
        thread = threading.get_ident()
        self._former = _targets.get(thread)
        _targets[thread] = self._target

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        thread = threading.get_ident()
        if self._former is None:
            del _targets[thread]
        else:
            _targets[thread] = self._former


def refuse_meanwhile(call: str) -> None:
    """Raise `ConfigError` if `call`, which serves, comes from what is being imported."""
    target = _targets.get(threading.get_ident())
    if target is not None:
        raise ConfigError(
            f"{call} is called while {target!r} is imported, which would wait for its end; let the "
            f'program call it below if __name__ == "__main__":'
        )
