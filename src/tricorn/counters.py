"""The server's counters: what is counted, where the numbers are, how Prometheus reads them.

Theory of operation. Every worker process has one row of unsigned 64-bit integers and is the
only one that writes it. Without a supervisor the row is an array of its own. With one, the
rows of all workers and one for the supervisor lie in memory that they share, so that each
worker answers for all; a row outlives its worker, so a counter never goes back when a worker
is replaced. Gauges (what is open now) are set back when a worker starts or has died.
"""

from __future__ import annotations

import itertools
import logging
import mmap
import os
from collections.abc import Iterator
from contextvars import ContextVar

from tricorn.records import Record

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from array import array
    from typing import Literal, TypeAlias

#: The options that are bounds: each has a series of ``tricorn_limit_total``.
LIMITS = (
    "wsgi_max_body_size",
    "startup_timeout",
    "shutdown_timeout",
    "graceful_timeout",
    "keep_alive_timeout",
    "response_timeout",
    "header_timeout",
    "read_timeout",
    "min_body_rate",
    "write_timeout",
    "ssl_handshake_timeout",
    "ssl_shutdown_timeout",
    "close_timeout",
    "disconnect_grace",
    "max_connections",
    "max_connections_per_address",
    "max_concurrent_requests",
    "max_request_body_size",
    "blocked_loop_warning",
    "h11_max_incomplete_size",
    "max_request_target_size",
    "max_header_count",
    "keep_alive_max_requests",
    "max_chunk_overhead",
    "request_buffer_size",
    "write_buffer_high",
    "h2_max_concurrent_streams",
    "h2_max_header_list_size",
    "h2_max_inbound_frame_size",
    "h2_stream_window_size",
    "h2_connection_window_size",
    "h2_max_pushes",
    "h2_max_resets",
    "h2_max_glitches",
    "h2_max_continuation_frames",
    "h2_max_output_control",
    "websocket_max_message_size",
    "websocket_max_frame_size",
    "websocket_max_fragments",
    "websocket_max_queue_size",
    "websocket_ping_timeout",
    "websocket_close_timeout",
    "websocket_handshake_timeout",
    "max_requests",
    "worker_max_memory",
    "worker_max_lifetime",
    "worker_heartbeat_timeout",
)

_PROTOCOLS = {"1.0": "http/1.0", "1.1": "http/1.1", "2": "http/2"}
_STATUSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


#: The counters of the worker whose exchange this is, for what sees neither.
CURRENT: ContextVar[Counters] = ContextVar("tricorn.counters")

_Numbers: TypeAlias = "array[int] | memoryview[int]"


