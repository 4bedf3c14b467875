"""Closing so that the peer can tell: by a reset instead of the end of what was sent."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Any, Final

# Linger for no time (POSIX: SO_LINGER): what is unsent is dropped, and the peer told so.
_AT_ONCE: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


def reset_at_close(sock: Any) -> None:
    """Have the system reset the connection when the socket is closed.

    Unix sockets know no reset; there a cut looks like an end.

    :param sock: anything with a ``setsockopt``, or None.
    """
    if sock is not None:
        with contextlib.suppress(OSError):  # closed already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
