"""Binds the sockets a configuration names: TCP, Unix, inherited and passed by systemd."""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

from tricorn.config import Bind, Config, parse_bind
from tricorn.exceptions import BindError
from tricorn.privileges import group_id, user_id
from tricorn.systemd import named_sockets

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    # Host and port; of IPv6 also flow and scope.
    _SocketAddress: TypeAlias = tuple[Any, ...]

_OVERLAPS = "this address, or one that overlaps, is in use by another process or by this one"


class Listener:
    """One bound socket; ``secure`` where it speaks TLS."""

    def __init__(
        self,
        sock: socket.socket,
        bind: Bind,
        secure: bool,
        inode: tuple[int, int, int] | None = None,
    ) -> None:
        self.socket = sock
        self.bind = bind
        self.secure = secure
        self.inode = inode  # of a Unix socket we made: see `_identity`
        #: Whether the path of a Unix socket is this process' to remove.
        self.owned = inode is not None
        self.option = "bind"  # that names it
        #: Family, type and protocol: an enum looks its members up at each access.
        self.kind = (int(sock.family), int(sock.type), sock.proto)
        #: Whether this is a Unix socket.
        self.is_unix = sock.family == socket.AF_UNIX
        # Asked for now: connections on their way at a stop want it when the socket is closed.
        self._path = sock.getsockname() if self.is_unix else None

    @property
    def health(self) -> bool:
        """Whether it is one of ``health_bind``."""
        return self.option == "health_bind"

    @property
    def address(self) -> tuple[str, int | None]:
        """``server`` of the ASGI scope; a Unix socket has its path and no port."""
        name = self.socket.getsockname() if self._path is None else self._path
        if isinstance(name, tuple):
            return str(name[0]), int(name[1])
        return (name if isinstance(name, str) else os.fsdecode(name)), None

    @property
    def url(self) -> str:
        """Where to reach it, for people and for ``task_status``."""
        host, port = self.address
        scheme = "https" if self.secure else "http"
        if port is None:
            return f"{scheme}+unix:{host}"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def listen(self, backlog: int) -> None:
        """Have the system take connections.

        :raises BindError: naming the option and the address. Two sockets may be bound where only
            one can listen: at overlapping addresses, or by two processes that start at once.
        """
        try:
            self.socket.listen(backlog)
        except OSError as exc:
            in_use = exc.errno == errno.EADDRINUSE
            reason = _OVERLAPS if in_use else _reason(exc)
            raise self._unusable(reason) from None
        self.check_path()

    def check_path(self) -> None:
        """See that the path of a Unix socket we made is still ours.

        A socket that nobody listens on yet looks like one that was left behind, so another
        process may have removed it.

        :raises BindError: if it is not.
        """
        if self.owned and not self._has_path():
            raise self._unusable("another process has taken the path meanwhile")

    def _unusable(self, reason: str) -> BindError:
        return BindError(f"{self.option}: cannot bind {str(self.bind)!r}: {reason}")

    def _has_path(self) -> bool:
        try:
            return _identity(self.bind.path) == self.inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket; remove the path of a Unix socket that is still ours."""
        # Not getsockname: the event loop may have closed the socket already.
        self.socket.close()
        if self.owned and self._has_path():
            with contextlib.suppress(OSError):
                os.unlink(self.bind.path)


class AcceptedSocket(socket.socket):
    """A socket whose family and type are numbers.

    Those of its base are made members of an enum at each look, and the event loops look often.
    """

    __slots__ = ()

    family = _socket.socket.family  # type: ignore[assignment]
    type = _socket.socket.type  # type: ignore[assignment]


class Address:
    """One entry of an option that names addresses."""

    def __init__(self, option: str, text: str, secure: bool) -> None:
        self.option = option
        self.text = text
        self.secure = secure

    def bind(self, config: Config) -> list[Listener]:
        """Make its sockets; a name or an empty host may have several.

        :raises BindError: naming the option and the address.
        """
        made: list[Listener] = []
        try:
            for listener in _bind(parse_bind(self.text), config):
                listener.secure = self.secure
                listener.option = self.option
                made.append(listener)
        except BaseException as exc:
            for listener in made:
                listener.close()
            if isinstance(exc, OSError):
                wrong = f"{self.option}: cannot bind {self.text!r}: {_reason(exc)}"
                raise BindError(wrong) from None
            raise
        return made


def addresses(config: Config) -> list[Address]:
    """What a configuration names.

    ``bind`` speaks TLS where a certificate is configured; ``insecure_bind`` never does. As in
    Hypercorn every ``bind`` is insecure without TLS, and ``insecure_bind`` comes on top.
    """
    secure = config.ssl_enabled
    return [
        *(Address("bind", text, secure) for text in config.bind),
        *(Address("insecure_bind", text, False) for text in config.insecure_bind),
        *(Address("health_bind", text, False) for text in config.health_bind),
    ]


def bind_all(config: Config) -> list[Listener]:
    """Bind everything the configuration names, or nothing.

    :raises BindError: naming the option and the address.
    """
    listeners: list[Listener] = []
    try:
        for address in addresses(config):
            listeners += address.bind(config)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _reason(exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return "the address is in use by another process"
    if exc.errno == errno.EACCES:
        return "permission denied (ports below 1024 need a privilege)"
    if exc.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return exc.strerror or str(exc)


def _bind(bind: Bind, config: Config) -> Iterator[Listener]:
    if bind.kind == "fd":
        yield Listener(_inherited(bind.fd), bind, False)
    elif bind.kind == "systemd":
        for fd in named_sockets(bind.name):
            yield Listener(_inherited(fd), bind, False)
    elif bind.kind == "unix":
        yield _unix(bind, config)
    else:
        port = bind.port
        for family, address in _resolve(bind):
            # Whatever is behind the port stays: the scope of a link-local address.
            address = address[0], port, *address[2:]
            sock = _tcp(family, address, shared=config.reuse_port)
            # With port 0 all addresses of one bind share the port the first one got.
            port = sock.getsockname()[1]
            yield Listener(sock, bind, False)


def _resolve(bind: Bind) -> list[tuple[int, _SocketAddress]]:
    """Families and addresses of a host; an empty one is every interface of both families."""
    if not bind.host:
        every: list[tuple[int, _SocketAddress]] = [(int(socket.AF_INET), ("0.0.0.0", bind.port))]
        if _has_ipv6():
            every.append((int(socket.AF_INET6), ("::", bind.port)))
        return every
    # As bytes it is taken as it is: a str goes through the IDNA codec, which takes a megabyte.
    host = bind.host.encode() if bind.host.isascii() else bind.host
    found = socket.getaddrinfo(host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    unique: dict[tuple[int, _SocketAddress], None] = {}
    for family, _, _, _, address in found:
        if family == socket.AF_INET or (family == socket.AF_INET6 and _has_ipv6()):
            unique[int(family), address] = None
    if not unique:
        raise OSError(errno.EADDRNOTAVAIL, "no usable address")
    return list(unique)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def another(listener: Listener) -> Listener:
    """A second socket at the address of a TCP listener, made with ``reuse_port``: with a queue
    of its own. Raises OSError."""
    sock = _tcp(listener.socket.family, listener.socket.getsockname(), shared=True)
    made = Listener(sock, listener.bind, listener.secure)
    made.option = listener.option
    return made


def _tcp(family: int, address: _SocketAddress, *, shared: bool = False) -> socket.socket:
    # The protocol is named: asyncio turns Nagle's algorithm off on such sockets only.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # So that 0.0.0.0 and [::] can be bound side by side, whatever the system's default.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _inherited(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as exc:
        raise OSError(exc.errno, f"descriptor {fd} is no socket: {exc.strerror}") from None
    if sock.type != socket.SOCK_STREAM:
        sock.close()
        raise OSError(errno.EINVAL, f"descriptor {fd} is no stream socket")
    sock.setblocking(False)
    return sock


def _unix(bind: Bind, config: Config) -> Listener:
    path = bind.path
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = None
    try:
        # Made without access for others first, so that no moment of wider access exists.
        mode = config.unix_socket_mode
        if mode is not None:
            previous = os.umask(0o177)
        elif config.umask is not None:
            previous = os.umask(config.umask)
        try:
            sock.bind(path)
        finally:
            if previous is not None:
                os.umask(previous)
        if config.user is not None or config.group is not None:
            os.chown(path, user_id(config.user), group_id(config.group))
        if mode is not None:
            os.chmod(path, mode)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return Listener(sock, bind, False, _identity(path))


def _identity(path: str) -> tuple[int, int, int]:
    """What tells a Unix socket from the next one at its path.

    Its number may be the next one's as soon as both socket and path are gone; the time it was
    made (ns) stays, whatever becomes of its owner and mode.
    """
    found = os.lstat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _remove_stale(path: str) -> None:
    """Remove a socket nobody listens on; anything else at the path is in the way."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "the path exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass
    raise OSError(errno.EADDRINUSE, "in use")
