"""A server: what it speaks, and how it is started, awaited and ended."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Literal

import trustme

from . import processes

Wire = Literal["http1", "http1-tls", "http2", "h2c", "websocket"]
"""HTTP/1.1 in the clear and over TLS, HTTP/2 over TLS and (h2c) with prior knowledge in the
clear, WebSocket in the clear."""

WORDS: Mapping[Wire, str] = {
    "http1": "HTTP/1.1",
    "http1-tls": "TLS",
    "http2": "HTTP/2 over TLS",
    "h2c": "HTTP/2 in the clear",
    "websocket": "WebSocket",
}

Kind = Literal["own", "peer", "ceiling"]
"""Ours; another server for Python applications; a server of files that shows the limit."""

Interface = Literal["asgi", "wsgi", "static"]

HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 20.0
START_ATTEMPTS = 3


class ServerError(Exception):
    """A server that did not come up, or went down."""


class PortTaken(ServerError):
    """Somebody else took its port before it."""


@dataclass(frozen=True)
class Certificate:
    """Paths of a PEM certificate chain, its key, and the authority that signed it.

    The key is in PKCS#8, the one format every server here reads.
    """

    chain: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class Listen:
    """Where a server listens and for what, and with which certificate (None: in the clear).

    `folder` is for files of servers that need some. `workers` is how many processes serve.
    """

    port: int
    wire: Wire
    certificate: Certificate | None
    folder: Path
    workers: int = 1

    @property
    def bind(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True)
class Server:
    """One way to run one server.

    `distribution` is its name in the package metadata, `needs` what must be importable for
    it, `program` what must be on the path; `command` gives the whole command line, and
    `environment` what is added to the environment. `python`: its server is written in Python
    (compiled parts included), as ours is. `most_streams`: it ends an HTTP/2 connection after
    so many requests, roughly.
    """

    name: str
    distribution: str
    needs: tuple[str, ...]
    wires: frozenset[Wire]
    command: Callable[[Listen], list[str]]
    kind: Kind = "peer"
    interface: Interface = "asgi"
    python: bool = True
    program: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    most_streams: int | None = None

    def missing(self) -> str | None:
        """Why it cannot be run here, or None if it can."""
        if self.program is not None and shutil.which(self.program) is None:
            return f"{self.program} is not on the path"
        for module in self.needs:
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:  # of the package it is in
                found = None
            if found is None:
                return f"{module} is not installed"
        return None

    def version(self) -> str:
        """The installed version."""
        if self.program is not None:
            done = subprocess.run(
                [self.program, "-v"], capture_output=True, text=True, timeout=10, check=False
            )
            return (done.stdout + done.stderr).strip().rpartition("/")[2]
        if self.distribution == "tricorn":  # perhaps of the source tree, not installed
            return str(importlib.import_module("tricorn").__version__)
        return importlib.metadata.version(self.distribution)

    def cannot(self, wires: tuple[Wire, ...], *, application: bool) -> str | None:
        """Why it has no part in a workload of one of `wires`, or None if it has.

        `application`: files alone will not do.
        """
        if not self.wires.intersection(wires):
            return "does not speak " + " or ".join(WORDS[wire] for wire in wires)
        if application and self.interface == "static":
            return "serves files only"
        return None


@contextmanager
def certificates() -> Iterator[Certificate]:
    """A certificate for the loopback address in a folder that goes away again."""
    from cryptography.hazmat.primitives import serialization

    with tempfile.TemporaryDirectory(prefix="tricorn-benchmarks-") as name:
        folder = Path(name)
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", HOST)
        found = Certificate(folder / "chain.pem", folder / "key.pem", folder / "ca.pem")
        found.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        authority.cert_pem.write_to_path(str(found.authority))
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        yield found


@contextmanager
def certificate_for(wire: Wire) -> Iterator[Certificate | None]:
    """A certificate where `wire` needs one."""
    if wire not in ("http1-tls", "http2"):
        yield None
        return
    with certificates() as issued:
        yield issued


@dataclass(frozen=True)
class Running:
    """A server that answers, `took` seconds after its command was begun."""

    server: Server
    listen: Listen
    pid: int
    took: float

    @property
    def port(self) -> int:
        """Its TCP port."""
        return self.listen.port

    def url(self, path: str) -> str:
        """The address of a route."""
        scheme = "http" if self.listen.certificate is None else "https"
        return f"{scheme}://{self.listen.bind}{path}"


@contextmanager
def running(
    server: Server,
    cores: str,
    wire: Wire,
    certificate: Certificate | None,
    workers: int = 1,
    pause: float = 0.05,
) -> Iterator[Running]:
    """Start `server` on `cores`, wait until it answers, and end it afterwards.

    It is asked every `pause` seconds. Raises `ServerError` with the last lines it printed if it
    does not answer in time; a port that was taken meanwhile is tried again with another one.
    """
    with ExitStack() as stack:
        for attempt in range(1, START_ATTEMPTS + 1):
            context = _running(server, cores, wire, certificate, workers, pause)
            try:
                target = stack.enter_context(context)
                break
            except PortTaken:
                if attempt == START_ATTEMPTS:
                    raise
        yield target


@contextmanager
def _running(
    server: Server,
    cores: str,
    wire: Wire,
    certificate: Certificate | None,
    workers: int,
    pause: float,
) -> Iterator[Running]:
    with (
        tempfile.TemporaryDirectory(prefix="tricorn-benchmarks-") as folder,
        tempfile.TemporaryFile() as output,
    ):
        listen = Listen(free_port(), wire, certificate, Path(folder), workers)
        command = processes.pinned(cores, server.command(listen))
        environment = {**os.environ, **server.environment}
        began = time.monotonic()
        main = processes.start(command, ROOT, output, environment)
        try:
            problem = await_answer(main, listen, pause)
            took = time.monotonic() - began
            if problem is not None:
                output.seek(0)
                printed = output.read().decode(errors="replace").strip().splitlines()
                kind = PortTaken if any("in use" in line for line in printed) else ServerError
                raise kind("\n    ".join([f"{server.name}: {problem}", *printed[-5:]]))
            yield Running(server, listen, main.pid, took)
        finally:
            processes.stop(main)


def free_port() -> int:
    """A TCP port of the loopback address that nobody has just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def await_answer(main: Popen[bytes], listen: Listen, pause: float) -> str | None:
    """None once a GET is answered with 200, else what went wrong. Asks every `pause` seconds."""
    deadline = time.monotonic() + READY_SECONDS
    problem = "no answer"
    while time.monotonic() < deadline:
        if main.poll() is not None:
            return f"ended with exit status {main.returncode} before it answered"
        try:
            status = _probe(listen)
        except OSError as error:  # also ssl.SSLError: not listening yet
            problem = f"no answer in {READY_SECONDS:.0f} s ({error})"
            time.sleep(pause)
            continue
        return None if b" 200" in status else f"answered {status!r}"
    return problem


def _probe(listen: Listen) -> bytes:
    """The status line of a GET over HTTP/1.1."""
    with socket.create_connection((HOST, listen.port), timeout=2.0) as plain:
        wire = plain
        if listen.certificate is not None:
            context = ssl.create_default_context(cafile=str(listen.certificate.authority))
            context.set_alpn_protocols(["http/1.1"])
            wire = context.wrap_socket(plain, server_hostname=HOST)
        with wire:
            wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with wire.makefile("rb") as reader:
                return reader.readline().strip()
