"""The table of cases, a module for each chapter."""

from __future__ import annotations

from compliance.http1.cases import (
    chunks,
    expectation,
    fields,
    framing,
    host,
    lifecycle,
    persistence,
    request_line,
    responses,
    smuggling,
    targets,
    upgrade,
)
from compliance.http1.model import Case

CHAPTERS = (
    request_line,
    targets,
    host,
    fields,
    framing,
    chunks,
    smuggling,
    persistence,
    expectation,
    responses,
    upgrade,
    lifecycle,
)


def all_cases() -> list[Case]:
    """Every case, in the order of the chapters."""
    return [case for chapter in CHAPTERS for case in chapter.cases()]
