"""Runs attacks: a daemon each, a neighbour beside it, an attacker on top."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compliance.attacks import neighbour, observe
from compliance.attacks.judge import SETTLE, Measured, Verdict, judge
from compliance.attacks.launch import HTTP2_SERVERS, Daemon
from compliance.attacks.model import Attack, Report, Stage
from compliance.attacks.neighbour import Samples
from compliance.servers import make_certificate

SECONDS = 2.0
"""Length of an attack, where it needs no more."""
ATTEMPTS = 3
"""Runs of an attack whose only fault is a slow neighbour: the machine may be at fault."""
_CALM = 0.5
_LEAD = 0.15
_OVERRUN = 15.0
_NICENESS = 10
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run.

    :param seconds: how long each attack lasts at least.
    """

    server: str
    worker_class: str
    attacks: Sequence[Attack]
    seconds: float = SECONDS
    attempts: int = ATTEMPTS
    progress: Callable[[str], None] = print
    logs: Path | None = None  # where logs of servers that did not hold are kept


def cores() -> tuple[int | None, int | None]:
    """A core for the server and one for its peers; None where there is only one."""
    have = sorted(os.sched_getaffinity(0))
    return (have[0], have[1]) if len(have) > 1 else (None, None)


def applies(server: str, attack: Attack) -> bool:
    """Whether the server speaks what is attacked, as it is by default."""
    needs_http2 = attack.name.startswith(("h2-", "ws-over-h2"))
    return server in HTTP2_SERVERS or not needs_http2


def run(plan: Plan) -> list[Verdict]:
    """Run the attacks one after the other; raises ServerError where the server does not start."""
    verdicts: list[Verdict] = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        made = Arena(plan, Path(name))
        stack.callback(made.close)
        for attack, following in itertools.zip_longest(plan.attacks, plan.attacks[1:]):
            verdict = made.verdict(attack, following)
            for _ in range(plan.attempts - 1):
                if set(verdict.complaints) != {"starved"}:
                    break
                verdict = made.verdict(attack, following)
            plan.progress(line(verdict))
            verdicts.append(verdict)
    return verdicts


def line(verdict: Verdict) -> str:
    """A verdict in one line, and each complaint in another."""
    got = verdict.measured
    text = (
        f"{verdict.outcome:<8} {verdict.attack.name:<28} p99 {got.calm * 1000:5.1f} -> "
        f"{got.under_attack * 1000:6.1f} ms, {got.growth / 2**20:5.1f} MiB, {got.calls:6d} calls, "
        f"{got.report.connections:4d} conns, {got.report.sent / 2**20:6.1f} MiB sent, "
        f"cpu {got.cpu:4.1f} s, settled {got.settle:4.1f} s"
    )
    return "\n".join([text, *(f"    {kind}: {why}" for kind, why in verdict.complaints.items())])


