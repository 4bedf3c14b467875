"""Processes that run out of descriptors; Linux."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator


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


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Meanwhile this process can open none."""
    import resource

    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
