"""The signals of the supervisor, as something that can be waited for."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Self

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_HEEDED = (
    *STOPS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU,
    signal.SIGCHLD,
)  # fmt: skip


class SignalPipe:
    """Takes the signals of this process while it is entered; ``fileno`` can be read when
    there is one."""

    def __enter__(self) -> Self:
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._former = {number: signal.signal(number, _noted) for number in _HEEDED}
        fd = self._waker.fileno()
        self._former_fd = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._former_fd)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._woken.close()
        self._waker.close()

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._woken.fileno()

    def take(self) -> list[signal.Signals]:
        """Those that came since the last call, in their order."""
        try:
            return [signal.Signals(number) for number in self._woken.recv(4096)]
        except BlockingIOError:
            return []


def _noted(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe already."""
