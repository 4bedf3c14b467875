"""Watches the application's files for ``--reload``; the supervisor restarts on what it tells.

What has changed is always told by comparing two looks at the files, so that no edit is
missed or told twice. ``watchfiles``, where it is installed, says *when* to look: at once,
and without looking while nothing happens. Without it we look every `INTERVAL`.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import logging
import os
import stat
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from tricorn.config import Config
from tricorn.exceptions import ConfigError

_log = logging.getLogger("tricorn.error")

#: Seconds between two looks where nothing tells of changes.
INTERVAL = 0.5
# Seconds in which nothing may change before an edit counts as complete: editors write
# several files, and some write one file in several steps.
_QUIET = 0.1
# Seconds after which an edit is told although files go on changing.
_LONGEST_EDIT = 2.0
# Milliseconds after which the library returns without a change, to see that it shall end.
_TURN = 250
# Directories with nothing in them that is edited by hand, beside those whose names begin
# with a dot and virtual environments.
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

_Look = dict[str, tuple[int, int, int]]
_Place = tuple[int, int]
_Hint = set[tuple[Any, str]]


class FileWatch:
    """The files that the options ``reload_dirs``, ``reload_include``, ``reload_exclude`` name.

    The first look is taken at once: what changes from now on is told by `wait`. Not for
    several threads, but `close` may come from any, also from a signal handler.

    :raises ConfigError: if a directory to watch does not exist.
    """

    def __init__(self, config: Config) -> None:
        self.roots = _roots(config)
        self._include = config.reload_include
        self._exclude = config.reload_exclude
        self._own = _own_files(config)
        self._closed = threading.Event()
        found = importlib.util.find_spec("watchfiles") is not None
        self._use_library = found and not _library_polls()
        self._hints: Generator[_Hint, None, None] | None = None
        self._hinted: list[_Place | None] = []  # the roots that these hints are about
        self._seen = self._look()

    def suits(self, config: Config) -> bool:
        """Whether another watch of this configuration would see the same.

        :raises ConfigError: as the constructor.
        """
        given = config.reload_include, config.reload_exclude
        same = given == (self._include, self._exclude) and _own_files(config) == self._own
        return same and _roots(config) == self.roots

    @property
    def method(self) -> str:
        """How changes are noticed, for the start-up line."""
        return "watchfiles" if self._use_library else f"a look every {INTERVAL:g} s"

    def wait(self, timeout: float | None = None) -> set[Path]:
        """Wait for an edit and until it is complete; the files that changed, came or went.

        Empty after ``timeout`` (seconds), and once `close` was called.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed.is_set():
            now = self._look()
            if now != self._seen:
                return self._settle(now)
            left = INTERVAL if deadline is None else deadline - time.monotonic()
            if left <= 0:
                break
            self._pause(deadline)
        return set()

    def close(self) -> None:
        """End a `wait` that is under way; it returns within half a second."""
        self._closed.set()

    def _settle(self, now: _Look) -> set[Path]:
        """The whole edit of which ``now`` shows the beginning."""
        before, deadline = self._seen, time.monotonic() + _LONGEST_EDIT
        while time.monotonic() < deadline and not self._closed.wait(_QUIET):
            earlier, now = now, self._look()
            if now == earlier:
                break
        self._seen = now
        paths = before.keys() | now.keys()
        return {Path(path) for path in paths if before.get(path) != now.get(path)}

    # When to look

    def _pause(self, deadline: float | None) -> None:
        """Wait for a hint that something changed, or for the time of the next look."""
        if not self._use_library:
            left = INTERVAL if deadline is None else deadline - time.monotonic()
            self._closed.wait(max(0.0, min(INTERVAL, left)))
            return
        if self._hints is None:
            self._hinted = self._places()
            self._hints = self._library_hints()
            self._hear(self._hints)
            return  # what changed before it began to watch shows in a look
        while not self._closed.is_set() and (deadline is None or time.monotonic() < deadline):
            hint = self._hear(self._hints)
            if hint is None or hint:
                return

    def _hear(self, hints: Generator[_Hint, None, None]) -> _Hint | None:
        """The next of the hints; None where they are over, and a look is due."""
        hint = next(hints, None)
        if hint is None:
            self._hints = None
            self._closed.wait(INTERVAL)  # it ended; look ourselves, then begin anew
        elif self._outlived(hint):
            hints.close()
            self._hints = hint = None
        return hint

    def _outlived(self, hint: _Hint) -> bool:
        """Whether a root's name may lead to something else than when the hints began.

        The system tells of that alone: a file saved by a rename, or a directory made again, is
        not what it watches. Its number may be that of the former one.
        """
        roots = set(map(str, self.roots))
        return self._places() != self._hinted or any(path in roots for _, path in hint)

    def _places(self) -> list[_Place | None]:
        """What is at the roots' names; None for nothing."""
        found: list[_Place | None] = []
        for root in self.roots:
            try:
                seen = os.stat(root)
            except OSError:
                found.append(None)
            else:
                found.append((seen.st_dev, seen.st_ino))
        return found

    def _library_hints(self) -> Generator[_Hint, None, None]:
        """Sets of what may have changed, an empty one after each ``_TURN`` without."""
        try:
            import watchfiles

            yield from watchfiles.watch(
                *(root for root in self.roots if os.path.exists(root)),
                watch_filter=lambda _, path: self._may_count(path),
                debounce=200,
                step=50,
                stop_event=self._closed,
                rust_timeout=_TURN,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
        except Exception as exc:
            # The system's limit on watches, for one, or a library that cannot be imported.
            self._use_library = False
            _log.warning("watchfiles cannot watch: %s; now %s", exc, self.method)

    def _may_count(self, path: str) -> bool:
        """Whether a change at ``path`` is worth a look."""
        changed = Path(path)
        below = [changed.relative_to(root) for root in self.roots if changed.is_relative_to(root)]
        return not below or any(not any(map(_skipped, each.parts[:-1])) for each in below)

    # The looks

    def _look(self) -> _Look:
        """Every file that counts, with what an edit changes about it."""
        found: _Look = {}
        for root in self.roots:
            if not os.path.isdir(root):
                _note(found, str(root))
                continue
            for folder, names, files in os.walk(root):
                below = os.path.relpath(folder, root)
                prefix = "" if below == os.curdir else below + os.sep
                names[:] = [name for name in names if self._enters(folder, name, prefix + name)]
                for name in files:
                    if self._counts(name, prefix + name):
                        _note(found, os.path.join(folder, name))
        for path in self._own:
            found.pop(path, None)
        return found

    def _enters(self, folder: str, name: str, below: str) -> bool:
        if _skipped(name) or _matches(name, below, self._exclude):
            return False
        return not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))

    def _counts(self, name: str, below: str) -> bool:
        return _matches(name, below, self._include) and not _matches(name, below, self._exclude)


