"""Which host a request asks for, and whether a list of names has it.

Names are compared as RFC 9110 section 4.2.3 and RFC 3986 section 6.2.2 tell: without regard
to case, to the dot at the end of a full name, and to the spelling of an IPv6 address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from tricorn.types import Header

# RFC 3986 section 3.2.2, without the characters no host name has; `_` is in real ones.
_AUTHORITY: Final = re.compile(rb"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?")
_DEFAULT_PORTS: Final = (80, 443)


def host_of(headers: Sequence[Header]) -> bytes:
    """The value of the first Host field (``:authority`` has become one), else b""."""
    for name, value in headers:
        if name == b"host" or (len(name) == 4 and name.lower() == b"host"):
            return value
    return b""


def split_authority(authority: bytes) -> tuple[str, int | None] | None:
    """Host in its compared form and port of ``host[:port]``; None unless well-formed."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    host = match[1].decode("ascii").lower()
    if host[0] == "[":
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    elif host[-1] == ".":
        host = host[:-1]
        if not host:
            return None
    port = int(match[2]) if match[2] else None
    return None if port is not None and port > 65535 else (host, port)


def normal_name(name: str) -> str:
    """A host name of the configuration in its compared form; other text comes back as it is."""
    wildcard, name = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return wildcard + name
    found = split_authority(name.encode("ascii"))
    if found is None:
        return wildcard + name.lower()
    host, port = found
    return f"{wildcard}{host}" + ("" if port is None else f":{port}")


class HostNames:
    """A list of host names: ``example.org``, ``*.example.org`` for all below it, ``[::1]``.

    A name with a port is that port's only, one without a port every port's. False where the
    list is empty.
    """

    __slots__ = ("_exact", "_wildcards")

    def __init__(self, names: Iterable[str] = ()) -> None:
        known = {normal_name(name) for name in names}
        self._exact = frozenset(name for name in known if not name.startswith("*."))
        self._wildcards = frozenset(name[1:] for name in known if name.startswith("*."))

    def __bool__(self) -> bool:
        return bool(self._exact or self._wildcards)

    def match(self, authority: bytes, *, secure: bool = False) -> bool:
        """Whether the list has the host of a Host field.

        :param secure: whether it came over TLS, where the port left out is 443.
        """
        found = split_authority(authority)
        if found is None:
            return False
        host, port = found
        exact = self._exact
        if host in exact or f"{host}:{port or _DEFAULT_PORTS[secure]}" in exact:
            return True
        return bool(self._wildcards) and self._below(host, port or _DEFAULT_PORTS[secure])

    def _below(self, host: str, port: int) -> bool:
        return any(
            end in self._wildcards or f"{end}:{port}" in self._wildcards for end in parents(host)
        )


def parents(host: str) -> list[str]:
    """``.b.c`` and ``.c`` of ``a.b.c``, the longest first."""
    if host[0] == "[":
        return []
    ends = []
    dot = host.find(".", 1)
    while dot > 0:
        ends.append(host[dot:])
        dot = host.find(".", dot + 1)
    return ends
