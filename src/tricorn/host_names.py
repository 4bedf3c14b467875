"""Host names in the form they are compared in, out of requests and of the configuration.

Names are compared as RFC 9110 section 4.2.3 and RFC 3986 section 6.2.2 tell: without regard
to case, to the dot at the end of a full name, and to the spelling of an IPv6 address.
"""

from __future__ import annotations

import re

# RFC 3986 section 3.2.2, without the characters no host name has; `_` is in real ones.
_AUTHORITY = re.compile(rb"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{0,5}))?")


def unmapped(host: str) -> str:
    """An address as its peers know it: IPv4 is ``::ffff:a.b.c.d`` at a socket of both families."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def split_authority(authority: bytes) -> tuple[str, int | None] | None:
    """Host in its compared form and port of ``host[:port]``; None unless well-formed."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    host = match[1].decode("ascii").lower()
    if host[0] == "[":
        import ipaddress  # not above: the supervisor has hardly a use for it, and stays small

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
