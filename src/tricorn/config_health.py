"""Checks of the options of health and metrics that concern more than one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tricorn.config_binds import parse_bind
from tricorn.config_proxies import compared

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from tricorn.config import Config

# What a request target's path can be, as it is compared (RFC 3986 section 3.3).
_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*")


def health_faults(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What is wrong: each a line and its options."""
    apart = bool(config.health_bind)
    rows = {
        "livez_path": config.livez_path or ("/livez" if apart else None),
        "readyz_path": config.readyz_path or ("/readyz" if apart else None),
        "metrics_path": config.metrics_path or ("/metrics" if apart else None),
    }
    seen: dict[str, str] = {}
    for name, path in rows.items():
        if path is None:
            continue
        if _PATH.fullmatch(path) is None:
            yield f"{name}: expected a path such as /{name[:-5]}, got {path!r}", (name,)
        elif path in seen:
            yield f"{seen[path]} and {name} are the same path, {path!r}", (seen[path], name)
        seen.setdefault(path, name)
    others = {compared(parse_bind(text)) for text in (*config.bind, *config.insecure_bind)}
    for text in config.health_bind:
        address = compared(parse_bind(text))
        if address in others and (address.kind, address.port) != ("tcp", 0):
            yield f"health_bind: {text!r} is one of bind and insecure_bind", ("health_bind", "bind")
        others.add(address)
