"""Binds the sockets a configuration names: TCP, Unix, inherited and passed by systemd."""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from tricorn.config import Bind, Config, parse_bind
from tricorn.exceptions import BindError
from tricorn.io.unix_path import TAKEN, asked_mode, bind_path, change_access, identity
from tricorn.privileges import group_id, user_id
from tricorn.records import replace
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
        self.inode = inode  # of a Unix socket we made: see `identity`
        #: Whether the path of a Unix socket is this process' to remove.
        self.owned = inode is not None
        #: Of a Unix socket we made, what was asked for when it got its mode and owner.
        self.access: list[Any] | None = None
        self.option = "bind"  # that names it
        #: Family, type and protocol: an enum looks its members up at each access.
        self.kind = (int(sock.family), int(sock.type), sock.proto)
        #: Whether this is a Unix socket.
        self.is_unix = sock.family == socket.AF_UNIX
        # Asked for now: at a stop, connections on their way and a start that is not through yet
        # want it when the socket is closed.
        self._name: _SocketAddress | str | bytes = sock.getsockname()

    @property
    def health(self) -> bool:
        """Whether it is one of ``health_bind``."""
        return self.option == "health_bind"

    @property
    def address(self) -> tuple[str, int | None]:
        """``server`` of the ASGI scope; a Unix socket has its path and no port."""
        name = self._name
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
        name = self._name
        if isinstance(name, tuple) and len(name) > 3 and name[3]:
            host += f"%{socket.if_indextoname(name[3])}"  # link-local: of one interface only
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
            raise self._unusable(TAKEN)

    def is_lost(self) -> bool:
        """Whether nothing is left at the path of a Unix socket we made, so nobody can reach it."""
        return self.inode is not None and not os.path.lexists(self.bind.path)

    def take_access(self, config: Config) -> None:
        """Give the path of a Unix socket we made the mode and owner that the options say now.

        What they said before stays as it is: somebody else may have changed it.

        :raises BindError: naming the option and the address, if the system refuses.
        :raises ConfigError: if there is no such user or group.
        """
        wanted = _access(config)
        if self.inode is None or self.access == wanted or not self._has_path():
            return
        former_mode, former_umask, former_user, former_group = self.access or [None] * len(wanted)
        uid = gid = -1
        if config.user != former_user:
            uid = os.geteuid() if config.user is None else user_id(config.user)
        if config.group != former_group:
            gid = os.getegid() if config.group is None else group_id(config.group)
        mode = asked_mode(config.unix_socket_mode, config.umask)
        changed = mode != asked_mode(former_mode, former_umask)
        try:
            change_access(self.bind.path, self.inode, uid, gid, mode if changed else None)
        except OSError as exc:
            raise self._unusable(f"its mode and owner stay: {exc.strerror}") from None
        self.access = wanted

    def _unusable(self, reason: str) -> BindError:
        return BindError(f"{self.option}: cannot bind {str(self.bind)!r}: {reason}")

    def _has_path(self) -> bool:
        try:
            return identity(os.lstat(self.bind.path)) == self.inode
        except OSError:
            return False

    def close(self) -> None:
        """Close the socket; remove the path of a Unix socket that is still ours."""
        # Not getsockname: the event loop may have closed the socket already.
        self.socket.close()
        if self.owned and self._has_path():
            with contextlib.suppress(OSError):
                os.unlink(self.bind.path)


class Opening:
    """The step from bound addresses to connections, which a stop may come before.

    :param listeners: all there are, or will be, when it is closed.
    """

    def __init__(self, listeners: list[Listener]) -> None:
        self._listeners = listeners
        # Each side writes its own before it reads the other's: one of them sees both.
        self._passed = self._closed = False

    def passed(self) -> bool:
        """Whether connections may be taken, which begins now then."""
        self._passed = True
        return not self._closed

    def close(self) -> None:
        """Close the sockets, unless connections are taken already.

        For any thread, as the application's startup may hold up the event loop.
        """
        self._closed = True
        if not self._passed:
            for listener in self._listeners:
                listener.socket.close()


