"""Who writes next on an HTTP/2 connection.

A scheduler knows stream ids (positive integers) and, for each, whether it is *ready*: it
has frames to write and window to write them in. ``next()`` names one ready stream; the
caller writes one DATA frame of it and asks again. A stream that runs out of data or
window is reported with ``blocked()``, and stays inserted until ``remove()``.

Which of the ready streams it is depends on what the peer speaks: nothing (round robin),
the dependency tree of RFC 7540 section 5.3, or the urgencies of RFC 9218.
`PriorityDispatcher` starts with the first and changes over when the peer shows its hand.

Priorities are advice, and they come from the peer: whatever it sends, memory and work stay
bounded and the one error that comes out is `SelfDependencyError`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from tricorn.protocol.dependency_tree import (
    DEFAULT_WEIGHT,
    DependencyTreeScheduler,
    SelfDependencyError,
)

__all__: Final = [
    "DependencyTreeScheduler",
    "PriorityDispatcher",
    "PriorityUpdateSizeError",
    "RoundRobinScheduler",
    "SelfDependencyError",
    "StreamScheduler",
    "UrgencyScheduler",
    "parse_priority",
    "parse_priority_update",
]

DEFAULT_URGENCY: Final = 3  # RFC 9218 section 4.1
# A priority field that means something has 6 bytes.
MAX_PRIORITY_FIELD: Final = 1024


class PriorityUpdateSizeError(ValueError):
    """A PRIORITY_UPDATE too short for its stream id: FRAME_SIZE_ERROR (RFC 9113 4.2)."""


class StreamScheduler(Protocol):
    """The order in which the streams of one connection write their frames."""

    def insert(self, stream_id: int) -> None:
        """Add a stream, not ready. Adding it twice changes nothing."""

    def remove(self, stream_id: int) -> None:
        """Forget a stream that is closed. Unknown ids are fine."""

    def ready(self, stream_id: int) -> None:
        """The stream could write a frame now. Repeats and unknown ids change nothing."""

    def blocked(self, stream_id: int) -> None:
        """The stream has nothing to write, or no window. Repeats and unknown ids are fine."""

    def next(self) -> int | None:
        """The stream that should write its next DATA frame; None when no stream is ready."""

    @property
    def has_ready(self) -> bool:
        """Whether ``next()`` would name a stream."""

    def streams(self) -> list[int]:
        """The inserted streams, in the order they came."""

    def ready_streams(self) -> list[int]:
        """The ready streams."""

    def __len__(self) -> int:
        """How many streams are inserted."""


class RoundRobinScheduler:
    """Every ready stream in turn: one is served at the latest when all others had one frame."""

    __slots__ = ("_ready", "_streams")

    def __init__(self) -> None:
        self._streams: dict[int, None] = {}
        self._ready: OrderedDict[int, None] = OrderedDict()

    def insert(self, stream_id: int) -> None:
        self._streams[stream_id] = None

    def remove(self, stream_id: int) -> None:
        self._streams.pop(stream_id, None)
        self._ready.pop(stream_id, None)

    def ready(self, stream_id: int) -> None:
        if stream_id in self._streams:
            self._ready[stream_id] = None

    def blocked(self, stream_id: int) -> None:
        self._ready.pop(stream_id, None)

    def next(self) -> int | None:
        for stream_id in self._ready:
            self._ready.move_to_end(stream_id)
            return stream_id
        return None

    @property
    def has_ready(self) -> bool:
        return bool(self._ready)

    def streams(self) -> list[int]:
        return list(self._streams)

    def ready_streams(self) -> list[int]:
        return list(self._ready)

    def __len__(self) -> int:
        return len(self._streams)


class _Level:
    """The ready streams of one urgency."""

    __slots__ = ("incremental", "incremental_turn", "sequential")

    def __init__(self) -> None:
        self.sequential: list[int] = []  # sorted by stream id
        self.incremental: OrderedDict[int, None] = OrderedDict()
        self.incremental_turn = False


class UrgencyScheduler:
    """Urgency 0 to 7, incremental or not (RFC 9218 section 10).

    Lower urgencies go first, strictly. Within one urgency, non-incremental streams are served
    one after the other in the order of their ids, incremental ones in round robin. The RFC
    leaves open how the two kinds mix: here they take turns frame by frame, so the first
    non-incremental stream gets half of the connection and the incremental ones share the
    other half. Neither starves, and adding incremental streams does not slow the others.

    ``pending_limit``: how many priorities are kept for streams that are not inserted yet;
    the oldest is dropped first.
    """

    __slots__ = ("_levels", "_occupied", "_pending", "_pending_limit", "_ready", "_streams",
                 "_updated")  # fmt: skip

    def __init__(self, pending_limit: int = 100) -> None:
        self._levels = tuple(_Level() for _ in range(8))
        self._occupied = 0  # bit n: level n has ready streams
        self._streams: dict[int, tuple[int, bool]] = {}
        self._ready: set[int] = set()
        self._updated: set[int] = set()  # inserted streams whose priority came in an update
        self._pending: OrderedDict[int, tuple[int, bool]] = OrderedDict()
        self._pending_limit = pending_limit

    def insert(self, stream_id: int) -> None:
        if stream_id in self._streams:
            return
        pending = self._pending.pop(stream_id, None)
        if pending is not None:
            self._updated.add(stream_id)
        self._streams[stream_id] = pending or (DEFAULT_URGENCY, False)

    def remove(self, stream_id: int) -> None:
        self.blocked(stream_id)
        self._streams.pop(stream_id, None)
        self._updated.discard(stream_id)

    def prioritize(
        self, stream_id: int, urgency: int, incremental: bool, *, initial: bool = False
    ) -> None:
        """Set the priority of a stream, at once, or when it is inserted.

        ``initial`` marks the request's own Priority field, which does not undo a
        PRIORITY_UPDATE that overtook it (RFC 9218 section 7). An urgency outside 0 to 7
        counts as the default.
        """
        if not 0 <= urgency <= 7:
            urgency = DEFAULT_URGENCY
        if stream_id not in self._streams:
            if not (initial and stream_id in self._pending):
                self._keep_pending(stream_id, (urgency, incremental))
            return
        if initial:
            if stream_id in self._updated:
                return
        else:
            self._updated.add(stream_id)
        if self._streams[stream_id] == (urgency, incremental):
            return
        was_ready = stream_id in self._ready
        self.blocked(stream_id)
        self._streams[stream_id] = (urgency, incremental)
        if was_ready:
            self.ready(stream_id)

    def _keep_pending(self, stream_id: int, priority: tuple[int, bool]) -> None:
        self._pending[stream_id] = priority
        self._pending.move_to_end(stream_id)
        if len(self._pending) > self._pending_limit:
            self._pending.popitem(last=False)

    def ready(self, stream_id: int) -> None:
        if stream_id in self._ready or stream_id not in self._streams:
            return
        self._ready.add(stream_id)
        urgency, incremental = self._streams[stream_id]
        if incremental:
            self._levels[urgency].incremental[stream_id] = None
        else:
            insort(self._levels[urgency].sequential, stream_id)
        self._occupied |= 1 << urgency

    def blocked(self, stream_id: int) -> None:
        if stream_id not in self._ready:
            return
        self._ready.remove(stream_id)
        urgency, incremental = self._streams[stream_id]
        level = self._levels[urgency]
        if incremental:
            del level.incremental[stream_id]
        else:
            del level.sequential[bisect_left(level.sequential, stream_id)]
        if not (level.sequential or level.incremental):
            self._occupied &= ~(1 << urgency)

    def next(self) -> int | None:
        occupied = self._occupied
        if not occupied:
            return None
        level = self._levels[(occupied & -occupied).bit_length() - 1]
        if level.sequential and not (level.incremental_turn and level.incremental):
            level.incremental_turn = True
            return level.sequential[0]
        level.incremental_turn = False
        stream_id = next(iter(level.incremental))
        level.incremental.move_to_end(stream_id)
        return stream_id

    @property
    def has_ready(self) -> bool:
        return self._occupied != 0

    def streams(self) -> list[int]:
        return list(self._streams)

    def ready_streams(self) -> list[int]:
        return [i for level in self._levels for i in (*level.sequential, *level.incremental)]

    def __len__(self) -> int:
        return len(self._streams)


class PriorityDispatcher:
    """The scheduler the peer's behaviour asks for, behind one interface.

    Round robin at first; the dependency tree from the first RFC 7540 signal on; urgencies
    from the first RFC 9218 signal on, for good: RFC 7540 signals are then ignored. A change
    carries over the inserted streams and which of them are ready.

    The methods called for every frame are the present scheduler's own, so they cost no
    second call; do not keep a reference to one across a signal.
    """

    __slots__ = ("_closed_limit", "_scheduler", "blocked", "insert", "next", "ready", "remove")

    blocked: Callable[[int], None]
    insert: Callable[[int], None]
    next: Callable[[], int | None]
    ready: Callable[[int], None]
    remove: Callable[[int], None]

    def __init__(self, closed_limit: int = 100) -> None:
        """``closed_limit``: closed streams the dependency tree may keep (RFC 7540 5.3.4)."""
        self._closed_limit = closed_limit
        self._use(RoundRobinScheduler())

    def _use(self, scheduler: StreamScheduler) -> None:
        self._scheduler = scheduler
        self.blocked = scheduler.blocked
        self.insert = scheduler.insert
        self.next = scheduler.next
        self.ready = scheduler.ready
        self.remove = scheduler.remove

    def _change(self, scheduler: StreamScheduler) -> None:
        for stream_id in self._scheduler.streams():
            scheduler.insert(stream_id)
        for stream_id in self._scheduler.ready_streams():
            scheduler.ready(stream_id)
        self._use(scheduler)

    def reprioritize(
        self,
        stream_id: int,
        depends_on: int = 0,
        weight: int = DEFAULT_WEIGHT,
        exclusive: bool = False,
    ) -> None:
        """An RFC 7540 signal: a PRIORITY frame, or the priority in a HEADERS frame.

        Raises `SelfDependencyError`, also where the signal is ignored.
        """
        if depends_on == stream_id > 0:
            raise SelfDependencyError(f"stream {stream_id} depends on itself")
        if isinstance(self._scheduler, RoundRobinScheduler):
            self._change(DependencyTreeScheduler(self._closed_limit))
        if isinstance(self._scheduler, DependencyTreeScheduler):
            self._scheduler.reprioritize(stream_id, depends_on, weight, exclusive)

    def prioritize(
        self, stream_id: int, urgency: int, incremental: bool, *, initial: bool = False
    ) -> None:
        """An RFC 9218 signal: a Priority field (``initial``) or a PRIORITY_UPDATE frame."""
        self._to_urgency().prioritize(stream_id, urgency, incremental, initial=initial)

    def disable_rfc7540(self) -> None:
        """SETTINGS_NO_RFC7540_PRIORITIES is 1 (RFC 9218 section 2.1)."""
        self._to_urgency()

    def _to_urgency(self) -> UrgencyScheduler:
        if not isinstance(self._scheduler, UrgencyScheduler):
            self._change(scheduler := UrgencyScheduler())
            return scheduler
        return self._scheduler

    @property
    def is_fair(self) -> bool:
        """Whether no priorities have been shown, so that all streams weigh the same."""
        return isinstance(self._scheduler, RoundRobinScheduler)

    @property
    def scheme(self) -> type[StreamScheduler]:
        """The class of the scheduler in use."""
        return type(self._scheduler)

    @property
    def has_ready(self) -> bool:
        return self._scheduler.has_ready

    def streams(self) -> list[int]:
        return self._scheduler.streams()

    def ready_streams(self) -> list[int]:
        return self._scheduler.ready_streams()

    def __len__(self) -> int:
        return len(self._scheduler)


# RFC 8941 section 3. The possessive quantifiers keep the match linear.
_BARE_ITEM: Final = rb"""(?>
    -?+\d{1,12}+\.\d{1,3}+ | -?+\d{1,15}+
  | "(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+"
  | [A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*+
  | :[A-Za-z0-9+/=]*+:
  | \?[01]
)"""
_KEY: Final = rb"[a-z*][a-z0-9_\-.*]*+"
_PARAMETERS: Final = rb"(?:;[ ]*+" + _KEY + rb"(?:=" + _BARE_ITEM + rb")?+)*+"
_ITEM: Final = _BARE_ITEM + _PARAMETERS
_INNER_LIST: Final = rb"\((?:[ ]*+" + _ITEM + rb"(?=[ )]))*+[ ]*+\)" + _PARAMETERS
_MEMBER: Final = re.compile(
    rb"(?P<key>" + _KEY + rb")"
    rb"(?:=(?:" + _INNER_LIST + rb"|(?P<value>" + _BARE_ITEM + rb")" + _PARAMETERS + rb")"
    rb"|(?P<true>" + _PARAMETERS + rb"))"
    rb"(?:[ \t]*+(?:(?P<end>\Z)|,[ \t]*+))",
    re.VERBOSE,
)


def parse_priority(value: bytes) -> tuple[int, bool]:
    """The urgency (0 to 7) and incremental flag of a Priority field value.

    RFC 9218 sections 4 and 5: a dictionary of RFC 8941 of which ``u`` and ``i`` are read.
    A member that is unknown, of the wrong type or out of range is ignored; a value that is
    no dictionary, or longer than `MAX_PRIORITY_FIELD` bytes, is ignored as a whole. What is
    missing is (3, False). Never raises. Several field lines are joined with a comma first.
    """
    if len(value) > MAX_PRIORITY_FIELD:
        return DEFAULT_URGENCY, False
    return _parse_priority(bytes(value))


@lru_cache(maxsize=64)  # a browser sends a handful of different values
def _parse_priority(value: bytes) -> tuple[int, bool]:
    default = urgency, incremental = DEFAULT_URGENCY, False
    value = value.strip(b" ")
    position = 0
    while value:
        member = _MEMBER.match(value, position)
        if member is None:
            return default
        if member["key"] == b"u":
            urgency = _urgency(member["value"])
        elif member["key"] == b"i":
            incremental = member["true"] is not None or member["value"] == b"?1"
        if member["end"] is not None:
            break
        position = member.end()
    return urgency, incremental


def _urgency(item: bytes | None) -> int:
    try:
        urgency = int(item or b"")
    except ValueError:  # a decimal, a string, a list, ...
        return DEFAULT_URGENCY
    return urgency if 0 <= urgency <= 7 else DEFAULT_URGENCY


def parse_priority_update(payload: bytes) -> tuple[int, bytes]:
    """The prioritized stream id and the field value of a PRIORITY_UPDATE frame's payload.

    RFC 9218 section 7.1. Raises `PriorityUpdateSizeError` (a ``ValueError``) for fewer than
    4 bytes and ``ValueError`` for stream 0, a connection error PROTOCOL_ERROR.
    """
    if len(payload) < 4:
        raise PriorityUpdateSizeError(f"PRIORITY_UPDATE of {len(payload)} bytes")
    stream_id = int.from_bytes(payload[:4]) & 0x7FFFFFFF  # the reserved bit is ignored
    if stream_id == 0:
        raise ValueError("PRIORITY_UPDATE for stream 0")
    return stream_id, bytes(payload[4:])