class Metric(Record):
    """One metric: its name, type and meaning, and the label sets of its series."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ("",)


METRICS = (
    Metric("tricorn_workers", "gauge", "Worker processes that run."),
    Metric("tricorn_worker_starts_total", "counter", "Worker processes that were started."),
    Metric("tricorn_worker_deaths_total", "counter",
           "Worker processes that ended without being asked to."),
    Metric("tricorn_connections_total", "counter", "Connections that were served."),
    Metric("tricorn_connections_open", "gauge", "Connections that are open."),
    Metric("tricorn_connections_refused_total", "counter",
           "Connections that were closed at once because of a limit."),
    Metric("tricorn_tls_handshakes_failed_total", "counter",
           "Connections whose TLS handshake failed or took too long."),
    Metric("tricorn_requests_total", "counter",
           "Requests by protocol and class of the response status; none: the exchange ended "
           "before a response began.",
           tuple(f'protocol="{protocol}",status="{status}"'
                 for protocol in _PROTOCOLS.values() for status in _STATUSES)),
    Metric("tricorn_request_body_bytes_total", "counter",
           "Bytes of request bodies and WebSocket frames of exchanges that have ended."),
    Metric("tricorn_response_body_bytes_total", "counter",
           "Bytes of response bodies and WebSocket frames of exchanges that have ended."),
    Metric("tricorn_applications_running", "gauge",
           "Requests and WebSockets that are with applications."),
    Metric("tricorn_application_errors_total", "counter",
           "Exchanges in which the application raised."),
    Metric("tricorn_exchanges_cut_total", "counter",
           "Exchanges that ended before their response did; lost: the peer left or a limit "
           "ended the connection; aborted: the application failed inside its response.",
           ('reason="lost"', 'reason="aborted"')),
    Metric("tricorn_websockets_total", "counter", "WebSockets that were accepted.",
           tuple(f'protocol="{_PROTOCOLS[version]}"' for version in ("1.1", "2"))),
    Metric("tricorn_websockets_open", "gauge", "WebSockets that are open."),
    Metric("tricorn_peer_faults_total", "counter",
           "Times that a peer broke a rule of the protocol or came to a limit that is told in "
           "the log."),
    Metric("tricorn_limit_total", "counter",
           "Times that a bound was reached, by the option that sets it.",
           tuple(f'limit="{name}"' for name in LIMITS)),
)  # fmt: skip


def _series() -> Iterator[tuple[Metric, str]]:
    for metric in METRICS:
        for labels in metric.labels:
            yield metric, labels


_PLACES = {(metric.name, labels): place for place, (metric, labels) in enumerate(_series())}
_WIDTH = len(_PLACES)
_GAUGES = [place for place, (metric, _) in enumerate(_series()) if metric.kind == "gauge"]
_LIMIT_PLACES = {name: _PLACES["tricorn_limit_total", f'limit="{name}"'] for name in LIMITS}

WORKERS = _PLACES["tricorn_workers", ""]
WORKER_STARTS = _PLACES["tricorn_worker_starts_total", ""]
WORKER_DEATHS = _PLACES["tricorn_worker_deaths_total", ""]
CONNECTIONS = _PLACES["tricorn_connections_total", ""]
CONNECTIONS_OPEN = _PLACES["tricorn_connections_open", ""]
CONNECTIONS_REFUSED = _PLACES["tricorn_connections_refused_total", ""]
TLS_FAILED = _PLACES["tricorn_tls_handshakes_failed_total", ""]
REQUEST_BYTES = _PLACES["tricorn_request_body_bytes_total", ""]
RESPONSE_BYTES = _PLACES["tricorn_response_body_bytes_total", ""]
APPLICATIONS_RUNNING = _PLACES["tricorn_applications_running", ""]
APPLICATION_ERRORS = _PLACES["tricorn_application_errors_total", ""]
CUT_LOST = _PLACES["tricorn_exchanges_cut_total", 'reason="lost"']
CUT_ABORTED = _PLACES["tricorn_exchanges_cut_total", 'reason="aborted"']
WEBSOCKETS_OPEN = _PLACES["tricorn_websockets_open", ""]
PEER_FAULTS = _PLACES["tricorn_peer_faults_total", ""]

#: By ``http_version`` of the scope: the place of status class "none", the others behind it.
REQUESTS = {
    version: _PLACES["tricorn_requests_total", f'protocol="{name}",status="none"']
    for version, name in _PROTOCOLS.items()
}
#: By ``http_version`` of the scope.
WEBSOCKETS = {
    version: _PLACES["tricorn_websockets_total", f'protocol="{_PROTOCOLS[version]}"']
    for version in ("1.1", "2")
}

# The shared memory begins with the checksum of the layout and the number of rows; rows of 64-bit
# integers follow, the supervisor's first.
_HEADER = 2
# zlib has a better one, and is a library that the supervisor has no other use for.
_CHECKSUM = int.from_bytes(repr(METRICS).encode(), "big") % (2**61 - 1)
_SIZE = 8  # bytes of one number


class Counters:
    """The row of this process, and all rows there are."""

    def __init__(self, rows: _Numbers, own: _Numbers, fd: int | None) -> None:
        #: The descriptor (int) of the shared memory, to be passed to workers; None without one.
        self.fd = fd
        self._rows = rows
        self._row = own
        self._leased: set[int] = set()

    @classmethod
    def create(cls, slots: int = 1, slot: int = 0, fd: int | None = None) -> Counters:
        """The counters of this process.

        :param slots: how many workers the memory is for. With more than one, this is the
            supervisor's part: it makes the memory, and counts in a row of its own.
        :param slot: which worker this is, from 0; a slot has one living worker at a time.
        :param fd: the supervisor's ``fd``, in a worker. It may be closed afterwards.
        :raises OSError: if the memory cannot be made or used.
        :raises ValueError: if there is no such slot.
        """
        if fd is None and slots == 1:
            from array import array  # not above: without a supervisor only

            row = array("Q", bytes(_WIDTH * _SIZE))
            alone = cls(row, row, None)
            alone._begin()
            return alone
        if fd is None:
            return cls._share(slots)
        shared = cls._attach(slot, fd)
        if shared is None:
            # It was upgraded below a running supervisor.
            logging.getLogger("tricorn.error").warning(
                "the supervisor is of another version of Tricorn: this worker's metrics are its "
                "own until the supervisor is restarted"
            )
            return cls.create()
        shared._begin()
        return shared

    @classmethod
    def _share(cls, slots: int) -> Counters:
        fd = _make_memory((_HEADER + (slots + 1) * _WIDTH) * _SIZE)
        numbers = memoryview(mmap.mmap(fd, 0)).cast("Q")
        numbers[0], numbers[1] = _CHECKSUM, slots + 1
        rows = numbers[_HEADER:]
        return cls(rows, rows[:_WIDTH], fd)

    @classmethod
    def _attach(cls, slot: int, fd: int) -> Counters | None:
        """The row of a worker; None where the memory is laid out otherwise."""
        numbers = memoryview(mmap.mmap(fd, 0)).cast("Q")
        if numbers[0] != _CHECKSUM:
            return None
        if not 0 <= slot < numbers[1] - 1:
            raise ValueError(f"slot {slot} of {numbers[1] - 1}")
        rows, first = numbers[_HEADER:], (slot + 1) * _WIDTH
        return cls(rows, rows[first : first + _WIDTH], fd)

    def _begin(self) -> None:
        """A worker starts in this row."""
        row = self._row
        for place in _GAUGES:
            row[place] = 0
        row[WORKERS] = 1
        row[WORKER_STARTS] += 1

    # In the supervisor

    def lease(self) -> int:
        """A slot for a worker that is about to start: the first that no other worker has.

        :raises ValueError: if all are taken.
        """
        slot = next(number for number in itertools.count() if number not in self._leased)
        if (slot + 2) * _WIDTH > len(self._rows):
            raise ValueError(f"more than {slot} workers")
        self._leased.add(slot)
        return slot

    def ended(self, slot: int) -> None:
        """The worker of a slot is gone, and with it what it had open; another may have it."""
        self._leased.discard(slot)
        for place in _GAUGES:
            self._rows[(slot + 1) * _WIDTH + place] = 0

    # Counting, in the thread of the event loop only: adding is no single step.

    def add(self, place: int, count: int = 1) -> None:
        """Count up one of the series named above."""
        self._row[place] += count

    def set(self, place: int, value: int) -> None:
        """Set a gauge."""
        self._row[place] = value

    def limit(self, option: str) -> None:
        """The bound that this option sets was reached; one of ``LIMITS``."""
        self._row[_LIMIT_PLACES[option]] += 1

    # Reading

    def own(self, place: int) -> int:
        """What this process alone has counted."""
        return self._row[place]

    def limit_count(self, option: str) -> int:
        """How often this process alone has reached a bound."""
        return self._row[_LIMIT_PLACES[option]]

    def totals(self) -> list[int]:
        """The sums over all workers that are or were, in the order of ``METRICS``."""
        rows = self._rows
        totals = list(rows[:_WIDTH])
        for first in range(_WIDTH, len(rows), _WIDTH):
            if rows[first + WORKER_STARTS]:  # most slots never had a worker
                totals = list(map(int.__add__, totals, rows[first : first + _WIDTH]))
        return totals

    def exposition(self) -> bytes:
        """The totals in Prometheus' text format, version 0.0.4."""
        lines: list[str] = []
        values = iter(self.totals())
        for metric in METRICS:
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            for labels in metric.labels:
                named = f"{metric.name}{{{labels}}}" if labels else metric.name
                lines.append(f"{named} {next(values)}")
        return ("\n".join(lines) + "\n").encode("ascii")


def _make_memory(size: int) -> int:
    """A descriptor of ``size`` zeroed bytes that processes can share."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("tricorn-counters")
    else:
        import tempfile  # not above: for systems without memfd_create

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd
