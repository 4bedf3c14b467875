"""What a case is: the bytes to send, the rule behind them, and what may come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

After = Literal["open", "closed", "sane", "any"]
"""State of the connection once the expected responses are in.

``open``: a further request on it is answered. ``closed``: the server ends it by itself.
``sane``: either, but no stray bytes and no wrong answer. ``any``: not looked at.
"""


class Level(Enum):
    """How binding the rule is, in the words of RFC 2119; a ``NOTE`` never fails a run."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    NOTE = "NOTE"


@dataclass(frozen=True, slots=True)
class Quote:
    """One sentence of a specification and where it stands, such as ``RFC 9112 3.2``."""

    section: str
    text: str


class HalfClose:
    """Step: shut down the sending side; not possible over TLS, where the case is skipped."""


class Abort:
    """Step: drop the connection with a reset, as a client that dies does."""


@dataclass(frozen=True, slots=True)
class AwaitReplies:
    """Step: wait until ``count`` responses, interim ones included, have arrived."""

    count: int


@dataclass(frozen=True, slots=True)
class Dribble:
    """Step: send ``data`` in pieces of ``size`` bytes, each its own write."""

    data: bytes
    size: int = 1


Step = bytes | HalfClose | Abort | AwaitReplies | Dribble

HALF_CLOSE = HalfClose()
ABORT = Abort()


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any of these values satisfies the expectation."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """What may come back.

    ``statuses``: for each final response, in order, the codes allowed.
    ``silence_ok``: no response at all is allowed, whether the server closes or waits.
    ``after_ok`` / ``after_error``: the connection after a final response below 400 / from 400 on.
    ``seen``: what the app reported of a request, one mapping for each response, compared only
    where the response is a 200. Keys are those of the echo plus ``header:NAME``, a list of values.
    ``fields``: for the first final response, NAME to a regular expression that its value must
    match in full, or ``None`` if it must be absent; ``426/NAME`` asks only where the status is 426.
    ``status_line`` is such an expression too.
    ``interim``: the interim statuses, exactly; ``None`` where they do not matter.
    ``head``: indexes of the responses that answer HEAD. ``tail``: what must follow a 101.
    ``framing``: how the first final response's body must be delimited.
    ``complete``: whether the first final response must arrive whole (or, if false, must not).
    ``body``: expected content of the first final response where it is a 200.
    ``smuggled``: the request hidden in the bytes must never reach the app.
    ``alive``: the server must answer a new connection afterwards.
    ``binary_ok``: bytes that are not HTTP/1.1 are allowed (the server spoke another protocol).
    """

    statuses: tuple[frozenset[int], ...]
    silence_ok: bool = False
    after_ok: After = "any"
    after_error: After = "any"
    seen: tuple[Mapping[str, object], ...] = ()
    fields: Mapping[str, str | None] = field(default_factory=dict)
    status_line: str | None = None
    interim: tuple[int, ...] | None = None
    head: tuple[int, ...] = ()
    tail: bytes | None = None
    framing: frozenset[str] | None = None
    complete: bool | None = True
    body: bytes | None = None
    smuggled: bool = False
    alive: bool = False
    binary_ok: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table. ``id`` names it for ever: results are filed under it."""

    id: str
    level: Level
    quote: Quote
    rule: str
    send: tuple[Step, ...]
    expect: Expect

    @property
    def section(self) -> str:
        return self.quote.section
