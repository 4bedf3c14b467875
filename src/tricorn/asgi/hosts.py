"""Which host a request asks for, and whether a list of names has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tricorn.host_names import normal_name, split_authority
from tricorn.types import Header

_DEFAULT_PORTS: Final = (80, 443)


def host_of(headers: Sequence[Header]) -> bytes:
    """The value of the first Host field (``:authority`` has become one), else b""."""
    for name, value in headers:
        if name == b"host" or (len(name) == 4 and name.lower() == b"host"):
            return value
    return b""


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
