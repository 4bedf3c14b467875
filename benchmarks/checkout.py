"""Which Tricorn is measured: the commit of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

GIT_SECONDS = 20.0


def _git(tree: Path, *arguments: str) -> str | None:
    """What git says of `tree`; None where there is no git or it fails."""
    command = ["git", "-C", str(tree), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(tree: Path) -> str | None:
    """The commit that is checked out in `tree`, its root folder, with "-dirty" where its files
    differ; None where git cannot tell."""
    root = _git(tree, "rev-parse", "--show-toplevel")
    if root is None or Path(root).resolve() != tree.resolve():  # of something around it
        return None
    return _git(tree, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
