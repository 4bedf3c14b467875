"""Command lines of the servers that are attacked, and their processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from compliance.attacks.model import Options
from compliance.servers import HOST, ROOT, ServerError, free_port, tail

APP = "compliance.attacks.app:app"
SERVERS = ("tricorn", "uvicorn", "hypercorn", "granian")
HTTP2_SERVERS = ("tricorn", "hypercorn", "granian")
_START = 30.0
_STOP = 10.0
_LOOK = 0.02

_numbers = itertools.count(1)


class Daemon:
    """A server process; started at once, waited for by `ready`."""

    def __init__(
        self,
        server: str,
        worker_class: str,
        directory: Path,
        *,
        certificate: tuple[Path, Path] | None,
        options: Options,
        descriptors: int | None,
        core: int | None,
    ) -> None:
        self.host, self.port = HOST, free_port()
        self.tls = certificate is not None
        # Not by the port alone: the system may give one of an earlier server again, with its lines.
        self.log = directory / f"{next(_numbers)}-{self.port}.log"
        line = command(server, worker_class, self.port, certificate, options)
        self.process = self._spawn(line, descriptors, core)

    def _spawn(
        self, line: list[str], descriptors: int | None, core: int | None
    ) -> subprocess.Popen[bytes]:
        def prepare() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})
            if descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        path = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        with self.log.open("ab") as output:
            return subprocess.Popen(
                line,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=prepare,
            )

    def ready(self) -> None:
        """Wait until the port accepts; raises ServerError where it does not."""
        deadline = time.monotonic() + _START
        while True:
            if self.process.poll() is not None:
                code = self.process.returncode
                raise ServerError(f"exit code {code} before serving\n{tail(self.log)}")
            with contextlib.suppress(OSError):
                socket.create_connection((self.host, self.port), 1.0).close()
                return
            if time.monotonic() > deadline:
                raise ServerError(f"nothing on port {self.port} in time\n{tail(self.log)}")
            # A foreign process offers nothing to wait on but its port.
            time.sleep(_LOOK)

    def stop(self) -> int | None:
        """Ask it to end; its exit code, None where it had to be killed."""
        code: int | None = None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(_STOP)
        # The session is ours alone: workers that outlived their parent are in it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return code

    def text(self) -> str:
        """Its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def command(
    server: str,
    worker_class: str,
    port: int,
    certificate: tuple[Path, Path] | None,
    options: Options,
) -> list[str]:
    """The command that serves the suite's app on 127.0.0.1.

    ``options`` are Tricorn's; the peers run with what they have by default, access logs off.
    """
    start = [sys.executable, "-m", server]
    bind = ["--host", HOST, "--port", str(port)]
    if server == "uvicorn":
        start += [*bind, "--no-access-log", "--loop", worker_class]
        return [*start, *_files("ssl-certfile", "ssl-keyfile", certificate), APP]
    if server == "granian":
        start += [*bind, "--interface", "asgi", "--loop", worker_class]
        return [*start, *_files("ssl-certificate", "ssl-keyfile", certificate), APP]
    start += ["--bind", f"{HOST}:{port}", "--worker-class", worker_class]
    start += _files("certfile", "keyfile", certificate)
    if server == "tricorn":
        for name, value in options.items():
            start += ["--" + name.replace("_", "-"), str(value)]
    return [*start, APP]


def _files(certfile: str, keyfile: str, certificate: tuple[Path, Path] | None) -> list[str]:
    if certificate is None:
        return []
    return [f"--{certfile}", str(certificate[0]), f"--{keyfile}", str(certificate[1])]