def _library_polls() -> bool:
    """Whether the library would not be told by the system either, and go by what it sees itself.

    It looks at times in whole seconds: of two edits within one, the second is lost on it.
    """
    asked = os.environ.get("WATCHFILES_FORCE_POLLING")
    if asked:
        return asked.lower() not in {"false", "disable", "disabled"}  # the words it knows
    return "microsoft-standard" in os.uname().release.lower()  # WSL, where it does by itself


def _roots(config: Config) -> list[Path]:
    """The directories (and files) to watch, absolute, no directory below another."""
    given = config.reload_dirs or (config.app_dir or os.curdir,)
    paths: list[Path] = []
    for text in given:
        path = Path(text).resolve()
        if not path.exists():
            raise ConfigError(f"reload_dirs: there is no directory {text!r}")
        paths.append(path)
    # A file that is named counts whatever the patterns say, also below a directory.
    return [
        path
        for path in dict.fromkeys(paths)
        if path.is_file() or not any(p in path.parents for p in paths)
    ]


def _own_files(config: Config) -> frozenset[str]:
    """What the server writes itself: each start would be the reason of another."""
    paths = [path for path in (config.accesslog, config.errorlog) if path not in (None, "-")]
    if config.pid_path is not None:
        paths += [config.pid_path, f"{config.pid_path}.{os.getpid()}"]
    return frozenset(os.path.realpath(path) for path in paths if path is not None)


def _skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def _matches(name: str, below: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits the name, or the path below the watched directory."""
    return any(
        fnmatch.fnmatchcase(name, pattern)
        or fnmatch.fnmatchcase(below.replace(os.sep, "/"), pattern.removesuffix("/"))
        for pattern in patterns
    )


def _note(found: _Look, path: str) -> None:
    try:
        seen = os.stat(path)
    except OSError:
        return  # it went away just now, or is a link that leads nowhere
    if stat.S_ISREG(seen.st_mode):
        found[path] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
