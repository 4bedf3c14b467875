"""What the operating system still holds of what was written to a peer."""

from __future__ import annotations

import sys
from typing import Any

try:
    import fcntl
    import termios
except ImportError:  # Windows
    _REQUEST = None
else:
    _REQUEST = getattr(termios, "TIOCOUTQ", None)

_INT_SIZE = 4


def in_flight(sock: Any) -> int:
    """Bytes that the peer has not acknowledged; 0 where the system does not tell.

    A peer on a Unix socket acknowledges what it reads. Behind ``close`` the system goes on to send
    them, but resets the connection, and drops them, at the first byte that the peer says.

    :param sock: anything with a ``fileno``, or None.
    """
    if sock is None or _REQUEST is None:
        return 0
    try:
        found = fcntl.ioctl(sock.fileno(), _REQUEST, bytes(_INT_SIZE))
    except (OSError, ValueError):
        return 0  # closed, or something else than a socket
    return int.from_bytes(found, sys.byteorder)
