"""Which codecs there are for each slot, and which of them serves: the one place that knows.

General theory. A row names a codec without importing it, fastest first in its slot. ``auto``
takes the first row whose module is there and can be imported; a name takes that row or is
refused. A codec that is not chosen is never imported: its library costs memory and start time.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from tricorn.exceptions import ConfigError
from tricorn.records import Record

if TYPE_CHECKING:  # not else: the supervisor looks at the names here, and stays small
    from tricorn.codecs.base import HTTP1Codec, HTTP2Codec, HTTP2Settings, Scheduler
    from tricorn.codecs.websocket_base import WebSocketCodecFactory

AUTO = "auto"


class Codec(Record):
    """One codec, not imported.

    ``module`` holds ``factory``; ``needs`` is the module whose presence tells whether it can be
    used, and ``remedy`` what brings it. ``distribution`` is whose version is told; None where
    the module tells it itself, as ``LIBRARY`` (str, such as "libnghttp2 1.64.0").
    """

    slot: str
    name: str
    module: str
    factory: str
    needs: str
    distribution: str | None
    remedy: str

    @property
    def present(self) -> bool:
        """Whether what it needs is installed; it is not imported."""
        try:
            return importlib.util.find_spec(self.needs) is not None
        except ImportError:  # a parent package is missing
            return False

    def load(self) -> Any:
        """Its factory.

        :raises ImportError: if it, or its library, cannot be imported.
        """
        return getattr(importlib.import_module(self.module), self.factory)

    def describe(self) -> str:
        """Name and version, such as ``httptools 0.6.4``; imports it where only it knows.

        :raises ImportError: as ``load``.
        """
        if self.distribution is None:
            library = importlib.import_module(self.module).LIBRARY
            return self.name if library == self.name else f"{self.name} ({library})"
        version = version_of(self.needs, self.distribution)
        return self.name if version is None else f"{self.name} {version}"


def version_of(module: str, distribution: str) -> str | None:
    """The version of a library, None where nothing tells it. It is not imported for that."""
    known: str | None = getattr(sys.modules.get(module), "__version__", None)
    if known is not None:
        return known
    from importlib import metadata  # not above: it takes as long as a third of the server

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


_SPEED = "pip install 'tricorn[speed]'"
_OWN = "it comes with Tricorn's compiled modules, which this installation was made without"
_PURE = "it comes with Tricorn; install tricorn again"

#: Every codec, by slot, the fastest first.
CODECS: dict[str, tuple[Codec, ...]] = {
    "http1": (
        Codec(
            "http1", "compiled", "tricorn.codecs.http1_compiled", "CompiledHTTP1Codec",
            "tricorn.codecs._http1", None, _OWN,
        ),
        Codec(
            "http1", "httptools", "tricorn.codecs.http1_httptools", "HttptoolsCodec",
            "httptools", "httptools", _SPEED,
        ),
        Codec("http1", "h11", "tricorn.codecs.http1_h11", "H11Codec", "h11", "h11", _PURE),
    ),
    "http2": (
        Codec(
            "http2", "nghttp2", "tricorn.codecs.http2_nghttp2", "Nghttp2Codec",
            "tricorn.codecs._nghttp2", None, _OWN,
        ),
        Codec("http2", "h2", "tricorn.codecs.http2_h2", "H2Codec", "h2", "h2", _PURE),
    ),
    "websocket": (
        Codec(
            "websocket", "compiled", "tricorn.codecs.websocket_compiled", "CompiledCodec",
            "tricorn.codecs._websocket", None, _OWN,
        ),
        Codec(
            "websocket", "wsproto", "tricorn.codecs.websocket_wsproto", "WsprotoCodec",
            "wsproto", "wsproto", _PURE,
        ),
    ),
}  # fmt: skip


def available() -> dict[str, list[str]]:
    """The names that are installed, by slot, the fastest first. Nothing is imported."""
    return {slot: [row.name for row in rows if row.present] for slot, rows in CODECS.items()}


def check(slot: str, wanted: str) -> None:
    """Refuse a name that is not installed; nothing is imported.

    :raises ConfigError: in one line, with what brings it.
    """
    row = next((row for row in CODECS[slot] if row.name == wanted), None)
    if row is not None and not row.present:
        raise ConfigError(f"{slot}_codec: {wanted} is not installed; {row.remedy}")


@cache
def choose(slot: str, wanted: str = AUTO) -> Codec:
    """The codec for a slot: the one that is ``wanted``, or for ``auto`` the fastest there is.

    It is imported, so that one whose library is broken is found out here and not later.

    :raises ConfigError: in one line, for a codec that cannot be had.
    """
    check(slot, wanted)
    fault = "there is no such codec"
    for row in CODECS[slot]:
        if wanted in (AUTO, row.name) and row.present:
            try:
                row.load()
            except ImportError as exc:
                fault = str(exc)
            else:
                return row
    raise ConfigError(f"{slot}_codec: {wanted} cannot be used: {fault}")


@cache
def http1(wanted: str = AUTO) -> Callable[[], HTTP1Codec]:
    """What makes the codec of an HTTP/1.1 connection; looked up once in a process."""
    return cast("Callable[[], HTTP1Codec]", choose("http1", wanted).load())


@cache
def http2(wanted: str = AUTO) -> Callable[[HTTP2Settings, Scheduler], HTTP2Codec]:
    """What makes the codec of an HTTP/2 connection."""
    return cast("Callable[[HTTP2Settings, Scheduler], HTTP2Codec]", choose("http2", wanted).load())


@cache
def websocket(wanted: str = AUTO) -> WebSocketCodecFactory:
    """What makes the codec of a WebSocket."""
    return cast("WebSocketCodecFactory", choose("websocket", wanted).load())
