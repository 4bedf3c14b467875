"""The workloads by name. Those that are rounds of plain load are made here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import generator, growth, latency, load, overhead, singles
from .figures import Table
from .fleet import LARGE_BODY
from .load import H2Load, Load, Wrk
from .rounds import Plan, Workload, take_turns, turns_cost
from .servers import Interface, Running, Server, Wire

UPLOAD_BODY = 64_000_000
"""Bytes of an upload."""

ECHO = 10_240
"""Bytes of a body that comes back."""

LONG_REQUESTS = 50_000
"""Requests on one HTTP/2 connection; `LONG_REQUESTS_QUICK` in a quick run."""

LONG_REQUESTS_QUICK = 20_000
LONG_SECONDS = 30
"""Time the slowest server is given for them, roughly."""

REQUESTS = "requests/s"
SPEED = "MB/s"


def _http1(
    name: str,
    about: str,
    path: str,
    *,
    post: int = 0,
    connections: int = 64,
    wire: Wire = "http1",
    interface: Interface = "asgi",
) -> Workload:
    """HTTP/1.1 by wrk, connections kept alive."""

    def run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
        with tempfile.TemporaryDirectory(prefix="tricorn-benchmarks-") as folder:
            script = load.post_script(Path(folder), post) if post else None
            wrk = Wrk(connections, script)

            def shot(target: Running, seconds: int, rate: float | None) -> Load:
                return wrk.run(target.url(path), seconds, plan.cores.load)

            table = Table(name, REQUESTS, True, about)
            return take_turns(plan, servers, wire, (table, shot))

    files = not post and path != "/wait" and interface == "asgi"
    return Workload(
        name,
        about,
        (wire,),
        "wrk",
        run,
        turns_cost(),
        application=not files,
        interface=interface,
    )


def _http2(
    name: str,
    about: str,
    path: str,
    connections: int,
    streams: int,
    *,
    post: int = 0,
    large: int | None = None,
) -> Workload:
    """HTTP/2 over TLS by h2load: `connections` with `streams` requests at a time each."""

    def run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
        with tempfile.NamedTemporaryFile(prefix="tricorn-benchmarks-") as body:
            body.truncate(post)
            h2load = H2Load(connections, streams, Path(body.name) if post else None, large)

            def shot(target: Running, seconds: int, rate: float | None) -> Load:
                return h2load.run(
                    target.url(path), seconds, plan.cores.load, rate, target.server.most_streams
                )

            table = Table(name, SPEED if large else REQUESTS, True, about)
            return take_turns(plan, servers, "http2", (table, shot))

    return Workload(name, about, ("http2",), "h2load", run, turns_cost(), application=bool(post))


def _http2_long() -> Workload:
    """A long life of one HTTP/2 connection; every request must succeed."""
    name, about = "http2-long", "GET of 13 bytes over TLS, 50,000 on one connection, 100 at a time"

    def run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
        requests = LONG_REQUESTS_QUICK if plan.quick else LONG_REQUESTS

        def shot(target: Running, seconds: int, rate: float | None) -> Load:
            h2load = H2Load(1, 100)
            if rate is None:  # the round that does not count
                return h2load.count(target.url("/"), 1000, seconds, plan.cores.load)
            return h2load.count(target.url("/"), requests, LONG_SECONDS, plan.cores.load)

        table = Table(name, REQUESTS, True, about)
        return take_turns(replace(plan, rounds=1), servers, "http2", (table, shot))

    def cost(plan: Plan, servers: int) -> float:
        return servers * (8.0 if plan.quick else 14.0)

    return Workload(name, about, ("http2",), "h2load", run, cost, application=False)


Shooter = Callable[[Plan, Running, int], Load]


def _generated(
    name: str,
    about: str,
    unit: str,
    shooter: Shooter,
    *,
    wire: Wire = "http1",
    application: bool = True,
) -> Workload:
    """A workload of our own generator."""

    def run(plan: Plan, servers: Sequence[Server]) -> list[Table]:
        def shot(target: Running, seconds: int, rate: float | None) -> Load:
            return shooter(plan, target, seconds)

        table = Table(name, unit, True, about)
        return take_turns(plan, servers, wire, (table, shot))

    return Workload(name, about, (wire,), "cc", run, turns_cost(), application=application)


def _websocket(name: str, size: int, connections: int, depth: int) -> Workload:
    def shooter(plan: Plan, target: Running, seconds: int) -> Load:
        return generator.websocket(
            target.port,
            connections=connections,
            depth=depth,
            size=size,
            seconds=seconds,
            core=plan.cores.load,
        )

    about = f"WebSocket echo of {size:,} bytes, {connections} connections x {depth} at a time"
    return _generated(name, about, "messages/s", shooter, wire="websocket")


def _bodies(name: str, about: str, size: int, *, upload: bool) -> Workload:
    def shooter(plan: Plan, target: Running, seconds: int) -> Load:
        return generator.bodies(
            target.port, upload=upload, size=size, seconds=seconds, core=plan.cores.load
        )

    return _generated(name, about, SPEED, shooter, application=upload)


def _handshakes() -> Workload:
    def shooter(plan: Plan, target: Running, seconds: int) -> Load:
        return generator.handshakes(
            target.port, connections=16, seconds=seconds, core=plan.cores.load
        )

    about = "TLS 1.3 connections with one GET each, 16 at a time, no session taken up again"
    return _generated(
        "tls-handshakes",
        about,
        "connections/s",
        shooter,
        wire="http1-tls",
        application=False,
    )


def _rates() -> list[Workload]:
    """Requests, messages and connections per second."""
    small, ten = "GET of 13 bytes", "GET of 10 KiB"
    echo = "POST of 10 KiB and the same back"
    waiting = "GET, 13 bytes after 10 ms"
    tls: Wire = "http1-tls"
    return [
        _http1("http1-small", f"{small}, 64 connections", "/"),
        _http1("http1-10k", f"{ten}, 64 connections", "/10k"),
        _http1("http1-echo-10k", f"{echo}, 64 connections", "/echo", post=ECHO),
        _http1("http1-wait", f"{waiting}, 256 connections", "/wait", connections=256),
        _http1("tls-small", f"{small} over TLS, 64 connections", "/", wire=tls),
        _http1("tls-10k", f"{ten} over TLS, 64 connections", "/10k", wire=tls),
        _http1("tls-echo-10k", f"{echo} over TLS, 64 connections", "/echo", post=ECHO, wire=tls),
        _http1(
            "tls-wait",
            f"{waiting} over TLS, 256 connections",
            "/wait",
            connections=256,
            wire=tls,
        ),
        _handshakes(),
        _http2("http2-small", f"{small} over TLS, 8 connections x 32 streams", "/", 8, 32),
        _http2("http2-10k", f"{ten} over TLS, 8 connections x 32 streams", "/10k", 8, 32),
        _http2(
            "http2-echo-10k",
            f"{echo} over TLS, 8 connections x 32 streams",
            "/echo",
            8,
            32,
            post=ECHO,
        ),
        _http2("http2-one-stream", f"{small} over TLS, one connection, one at a time", "/", 1, 1),
        _http2_long(),
        _websocket("ws-32", 32, 8, 16),
        _websocket("ws-4k", 4096, 8, 16),
        _websocket("ws-32-turns", 32, 64, 1),
        _websocket("ws-4k-turns", 4096, 64, 1),
    ]


def _large() -> list[Workload]:
    """Large bodies, one at a time."""
    down = f"{LARGE_BODY // 10**6} MB responses, one at a time"
    up = f"{UPLOAD_BODY // 10**6} MB requests, one at a time"
    path = f"/stream/{LARGE_BODY}"
    return [
        _bodies("http1-download", down, LARGE_BODY, upload=False),
        _bodies("http1-upload", up, UPLOAD_BODY, upload=True),
        _http2("http2-download", f"{down}, over TLS", path, 1, 1, large=LARGE_BODY),
        _http2(
            "http2-upload",
            f"{up}, over TLS",
            "/sink",
            1,
            1,
            post=UPLOAD_BODY,
            large=UPLOAD_BODY,
        ),
    ]


def _wsgi() -> list[Workload]:
    return [
        _http1("wsgi-small", "GET of 13 bytes by WSGI, 64 connections", "/", interface="wsgi"),
        _http1("wsgi-10k", "GET of 10 KiB by WSGI, 64 connections", "/10k", interface="wsgi"),
        _http1(
            "wsgi-echo-10k",
            "POST of 10 KiB and back by WSGI, 64 connections",
            "/echo",
            post=ECHO,
            interface="wsgi",
        ),
    ]


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *_rates(),
        *_large(),
        *latency.WORKLOADS,
        *singles.WORKLOADS,
        *growth.WORKLOADS,
        overhead.WORKLOAD,
        *_wsgi(),
    )
}


def missing(workload: Workload) -> str | None:
    """Why the workload cannot be run here, or None if it can."""
    if workload.generator is None:
        return None
    if workload.generator == "cc":
        return generator.missing()
    return load.missing(workload.generator)
