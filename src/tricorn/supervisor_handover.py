"""SIGUSR2: another supervisor, of a new binary perhaps, takes over the sockets.

The new one is started with the command line of the old one, inherits the descriptors, and
finds their description and a control channel in one environment variable. It says when its
workers are ready; then the old one drains and ends. If it ends before, the old one goes on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress

from tricorn.config import Config
from tricorn.control_channel import Channel
from tricorn.exceptions import TricornError
from tricorn.privileges import first_umask
from tricorn.supervisor_environment import HANDOVER
from tricorn.supervisor_sockets import Sockets

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    import subprocess

# Seconds for a process to end that has closed its channel.
_END_TIME = 5.0


class Handover:
    """The old supervisor's side.

    :param directory: where the new one is started.
    :raises TricornError: if it cannot be started.
    """

    def __init__(self, sockets: Sockets, directory: str) -> None:
        self.silent_since: float | None = None  # it has closed its end of the channel
        try:
            self._process, self._channel = _started(sockets, directory)
        except (OSError, ImportError) as exc:  # an import takes descriptors too
            raise TricornError(f"cannot start another supervisor: {exc}") from None

    @property
    def pid(self) -> int:
        """Process id of the new one."""
        return self._process.pid

    def fileno(self) -> int:
        """The channel's descriptor."""
        return self._channel.fileno()

    def outcome(self) -> bool | None:
        """Whether the new one serves (True) or has failed (False); None: not known yet."""
        messages = self._channel.receive()
        if messages:
            return True
        if self.ended():
            return False
        if messages is None and self.silent_since is None:
            self.silent_since = time.monotonic()  # it ends just now, or never says anything
        if self.silent_since is not None and time.monotonic() - self.silent_since > _END_TIME:
            self._process.kill()
            self._process.wait()
            return False
        return None

    def ended(self) -> bool:
        """Whether the new one is gone."""
        return self._process.poll() is not None

    def death(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode
        if code < 0:
            return f"was killed by signal {-code} before it served"
        return f"ended with exit code {code} before it served"

    def cancel(self) -> None:
        """End the new one, which does not serve yet."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        self._channel.close()

    def let_go(self, *, reload: bool) -> None:
        """The new one stands on its own feet.

        :param reload: whether we were asked for a reload since it has begun.
        """
        if reload:
            self._process.send_signal(signal.SIGHUP)
        self._channel.close()
        self._process.returncode = 0  # it outlives us, and nobody has to wait for it


def _started(sockets: Sockets, directory: str) -> tuple[subprocess.Popen[bytes], Channel]:
    """The new process, and our end of its channel."""
    import subprocess  # not above: few supervisors have a successor

    text, fds = sockets.dump()

    def start(end: int) -> subprocess.Popen[bytes]:
        told = json.dumps({"sockets": text, "channel": end})
        return subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            pass_fds=[*fds, end],
            cwd=directory,
            env={**os.environ, HANDOVER: told},
            umask=first_umask(),
        )

    return Channel.to(start)


class Origin:
    """The new supervisor's side: the one it succeeds. False where there is none."""

    def __init__(self, told: str) -> None:
        self._text = ""
        self._channel: Channel | None = None
        self._sockets: Sockets | None = None
        if told:
            found = json.loads(told)
            self._text = found["sockets"]
            self._channel = Channel(socket.socket(fileno=found["channel"]))
            self._channel.socket.set_inheritable(False)

    @classmethod
    def take(cls) -> Origin:
        """Read, and remove, what the environment says."""
        return cls(os.environ.pop(HANDOVER, ""))

    def __bool__(self) -> bool:
        return bool(self._text)

    def sockets(self, config: Config) -> Sockets | None:
        """The sockets of the former supervisor."""
        self._sockets = Sockets.restore(self._text, config) if self._text else None
        return self._sockets

    def ready(self, sockets: Sockets) -> None:
        """We serve these: it may go. From now on we are as any other."""
        if self._channel is not None:
            self._channel.send("ready", wait=True)
            self._channel.close()
        if self._sockets is not None:
            # Not before: should we fail, the former one goes on below these paths.
            self._sockets.own_paths(True)
            self._sockets.release(sockets)
        self._text, self._channel, self._sockets = "", None, None
