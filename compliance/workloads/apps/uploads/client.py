"""1 GB each way with curl, and how much memory the daemon took for it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from compliance.workloads.checks import Suite, Target, Unmet, expect

SIZE = 1 << 30
BOUND = 48 << 20
"""Bytes that the daemon's resident memory may rise above what it was before."""

LIMIT = 60
"""Seconds for one transfer."""

suite = Suite("http/1.1", "h2c", "h2")


def curl(target: Target, path: str, *options: str, codes: tuple[int, ...] = (0,)) -> str:
    """What curl wrote, or Unmet where its exit code is another."""
    command = ["curl", "--silent", "--show-error", "--fail", "--cacert", str(target.authority)]
    command += {
        "http/1.1": ["--http1.1"],
        "h2c": ["--http2-prior-knowledge"],
        "h2": ["--http2"],
    }[target.protocol]
    command += ["--max-time", str(LIMIT), *options, target.url(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT + 5, check=False)
    if done.returncode not in codes:
        raise Unmet(f"curl: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def memory(target: Target, name: str) -> int:
    """Bytes: ``VmRSS`` (resident now) or ``VmHWM`` (its peak)."""
    for line in Path(f"/proc/{target.pid}/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise Unmet(f"no {name} of process {target.pid}")


class Bounded:
    """Fails if the daemon's peak within the block is more than BOUND above its start."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __enter__(self) -> None:
        # What is imported and made for the first request is no part of a body.
        curl(self.target, "/")
        # 5 sets the peak back to what is resident now (proc(5)).
        Path(f"/proc/{self.target.pid}/clear_refs").write_text("5", encoding="ascii")
        self.base = memory(self.target, "VmRSS")

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            rise = memory(self.target, "VmHWM") - self.base
            self.target.figures["MiB above base"] = round(rise / (1 << 20), 1)
            if rise > BOUND:
                raise Unmet(f"{rise / (1 << 20):.1f} MiB above the base of {self.base >> 20} MiB")


def upload(target: Target, path: str, *options: str, size: int = SIZE) -> None:
    if target.is_http2:
        options = ()
    with Bounded(target), tempfile.NamedTemporaryFile(prefix="workloads-") as file:
        file.truncate(size)
        answer = curl(target, path, "--request", "POST", *options, "--upload-file", file.name)
        expect(json.loads(answer), {"size": size}, "answer")


def download(target: Target, path: str) -> None:
    with Bounded(target):
        written = "%{http_version} %{size_download}"
        answer = curl(target, path, "--output", "/dev/null", "--write-out", written)
        version = "2" if target.is_http2 else "1.1"
        expect(answer, f"{version} {SIZE}", "protocol and size")


@suite.check()
def upload_starlette(target: Target) -> None:
    upload(target, "/upload")


@suite.check("http/1.1", "h2")
def upload_raw(target: Target) -> None:
    """Over HTTP/1.1 without a known length."""
    upload(target, "/raw/", "--header", "Transfer-Encoding: chunked")


@suite.check()
def download_starlette(target: Target) -> None:
    download(target, "/download")


@suite.check()
def download_raw(target: Target) -> None:
    download(target, "/raw/")


@suite.check()
def download_file(target: Target) -> None:
    """Starlette's FileResponse, which uses http.response.pathsend."""
    download(target, "/file")


@suite.check()
def slow_application(target: Target) -> None:
    """Nothing is read for a second: what the client sends meanwhile is not held."""
    upload(target, "/slow", size=200 << 20)


@suite.check()
def slow_client(target: Target) -> None:
    """A client that takes 1 MB a second, and leaves: what is sent to it is not held."""
    with Bounded(target):
        options = ("--output", "/dev/null", "--limit-rate", "1M", "--max-time", "1.5")
        curl(target, "/raw/", *options, codes=(28,))


if __name__ == "__main__":
    raise SystemExit(suite.main())
