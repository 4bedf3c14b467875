"""Messages between two of our own processes: one JSON object to a line, over a socket pair.

An end that closes, however its process ended, is an end of file at the other one. That is
how a worker learns that its supervisor is gone.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, TypeVar

    Process = TypeVar("Process")

Message: TypeAlias = "dict[str, Any]"

#: SCM_MAX_FD of Linux: descriptors that one message can carry.
MOST_DESCRIPTORS = 253

_READ_SIZE = 65536  # bytes
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Channel:
    """One end. Messages are dicts that JSON can hold; ``type`` (str) says what each is.

    Any thread may send; one thread receives.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._lock = threading.RLock()  # a signal handler may come in between
        self._buffer = b""

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two ends; neither is inherited by new processes unless it is passed on."""
        one, other = socket.socketpair()
        return cls(one), cls(other)

    @classmethod
    def to(cls, start: Callable[[int], Process]) -> tuple[Process, Channel]:
        """A new process, and our end of a channel to it.

        :param start: starts it; told the descriptor of its end, which we do not keep.
        """
        channel, other = cls.pair()
        try:
            return start(other.fileno()), channel
        except BaseException:
            channel.close()
            raise
        finally:
            other.close()

    def fileno(self) -> int:
        """The descriptor, for selectors."""
        return self.socket.fileno()

    def send(
        self, kind: str, *, wait: bool = False, descriptors: Sequence[int] = (), **fields: object
    ) -> bool:
        """Send a message; whether it went.

        :param wait: for room. Without it a message that finds none is dropped: nobody reads.
        :param descriptors: to be sent with it; only with ``wait``.
        :raises TypeError: if JSON cannot hold a field.
        """
        data = json.dumps({"type": kind, **fields}).encode() + b"\n"
        with self._lock:
            try:
                if descriptors:
                    data = data[socket.send_fds(self.socket, [data], descriptors) :]
                if not wait:
                    data = data[self.socket.send(data, socket.MSG_DONTWAIT) :]
                if data:
                    self.socket.sendall(data)  # never half a line
            except OSError:
                return False
        return True

    def receive(
        self, *, wait: bool = False, descriptors: list[int] | None = None
    ) -> list[Message] | None:
        """The messages that are there; None once the other end is closed and all is read.

        :param wait: for at least one.
        :param descriptors: those that came with them are added to it.
        """
        flags = 0 if wait else socket.MSG_DONTWAIT
        while True:
            try:
                if descriptors is None:
                    data = self.socket.recv(_READ_SIZE, flags)
                else:
                    data, found, _, _ = socket.recv_fds(
                        self.socket, _READ_SIZE, MOST_DESCRIPTORS, flags | _CLOSE_ON_EXEC
                    )
                    descriptors += found
            except BlockingIOError:
                return []
            except OSError:
                data = b""
            if not data:
                return None
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            if lines or not wait:
                return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end."""
        self.socket.close()
