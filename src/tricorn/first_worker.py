"""The first worker of a daemon: forked off the command before there is anything to inherit.

All other workers are new interpreters. This one would be the second that starts within the
same tenth of a second and imports the same: so it is a copy of the command, made while that is
nothing but an interpreter with a configuration: one thread, no socket, no log, no signal
handler, no code of anybody else's. It imports what a worker needs while the supervisor binds.
Where there is more, as with a monitoring agent that has opened its log, it is not made.

The listening sockets come to it over the control channel (SCM_RIGHTS, unix(7)).
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from tricorn.control_channel import Channel
from tricorn.supervisor_environment import HANDOVER, for_worker, is_command


class FirstWorker:
    """It, as the supervisor sees it: what the supervisor uses of `subprocess.Popen`."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        #: The supervisor's end.
        self.channel = channel
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            self._wait(os.WNOHANG)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is gone."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def discard(self) -> None:
        """End it before it had anything to do."""
        self.kill()
        if self.returncode is None:
            self._wait(0)
        self.channel.close()

    def _wait(self, flags: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, flags)
        except ChildProcessError:  # somebody else has waited for it
            self.returncode = 0
            return
        if pid == self.pid:
            self.returncode = os.waitstatus_to_exitcode(status)


def fork() -> FirstWorker | None:
    """Fork it, in the command; None where that is not wise. In the worker it does not return.

    :raises SystemExit: in the worker, at its end.
    """
    if not _is_clean():
        return None
    ours, other = Channel.pair()
    # Without this what is buffered would be written twice.
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        pid = os.fork()
    except OSError:  # a new interpreter will fail in the same way, and say so
        ours.close()
        other.close()
        return None
    if pid:
        other.close()
        return FirstWorker(pid, ours)
    ours.close()
    _close_all_but(other.fileno())
    for name in os.environ.keys() - for_worker().keys():
        del os.environ[name]
    from tricorn import worker_process

    sys.argv = [worker_process.__file__, str(other.socket.detach())]
    sys.exit(worker_process.main())


def _is_clean() -> bool:
    """Whether there is nothing that a worker should not have."""
    return (
        sys.platform == "linux"  # on macOS its libraries do not survive it
        and HANDOVER not in os.environ  # with the descriptors of another supervisor
        and sys.gettrace() is None
        and sys.getprofile() is None
        and is_command()
        and _has_nothing_running()
    )


def _has_nothing_running() -> bool:
    """Whether no thread but this one and no descriptor of this process's own would be lost.

    Code that an interpreter runs at its start (``sitecustomize``, a ``.pth`` file) may have made
    them: monitoring agents do, their threads unknown to `threading`. Were the descriptors closed
    below it, it would write to, or close, the connections that get their numbers. Those that were
    inherited are not its own: what an exec does not close is nobody's in here.
    """
    try:
        threads = os.listdir("/proc/self/task")
        return len(threads) == 1 and not any(map(_is_own, _descriptors()))
    except OSError:  # no /proc
        return False


def _is_own(descriptor: int) -> bool:
    try:
        return not os.get_inheritable(descriptor)
    except OSError:  # that of the listing
        return False


def _descriptors() -> list[int]:
    """What is open, but for the standard streams."""
    return [number for number in map(int, os.listdir("/proc/self/fd")) if number > 2]


def _close_all_but(own: int) -> None:
    """Close what the command has inherited, as `subprocess` does it."""
    for descriptor in _descriptors():
        if descriptor != own:
            with suppress(OSError):  # that of the listing
                os.close(descriptor)
