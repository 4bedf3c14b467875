"""The load generators, and what they say: wrk for HTTP/1.1, h2load for HTTP/2."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import processes

GRACE_SECONDS = 15.0
"""How much longer than asked a generator may run before it is ended."""


PROBE_TURNS = 4
"""Requests of every stream before a server's rate is known."""

INACTIVITY_SECONDS = 5
"""After this time without a byte h2load gives a connection up, its requests failed."""


class LoadError(Exception):
    """A load generator that is missing, failed, hung, or printed something unknown."""


@dataclass(frozen=True)
class Load:
    """What one round of load found.

    `requests_per_second` counts complete responses; `failed` counts requests without one
    and responses outside 2xx; `failure` names them as the generator does. Latencies are
    in seconds, None where the generator does not tell. `busy` is the share of its core the
    generator used: near 1, the figure may be its own limit and not the server's.
    """

    requests_per_second: float
    requests: int
    failed: int
    failure: str
    latency_median: float | None = None
    latency_99: float | None = None
    busy: float | None = None

    def with_busy(self, busy: float) -> Load:
        """The same with the generator's share of its core."""
        return replace(self, busy=busy)

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


def combined(runs: Sequence[Load]) -> Load:
    """Several runs as one: the rate is that of all requests in the time of all runs."""
    seconds = sum(one.requests / one.requests_per_second for one in runs if one.requests)
    requests = sum(one.requests for one in runs)
    shares = [one.busy for one in runs if one.busy is not None]
    return Load(
        requests_per_second=requests / seconds if seconds else 0.0,
        requests=requests,
        failed=sum(one.failed for one in runs),
        failure="; ".join(sorted({one.failure for one in runs if one.failure})),
        busy=sum(shares) / len(shares) if shares else None,
    )


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile of `times`, nearest rank below."""
    ranked = sorted(times)
    return ranked[(len(ranked) - 1) // 2], ranked[int(0.99 * (len(ranked) - 1))]


def parse_h2load_log(text: str) -> list[float]:
    """Seconds of each request in h2load's log file: start, status, microseconds."""
    times = []
    for line in text.splitlines():
        fields = line.split("\t")
        if len(fields) != 3:
            raise LoadError(f"not a line of h2load's log: {line!r}")
        times.append(int(fields[2]) / 1e6)
    return times


def run(command: Sequence[str], seconds: float, core: int | str) -> tuple[str, float]:
    """Run a generator on `core` (or "0,1"); what it printed, and its share of the processor.

    It is ended after `seconds` and `GRACE_SECONDS`. Raises `LoadError`.
    """
    before, began = _children_cpu(), time.monotonic()
    try:
        done = subprocess.run(
            processes.pinned(str(core), command),
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
    return done.stdout, (_children_cpu() - before) / (time.monotonic() - began)


def _children_cpu() -> float:
    """Processor seconds of the children that have ended: here, of the generators."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Wrk:
    """One way to load HTTP/1.1: `connections` kept alive, with one request at a time each.

    `script` is a Lua file for anything but GET; `threads` needs as many cores.
    """

    connections: int = 64
    script: Path | None = None
    threads: int = 1

    def run(self, url: str, seconds: int, core: int | str) -> Load:
        """One round."""
        command = ["wrk", "--latency", "-t", str(self.threads), "-c", str(self.connections)]
        command += ["-d", f"{seconds}s"]
        if self.script is not None:
            command += ["-s", str(self.script)]
        output, busy = run([*command, url], seconds, core)
        return parse_wrk(output).with_busy(busy)


@dataclass(frozen=True)
class H2Load:
    """One way to load HTTP/2: `connections` with `streams` requests at a time on each.

    `body` is a file to POST; `size` in bytes is for bodies so large that the figure is
    wanted in MB/s.
    """

    connections: int
    streams: int
    body: Path | None = None
    size: int | None = None

    def run(
        self, url: str, seconds: int, core: int, rate: float | None, most: int | None = None
    ) -> Load:
        """One round of about `seconds`: as many requests as fit into them at `rate`.

        Without a rate (requests or MB per second) a few requests find it first. h2load could
        run for a time instead, but then it forgets the requests of connections that were
        lost, and reports 0 failed for a server that was killed half-way.

        `most`: the server ends a connection after so many requests. The round is then made
        of several runs, each with connections of its own.
        """
        if self.size is not None:
            return self.count(url, self._bodies(seconds, rate), seconds, core)
        together = self.connections * self.streams
        if rate is None:
            found = self.count(url, PROBE_TURNS * together, seconds, core)
            if found.problem is not None:
                return found
            rate = found.requests_per_second
        requests = max(together, round(rate * seconds / together) * together)
        if most is None or requests <= most * self.connections:
            return self.count(url, requests, seconds, core)
        at_once = most // self.streams * together
        runs = [self.count(url, at_once, seconds, core) for _ in range(round(requests / at_once))]
        return combined(runs)

    def _bodies(self, seconds: int, rate: float | None) -> int:
        assert self.size is not None
        return 1 if rate is None else max(1, round(rate * seconds * 1e6 / self.size))

    def count(self, url: str, requests: int, seconds: int, core: int) -> Load:
        """One round of `requests` requests, expected to take about `seconds`."""
        arguments = ["-n", str(requests), "-N", f"{INACTIVITY_SECONDS}s"]
        # The rate may have been taken in a better moment than this one.
        return self._run(url, arguments, 4 * seconds, core)

    def fixed_rate(self, url: str, rate: float, seconds: int, core: int, log: Path) -> Load:
        """`seconds` at `rate` requests per second; the latencies count from the sending."""
        requests = max(self.connections, round(rate * seconds))
        log.unlink(missing_ok=True)  # h2load appends
        arguments = ["-n", str(requests), "-N", f"{INACTIVITY_SECONDS}s"]
        arguments += [f"--rps={rate / self.connections:.3f}", f"--log-file={log}"]
        found = self._run(url, arguments, 2 * seconds, core)
        times = parse_h2load_log(log.read_text())
        if not times:
            return found
        median, tail = percentiles(times)
        return replace(found, latency_median=median, latency_99=tail)

    def _run(self, url: str, arguments: Sequence[str], seconds: float, core: int) -> Load:
        command = ["h2load", "-t", "1", "-c", str(self.connections), "-m", str(self.streams)]
        if self.body is not None:
            command += ["-d", str(self.body)]
        output, busy = run([*command, *arguments, url], seconds, core)
        found = parse_h2load(output).with_busy(busy)
        if self.size is None:
            return found
        return replace(found, requests_per_second=found.requests_per_second * self.size / 1e6)


def post_script(folder: Path, size: int) -> Path:
    """Write the wrk script of a POST with `size` bytes of body; its path."""
    path = folder / f"post-{size}.lua"
    path.write_text(
        'wrk.method = "POST"\n'
        'wrk.headers["Content-Type"] = "application/octet-stream"\n'
        f'wrk.body = string.rep("x", {size})\n'
    )
    return path
