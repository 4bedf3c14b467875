"""The daemon of one framework: started from its environment, its log read, ended again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from compliance.frameworks.catalogue import Framework
from compliance.servers import HOST, ServerError, tail

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
GRACEFUL_TIMEOUT = 5
POLL_INTERVAL = 0.02

_LISTENING = re.compile(r"(https?)://127\.0\.0\.1:(\d+) speaks")
_FAULT = re.compile(r"Traceback \(most recent call last\)|\b(?:ERROR|CRITICAL)\b|was never ")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files of a certificate for localhost, of its key and of who issued it."""

    certfile: Path
    keyfile: Path
    authority: Path


def make_certificate(directory: Path) -> Certificate:
    """Issue a certificate; the files go into `directory`."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    made = Certificate(directory / "cert.pem", directory / "key.pem", directory / "ca.pem")
    authority.cert_pem.write_to_path(made.authority)
    issued.private_key_pem.write_to_path(made.keyfile)
    for blob in issued.cert_chain_pems:
        blob.write_to_path(made.certfile, append=True)
    made.keyfile.chmod(0o600)
    return made


class Daemon:
    """A running ``python -m tricorn``: TLS on one port, cleartext on another."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        self.ports: dict[str, int] = {}
        """Port by scheme, ``http`` and ``https``."""
        self._read = 0

    def wait_until_listening(self) -> None:
        """Until the log names both addresses. Raises ServerError."""
        deadline = time.monotonic() + START_TIMEOUT
        while len(self.ports) < 2:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            if self.process.poll() is not None:
                code = self.process.returncode
                raise ServerError(f"exit code {code} before serving\n{tail(self.log, 40)}")
            if time.monotonic() > deadline:
                raise ServerError(f"not listening in time\n{tail(self.log, 40)}")
            self.ports = {scheme: int(port) for scheme, port in _LISTENING.findall(text)}
            # A foreign process offers nothing to wait on but its log.
            time.sleep(POLL_INTERVAL)

    def news(self) -> str:
        """What was logged since the last call."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        return data.decode("utf-8", "replace")

    def wait_for(self, text: str, seconds: float) -> None:
        """Until the log, from where ``news`` stopped, holds `text`, or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self.log.open("rb") as file:
                file.seek(self._read)
                if text.encode() in file.read():
                    return
            time.sleep(POLL_INTERVAL)

    def stop(self) -> str | None:
        """Ask it to stop. Why that went wrong (str), None where it ended in order and in time."""
        if self.process.poll() is not None:
            return f"it had ended before with exit code {self.process.returncode}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            return f"it did not stop within {STOP_TIMEOUT:.0f} s"
        return None if code == 0 else f"exit code {code}"


def faults(text: str) -> list[str]:
    """The lines of a log that tell of an error."""
    return [line for line in text.splitlines() if _FAULT.search(line)]


def command(
    framework: Framework, python: Path, worker_class: str, certificate: Certificate
) -> list[str]:
    """The command line of the daemon; it is run in the framework's folder."""
    return [
        *[str(python), "-m", "tricorn", "app:app"],
        *["--bind", f"{HOST}:0", "--insecure-bind", f"{HOST}:0"],
        *["--certfile", str(certificate.certfile), "--keyfile", str(certificate.keyfile)],
        *["--worker-class", worker_class, "--link-preload", "auto"],
        *["--graceful-timeout", str(GRACEFUL_TIMEOUT), "--ssl-shutdown-timeout", "0.5"],
        *framework.options,
    ]


@contextmanager
def running(
    framework: Framework,
    python: Path,
    worker_class: str,
    certificate: Certificate,
    log: Path,
) -> Iterator[Daemon]:
    """The daemon, until the block ends; what it left behind is killed. Raises ServerError."""
    environment = {key: value for key, value in os.environ.items() if "TRICORN" not in key}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONPATH", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(framework, python, worker_class, certificate),
            cwd=framework.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    daemon = Daemon(process, log)
    try:
        daemon.wait_until_listening()
        yield daemon
    finally:
        # The session is ours alone, so this reaches processes that outlived their parent.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(STOP_TIMEOUT)
