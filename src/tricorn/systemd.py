"""What systemd and a service say to each other: sockets it passes, and news about our state.

sd_listen_fds_with_names(3), sd_notify(3), sd_watchdog_enabled(3). All of it is in environment
variables; where they are not set nothing here does anything.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from tricorn.config import Config, parse_bind

_log = logging.getLogger("tricorn.error")

# SD_LISTEN_FDS_START: descriptors are passed from this number on.
FIRST_FD = 3
# sd_listen_fds_with_names(3): the name of a descriptor without one.
_UNNAMED = "unknown"
# Seconds a message may wait for room in systemd's socket: we are no slower than this.
_SEND_LIMIT = 0.5


def passed_sockets(environ: Mapping[str, str] | None = None) -> list[tuple[int, str]]:
    """Number and name of every descriptor that systemd passed to this process, in its order.

    The variables stay set, so that a reload finds the sockets again; ``LISTEN_PID`` keeps
    other processes from taking them for theirs.

    :raises OSError: if there are none, with the reason.
    """
    environ = os.environ if environ is None else environ
    count = environ.get("LISTEN_FDS", "")
    if not count:
        raise OSError(errno.ENOENT, "LISTEN_FDS is not set: no socket unit started this process")
    pid = environ.get("LISTEN_PID", "")
    if pid != str(os.getpid()):
        raise OSError(
            errno.ESRCH,
            f"the sockets are for process {pid or '?'} (LISTEN_PID), this is {os.getpid()}: is "
            "the server started through another program without exec?",
        )
    if not (count.isascii() and count.isdecimal()):
        raise OSError(errno.EINVAL, f"LISTEN_FDS is {count!r} and no number")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    numbers = range(FIRST_FD, FIRST_FD + int(count))
    names += [""] * (len(numbers) - len(names))
    return [(fd, name or _UNNAMED) for fd, name in zip(numbers, names, strict=False)]


def named_sockets(name: str, environ: Mapping[str, str] | None = None) -> list[int]:
    """The descriptors (int) of the socket units whose ``FileDescriptorName=`` is ``name``.

    One unit with several ``ListenStream=`` lines gives its name to all of them.

    :raises OSError: if there is none of the name, with the names there are.
    """
    passed = passed_sockets(environ)
    found = [fd for fd, given in passed if given == name]
    if not found:
        known = ", ".join(sorted({given for _, given in passed})) or "none"
        raise OSError(errno.ENOENT, f"systemd passed no socket of this name; there is: {known}")
    for fd in found:
        # As sd_listen_fds(3) does it: children of the application must not hold the port.
        os.set_inheritable(fd, False)
    return found


def unused_sockets(config: Config, environ: Mapping[str, str] | None = None) -> list[str]:
    """A line for the log where systemd passed sockets to this process and no address is one.

    Its clients would wait there for ever. Gunicorn takes such sockets in the place of ``bind``.
    """
    binds = (*config.bind, *config.insecure_bind, *config.health_bind)
    if any(parse_bind(text).kind in ("systemd", "fd") for text in binds):
        return []
    try:
        names = dict.fromkeys(name for _, name in passed_sockets(environ))
    except OSError:
        return []
    if not names:
        return []
    wanted = ", ".join(f'"systemd:{name}"' for name in names)
    return [f"systemd passed sockets that no address takes; bind = [{wanted}] would"]


class Notifier:
    """Tells systemd about our state (sd_notify(3)); never raises.

    Methods return whether the message was sent: False without ``NOTIFY_SOCKET``, and where
    sending failed, which is logged once.

    :param heir: this process becomes the service's main one in the place of the process that
        systemd started, and takes its watchdog over.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, *, heir: bool = False) -> None:
        environ = os.environ if environ is None else environ
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._failed = False
        # Made now: once descriptors have run out, a server that tells nothing would be killed.
        self._socket: socket.socket | None = None
        if self._address:
            with suppress(OSError):
                self._socket = _datagrams()
        self.watchdog_interval = _watchdog_interval(environ, heir) if self._address else None
        """Seconds (float) between two calls of ``watchdog``, half of what systemd waits; None
        where no watchdog is on for this process."""

    @property
    def enabled(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload, is complete."""
        return self._send("READY=1", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """Shutdown has begun."""
        return self._send("STOPPING=1", *_status(status))

    def reloading(self, status: str = "") -> bool:
        """A reload has begun; ``ready`` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send("RELOADING=1", f"MONOTONIC_USEC={now}", *_status(status))

    def status(self, text: str) -> bool:
        """The line that ``systemctl status`` shows."""
        return self._send(f"STATUS={_one_line(text)}")

    def main_pid(self, pid: int) -> bool:
        """Another process is the service's main one from now on."""
        return self._send(f"MAINPID={pid}")

    def watchdog(self) -> bool:
        """A sign of life; wanted every ``watchdog_interval``."""
        return self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> bool:
        """Starting or stopping takes up to ``seconds`` more from now."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Nothing more will be told."""
        if self._socket is not None:
            self._socket.close()
        self._address, self._socket = "", None

    def _send(self, *lines: str) -> bool:
        address = self._address
        if not address:
            return False
        if address.startswith("@"):
            address = "\0" + address[1:]  # Linux's abstract namespace
        message = "\n".join(lines).encode("utf-8", "replace")
        try:
            if self._socket is None:
                self._socket = _datagrams()
            self._socket.connect(address)  # each time: there may be another socket by now
            self._socket.sendall(message)
        except (OSError, ValueError) as exc:
            if not self._failed:
                self._failed = True
                _log.warning("cannot tell systemd %s at %r: %s", lines[0], self._address, exc)
            return False
        self._failed = False
        return True


def _datagrams() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.settimeout(_SEND_LIMIT)
    return sock


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={_one_line(text)}",) if text else ()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _watchdog_interval(environ: Mapping[str, str], heir: bool) -> float | None:
    """Half of WATCHDOG_USEC in seconds, as sd_watchdog_enabled(3) advises."""
    limit = environ.get("WATCHDOG_USEC", "")
    if not (limit.isascii() and limit.isdecimal()) or int(limit) == 0:
        return None
    pid = environ.get("WATCHDOG_PID", "")
    if pid and pid != str(os.getpid()) and not heir:
        return None
    return int(limit) / 2_000_000
