"""What the log says once a server serves: its versions, its addresses, what they speak."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import tricorn
from tricorn import compilation
from tricorn.codecs import choice
from tricorn.config import Config
from tricorn.config_proxies import compared, proxy_protocol_binds
from tricorn.io.listener import Listener
from tricorn.protocol import negotiate

_log = logging.getLogger("tricorn.error")


def announce(config: Config, listeners: Sequence[Listener], *, on_asyncio: bool) -> None:
    """Say what is served where, in a few lines; called in the loop that serves."""
    loop = _loop_name() if on_asyncio else "trio"
    codecs = negotiate.codecs(config)
    used = ", ".join(codec.describe() for codec in codecs.values())
    text = "Tricorn %s on %s with %s%s; %s driver"
    others = _others(codecs)
    _log.info(text, tricorn.__version__, loop, used, others, compilation.driver())
    begun = proxy_protocol_binds(config)
    for listener in listeners:
        behind = " behind the PROXY protocol" if compared(listener.bind) in begun else ""
        _log.info("%s speaks %s%s", listener.url, _spoken(config, listener), behind)
    for listener in listeners:
        if listener.is_unix or compared(listener.bind) in begun:
            continue
        note = ""
        if listener.secure and config.certfile is None:
            note = " (its development certificate is self-signed: the browser asks once)"
        _log.info("open %s/ in a browser%s", listener.url, note)
        break


def _others(codecs: dict[str, choice.Codec]) -> str:
    """What else is installed, in brackets."""
    available = choice.available()
    others = [
        name for slot, codec in codecs.items() for name in available[slot] if name != codec.name
    ]
    return f" (also installed: {', '.join(others)})" if others else ""


def _spoken(config: Config, listener: Listener) -> str:
    if listener.secure:
        names = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}
        spoken = [names[name] for name in config.alpn_protocols]
        return f"{' and '.join(spoken)} over TLS (ALPN), WebSocket over {_each(spoken)}"
    spoken = ["HTTP/1.1"]
    if config.h2_prior_knowledge:
        spoken.append("HTTP/2 (prior knowledge)")
    if config.h2c_upgrade:
        spoken.append("h2c upgrade")
    return f"{', '.join(spoken)} in cleartext, WebSocket over {_each(spoken)}"


def _each(spoken: list[str]) -> str:
    return "it" if len(spoken) == 1 else "both"


def _loop_name() -> str:
    module = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    if module != "uvloop":
        return "asyncio"
    return f"uvloop {choice.version_of('uvloop', 'uvloop') or '?'}"
