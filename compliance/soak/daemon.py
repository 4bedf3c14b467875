"""The daemon under soak: started, signalled, measured and ended."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from compliance.servers import HOST, ROOT, ServerError, free_port, tail

_START_TIME = 30.0
_STOP_TIME = 45.0
# Seconds in which a new certificate must be in use.
PICKED_UP = 20.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process takes at a moment: memory (bytes), descriptors, threads."""

    pid: int
    age: float
    rss: int
    descriptors: int
    threads: int


class Daemon:
    """``python -m tricorn`` with its workers; ``tls`` and ``plain`` are its ports."""

    def __init__(self, name: str, directory: Path, options: list[str]) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.tls, self.plain = free_port(), free_port()
        self.certificate = directory / f"{name}.crt"
        self.key = directory / f"{name}.key"
        self._certificates: list[tuple[float, bytes]] = []  # since when, digest
        self.rotate()
        self._born: dict[int, float] = {}
        command = [sys.executable, "-m", "tricorn"]
        command += ["--bind", f"{HOST}:{self.tls}", "--insecure-bind", f"{HOST}:{self.plain}"]
        command += ["--certfile", str(self.certificate), "--keyfile", str(self.key)]
        command += [*options, "compliance.soak.app:app"]
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(ROOT), *([inherited] if inherited else [str(ROOT / "src")])])
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.command = " ".join(["tricorn", *command[3:]])

    @property
    def pid(self) -> int:
        """Of the supervisor, or of the one process where there is no supervisor."""
        return self._process.pid

    def rotate(self) -> None:
        """Put a new certificate and key in the place of the old ones."""
        import trustme

        issued = trustme.CA().issue_cert("localhost", HOST)
        for path, pem in (
            (self.key, issued.private_key_pem.bytes()),
            (self.certificate, b"".join(blob.bytes() for blob in issued.cert_chain_pems)),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(pem)
            new.chmod(0o600)
            new.replace(path)
        leaf = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode("ascii"))
        self._certificates.append((time.monotonic(), hashlib.sha256(leaf).digest()))

    def is_current(self, leaf: bytes | None) -> bool:
        """Whether a certificate (DER) was shown that lay there a moment ago, or lies there now."""
        digest = hashlib.sha256(leaf or b"").digest()
        behind = time.monotonic() - PICKED_UP
        newest = len(self._certificates) - 1
        return any(
            digest == found and (at == newest or self._certificates[at + 1][0] >= behind)
            for at, (_, found) in enumerate(self._certificates)
        )

    def wait(self, workers: int) -> None:
        """Wait until it serves.

        :raises ServerError: if it ends or takes too long.
        """
        deadline = time.monotonic() + _START_TIME
        while not self._serves(workers):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{self.name} does not serve\n{tail(self.log)}")
            time.sleep(0.05)  # a foreign process offers nothing else to wait on

    def _serves(self, workers: int) -> bool:
        told = self.log.read_text(encoding="utf-8", errors="replace")
        return ("below supervisor" if workers else "speaks") in told

    def workers(self) -> list[int]:
        """The processes that serve."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        try:
            children = [int(pid) for pid in path.read_text().split()]
        except OSError:
            children = []
        return children or [self.pid]

    def signal(self, number: signal.Signals) -> None:
        """Send one to the supervisor."""
        self._process.send_signal(number)

    def usage(self, pid: int) -> Usage | None:
        """What one process takes; None where it is gone meanwhile."""
        base = Path(f"/proc/{pid}")
        now = time.monotonic()
        try:
            rss = int((base / "statm").read_text().split()[1]) * _PAGE
            descriptors = len(os.listdir(base / "fd"))
            threads = len(os.listdir(base / "task"))
        except (OSError, IndexError):
            return None
        age = now - self._born.setdefault(pid, now)
        return Usage(pid, age, rss, descriptors, threads)

    def stop(self) -> int:
        """End it in good order; its exit code.

        :raises ServerError: if it takes too long; it is killed then.
        """
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_TIME)
        except subprocess.TimeoutExpired:
            raise ServerError(f"{self.name} does not end\n{tail(self.log)}") from None
        finally:
            try:
                os.killpg(self.pid, signal.SIGKILL)  # the session is ours alone
            except ProcessLookupError:
                pass
            self._process.wait(5)
