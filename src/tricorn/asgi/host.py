"""What the ASGI layer needs of the floors below and above it, as narrow interfaces."""

from __future__ import annotations

import contextvars
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from tricorn.asgi import async_library
from tricorn.asgi.dates import http_date
from tricorn.asgi.health import Health
from tricorn.asgi.hosts import HostNames
from tricorn.asgi.identity import Identity
from tricorn.asgi.request_limits import Gate, Limits
from tricorn.asgi.stopping import EXTENSION as STOPPING
from tricorn.asgi.stopping import Stopping
from tricorn.compilation import mypyc_attr
from tricorn.config import Config
from tricorn.counters import CURRENT, PEER_FAULTS, Counters
from tricorn.exceptions import ClientDisconnected
from tricorn.protocol import outbound
from tricorn.protocol.connection import HTTPConnection
from tricorn.protocol.events import PeerFault
from tricorn.protocol.flow import FileRegion
from tricorn.protocol.outbound import FieldList
from tricorn.types import ASGIApplication, Headers, Scope

if TYPE_CHECKING:
    from tricorn.asgi.forwarded import Proxies, Via


class Exchange(Protocol):
    """What the access log reads of a finished exchange."""

    @property
    def scope(self) -> Scope: ...
    @property
    def status(self) -> int | None: ...
    @property
    def response_headers(self) -> Headers: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def duration(self) -> float: ...
    @property
    def stream_id(self) -> int: ...
    @property
    def http_version(self) -> str: ...
    @property
    def is_websocket(self) -> bool: ...
    @property
    def disconnected(self) -> bool: ...
    @property
    def close_code(self) -> int | None: ...
    @property
    def finished_at(self) -> float: ...


class Waiter(Protocol):
    """A one-shot signal of the event loop in use."""

    def set(self) -> None:
        """Wake whoever waits."""
        ...

    def wait(self) -> Awaitable[object]:
        """Wait for ``set``."""
        ...


class TaskHandle(Protocol):
    """A running application task."""

    def cancel(self) -> object:
        """Ask it to end."""
        ...


class Unstarted:
    """The task of an application that is being started."""

    def cancel(self) -> object:
        """Nothing: whoever starts it is still at it."""
        return None


UNSTARTED: Final = Unstarted()


