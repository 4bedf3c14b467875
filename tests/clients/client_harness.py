"""Starts the daemon for real clients, and starts the clients."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from helpers.serving import eventually

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
WORKER_CLASSES = ("asyncio", "uvloop", "trio")

CLIENT_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
# What a server that is well does not write.
TROUBLE = re.compile(r"Traceback|Error\b|ERROR|Warning\b|Exception|never awaited|CRITICAL")


def missing(what: str) -> NoReturn:
    """Skip where `what` is not installed; on CI its absence is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def require_program(name: str) -> str:
    """The path of a client program; skips (fails on CI) without it."""
    return shutil.which(name) or missing(name)


def require_module(name: str) -> None:
    """Skip (fail on CI) where a module cannot be imported."""
    if importlib.util.find_spec(name) is None:
        missing(name)


def require_curl(feature: str = "") -> str:
    """curl, built with `feature` (a word of ``curl --version``)."""
    path = require_program("curl")
    if feature:
        version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
        if feature not in version.stdout.split():
            missing(f"curl with {feature}")
    return path


@functools.cache
def curl_version() -> tuple[int, ...]:
    """The version of curl, such as (8, 5, 0)."""
    text = run_client([require_curl(), "--version"]).text
    return tuple(int(part) for part in text.split()[1].split("-")[0].split("."))


@dataclass(frozen=True)
class Certificate:
    """A server certificate for 127.0.0.1 and localhost, and the CA that signed it."""

    chain: Path
    key: Path
    ca: Path

    def client_context(self) -> ssl.SSLContext:
        """A client's context that trusts the CA."""
        return ssl.create_default_context(cafile=str(self.ca))


class Daemon:
    """A running ``python -m tricorn``."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ports: tuple[int, int],
        unix_path: Path,
        log: Path,
        certificate: Certificate,
        worker_class: str,
    ) -> None:
        self.process = process
        self.tls_port, self.clear_port = ports
        self.unix_path = unix_path
        self.log = log
        self.certificate = certificate
        self.worker_class = worker_class

    @property
    def tls(self) -> str:
        """Base URL of the TLS bind."""
        return f"https://{HOST}:{self.tls_port}"

    @property
    def clear(self) -> str:
        """Base URL of the cleartext bind."""
        return f"http://{HOST}:{self.clear_port}"

    def url(self, *, secure: bool) -> str:
        """Base URL of one bind or the other."""
        return self.tls if secure else self.clear

    def terminate(self) -> None:
        """Ask the process, by its id, to end in order."""
        os.kill(self.process.pid, signal.SIGTERM)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait(STOP_TIMEOUT)

    def assert_log_is_clean(self) -> None:
        """Nothing a client did may make the server complain about itself."""
        text = self.log.read_text("utf-8", "replace")
        assert not TROUBLE.search(text), f"the server complained:\n{text[-8000:]}"


@contextmanager
def running_daemon(
    worker_class: str, certificate: Certificate, directory: Path, options: Sequence[str] = ()
) -> Iterator[Daemon]:
    """Run a daemon with a TLS, a cleartext and a Unix socket bind; end it and check its end.

    The sockets listen before the process starts, so that clients can connect at once and wait
    in the backlog: no port is guessed and nothing is polled.
    """
    require_module("trio" if worker_class == "trio" else worker_class)
    log = directory / "daemon.log"
    unix_path = directory / "daemon.sock"
    with ExitStack() as stack:
        tls = stack.enter_context(_tcp_listener())
        clear = stack.enter_context(_tcp_listener())
        unix = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        unix.bind(str(unix_path))
        unix.listen(64)
        output = stack.enter_context(log.open("wb"))
        descriptors = (tls.fileno(), clear.fileno(), unix.fileno())
        command = [
            *(sys.executable, "-W", "error", "-m", "tricorn", "--app-dir", str(HERE)),
            *("-k", worker_class, "--bind", f"fd://{descriptors[0]}"),
            *("--close-timeout", "1s", "--drain-idle-timeout", "0.1s"),
            *("--insecure-bind", f"fd://{descriptors[1]}"),
            *("--insecure-bind", f"fd://{descriptors[2]}"),
            *("--certfile", str(certificate.chain), "--keyfile", str(certificate.key)),
            *(*options, "client_app:app"),
        ]
        process = stack.enter_context(
            subprocess.Popen(
                command,
                pass_fds=descriptors,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        )
        ports = (tls.getsockname()[1], clear.getsockname()[1])
        daemon = Daemon(process, ports, unix_path, log, certificate, worker_class)
        try:
            yield daemon
        finally:
            code = _stop(daemon)
        assert code == 0, f"exit code {code}:\n{log.read_text('utf-8', 'replace')[-8000:]}"
        daemon.assert_log_is_clean()


def _tcp_listener() -> socket.socket:
    sock = socket.socket()
    sock.bind((HOST, 0))
    sock.listen(256)
    return sock


def _stop(daemon: Daemon) -> int:
    """Its exit code; where no test asked anything of it, it starts first: before, it knows no
    signals."""
    eventually(lambda: daemon.process.poll() is not None or b" speaks " in daemon.log.read_bytes())
    if daemon.process.poll() is None:
        daemon.terminate()
    try:
        return daemon.wait()
    except subprocess.TimeoutExpired:
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.wait()
        return -signal.SIGKILL


@dataclass(frozen=True)
class Output:
    """What a client printed."""

    stdout: bytes
    stderr: str
    code: int

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")


def run_client(
    command: Sequence[str], *, data: bytes | None = None, check: bool = True, **environment: str
) -> Output:
    """Run a client to its end; with `check` its exit code must be 0."""
    process = subprocess.run(
        command,
        input=b"" if data is None else data,
        capture_output=True,
        timeout=CLIENT_TIMEOUT,
        env={**os.environ, **environment},
        check=False,
    )
    output = Output(process.stdout, process.stderr.decode("utf-8", "replace"), process.returncode)
    if check:
        assert output.code == 0, f"{command}: {output.code}\n{output.stderr}\n{output.text[-4000:]}"
    return output
