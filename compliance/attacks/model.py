"""What an attack is, and what it reports."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Options = Mapping[str, str | int | float]


@dataclass(slots=True)
class Report:
    """What an attacker did and saw.

    ``answers`` counts the server's words, each once a connection, such as
    ``GOAWAY ENHANCE_YOUR_CALM``, ``408`` or ``close 1009``; ``closed`` and ``open`` tell how
    connections ended.
    """

    connections: int = 0
    right: int = 0  # connections that got the answer that is due
    cut_short: int = 0  # connections that the attack's own end cut
    sent: int = 0  # bytes
    received: int = 0  # bytes
    answers: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """What the attacker itself saw go wrong, such as a request that got through."""


@dataclass(slots=True)
class Stage:
    """Where an attack takes place.

    :param seconds: how long it lasts; it stops by itself.
    """

    host: str
    port: int
    seconds: float
    answer: str = ""
    """Regular expression of the answer that is due."""
    report: Report = field(default_factory=Report)

    def tell(self, words: Iterable[str]) -> None:
        """File what one connection heard."""
        heard = set(words)
        self.report.answers.update(heard)
        self.report.right += any(re.fullmatch(self.answer, word) for word in heard)


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack with what it must not achieve."""

    name: str
    group: str
    """``HTTP/2``, ``HTTP/1.1``, ``WebSocket``, ``TLS`` or ``Connections``."""
    run: Callable[[Stage], None]
    what: str
    """What the attacker does, for the table."""
    bounds: tuple[str, ...]
    """The options that bound it; a name in parentheses is a bound without an option."""
    source: str
    """A CVE or the section that tells of it."""
    answer: str
    """Regular expression: some answer must match; empty where none is due."""
    every: bool
    """Whether every one of its connections must end with such an answer."""
    calls: int
    """Most invocations of the application by one of its connections."""
    options: Options
    """What the daemon is run with, beside the defaults."""
    tls: bool
    descriptors: int | None
    """Limit on the daemon's descriptors."""
    log: tuple[str, ...]
    """Regular expressions of log lines above INFO that are due, each at most once."""
    delay: float
    """Seconds within which 99 of 100 requests of a neighbour are to be answered in any case."""
    subset: bool
    """Whether it is run on every worker class in CI."""
    seconds: float
    """Least time it needs."""


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str,
    group: str,
    what: str,
    *,
    bounds: tuple[str, ...],
    source: str,
    answer: str = "",
    every: bool = False,
    calls: int = 0,
    options: Options | None = None,
    tls: bool = False,
    descriptors: int | None = None,
    log: tuple[str, ...] = (),
    delay: float = 0.1,
    subset: bool = False,
    seconds: float = 0.0,
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Register a function as an attack; the arguments are the fields of `Attack`."""

    def register(function: Callable[[Stage], None]) -> Callable[[Stage], None]:
        ATTACKS[name] = Attack(
            name,
            group,
            function,
            what,
            bounds,
            source,
            answer,
            every,
            calls,
            options or {},
            tls,
            descriptors,
            log,
            delay,
            subset,
            seconds,
        )
        return function

    return register