class Worker:
    """What all connections of one serving process share. Set once, before serving."""

    def __init__(
        self,
        app: ASGIApplication,
        config: Config,
        *,
        access_log: Callable[[Exchange], None] | None = None,
        peer_log: Callable[[str, str], None] | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.app = app
        self.config = config
        self.state: dict[str, Any] | None = None  # lifespan state, where there is a lifespan
        self.access_log = access_log
        self.peer_log = peer_log  # (reason, peer)
        self.log = logging.getLogger("tricorn.error")
        self.counters = counters or Counters.create()
        self.root_path = config.root_path
        self.root_path_stripped = config.root_path_stripped and bool(config.root_path)
        self.link_preload = config.link_preload != "off"
        if self.link_preload:  # needs it, and may then find no file left to open it
            import urllib.parse  # noqa: F401
        self.identity = Identity.create(config)
        self.server_names = HostNames(config.server_names)
        self.proxies: Proxies | None = None
        if config.trusted_proxies:
            from tricorn.asgi.forwarded import Proxies  # not above: large, and few believe any

            self.proxies = Proxies(config, self.report)
        self.gate = Gate.create(config)
        self.limits = Limits.create(config)
        self.warned: set[str] = set()
        self.ready = True  # False from the moment the server is asked to stop
        #: Brings the gauges up to date, where somebody can ask for them.
        self.measure: Callable[[], None] | None = None
        self.health = Health.create(config, self)
        self.requests = 0  # begun so far
        self.caught_up = 0  # of them, when an application last began to run
        self.stopping = Stopping()
        # What every exchange begins with: a copy of the context that serving began in.
        self.context = contextvars.copy_context()
        self.context.run(CURRENT.set, self.counters)
        self.context.run(async_library.forget)
        self._static: Headers = []
        configured = dict(config.extra_headers)
        self._dated = config.include_date_header and b"date" not in configured
        if config.include_server_header and b"server" not in configured:
            self._static.append((b"server", b"tricorn"))
        self._static += [(b"alt-svc", value.encode("latin-1")) for value in config.alt_svc_headers]
        self._static += config.extra_headers
        outbound.watch(frozenset(name for name, _ in self._static) | {b"date"})
        self.extensions = self._extensions()
        self._defaults = outbound.NOTHING
        self._second = 0

    def _extensions(self) -> dict[str, dict[str, Any]]:
        """What every HTTP scope offers, whatever its connection."""
        extensions: dict[str, dict[str, Any]] = {STOPPING: {"signal": self.stopping}}
        if self.config.file_sending:
            extensions["http.response.pathsend"] = {}
            extensions["http.response.zerocopysend"] = {}
        if self.config.debug:
            extensions["http.response.debug"] = {}
        return extensions

    @property
    def draining(self) -> bool:
        """Whether the server finishes what is open and takes nothing new."""
        return self.stopping.is_set()

    def default_headers(self) -> Headers:
        """The fields added to every final response."""
        return self.default_fields().pairs

    def default_fields(self) -> FieldList:
        """``default_headers``, prepared; ``date`` is formatted once a second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            dated: Headers = [(b"date", http_date(now))] if self._dated else []
            self._defaults = outbound.checked(self._static + dated)
        return self._defaults

    def missing_defaults(self, headers: Headers) -> Headers:
        """Those of ``default_headers`` that ``headers`` does not have itself."""
        names = {name for name, _ in headers}
        return [header for header in self.default_headers() if header[0] not in names]

    def report(self, reason: str, client: tuple[str, int] | None, limit: str | None = None) -> None:
        """Count what a peer did wrong, and tell it in the log.

        :param limit: the option whose bound it was.
        """
        self.counters.add(PEER_FAULTS)
        if limit is not None:
            self.counters.limit(limit)
            if limit not in reason:
                reason = f"{reason} ({limit})"
        if self.peer_log is not None:
            self.peer_log(reason, client[0] if client else "unix socket")

    def warn_once(self, key: str, message: str, *args: object) -> None:
        """Log a warning the first time ``key`` comes up."""
        if key not in self.warned:
            self.warned.add(key)
            self.log.warning(message, *args)


# Turns of the loop that ``receive`` is ahead of ``send`` in telling of a disconnect. It takes two
# until another task knows that one has ended, and two more for each middleware that calls
# ``receive`` in a task of its own: enough for four of these.
_LEAD: Final = 10


@mypyc_attr(allow_interpreted_subclasses=True)
class Host(ABC):
    """The connection driver, as an exchange sees it."""

    __slots__ = ()

    http: HTTPConnection
    worker: Worker
    client: tuple[str, int] | None
    server: tuple[str, int | None] | None
    secure: bool
    tls: dict[str, Any] | None
    via: Via | None  # a proxy that is believed

    @property
    @abstractmethod
    def can_send_file(self) -> bool:
        """Whether ``http.send_data`` may be given a ``FileRegion`` on this wire."""

    @abstractmethod
    def flush(self, stream_id: int = 0) -> Awaitable[None] | None:
        """Write what is queued.

        With a stream: an awaitable where its sender should wait, because the peer does
        not keep up or because this event loop writes by awaiting.
        """

    async def flush_file(self, stream_id: int, region: FileRegion) -> None:
        """Write what is queued, ``region`` last, and wait until the system has all of it.

        However small it is: only then is it known that the file could be read.

        :raises ClientDisconnected: if the connection is lost before, or is cut for the file.
        """
        raise NotImplementedError  # where ``can_send_file`` is never true

    @abstractmethod
    def consumed(self, stream_id: int, n: int) -> None:
        """The application has taken ``n`` bytes of the request body: ``consumed``, and a flush."""

    @abstractmethod
    def turn(self) -> Awaitable[None]:
        """A turn of the event loop."""

    async def after_listeners(self) -> None:
        """Let those act first who wait in ``receive`` for a disconnect that ``send`` is to tell of.

        Frameworks cancel who sends when another of their tasks hears of it, and clean up behind
        that; with our error in its place Django closes no response.
        """
        for _ in range(_LEAD):
            await self.turn()

    @abstractmethod
    def released(self, stream_id: int) -> None:
        """The application of an exchange has ended."""

    @abstractmethod
    def end_application(self, stream_id: int) -> None:
        """Cancel the application of an exchange."""

    @abstractmethod
    def waiter(self) -> Waiter:
        """A new signal."""

    @abstractmethod
    def report(self, fault: PeerFault) -> None:
        """Count what the peer did wrong, and tell it in the log."""


@mypyc_attr(allow_interpreted_subclasses=True)
class WebSocketHost(Host):
    """What a WebSocket asks of the connection driver besides."""

    __slots__ = ()

    @abstractmethod
    def open_tunnel(self, take: Callable[[bytes], bool]) -> None:
        """All bytes from the peer go to ``take`` from now on, until it gives False for some."""

    @abstractmethod
    def write(self, stream_id: int, data: bytes, more: bool) -> Awaitable[None] | None:
        """Send data of a stream, as ``send_data`` and ``flush`` do.

        :param more: whether there will be more in this turn of the loop: it leaves together.
        """

    @abstractmethod
    def cut(self, stream_id: int) -> None:
        """End a stream and drop what is queued for it: its peer is not waited for."""

    @abstractmethod
    def untaken(self, stream_id: int) -> int:
        """Bytes of a stream, and of those that share its wire, that the peer has not taken."""


async def until_taken(flushed: Awaitable[None], complete: bool) -> None:
    """Wait until the peer has taken enough of what was sent.

    :param complete: nothing more will be sent. A leave is not told then: nobody knows how much
        a peer has read, and frameworks would drop the work that they do behind a response.
    :raises ClientDisconnected: if it leaves before.
    """
    try:
        await flushed
    except ClientDisconnected:
        if not complete:
            raise
