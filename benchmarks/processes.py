"""Server processes: which core they run on, how much memory they take, how they end.

Reads /proc, so Linux only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

STOP_SECONDS = 5.0
"""Time a server has between SIGTERM and SIGKILL."""

PROC = Path("/proc")


@dataclass(frozen=True)
class Cores:
    """The core servers share, one at a time, and the core the load runs on."""

    server: int
    load: int

    @property
    def apart(self) -> bool:
        """Whether server and load have a core each."""
        return self.server != self.load

    @property
    def both(self) -> str:
        """The two for ``taskset``."""
        return f"{self.server},{self.load}" if self.apart else str(self.server)


def choose_cores() -> Cores:
    """The first two cores this process may use (the same one twice where there is one)."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[0], load=allowed[1] if len(allowed) > 1 else allowed[0])


def pinned(cores: str, command: Sequence[str]) -> list[str]:
    """`command` run on `cores` only, such as "0" or "0,1".

    ``taskset`` replaces itself, so the pid stays the same.
    """
    return ["taskset", "--cpu-list", cores, *command]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None once the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name is in brackets and may hold spaces and brackets of its own.
    return text.rpartition(")")[2].split()


def tree(pid: int) -> list[int]:
    """The process `pid` and all its descendants, parents first; none once it is gone."""
    children: dict[int, list[int]] = {}
    present = set()
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            present.add(int(entry.name))
    found = []
    queue = [pid]
    while queue:
        current = queue.pop(0)
        if current in present:
            found.append(current)
            queue.extend(children.get(current, []))
    return found


def _status_kib(pid: int, name: str) -> int:
    """A memory field of /proc/PID/status in KiB; 0 once the process is gone."""
    try:
        text = (PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def resident(pid: int) -> int:
    """Resident bytes of the process `pid` and its descendants now, added up."""
    return 1024 * sum(_status_kib(process, "VmRSS") for process in tree(pid))


def resident_once(pid: int) -> int:
    """The same with the memory that several of the processes share counted once.

    As far as the kernel tells: what each has for itself, and the most that one of them shares.
    """
    private = shared = 0
    for process in tree(pid):
        parts = _rollup(process)
        private += sum(parts.get(f"Private_{kind}", 0) for kind in ("Clean", "Dirty"))
        shared = max(shared, sum(parts.get(f"Shared_{kind}", 0) for kind in ("Clean", "Dirty")))
    return 1024 * (private + shared)


def _rollup(pid: int) -> dict[str, int]:
    """The KiB of /proc/PID/smaps_rollup by name; empty once the process is gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    found = {}
    for line in lines[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0])
    return found


def peak_resident(pid: int) -> int:
    """Most resident bytes since `reset_peak`, each process at its own peak, added up."""
    return 1024 * sum(_status_kib(process, "VmHWM") for process in tree(pid))


def reset_peak(pid: int) -> None:
    """Begin a new peak (proc_pid_clear_refs(5), value 5)."""
    for process in tree(pid):
        (PROC / str(process) / "clear_refs").write_text("5")


TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_ticks(pid: int) -> int:
    """Clock ticks of processor time the tree of `pid` has used so far."""
    total = 0
    for process in tree(pid):
        if (fields := _stat(process)) is not None:
            total += int(fields[11]) + int(fields[12])
    return total


def settle(pid: int, limit: float = 2.0) -> None:
    """Wait until the tree of `pid` uses (almost) no processor, at most `limit` seconds.

    What a server still does for the round that ended (closing connections, writing to the
    departed) would be paid by the server whose turn is next.
    """
    deadline = time.monotonic() + limit
    before = cpu_ticks(pid)
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = cpu_ticks(pid)
        if now - before <= 1:
            return
        before = now


def start(
    command: Sequence[str], cwd: Path, output: IO[bytes], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `command` with everything it prints going to `output`."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def stop(main: subprocess.Popen[bytes]) -> None:
    """End a server that `start` began, workers included: SIGTERM, and SIGKILL for what stays."""
    try:
        if main.poll() is None:
            main.send_signal(signal.SIGTERM)
            main.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Its session is its own, so this reaches workers that outlived it, and nobody else.
        try:
            os.killpg(main.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        main.wait()
