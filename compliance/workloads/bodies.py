"""Bodies of 1 GB with curl, and how much memory the daemon takes for them (Linux only)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from compliance.workloads.checks import Target, Unmet, curl, expect

SIZE = 1 << 30
"""Bytes of a whole body."""

BOUND = 48 << 20
"""Bytes that the daemon's resident memory may rise above what it was before its first body."""

SLOW_SIZE = 200 << 20
"""Bytes of what is sent to an application that does not read."""


def memory(target: Target, name: str) -> int:
    """Bytes: ``VmRSS`` (resident now) or ``VmHWM`` (its peak)."""
    for line in Path(f"/proc/{target.pid}/status").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise Unmet(f"no {name} of process {target.pid}")


_bases: dict[int, int] = {}
"""By process: bytes that it took before the first body of all, so that what each check leaves
behind adds up."""


class Bounded:
    """Fails if the daemon's peak within the block is more than BOUND above its base."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __enter__(self) -> None:
        # What is imported and made for the first request is no part of a body.
        curl(self.target, "/")
        # 5 sets the peak back to what is resident now (proc(5)).
        Path(f"/proc/{self.target.pid}/clear_refs").write_text("5", encoding="ascii")
        _bases.setdefault(self.target.pid, memory(self.target, "VmRSS"))

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            base = _bases[self.target.pid]
            rise = memory(self.target, "VmHWM") - base
            self.target.figures["MiB above base"] = round(rise / (1 << 20), 1)
            if rise > BOUND:
                raise Unmet(f"{rise / (1 << 20):.1f} MiB above the base of {base >> 20} MiB")


def upload(target: Target, path: str, *options: str, size: int = SIZE) -> None:
    """POST a body; the application answers with how many bytes it has read.

    :param options: of curl, for HTTP/1.1 only.
    """
    if target.is_http2:
        options = ()
    with Bounded(target), tempfile.NamedTemporaryFile(prefix="workloads-") as file:
        # Sparse: it takes no space on the disk.
        file.truncate(size)
        answer = curl(target, path, "--request", "POST", *options, "--upload-file", file.name)
        expect(json.loads(answer), {"size": size}, "answer")


def slow_upload(target: Target, path: str) -> None:
    """POST to an application that reads nothing for a second."""
    upload(target, path, size=SLOW_SIZE)


def download(target: Target, path: str) -> None:
    """GET a body of SIZE bytes."""
    with Bounded(target):
        written = "%{http_version} %{size_download}"
        answer = curl(target, path, "--output", "/dev/null", "--write-out", written)
        version = "2" if target.is_http2 else "1.1"
        expect(answer, f"{version} {SIZE}", "protocol and size")


def slow_download(target: Target, path: str) -> None:
    """GET it at 1 MB a second, and leave after one and a half."""
    with Bounded(target):
        options = ("--output", "/dev/null", "--limit-rate", "1M", "--max-time", "1.5")
        curl(target, path, *options, codes=(28,))
