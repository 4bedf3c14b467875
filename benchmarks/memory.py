"""How much memory a server takes for a transfer it cannot finish at once.

A server with back-pressure in both directions keeps a few buffers per connection,
whatever the size of the body; one without keeps the body. Each case has a server of its
own: memory freed by one case would otherwise be used again by the next, and its growth
not be seen.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from . import app, processes
from .clients import ClientError, HTTP1Client, HTTP2Client
from .servers import HOST, Running, Wire

BODY = 10_000_000
"""Bytes of one transfer."""

TRANSFERS = 4
"""Connections with one transfer each, at the same time."""

IDLE_CONNECTIONS: dict[Wire, int] = {"http1": 1000, "h2c": 200, "http1-tls": 300}

USED = 1_000_000
"""Bytes that went each way over a connection that was used before it waits."""

MIB = 1024 * 1024
KIB = 1024


@dataclass(frozen=True)
class Case:
    """One kind of transfer. `slow_peer`: the client keeps the pace, else the application."""

    name: str
    upload: bool
    slow_peer: bool


CASES = (
    Case("upload-slow-peer", upload=True, slow_peer=True),
    Case("download-slow-peer", upload=False, slow_peer=True),
    Case("upload-slow-app", upload=True, slow_peer=False),
    Case("download-slow-app", upload=False, slow_peer=False),
)

Client = HTTP1Client | HTTP2Client


def client(wire: Wire, port: int, rate: float | None = None) -> Client:
    """A connected client of `wire`."""
    if wire == "h2c":
        return HTTP2Client(HOST, port, rate)
    return HTTP1Client(HOST, port, rate, tls=wire == "http1-tls")


def transfer(case: Case, wire: Wire, port: int, size: int) -> None:
    """One transfer of `size` bytes. Raises ClientError or OSError if it is not complete."""
    with client(wire, port, app.SLOW_RATE if case.slow_peer else None) as connection:
        if case.upload:
            path = "/sink" if case.slow_peer else "/slow-reader"
            complete = connection.post(path, size) == b"%d" % size
        else:
            path = "/stream" if case.slow_peer else "/slow-stream"
            complete = connection.get(f"{path}/{size}") == size
    if not complete:
        raise ClientError(f"{case.name}: not all of the body arrived")


def growth(running: Running, wire: Wire, case: Case) -> float:
    """Growth over the idle size at the worst moment, in MiB per connection."""
    # What the first request of a kind imports and caches is not the transfer's.
    transfer(case, wire, running.port, app.CHUNK)
    processes.settle(running.pid)
    idle = processes.resident(running.pid)
    processes.reset_peak(running.pid)
    with ThreadPoolExecutor(TRANSFERS) as pool:
        ends = [pool.submit(transfer, case, wire, running.port, BODY) for _ in range(TRANSFERS)]
    for end in ends:
        end.result()
    return max(0, processes.peak_resident(running.pid) - idle) / TRANSFERS / MIB


def at_start(running: Running) -> float:
    """Resident MiB of a server that has answered one request."""
    processes.settle(running.pid)
    return processes.resident(running.pid) / MIB


def at_start_shared_once(running: Running) -> float:
    """The same with what its processes share counted once."""
    processes.settle(running.pid)
    return processes.resident_once(running.pid) / MIB


def per_idle_connection(running: Running, wire: Wire, *, used: bool = False) -> float:
    """Resident KiB per open connection that has had one request and waits.

    `used`: it has had a large download and a large upload too.
    """
    with client(wire, running.port) as first:
        _use(first, used)
    processes.settle(running.pid)
    before = processes.resident(running.pid)
    count = IDLE_CONNECTIONS[wire]
    with ExitStack() as stack:
        for _ in range(count):
            connection = client(wire, running.port)
            stack.enter_context(connection)
            _use(connection, used)
        processes.settle(running.pid)
        taken = processes.resident(running.pid) - before
    return max(0, taken) / count / KIB


def _use(connection: Client, used: bool) -> None:
    connection.get("/")
    if used:
        connection.get(f"/stream/{USED}")
        connection.post("/sink", USED)
