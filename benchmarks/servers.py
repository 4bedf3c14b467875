"""The servers: what each speaks, and how it is started, awaited and ended."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Literal

import trustme

from . import processes

Wire = Literal["http1", "h2-tls", "h2c", "wsgi"]
"""HTTP/1.1 in the clear, HTTP/2 over TLS, HTTP/2 with prior knowledge in the clear; and
HTTP/1.1 in the clear with the WSGI application behind it."""

HOST = "127.0.0.1"
APP = "benchmarks.app:app"
WSGI_APP = "benchmarks.wsgi_app:app"
WSGI_THREADS = 40
"""Requests that every WSGI server runs at a time: Tricorn's default."""
ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 20.0


class ServerError(Exception):
    """A server that did not come up, or went down."""


@dataclass(frozen=True)
class Listen:
    """Where a server listens, and with which certificate (None: in the clear).

    `folder` is for configuration files of servers that have no flag for something.
    """

    port: int
    certificate: Certificate | None
    folder: Path

    @property
    def bind(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"


@dataclass(frozen=True)
class Certificate:
    """Paths of a PEM certificate chain, its key, and the authority that signed it.

    The key is in PKCS#8, the one format every server here reads.
    """

    chain: Path
    key: Path
    authority: Path


@dataclass(frozen=True)
class Server:
    """One way to run one server.

    `distribution` is its name in the package metadata, `modules` what must be importable
    for it, `wires` what it speaks; `command` gives the arguments after the interpreter's
    ``-m``.
    """

    name: str
    distribution: str
    modules: tuple[str, ...]
    wires: frozenset[Wire]
    command: Callable[[Listen], list[str]]

    def missing(self) -> str | None:
        """Why it cannot be run here, or None if it can."""
        for module in self.modules:
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:  # of the package it is in
                found = None
            if found is None:
                return f"{module} is not installed"
        return None

    def version(self) -> str:
        """The installed version; that of the source tree where it is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            module = importlib.import_module(self.distribution)
            return str(getattr(module, "__version__", "unknown"))


ALL_WIRES: frozenset[Wire] = frozenset({"http1", "h2-tls", "h2c"})
WSGI: frozenset[Wire] = frozenset({"wsgi"})


def _tricorn(worker: str) -> Callable[[Listen], list[str]]:
    def command(listen: Listen) -> list[str]:
        arguments = ["tricorn", "--worker-class", worker, "--bind", listen.bind]
        arguments += ["--log-level", "WARNING"]
        if listen.certificate is not None:
            arguments += ["--certfile", str(listen.certificate.chain)]
            arguments += ["--keyfile", str(listen.certificate.key)]
        return [*arguments, APP]

    return command


def _uvicorn(parser: str) -> Callable[[Listen], list[str]]:
    def command(listen: Listen) -> list[str]:
        arguments = ["uvicorn", "--host", HOST, "--port", str(listen.port), "--loop", "uvloop"]
        arguments += ["--http", parser, "--no-access-log", "--log-level", "warning"]
        return [*arguments, "--workers", "1", APP]

    return command


def _hypercorn(worker: str) -> Callable[[Listen], list[str]]:
    def command(listen: Listen) -> list[str]:
        # Hypercorn ends a connection after 1,000 requests and has no flag for it: the
        # reconnections would be measured, and under HTTP/2 counted as failures.
        settings = listen.folder / "hypercorn.toml"
        settings.write_text("keep_alive_max_requests = 1000000000\n")
        arguments = ["hypercorn", "--config", str(settings), "-k", worker, "--workers", "1"]
        arguments += ["--bind", listen.bind, "--log-level", "WARNING"]
        if listen.certificate is not None:
            arguments += ["--certfile", str(listen.certificate.chain)]
            arguments += ["--keyfile", str(listen.certificate.key)]
        return [*arguments, APP]

    return command


def _granian(listen: Listen) -> list[str]:
    arguments = ["granian", "--interface", "asgi", "--host", HOST, "--port", str(listen.port)]
    arguments += ["--workers", "1", "--runtime-threads", "1", "--loop", "uvloop"]
    arguments += ["--no-access-log", "--log-level", "warning"]
    if listen.certificate is not None:
        arguments += ["--ssl-certificate", str(listen.certificate.chain)]
        arguments += ["--ssl-keyfile", str(listen.certificate.key)]
    return [*arguments, APP]


def _daphne(listen: Listen) -> list[str]:
    # Verbosity 0 is how Daphne is told to write no access log.
    if listen.certificate is None:
        return ["daphne", "-v", "0", "-b", HOST, "-p", str(listen.port), APP]
    endpoint = f"ssl:{listen.port}:interface={HOST}"
    endpoint += f":privateKey={listen.certificate.key}:certKey={listen.certificate.chain}"
    return ["daphne", "-v", "0", "-e", endpoint, APP]


def _tricorn_wsgi(worker: str) -> Callable[[Listen], list[str]]:
    def command(listen: Listen) -> list[str]:
        arguments = ["tricorn", "--worker-class", worker, "--bind", listen.bind]
        arguments += ["--log-level", "WARNING", "--interface", "wsgi"]
        return [*arguments, "--wsgi-threads", str(WSGI_THREADS), WSGI_APP]

    return command


def _gunicorn(listen: Listen) -> list[str]:
    # No control socket: it would be a file in the working folder.
    arguments = ["gunicorn", "--bind", listen.bind, "--workers", "1", "-k", "gthread"]
    arguments += ["--threads", str(WSGI_THREADS), "--log-level", "warning"]
    return [*arguments, "--no-control-socket", WSGI_APP]


def _granian_wsgi(listen: Listen) -> list[str]:
    arguments = ["granian", "--interface", "wsgi", "--host", HOST, "--port", str(listen.port)]
    arguments += ["--workers", "1", "--runtime-threads", "1"]
    arguments += ["--blocking-threads", str(WSGI_THREADS)]
    return [*arguments, "--no-access-log", "--log-level", "warning", WSGI_APP]


def _waitress(listen: Listen) -> list[str]:
    threads = f"--threads={WSGI_THREADS}"
    return ["waitress", f"--listen={listen.bind}", threads, WSGI_APP]


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Server(
            "tricorn-uvloop",
            "tricorn",
            ("tricorn.__main__", "uvloop"),
            ALL_WIRES,
            _tricorn("uvloop"),
        ),
        Server("tricorn-asyncio", "tricorn", ("tricorn.__main__",), ALL_WIRES, _tricorn("asyncio")),
        Server(
            "tricorn-trio", "tricorn", ("tricorn.__main__", "trio"), ALL_WIRES, _tricorn("trio")
        ),
        Server(
            "uvicorn-h11",
            "uvicorn",
            ("uvicorn", "uvloop", "h11"),
            frozenset({"http1"}),
            _uvicorn("h11"),
        ),
        Server(
            "uvicorn-httptools",
            "uvicorn",
            ("uvicorn", "uvloop", "httptools"),
            frozenset({"http1"}),
            _uvicorn("httptools"),
        ),
        Server(
            "hypercorn-uvloop",
            "hypercorn",
            ("hypercorn", "uvloop"),
            ALL_WIRES,
            _hypercorn("uvloop"),
        ),
        Server("hypercorn-asyncio", "hypercorn", ("hypercorn",), ALL_WIRES, _hypercorn("asyncio")),
        Server("hypercorn-trio", "hypercorn", ("hypercorn", "trio"), ALL_WIRES, _hypercorn("trio")),
        Server("granian", "granian", ("granian", "uvloop"), ALL_WIRES, _granian),
        Server("daphne", "daphne", ("daphne",), frozenset({"http1", "h2-tls"}), _daphne),
        Server(
            "tricorn-wsgi-uvloop",
            "tricorn",
            ("tricorn.__main__", "uvloop"),
            WSGI,
            _tricorn_wsgi("uvloop"),
        ),
        Server(
            "tricorn-wsgi-asyncio",
            "tricorn",
            ("tricorn.__main__",),
            WSGI,
            _tricorn_wsgi("asyncio"),
        ),
        Server("gunicorn-gthread", "gunicorn", ("gunicorn",), WSGI, _gunicorn),
        Server("granian-wsgi", "granian", ("granian",), WSGI, _granian_wsgi),
        Server("waitress", "waitress", ("waitress",), WSGI, _waitress),
    )
}


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


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int
    tls: bool
    pid: int

    def url(self, path: str) -> str:
        """The address of a route."""
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}{path}"


@contextmanager
def running(server: Server, core: int, certificate: Certificate | None) -> Iterator[Running]:
    """Start `server` on `core`, wait until it answers, and end it afterwards.

    Raises `ServerError` with the last lines it printed if it does not answer in time.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tricorn-benchmarks-") as folder,
        tempfile.TemporaryFile() as output,
    ):
        listen = Listen(_free_port(), certificate, Path(folder))
        command = processes.pinned(core, [sys.executable, "-m", *server.command(listen)])
        main = processes.start(command, ROOT, output)
        try:
            problem = _await_answer(main, listen)
            if problem is not None:
                output.seek(0)
                printed = output.read().decode(errors="replace").strip().splitlines()[-5:]
                raise ServerError("\n    ".join([f"{server.name}: {problem}", *printed]))
            yield Running(server, listen.port, certificate is not None, main.pid)
        finally:
            processes.stop(main)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(main: Popen[bytes], listen: Listen) -> str | None:
    """None once a GET is answered with 200, else what went wrong."""
    deadline = time.monotonic() + READY_SECONDS
    problem = "no answer"
    while time.monotonic() < deadline:
        if main.poll() is not None:
            return f"ended with exit status {main.returncode} before it answered"
        try:
            status = _probe(listen)
        except OSError as error:  # also ssl.SSLError: not listening yet
            problem = f"no answer in {READY_SECONDS:.0f} s ({error})"
            time.sleep(0.05)
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
