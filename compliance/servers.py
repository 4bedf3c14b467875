"""Start a server process for a compliance run and end it again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
WORKER_CLASSES = ("asyncio", "uvloop", "trio")
SERVERS = ("tricorn", "hypercorn")

START_TIMEOUT = 30.0
STOP_TIMEOUT = 15.0
START_ATTEMPTS = 3
POLL_INTERVAL = 0.02


class ServerError(Exception):
    """The server process did not start; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts connections."""

    host: str
    port: int
    pid: int
    log: Path


def free_port() -> int:
    """A TCP port on the loopback interface that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost and its key; return the two paths."""
    import trustme

    issued = trustme.CA().issue_cert("localhost", HOST)
    certfile, keyfile = directory / "cert.pem", directory / "key.pem"
    for blob in issued.cert_chain_pems:
        blob.write_to_path(certfile, append=True)
    issued.private_key_pem.write_to_path(keyfile)
    keyfile.chmod(0o600)
    return certfile, keyfile


def server_command(
    server: str,
    app: str,
    port: int,
    *,
    worker_class: str,
    certificate: tuple[Path, Path] | None = None,
    options: Sequence[str] = (),
) -> list[str]:
    """The command line that serves `app` (``module:name``) on 127.0.0.1:`port`."""
    bind = f"{HOST}:{port}"
    command = [sys.executable, "-m", server, "--bind", bind, "--worker-class", worker_class]
    if certificate is not None:
        certfile, keyfile = certificate
        command += ["--certfile", str(certfile), "--keyfile", str(keyfile)]
    return [*command, *options, app]


@contextmanager
def running_server(command: Callable[[int], list[str]], *, log: Path) -> Iterator[RunningServer]:
    """Run the process that `command(port)` names until the block ends.

    Waits until the port accepts. Raises ServerError when the process ends first or does not
    accept within START_TIMEOUT seconds; a port taken in between is tried again with another one.
    """
    process, port = _start(command, log)
    try:
        yield RunningServer(HOST, port, process.pid, log)
    finally:
        _stop(process)


def _start(command: Callable[[int], list[str]], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    for attempt in range(START_ATTEMPTS):
        port = free_port()
        process = _spawn(command(port), log)
        try:
            _wait_until_accepting(process, port, log)
        except ServerError as error:
            _stop(process)
            if "in use" in str(error) and attempt + 1 < START_ATTEMPTS:
                continue
            raise
        except BaseException:
            _stop(process)
            raise
        return process, port
    raise AssertionError("unreachable")


def _spawn(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    # The app modules live in this checkout, and so may the server when it is not installed.
    extra = [str(ROOT), str(ROOT / "src")]
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*extra, inherited] if inherited else extra)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_accepting(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        if process.poll() is not None:
            raise ServerError(f"exit code {process.returncode} before serving\n{tail(log)}")
        try:
            socket.create_connection((HOST, port), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise ServerError(f"nothing on port {port} in time\n{tail(log)}") from None
        # A foreign process offers nothing to wait on but its port.
        time.sleep(POLL_INTERVAL)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            print(f"compliance: server {process.pid} ignored SIGTERM, killed", file=sys.stderr)
    # The session is ours alone, so this reaches worker processes that outlived their parent.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(STOP_TIMEOUT)


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log file, for an error message."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
