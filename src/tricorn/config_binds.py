"""Addresses to listen on, as ``bind`` and its like name them."""

from __future__ import annotations

import os
import re

from tricorn.exceptions import ConfigError
from tricorn.records import Record

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Literal

DEFAULT_PORT = 8000
LONGEST_UNIX_PATH = 103  # bytes; sun_path holds 104 on macOS and 108 on Linux, NUL included
_LARGEST_DESCRIPTOR = 2**31 - 1  # a C int


class Bind(Record):
    """One address to listen on.

    ``host`` is a name or an address without brackets, empty for all interfaces; ``port`` is
    0 for any free one. ``path`` belongs to ``unix``, ``fd`` (an open socket) to ``fd``,
    ``name`` (of a socket unit, FileDescriptorName=) to ``systemd``.
    """

    kind: Literal["tcp", "unix", "fd", "systemd"]
    host: str = ""
    port: int = 0
    path: str = ""
    fd: int = -1
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "systemd":
            return f"systemd:{self.name}"
        if self.kind == "fd":
            return f"fd://{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Bind:
    """A `Bind` from ``host:port``, ``host`` (port 8000), ``:port``, ``[v6]:port``, ``[v6]``,
    ``v6``, ``unix:path``, ``fd://N`` or ``systemd:name``; raises `ConfigError`."""
    try:
        return _parse_bind(text.strip())
    except ValueError as exc:
        raise ConfigError(f"address {text!r}: {exc}") from None


def _parse_bind(text: str) -> Bind:
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path:
            raise ValueError("unix: needs a path, as in unix:/run/tricorn.sock")
        if len(os.fsencode(path)) > LONGEST_UNIX_PATH:
            raise ValueError(f"the path of a unix socket holds {LONGEST_UNIX_PATH} bytes at most")
        return Bind("unix", path=path)
    if text.startswith("fd://"):
        number = text.removeprefix("fd://")
        if not (number.isascii() and number.isdecimal()) or int(number) > _LARGEST_DESCRIPTOR:
            raise ValueError("fd:// needs a descriptor number, as in fd://3")
        return Bind("fd", fd=int(number))
    if text.startswith("systemd:"):
        name = text.removeprefix("systemd:")
        # sd_listen_fds_with_names(3): no control characters and no colon.
        if not re.fullmatch(r"[!-9;-~]{1,255}", name):
            raise ValueError("systemd: needs the name of a socket, as in systemd:web")
        return Bind("systemd", name=name)
    if "://" in text:
        raise ValueError("give host:port without a scheme")
    if text.startswith("["):
        return _parse_bracketed(text)
    if text.count(":") > 1:
        return _parse_bare(text)
    host, colon, port = text.partition(":")
    if not colon and host.isdecimal():
        raise ValueError(f"a port alone is written as :{host}")
    if host and not re.fullmatch(r"[\w.-]+", host):
        raise ValueError(f"{host!r} is not a host name or address")
    if not host and not colon:
        raise ValueError("the address is empty")
    return Bind("tcp", host=host, port=_parse_port(port) if colon else DEFAULT_PORT)


def _parse_bare(text: str) -> Bind:
    """An IPv6 address without brackets, where one can tell whether its end is a port."""
    host, _, port = text.rpartition(":")
    whole, part = is_ipv6(text), is_ipv6(host)
    if whole == part:
        ways = f"[{host}]:{port} or [{text}]" if whole else "[::1]:8000"
        raise ValueError(f"an IPv6 address stands in brackets, as in {ways}")
    if whole:
        return Bind("tcp", host=text, port=DEFAULT_PORT)
    return Bind("tcp", host=host, port=_parse_port(port))


def is_ipv6(text: str) -> bool:
    """Whether a text is an IPv6 address, without brackets."""
    import ipaddress  # not above: few addresses need it

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _parse_bracketed(text: str) -> Bind:
    host, bracket, rest = text[1:].partition("]")
    if not is_ipv6(host):
        raise ValueError(f"{host!r} is not an IPv6 address")
    if not bracket or (rest and not rest.startswith(":")):
        raise ValueError("an IPv6 address is written as [address]:port")
    return Bind("tcp", host=host, port=_parse_port(rest[1:]) if rest else DEFAULT_PORT)


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise ValueError(f"port {text!r} is not a number from 0 to 65535")
    return int(text)