class AcceptedSocket(socket.socket):
    """A socket whose family and type are numbers.

    Those of its base are made members of an enum at each look, and the event loops look often.
    """

    __slots__ = ()

    family = _socket.socket.family  # type: ignore[assignment]
    type = _socket.socket.type  # type: ignore[assignment]


class Address:
    """One entry of an option that names addresses.

    :param served: what is bound, where the entry's text is not all of it.
    """

    def __init__(self, option: str, text: str, secure: bool, served: Bind | None = None) -> None:
        self.option = option
        self.text = text
        self.secure = secure
        self.served = served or parse_bind(text)

    def bind(self, config: Config) -> list[Listener]:
        """Make its sockets; a name or an empty host may have several.

        :raises BindError: naming the option and the address.
        """
        made: list[Listener] = []
        try:
            for listener in _bind(self.served, config):
                listener.bind = parse_bind(self.text)
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
    named = [
        *(Address("bind", text, secure) for text in config.bind),
        *(Address("insecure_bind", text, False) for text in config.insecure_bind),
        *(Address("health_bind", text, False) for text in config.health_bind),
    ]
    return [part for address in named for part in _families(address, named)]


def _families(address: Address, named: list[Address]) -> list[Address]:
    """All of IPv6 is all of IPv4 too where the system has it so and nothing named is in the way.

    They are two addresses, each with its own socket, and not one socket of both families: such a
    one could not be parted, nor made of two, while connections wait at it, when a reload names an
    IPv4 address or names it no more.
    """
    bind = address.served
    if bind.kind != "tcp" or not _is_all_of_ipv6(bind.host) or not _has_both_in_one():
        return [address]
    if not bind.port:  # an empty host's get the same port
        return [Address(address.option, address.text, address.secure, replace(bind, host=""))]
    if any(_takes_ipv4(other.served, bind.port) for other in named):
        return [address]
    served = replace(bind, host="0.0.0.0")
    return [address, Address(address.option, address.text, address.secure, served)]


def _is_all_of_ipv6(host: str) -> bool:
    try:
        return not any(socket.inet_pton(socket.AF_INET6, host))
    except OSError:
        return False


def _has_both_in_one() -> bool:
    """Whether an IPv6 socket takes IPv4 where nobody says otherwise (net.ipv6.bindv6only)."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            return not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return False


def _takes_ipv4(bind: Bind, port: int) -> bool:
    """Whether something of IPv4 at this port is named, or was passed to us."""
    try:
        if bind.kind in ("fd", "systemd"):
            return any(_is_ipv4_at(sock, port) for sock in _passed(bind))
        if bind.kind != "tcp" or bind.port != port:
            return False
        return any(family == socket.AF_INET for family, _ in _resolve(bind))
    except OSError:
        return False  # it will say so itself


def _is_ipv4_at(sock: socket.socket, port: int) -> bool:
    with sock:
        return sock.family == socket.AF_INET and sock.getsockname()[1] == port


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
    if bind.kind in ("fd", "systemd"):
        for sock in _passed(bind):
            yield Listener(sock, bind, False)
    elif bind.kind == "unix":
        sock, inode = bind_path(bind.path, config)
        listener = Listener(sock, bind, False, inode)
        listener.access = _access(config)
        yield listener
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
        # Who names an IPv6 address is to have it, or to be told why not.
        named = ":" in bind.host
        if family == socket.AF_INET or (family == socket.AF_INET6 and (named or _has_ipv6())):
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
            # IPv4 has sockets of its own, whatever the system's default: see `_families`.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _passed(bind: Bind) -> Iterator[socket.socket]:
    """The sockets of ``fd://`` and ``systemd:``, each as a new descriptor."""
    for fd in (bind.fd,) if bind.kind == "fd" else named_sockets(bind.name):
        yield _inherited(fd)


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


def _access(config: Config) -> list[Any]:
    """The options that say who may connect to a Unix socket."""
    return [config.unix_socket_mode, config.umask, config.user, config.group]
