"""Whom another server trusts, as ``trusted_proxies``."""

from __future__ import annotations

from collections.abc import Iterable

from tricorn.config_proxies import TrustedProxies
from tricorn.exceptions import ConfigError
from tricorn.migrate.variables import unknown_in

#: What Uvicorn and Gunicorn believe where nothing is said.
LOOPBACK = ("127.0.0.1", "::1")


def trusted(value: str | Iterable[str], *more: str) -> tuple[list[str], str]:
    """The addresses and networks of a list, which may be one text with commas; variables may be
    such, too.

    :param more: added to them.
    :return: those that ``trusted_proxies`` takes, and what to know of the others.
    """
    texts = [value] if isinstance(value, str) else [str(item) for item in value]
    names = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    found: list[str] = []
    left: list[str] = []
    for name in (*names, *more):
        try:
            if not unknown_in(name):
                TrustedProxies([name])
        except ConfigError:
            left.append(name)
        else:
            found.append(name)
    note = f"no address or network: {', '.join(left)}" if left else ""
    return list(dict.fromkeys(found)), note
