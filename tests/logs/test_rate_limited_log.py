"""RateLimitedLog: one line an interval and key, nothing forgotten, bounded."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tricorn.logs import RateLimitedLog


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("test.rate")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def limited(lines: Lines) -> RateLimitedLog:
    return RateLimitedLog(logging.getLogger("test.rate"), 10.0, max_keys=3)


def test_the_first_is_told_at_once_and_the_rest_counted(
    limited: RateLimitedLog, lines: Lines
) -> None:
    for now in (0.0, 1.0, 2.0, 9.9):
        limited.log(logging.INFO, "flood", now, "peer %s floods", "a")
    limited.log(logging.INFO, "other", 3.0, "other 100%")
    limited.log(logging.INFO, "flood", 10.0, "peer %s floods", "b")
    limited.log(logging.INFO, "flood", 20.0, "peer %s floods", "c")
    assert lines.seen == [
        "peer a floods",
        "other 100%",
        "peer b floods (3 more like this suppressed)",
        "peer c floods",
    ]


def test_flush_reports_what_is_outstanding_once(limited: RateLimitedLog, lines: Lines) -> None:
    for now in (0.0, 1.0, 2.0):
        limited.log(logging.INFO, "flood", now, "100%")
    limited.flush(3.0, due_only=True)
    assert lines.seen == ["100%"]
    limited.flush(3.0)
    limited.flush(3.0)
    assert lines.seen == ["100%", "100% (2 more like this suppressed)"]
    limited.log(logging.INFO, "flood", 4.0, "100%")
    assert len(lines.seen) == 2
    limited.flush(13.0, due_only=True)
    assert lines.seen[2:] == ["100% (1 more like this suppressed)"]


def test_keys_are_bounded_and_the_one_pushed_out_tells_its_count(
    limited: RateLimitedLog, lines: Lines
) -> None:
    for key in "abab":
        limited.log(logging.INFO, key, 0.0, key)
    for key in "cd":
        limited.log(logging.INFO, key, 1.0, key)
    assert lines.seen == ["a", "b", "c", "a (1 more like this suppressed)", "d"]
    assert len(limited._keys) == 3


def test_a_level_that_is_off_costs_no_key(limited: RateLimitedLog, lines: Lines) -> None:
    limited.log(logging.DEBUG, "quiet", 0.0, "quiet")
    assert not limited._keys
    assert not lines.seen
