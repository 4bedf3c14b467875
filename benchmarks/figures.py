"""What a run finds: a cell for each server in each table, and ratios between cells."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BUSY = 0.9
"""A generator that used more of its core than this was perhaps what set the pace; beside a
server that used less of its own it was."""


@dataclass
class Cell:
    """What one server did in one table: a value per round, or why there is none.

    `problem` is a failure: a cell with one has no figure, whatever its other rounds gave.
    `cannot` says that the server has no such feature, which is no failure. `notes` are
    further values by name, one per round (seconds, or shares of one core where the name
    ends in "busy").
    """

    values: list[float] = field(default_factory=list)
    problem: str | None = None
    cannot: str | None = None
    notes: dict[str, list[float]] = field(default_factory=dict)

    @property
    def median(self) -> float | None:
        """The median of the rounds; None where there is no figure."""
        if self.problem is not None or self.cannot is not None or not self.values:
            return None
        return statistics.median(self.values)

    @property
    def running(self) -> bool:
        """Whether there may be more rounds."""
        return self.problem is None and self.cannot is None

    def note(self, name: str, value: float | None) -> None:
        """Keep a further value of this round, if there is one."""
        if value is not None:
            self.notes.setdefault(name, []).append(value)

    def noted(self, name: str) -> float | None:
        """The median of a further value."""
        values = self.notes.get(name)
        return statistics.median(values) if values else None

    @property
    def load_busy(self) -> bool:
        """Whether the load was at its limit: the server may be faster than it could tell."""
        load = self.noted("load busy")
        return load is not None and load > BUSY

    @property
    def load_bound(self) -> bool:
        """Whether the load, not the server, may have set the pace."""
        server = self.noted("server busy")
        return self.load_busy and server is not None and server < BUSY

    @property
    def by_processor(self) -> Cell:
        """What was done in a second of the server's processor, in place of one on the clock."""
        values = [1 / seconds for seconds in self.notes.get("cpu", []) if seconds > 0]
        return Cell(values, self.problem, self.cannot)


@dataclass
class Table:
    """One measured quantity for every server. `unit` is that of the cells' values."""

    name: str
    unit: str
    higher_is_better: bool
    about: str = ""
    cells: dict[str, Cell] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two cells: that of their medians, and the least and greatest of a round."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        if self.least == self.greatest:
            return f"{self.median:.2f} x"
        return f"{self.median:.2f} x (rounds {self.least:.2f} .. {self.greatest:.2f})"


def ratio(of: Cell, to: Cell) -> Ratio | None:
    """`of` over `to`; None if either has no figure.

    The two of a round ran one after the other, so how far the rounds are apart tells how
    far the machine was quiet.
    """
    if of.median is None or not to.median:
        return None
    pairs = [one / other for one, other in zip(of.values, to.values, strict=False) if other > 0]
    if not pairs:
        return None
    return Ratio(of.median / to.median, min(pairs), max(pairs))


def best(table: Table, names: Iterable[str]) -> str | None:
    """Whichever of `names` has the best median; None if none has one."""
    found: Mapping[str, float] = {
        name: cell.median
        for name in names
        if (cell := table.cells.get(name)) is not None and cell.median is not None
    }
    if not found:
        return None
    pick = max if table.higher_is_better else min
    return pick(found, key=lambda name: found[name])
