"""Rotated certificates where the workers have given up root: the supervisor looks.

Workers read their keys before they become another user, and cannot do it again. The
supervisor stays root; what it sees is a reason for a reload, whose new workers read the
new keys.
"""

from __future__ import annotations

import os

from tricorn.config import Config
from tricorn.config_certificates import certificate_files
from tricorn.file_fingerprint import Fingerprint, fingerprint
from tricorn.privileges import user_id

# Seconds between two reloads, at most, for files whose reload fails each time.
_LONGEST_PAUSE = 3600.0


class KeyWatch:
    """Looks at the files every ``certificate_watch`` seconds.

    A change whose reload fails, over the application perhaps, is told again: first after that
    time, then after twice as much and so on, since certificates expire.
    """

    def __init__(self, paths: tuple[str, ...], interval: float) -> None:
        self._paths = paths
        self._interval = interval
        self._looked = float("-inf")
        self._seen = self._look()
        self._loaded = self._seen  # what the workers have
        self._begun = self._seen  # when the last reload began
        self._known = self._seen  # what they have once what was told has come about
        self._told: Fingerprint | None = None  # last
        self._told_at = float("-inf")
        self._pause = interval

    @classmethod
    def create(
        cls, config: Config, former: KeyWatch | None = None, begun: KeyWatch | None = None
    ) -> KeyWatch | None:
        """For a configuration; None where its workers look for themselves, or nobody does.

        :param former: goes on where it does the same; the workers are those of the reload that
            `begins` was called for.
        :param begun: else goes on; it was made for this configuration as that reload began.
        """
        paths = certificate_files(config)
        if not paths or config.certificate_watch is None:
            return None
        if os.geteuid() != 0 or config.user is None or user_id(config.user) == 0:
            return None
        if former is not None and (former._paths, former._interval) == (
            paths,
            config.certificate_watch,
        ):
            former._loaded = former._known = former._begun
            return former
        return begun or cls(paths, config.certificate_watch)

    def changed(self, now: float) -> str:
        """The files that have changed and hold still since the last look; empty if none.

        Every change is told once, unless it `failed`.

        :param now: seconds, monotonic.
        """
        if now - self._looked < self._interval:
            return ""
        self._looked = now
        before, self._seen = self._seen, self._look()
        if self._seen == self._known:
            return ""
        if self._seen != before:
            self._looked = float("-inf")  # look again at once
            return ""
        if self._seen == self._told:
            if now - self._told_at < self._pause:
                return ""
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        else:
            self._pause = self._interval
        changed = [
            path
            for path, old, new in zip(self._paths, self._known, self._seen, strict=True)
            if old != new
        ]
        self._known = self._told = self._seen
        self._told_at = now
        return f"{', '.join(changed)} changed"

    def begins(self) -> None:
        """A reload begins, for whatever reason; its workers read no older files than these."""
        self._begun = self._known = self._look()

    def failed(self) -> None:
        """The workers have what they had: what was told since then came to nothing."""
        self._known = self._loaded

    def _look(self) -> Fingerprint:
        try:
            return fingerprint(self._paths)
        except PermissionError:  # root, on a network file system
            return (None,) * len(self._paths)
