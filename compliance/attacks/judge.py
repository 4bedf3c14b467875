"""Whether an attack was held off."""

from __future__ import annotations

from dataclasses import dataclass, field

from compliance.attacks.model import Attack, Report
from compliance.attacks.observe import Stats, noise
from compliance.ratchet import Scale

SCALE = Scale(
    ("held", "noisy", "left", "calls", "starved", "answer", "grew", "fault", "stop", "died")
)
"""Outcomes from best to worst; an attack has the worst that applies."""

MOST_GROWTH = 64 * 2**20
"""Bytes a server may grow by."""
MOST_RATIO = 5.0
"""How many times as long as in calm 99 of 100 requests of a neighbour may take; but see
`Attack.delay`."""
SETTLE = 5.0
"""Seconds within which nothing is left of an attack."""


@dataclass(slots=True)
class Measured:
    """What was measured around one attack; times in seconds, sizes in bytes."""

    report: Report = field(default_factory=Report)
    calm: float = 0.0  # p99 of the neighbour
    under_attack: float = 0.0  # the same
    samples: int = 0
    lost: int = 0  # requests of the neighbour's without an answer
    growth: int = 0
    cpu: float = 0.0  # seconds of the server's
    base: Stats | None = None
    after: Stats | None = None
    settle: float = 0.0
    exit_code: int | None = 0
    log: str = ""

    @property
    def calls(self) -> int:
        """Invocations of the application by the attacker."""
        if self.base is None or self.after is None:
            return 0
        return self.after.calls - self.base.calls


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of an attack: every complaint with what was seen."""

    attack: Attack
    measured: Measured
    complaints: dict[str, str]

    @property
    def outcome(self) -> str:
        """The worst that applies."""
        return max(self.complaints, key=SCALE.rank, default="held")


def judge(attack: Attack, got: Measured, *, strict: bool) -> Verdict:
    """Judge one attack.

    :param strict: whether answer, calls, exit code and log count as well, which is asked of
        Tricorn; its peers have words of their own.
    """
    found: dict[str, str] = {}
    base, after = got.base, got.after
    if base is None or after is None:
        found["died"] = "nothing answers any more"
    elif after.pid != base.pid:
        found["died"] = f"worker {base.pid} was replaced by {after.pid}"
    else:
        if left := after.beyond(base):
            found["left"] = f"after {got.settle:.1f} s " + ", ".join(left)
        if after.smuggled:
            found["fault"] = f"{after.smuggled} hidden requests reached the application"
    bar = max(attack.delay, MOST_RATIO * got.calm)
    if got.lost and attack.delay < 1:
        found["starved"] = f"{got.lost} of {got.samples} requests of a neighbour were lost"
    elif got.under_attack > bar:
        found["starved"] = f"p99 {got.under_attack * 1000:.0f} ms, bar {bar * 1000:.0f} ms"
    if got.growth > MOST_GROWTH:
        found["grew"] = f"{got.growth / 2**20:.0f} MiB"
    if got.report.faults:
        found["fault"] = "; ".join(got.report.faults)
    if strict:
        found |= _strict(attack, got)
    return Verdict(attack, got, found)


def _strict(attack: Attack, got: Measured) -> dict[str, str]:
    found: dict[str, str] = {}
    report = got.report
    most = attack.calls * max(1, report.connections)
    if got.calls > most:
        found["calls"] = f"{got.calls}, at most {most}"
    if problem := wrong_answer(attack, report):
        found["answer"] = problem
    if lines := noise(got.log, attack.log):
        found["noisy"] = f"{len(lines)} lines, such as {lines[0][:200]!r}"
    if got.exit_code != 0:
        found["stop"] = f"exit code {got.exit_code} after SIGTERM"
    return found


def wrong_answer(attack: Attack, report: Report) -> str:
    """What is wrong with the server's answers, empty if nothing."""
    answers = ", ".join(f"{count} {word}" for word, count in report.answers.most_common(8))
    answers = answers or "nothing"
    if not report.connections:
        return "no connection was made"
    if not attack.answer:
        return ""
    if not report.right:
        return f"{attack.answer} expected, got {answers}"
    # Those that the attack's own end cut short had no time to be answered.
    ended = report.connections - report.cut_short
    if attack.every and report.right < ended:
        return f"{attack.answer} expected {ended} times, got {answers}"
    return ""
