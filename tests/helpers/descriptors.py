"""Processes that run out of descriptors; Linux."""

from __future__ import annotations

import itertools
import os


def leave_descriptors(pid: int, count: int) -> None:
    """Let a process open so many more and no others."""
    import resource

    taken = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    free = (fd for fd in itertools.count() if fd not in taken)
    limit = next(itertools.islice(free, count, None))
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, most))


def leave_all_descriptors(pid: int) -> None:
    """Let a process open what it likes again."""
    import resource

    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
