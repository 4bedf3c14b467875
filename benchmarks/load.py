"""The load generators, and what they say: wrk for HTTP/1.1, h2load for HTTP/2."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import processes

GRACE_SECONDS = 15.0
"""How much longer than asked a generator may run before it is ended."""


INACTIVITY_SECONDS = 5
"""After this time without a byte h2load gives a connection up, its requests failed."""


class LoadError(Exception):
    """A load generator that is missing, failed, hung, or printed something unknown."""


@dataclass(frozen=True)
class Load:
    """What one round of load found.

    `requests_per_second` counts complete responses; `failed` counts requests without one
    and responses outside 2xx; `failure` names them as the generator does. Latencies are
    in seconds, None where the generator does not tell.
    """

    requests_per_second: float
    requests: int
    failed: int
    failure: str
    latency_median: float | None = None
    latency_99: float | None = None

    @property
    def problem(self) -> str | None:
        """Why the rate must not be used as a figure, or None if it may."""
        if self.failed:
            return f"{self.failed} of {self.requests + self.failed} requests: {self.failure}"
        if not self.requests:
            return "no request was answered"
        return None


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(text: str) -> float:
    """``1.20ms`` in seconds."""
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text)
    if match is None:
        raise LoadError(f"not a time: {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def _field(pattern: str, output: str, generator: str) -> re.Match[str]:
    """The first match of `pattern`; LoadError with the output if there is none."""
    match = re.search(pattern, output, re.MULTILINE)
    if match is None:
        raise LoadError(f"{generator} printed no {pattern!r}:\n{output}")
    return match


def parse_wrk(output: str) -> Load:
    """Read what ``wrk --latency`` prints. Raises `LoadError` if it is not that."""
    rate = float(_field(r"^Requests/sec:\s+([\d.]+)", output, "wrk")[1])
    requests = int(_field(r"^\s*(\d+) requests in ", output, "wrk")[1])
    failures: dict[str, int] = {}
    errors = re.search(r"Socket errors: (.+)$", output, re.MULTILINE)
    if errors is not None:
        for part in errors[1].split(","):
            name, number = part.split()
            failures[f"{name} errors"] = int(number)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if refused is not None:
        failures["responses outside 2xx and 3xx"] = int(refused[1])
    median = re.search(r"^\s+50%\s+(\S+)$", output, re.MULTILINE)
    tail = re.search(r"^\s+99%\s+(\S+)$", output, re.MULTILINE)
    return Load(
        requests_per_second=rate,
        requests=requests,
        failed=sum(failures.values()),
        failure=_describe(failures),
        latency_median=_seconds(median[1]) if median else None,
        latency_99=_seconds(tail[1]) if tail else None,
    )


def parse_h2load(output: str) -> Load:
    """Read what h2load prints. Raises `LoadError` if it is not that, or not HTTP/2."""
    rate = float(_field(r"^finished in [^,]+, ([\d.]+) req/s", output, "h2load")[1])
    counts = _field(
        r"^requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, "
        r"(\d+) failed, (\d+) errored, (\d+) timeout",
        output,
        "h2load",
    )
    codes = _field(r"^status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output, "h2load")
    succeeded, failed, errored, late = (int(number) for number in counts.groups())
    refused = sum(int(number) for number in codes.groups())
    if succeeded:
        protocol = _field(r"^Application protocol: (\S+)", output, "h2load")[1]
        if protocol not in ("h2", "h2c"):
            raise LoadError(f"h2load spoke {protocol}, not HTTP/2")
    failures = {
        "failed": failed,
        "errored": errored,
        "timed out": late,
        "responses outside 2xx": refused,
    }
    return Load(
        requests_per_second=rate,
        requests=succeeded,
        # h2load counts errored and timed out requests, and those answered 4xx or 5xx,
        # among the failed ones as well; those answered 3xx it calls succeeded.
        failed=max(failed, errored, late, refused),
        failure=_describe(failures),
    )


def _describe(failures: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in failures.items() if number)


def missing(generator: str) -> str | None:
    """Why `generator` cannot be used, or None if it can."""
    return None if shutil.which(generator) else f"{generator} is not on the path"


def _run(command: Sequence[str], seconds: float) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + GRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadError(
            f"still running {seconds + GRACE_SECONDS:.0f} s after its start: {command}"
        ) from error
    if done.returncode != 0:
        raise LoadError(f"exit status {done.returncode} of {command}:\n{done.stdout}")
    return done.stdout


def run_wrk(
    url: str, *, connections: int, seconds: int, core: int, script: Path | None = None
) -> Load:
    """One round of HTTP/1.1: `connections` kept alive, each with one request at a time."""
    command = ["wrk", "--latency", "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
    if script is not None:
        command += ["-s", str(script)]
    return parse_wrk(_run(processes.pinned(core, [*command, url]), seconds))


def run_h2load(
    url: str, *, connections: int, streams: int, seconds: int, core: int, rate: float | None
) -> Load:
    """One round of HTTP/2: `connections` with `streams` requests at a time on each.

    With a `rate` (requests per second) it is asked for as many requests as fit into
    `seconds` at that rate. Without one it runs for `seconds`, which is good for finding the
    rate and no more: timed, h2load forgets the requests of connections that were lost and
    reports 0 failed for a server that was killed half-way.
    """
    command = ["h2load", "-t", "1", "-c", str(connections), "-m", str(streams)]
    if rate is None:
        command += ["-D", str(seconds)]
    else:
        turns = max(1, round(rate * seconds / (connections * streams)))
        command += ["-n", str(turns * connections * streams)]
        command += ["-N", f"{INACTIVITY_SECONDS}s"]
    # The rate may have been taken in a better moment than this one.
    return parse_h2load(_run(processes.pinned(core, [*command, url]), 4 * seconds))


def post_script(folder: Path, size: int) -> Path:
    """Write the wrk script of a POST with `size` bytes of body; its path."""
    path = folder / f"post-{size}.lua"
    path.write_text(
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/octet-stream"\n'
        f'wrk.body = string.rep("x", {size})\n'
    )
    return path
