"""Takes connections from the listeners, on every event loop by the same rules.

The socket is accepted here and not by the loop: uvloop drops connections without a word
when descriptors run out, asyncio logs a traceback a second, and neither can be told that
somebody may not come in before the TLS handshake is paid for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import anyio
import anyio.lowlevel

from tricorn.asgi.host import Worker
from tricorn.counters import TLS_FAILED
from tricorn.host_names import unmapped
from tricorn.io import pacing
from tricorn.io.admission import Admission, Place
from tricorn.io.listener import Listener
from tricorn.io.registry import Registry

if TYPE_CHECKING:
    from tricorn.io.proxy_header import ProxyGate
    from tricorn.io.tls import TLSContext

# Connections taken in one turn of the loop.
_BATCH: Final = 128
# Seconds that accepting rests where the system is out of descriptors or memory: until one
# that was closed is free again, or until somebody leaves.
_SHORT_REST: Final = 0.005
_REST: Final = 0.2
# Idle connections closed at once where descriptors have run out: one is not enough for a crowd.
_EVICTED: Final = 32
# What accept(2) may say of a connection that was given up meanwhile (its man page).
_PASSING = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENOPROTOOPT,
     errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EINTR}
)  # fmt: skip
_OUT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
# How a connection can fail before it is one; a lookup fails where the peer is gone already.
NO_CONNECTION = (
    OSError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    anyio.TypedAttributeLookupError,
    ValueError,  # anyio, of a socket that is not connected any more
)


class Accepted:
    """One accepted connection.

    :param client: None for a peer of a Unix socket.
    """

    __slots__ = ("client", "listener", "place", "socket", "taken")

    def __init__(
        self,
        listener: Listener,
        sock: socket.socket,
        client: tuple[str, int] | None,
        place: Place,
    ) -> None:
        self.listener = listener
        self.socket = sock
        self.client = client
        self.place = place
        self.taken = False  # the event loop closes the socket

    def close(self) -> None:
        """Close the socket and give the place back."""
        if not self.taken:
            self.socket.close()
        self.place.leave()


class Acceptor(Protocol):
    """Has taken connections that are on their way to their transports."""

    async def settle(self) -> None:
        """Wait for the handshakes under way."""
        ...

    def cancel(self) -> None:
        """End the handshakes under way."""
        ...


class Intake:
    """Accepts connections and says who comes in.

    :param trouble: told in words why accepting rests.
    """

    def __init__(
        self,
        worker: Worker,
        connections: Registry,
        tls: TLSContext | None,
        trouble: Callable[[str], None],
    ) -> None:
        self.worker = worker
        self.config = worker.config
        self.connections = connections
        self.tls = tls
        self.admission = Admission(
            worker.config, connections, worker.peer_log, worker.counters, connections.silent
        )
        self._trouble = trouble
        self._spare = _Spare()
        self.gate: ProxyGate | None = None
        if worker.config.proxy_protocol:
            from tricorn.io.proxy_header import ProxyGate  # not above: few take it

            self.gate = ProxyGate(worker)
        self._handshakes = anyio.Semaphore(pacing.HANDSHAKES, fast_acquire=True)

    def close(self) -> None:
        """Accept no more."""
        self._spare.close()
        for silent in self.connections.silent:
            silent.hurry()
        if self.gate is not None:
            self.gate.close()

    def accept(
        self, listener: Listener, make: type[socket.socket] = socket.socket
    ) -> tuple[list[Accepted], float]:
        """Connections that wait at a listener, and the seconds to rest before the next look.

        :param make: makes a socket of its family, type, protocol and descriptor.
        """
        found: list[Accepted] = []
        for _ in range(_BATCH):
            try:
                fd, address = listener.socket._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                break
            except OSError as exc:
                if exc.errno in _PASSING:
                    continue
                return found, self._out_of_resources(listener, exc)
            sock = make(*listener.kind, fd)
            client = pair(address)
            place = self.admission.enter(client)
            if place is None:
                sock.close()
                continue
            sock.setblocking(False)
            if client is not None:
                # Nagle's algorithm off: asyncio does it for some sockets only, anyio for none.
                with contextlib.suppress(OSError):  # macOS, of one that is reset already
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    # Else one who has vanished is never missed where nothing is sent to it.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            found.append(Accepted(listener, sock, client, place))
        return found, 0.0

    async def before_tls(self, accepted: Accepted) -> float | None:
        """Wait for TLS to begin, and for one's turn; the seconds the handshake has left.

        :raises OSError: if it does not come to that.
        """
        from tricorn.io.cleartext import before_tls  # not above: for TLS only

        silent = self.connections.silent
        left = await before_tls(accepted.socket, self.worker, accepted.client, silent)
        async with self._handshakes:
            await anyio.lowlevel.checkpoint()
        return left

    def failed(self, accepted: Accepted, exc: BaseException) -> None:
        """A connection came to nothing before it was one."""
        counters = self.worker.counters
        if accepted.listener.secure:
            counters.add(TLS_FAILED)
        if isinstance(exc, TimeoutError):
            counters.limit("ssl_handshake_timeout")
        self.worker.log.debug("no connection with %s: %r", accepted.client, exc)

    def _out_of_resources(self, listener: Listener, exc: OSError) -> float:
        """Make room; the seconds to rest."""
        if not _waits(listener.socket):
            return 0.0  # a descriptor is asked for before anybody is looked for
        reason = f"cannot accept: {exc.strerror}"
        if exc.errno not in _OUT_OF_DESCRIPTORS:
            self._trouble(reason)
            return _REST
        evicted = 0
        while evicted < _EVICTED and self.admission.evict():
            evicted += 1
        if evicted:
            self._trouble(f"{reason}; closed the longest idle connections")
            return _SHORT_REST
        if self._spare.turn_away(listener.socket):
            self._trouble(f"{reason}; none is idle, closed the new connection")
            return _SHORT_REST
        self._trouble(reason)
        return _REST


def _waits(listener: socket.socket) -> bool:
    """Whether somebody waits to be accepted."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


class _Spare:
    """A descriptor kept for when there is none left, to take a connection and close it."""

    def __init__(self) -> None:
        self._fd = -1
        self._open()

    def _open(self) -> None:
        try:
            self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def turn_away(self, listener: socket.socket) -> bool:
        """Close the next connection that waits; whether there was one."""
        if self._fd < 0:
            self._open()
        if self._fd < 0:
            return False
        self.close()
        try:
            listener.accept()[0].close()
        except OSError:
            return False
        finally:
            self._open()
        return True

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def pair(address: object) -> tuple[str, int] | None:
    """Host and port; the peer of a Unix socket has neither."""
    if isinstance(address, tuple) and len(address) >= 2:
        return unmapped(str(address[0])), int(address[1])
    return None
