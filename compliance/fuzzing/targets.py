"""The targets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from compliance.fuzzing import asgi, http1, http2, proxies, websocket_codecs


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz.

    ``check`` takes an input and raises for a finding. ``longest`` (bytes) bounds the inputs,
    ``framed`` says that they are HTTP/2 frames, which are best mutated one by one.
    """

    check: Callable[[bytes], None]
    longest: int = 2048
    framed: bool = False


TARGETS: dict[str, Target] = {
    "http1": Target(http1.check),
    "http2": Target(http2.check, framed=True),
    "websocket": Target(websocket_codecs.check, longest=1024),
    "forwarded": Target(proxies.check_forwarded, longest=512),
    "proxy_protocol": Target(proxies.check_proxy_protocol, longest=1024),
    "asgi": Target(asgi.check, framed=True),
}