class Arena:
    """Daemons for attacks; the next one starts while the one before is looked at."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self._plan = plan
        self._directory = directory
        self._certificate = make_certificate(directory)
        self._protocols = ["http/1.1", "h2"] if plan.server in HTTP2_SERVERS else ["http/1.1"]
        self._affinity = os.sched_getaffinity(0)
        self._server_core, peer_core = cores()
        if peer_core is not None:
            os.sched_setaffinity(0, {peer_core})
        self._running: list[Daemon] = []
        self._prepared: dict[str, Daemon] = {}

    def close(self) -> None:
        """End what still runs, and leave this process as it was."""
        os.sched_setaffinity(0, self._affinity)
        for daemon in self._running:
            daemon.stop()

    def _started(self, attack: Attack) -> Daemon:
        """A daemon for an attack, on its way."""
        daemon = Daemon(
            self._plan.server,
            self._plan.worker_class,
            self._directory,
            certificate=self._certificate if attack.tls else None,
            options=attack.options,
            descriptors=attack.descriptors,
            core=self._server_core,
        )
        self._running.append(daemon)
        return daemon

    def verdict(self, attack: Attack, following: Attack | None = None) -> Verdict:
        """Attack a daemon and judge it.

        :param following: the attack that is next, whose daemon is started in good time.
        """
        daemon = self._prepared.pop(attack.name, None) or self._started(attack)
        daemon.ready()
        try:
            got = self._measure(attack, daemon, following)
        finally:
            self._running.remove(daemon)
            exit_code = daemon.stop()
        got.exit_code, got.log = exit_code, daemon.text()
        verdict = judge(attack, got, strict=self._plan.server == "tricorn")
        if verdict.complaints and self._plan.logs is not None:
            self._plan.logs.mkdir(parents=True, exist_ok=True)
            (self._plan.logs / f"{attack.name}.log").write_text(got.log, encoding="utf-8")
        return verdict

    def _measure(self, attack: Attack, daemon: Daemon, following: Attack | None) -> Measured:
        host, port, tls = daemon.host, daemon.port, daemon.tls
        pid = daemon.process.pid
        with self._neighbour(daemon) as calm:
            time.sleep(_LEAD + _CALM)
        base = observe.steady(host, port, tls=tls, within=2.0)
        if base is None:
            return Measured()
        observe.forget_peak(pid)
        before, cpu = observe.memory(pid, peak=False), observe.cpu_time(pid)
        seconds = max(self._plan.seconds, attack.seconds)
        with self._neighbour(daemon) as busy:
            time.sleep(_LEAD)
            begun = time.monotonic()
            report = _attacked(attack, Stage(host, port, seconds, attack.answer))
            ended = time.monotonic()
        peak = observe.memory(pid, peak=True)
        if following is not None and following.name not in self._prepared:
            self._prepared[following.name] = self._started(following)
        after, settle = observe.settled(host, port, base, tls=tls, within=SETTLE)
        under_attack = busy.samples().between(begun, ended)
        quiet = calm.samples()
        return Measured(
            report=report,
            # The first ones pay for imports and connections.
            calm=Samples(quiet.samples[len(quiet.samples) // 5 :]).percentile(0.99),
            under_attack=under_attack.percentile(0.99),
            samples=len(under_attack.samples),
            lost=under_attack.lost,
            growth=max(0, peak - before),
            cpu=observe.cpu_time(pid) - cpu,
            base=base,
            after=after,
            settle=settle,
        )

    @contextlib.contextmanager
    def _neighbour(self, daemon: Daemon) -> Iterator[_Neighbour]:
        """A neighbour that lives as long as the block."""
        made = _Neighbour(daemon, self._protocols)
        try:
            yield made
        finally:
            made.stop()


class _Neighbour:
    """A process that measures until it is told to stop."""

    def __init__(self, daemon: Daemon, protocols: Sequence[str]) -> None:
        self._ours, theirs = _FORK.Pipe()
        arguments = (theirs, daemon.host, daemon.port, protocols, daemon.tls)
        self._process = _FORK.Process(target=_neighbour_process, args=arguments)
        self._process.start()
        theirs.close()
        self._samples = Samples()

    def stop(self) -> None:
        """Have it hand over what it measured."""
        with contextlib.suppress(OSError, EOFError):
            self._ours.send(None)
            if self._ours.poll(_OVERRUN):
                self._samples = self._ours.recv()
        _end(self._process)
        self._ours.close()

    def samples(self) -> Samples:
        """What it measured; once it is stopped."""
        return self._samples


def _neighbour_process(
    pipe: multiprocessing.connection.Connection,
    host: str,
    port: int,
    protocols: Sequence[str],
    tls: bool,
) -> None:
    stop = threading.Event()

    def listen() -> None:
        with contextlib.suppress(EOFError):
            pipe.recv()
        stop.set()

    threading.Thread(target=listen, daemon=True).start()
    pipe.send(neighbour.measure(host, port, protocols, tls=tls, stop=stop))


def _attacked(attack: Attack, stage: Stage) -> Report:
    """Run an attack in a process of its own; what it reports."""
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=_attacker_process, args=(theirs, attack, stage))
    process.start()
    theirs.close()
    report = Report(faults=["the attacker gave no report"])
    with contextlib.suppress(EOFError):
        if ours.poll(stage.seconds + _OVERRUN):
            report = ours.recv()
    _end(process)
    ours.close()
    return report


def _attacker_process(
    pipe: multiprocessing.connection.Connection, attack: Attack, stage: Stage
) -> None:
    os.nice(_NICENESS)
    try:
        attack.run(stage)
    except Exception:
        stage.report.faults.append("the attacker failed: " + traceback.format_exc()[-500:])
    pipe.send(stage.report)


def _end(process: multiprocessing.process.BaseProcess) -> None:
    process.join(5.0)
    if process.is_alive():
        process.kill()
        process.join()
