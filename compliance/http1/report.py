"""Turn verdicts into text, JSON, and outcomes for the accepted results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from compliance.http1.model import Dribble, Level
from compliance.http1.runner import Verdict
from compliance.ratchet import Scale

SCALE = Scale(("passed", "noted", "failed SHOULD", "failed MUST"))
"""Outcomes from best to worst; ``noted`` is a NOTE row that did not go as recommended."""


def outcome(verdict: Verdict) -> str:
    """The outcome of one case on :data:`SCALE`."""
    if verdict.passed:
        return "passed"
    return "noted" if verdict.case.level is Level.NOTE else f"failed {verdict.case.level.value}"


def outcomes(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Case id to outcome, cases that were skipped left out."""
    return {one.case.id: outcome(one) for one in verdicts if not one.skipped}


def failing(verdicts: Sequence[Verdict], level: Level) -> list[Verdict]:
    """The verdicts of one level that did not pass."""
    return [one for one in verdicts if not one.passed and one.case.level is level]


def sent(verdict: Verdict, limit: int = 240) -> str:
    """The bytes and steps of a case, in one line of at most about ``limit`` characters."""
    parts = []
    for step in verdict.case.send:
        if isinstance(step, bytes):
            parts.append(repr(step)[1:])
        elif isinstance(step, Dribble):
            parts.append(f"{repr(step.data)[1:]} in pieces of {step.size}")
        else:
            parts.append(f"<{type(step).__name__}>")
    text = " + ".join(parts)
    return text if len(text) <= limit else f"{text[: limit - 20]} ... {text[-15:]}"


def explain(verdict: Verdict) -> str:
    """A verdict with what was asked, sent and got."""
    case = verdict.case
    lines = [f"{outcome(verdict):<14} {case.id}: {case.rule} ({case.section})"]
    lines += [f"    {problem}" for problem in verdict.problems]
    lines.append(f"    sent: {sent(verdict)}")
    lines.append(f"    got:  {verdict.got}")
    return "\n".join(lines)


def summary(verdicts: Sequence[Verdict]) -> str:
    """``N passed, M failed`` and what stands behind it."""
    must, should, note = (len(failing(verdicts, level)) for level in Level)
    skipped = sum(one.skipped for one in verdicts)
    passed = len(verdicts) - must - should - note - skipped
    text = f"{passed} passed, {must + should} failed ({must} MUST, {should} SHOULD), {note} noted"
    return f"{text}, {skipped} skipped" if skipped else text


def write_json(path: Path, name: str, verdicts: Sequence[Verdict]) -> None:
    """Write every verdict of a run to ``path``."""
    rows = [
        {
            "id": one.case.id,
            "section": one.case.section,
            "level": one.case.level.value,
            "rule": one.case.rule,
            "outcome": "skipped" if one.skipped else outcome(one),
            "problems": list(one.problems),
            "sent": sent(one),
            "got": one.got,
        }
        for one in verdicts
    ]
    report = {"server": name, "summary": summary(verdicts), "cases": rows}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
