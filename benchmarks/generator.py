"""The load that neither wrk nor h2load makes: a small C program, compiled at its first use.

A client in Python would be slower than the servers it is to measure. The sources are in
``generator/``; the program goes to a temporary folder and is gone when the command ends.
"""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from .load import Load, LoadError, run

SOURCES = Path(__file__).resolve().parent / "generator"
COMPILE_SECONDS = 60.0


def missing() -> str | None:
    """Why the program cannot be had, or None if it can be tried."""
    return None if shutil.which("cc") else "there is no C compiler (cc) on the path"


@cache
def program() -> Path:
    """The compiled program. Raises `LoadError` with what the compiler said."""
    problem = missing()
    if problem is not None:
        raise LoadError(problem)
    folder = Path(tempfile.mkdtemp(prefix="tricorn-benchmarks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / "load"
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    said = ""
    for tls in (["-DWITH_TLS", "-lssl", "-lcrypto"], []):  # without OpenSSL's headers: no TLS
        command = ["cc", "-O2", "-o", str(target), *sources, *tls]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
        )
        if done.returncode == 0:
            return target
        said = said or done.stderr
    raise LoadError(f"the load generator does not compile:\n{said}")


def parse(output: str, *, scale: float = 1.0) -> Load:
    """Read what the program prints; `scale` units are done with each thing done.

    Raises `LoadError` if it is not that.
    """
    try:
        found = json.loads(output)
        done, failed, seconds = int(found["done"]), int(found["failed"]), float(found["seconds"])
        why, median, tail = str(found["why"]), float(found["p50"]), float(found["p99"])
    except (ValueError, KeyError, TypeError) as error:
        raise LoadError(f"the load generator printed {output!r}") from error
    return Load(
        requests_per_second=scale * done / seconds if seconds else 0.0,
        requests=done,
        failed=failed,
        failure=why,
        latency_median=median or None,
        latency_99=tail or None,
    )


def websocket(
    port: int, *, connections: int, depth: int, size: int, seconds: int, core: int
) -> Load:
    """Messages of `size` bytes echoed, `depth` on their way at a time on each connection."""
    return _run(port, seconds, core, "ws", connections, depth, size)


def fixed_rate(port: int, *, connections: int, rate: int, seconds: int, core: int) -> Load:
    """GET at `rate` requests per second. The latencies count from when each was due."""
    return _run(port, seconds, core, "rate", connections, rate)


def handshakes(port: int, *, connections: int, seconds: int, core: int) -> Load:
    """TLS connections, each with a whole handshake and one GET."""
    return _run(port, seconds, core, "tls", connections)


def bodies(port: int, *, upload: bool, size: int, seconds: int, core: int) -> Load:
    """Bodies of `size` bytes, one after the other; the rate is in MB/s. At least one."""
    return _run(port, seconds, core, "upload" if upload else "download", size, scale=size / 1e6)


def _run(port: int, seconds: int, core: int, kind: str, *numbers: int, scale: float = 1.0) -> Load:
    command = [str(program()), kind, str(port), str(seconds), *map(str, numbers)]
    output, busy = run(command, 2.0 * seconds, core)
    found = parse(output, scale=scale)
    return found.with_busy(busy)
