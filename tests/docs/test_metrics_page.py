"""The reference names what there is to scrape, in the words of the HELP lines."""

from __future__ import annotations

import re

import pytest
from docs_pages import DOCS

from tricorn.counters import LIMITS, METRICS, Metric

PAGE = DOCS / "reference" / "metrics.md"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_its_row(metric: Metric) -> None:
    row = f"| `{metric.name}` | {metric.kind} | {metric.help} |"
    assert row in PAGE.read_text(encoding="utf-8").splitlines()


def test_no_row_is_left_behind() -> None:
    named = re.findall(r"^\| `(tricorn_\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(metric.name for metric in METRICS)


def test_every_limit_is_explained_once() -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = text[text.index("## Bounds") : text.index("## Alerts")]
    named = re.findall(r"`([a-z0-9_]+)`", section)
    assert sorted(name for name in named if name in LIMITS) == sorted(LIMITS)
