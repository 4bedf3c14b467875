"""Command lines of the servers that the suite can start itself."""

from __future__ import annotations

import sys
from pathlib import Path

from compliance.servers import HOST, server_command

APP = "compliance.http1.app:app"
SERVERS = (
    "tricorn",
    "hypercorn",
    "uvicorn",
    "uvicorn-h11",
    "uvicorn-httptools",
    "granian",
    "daphne",
)
Certificate = tuple[Path, Path]


def command(
    server: str,
    port: int,
    worker_class: str | None,
    certificate: Certificate | None,
    codec: str | None = None,
) -> list[str]:
    """The command that serves the suite's app on 127.0.0.1:``port``.

    ``codec`` is Tricorn's http1_codec. Raises ``ValueError`` where the server cannot run on
    that worker class, over TLS, or has no such choice.
    """
    if codec is not None and server != "tricorn":
        raise ValueError(f"{server} takes no codec")
    if server in ("tricorn", "hypercorn"):
        return server_command(
            server,
            APP,
            port,
            worker_class=worker_class or "asyncio",
            certificate=certificate,
            options=[] if codec is None else ["--http1-codec", codec],
        )
    if worker_class == "trio":
        raise ValueError(f"{server} does not run on trio")
    start = [sys.executable, "-m", server.partition("-")[0]]
    if server.startswith("uvicorn"):
        return start + _uvicorn(server, port, worker_class, certificate)
    if server == "granian":
        return start + _granian(port, worker_class, certificate)
    return start + _daphne(port, worker_class, certificate)


def _uvicorn(
    server: str, port: int, loop: str | None, certificate: Certificate | None
) -> list[str]:
    options = ["--host", HOST, "--port", str(port), "--no-access-log", APP]
    codec = server.partition("-")[2]
    if codec:
        options = ["--http", codec, *options]
    if loop:
        options = ["--loop", loop, *options]
    if certificate:
        options = [
            "--ssl-certfile",
            str(certificate[0]),
            "--ssl-keyfile",
            str(certificate[1]),
            *options,
        ]
    return options


def _granian(port: int, loop: str | None, certificate: Certificate | None) -> list[str]:
    options = ["--interface", "asgi", "--host", HOST, "--port", str(port), APP]
    if loop:
        options = ["--loop", loop, *options]
    if certificate:
        options = [
            "--ssl-certificate",
            str(certificate[0]),
            "--ssl-keyfile",
            str(certificate[1]),
            *options,
        ]
    return options


def _daphne(port: int, loop: str | None, certificate: Certificate | None) -> list[str]:
    if certificate or loop not in (None, "asyncio"):
        raise ValueError("daphne is run in clear and on asyncio only")
    return ["--bind", HOST, "--port", str(port), "--verbosity", "0", APP]


def configuration(server: str, worker_class: str | None, tls: bool) -> str:
    """The key of a server's accepted results, such as ``tricorn/trio/tls``."""
    parts = [
        server,
        worker_class or "asyncio" if server in ("tricorn", "hypercorn") else worker_class or "",
        "tls" if tls else "",
    ]
    return "/".join(part for part in parts if part)
