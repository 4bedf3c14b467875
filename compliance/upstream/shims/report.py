"""Pytest plugin: writes what became of each test to the file ``UPSTREAM_REPORT`` names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

_outcomes: dict[str, dict[str, str]] = {}
_SPACE = re.compile(r"\s+")


def test_id(nodeid: str) -> str:
    """A test id that stays the same from run to run and fits in a JSON line."""
    return nodeid.encode("ascii", "backslashreplace").decode()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note an outcome; a failing teardown makes a passed test a failed one."""
    name = test_id(report.nodeid)
    before = _outcomes.get(name, {}).get("outcome")
    if report.skipped and not hasattr(report, "wasxfail"):
        _outcomes[name] = {"outcome": "skipped", "message": _reason(report)}
    elif report.failed:
        _outcomes[name] = {"outcome": "failed", "message": _message(report)}
    elif report.when == "call" and before != "failed":
        # An expected failure that fails as upstream expects it is neither.
        expected = hasattr(report, "wasxfail") and report.skipped
        _outcomes[name] = {"outcome": "skipped" if expected else "passed", "message": ""}


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be collected is a failure of its own."""
    if report.failed:
        _outcomes[test_id(report.nodeid)] = {"outcome": "failed", "message": _message(report)}


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _message(report: pytest.TestReport | pytest.CollectReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return _SPACE.sub(" ", text)[:300]


def pytest_sessionfinish() -> None:
    """Write the file."""
    path = os.environ.get("UPSTREAM_REPORT")
    if path:
        Path(path).write_text(json.dumps(_outcomes, indent=1), encoding="utf-8")
