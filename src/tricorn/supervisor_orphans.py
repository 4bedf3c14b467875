"""Process 1, which the first process of a container is: what has lost its parent falls to it.

What a worker has started and not waited for, a shell's job for one, is the child of process 1
once its parent has ended, and stays in the table of processes until that has asked for its end.
"""

from __future__ import annotations

import os
from collections.abc import Container


def reap_orphans(own: Container[int]) -> None:
    """Let go of children that have ended, if this is process 1.

    :param own: process ids (int) of those that somebody else waits for.
    """
    if os.getpid() != 1:
        return
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        # One of ours that is there has ended just now; its signal has us here again.
        if found is None or found.si_pid in own:
            return
        os.waitpid(found.si_pid, 0)
