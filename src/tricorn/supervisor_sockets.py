"""The listening sockets of a daemon: made once, kept over all its workers.

A socket stays open here as long as its address is configured, whoever comes and goes, so
a connection that waits in its queue waits for the next worker. All workers share the
sockets; with ``reuse_port`` each slot (the place of one worker after the other) has its own
for TCP addresses.
"""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator

from tricorn.config import Bind, Config, parse_bind
from tricorn.exceptions import BindError
from tricorn.io.listener import Address, Listener, addresses, another
from tricorn.records import replace

TYPE_CHECKING = False  # typing itself takes a megabyte
if TYPE_CHECKING:
    from typing import Any, TypeAlias

# An address, and which time it is named: with port 0 it may be several times.
_Key: TypeAlias = tuple[Bind, int]


def _keyed(wanted: list[Address]) -> list[tuple[_Key, Address]]:
    """The addresses with what tells them apart over configurations."""
    counts: Counter[Bind] = Counter()
    keyed = []
    for address in wanted:
        bind = replace(address.served, host=address.served.host.lower())
        keyed.append(((bind, counts[bind]), address))
        counts[bind] += 1
    return keyed


class Sockets:
    """What one configuration listens on. ``slots`` are numbers (int) from 0."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._wanted = _keyed(addresses(config))
        # Of each slot, the sockets of each address; those that are shared are slot 0's.
        self._made: dict[int, dict[_Key, list[Listener]]] = {0: {}}

    @classmethod
    def bind(cls, config: Config, former: Sockets | None = None) -> Sockets:
        """Take over what ``former`` has of the addresses, and bind the others. A Unix socket whose
        path somebody has removed is bound anew.

        ``former`` keeps all it has; one of the two is then told to ``release`` what the other
        does not have.

        :raises BindError: naming the option and the address; what was bound is closed again.
        """
        sockets = cls(config)
        try:
            for key, address in sockets._wanted:
                found = former._made[0].get(key, []) if former is not None else []
                if not found or any(listener.is_lost() for listener in found):
                    found = address.bind(config)
                sockets._made[0][key] = found
        except BaseException:
            sockets.release(former)
            raise
        if former is not None:
            sockets._adopt_slots(former)
        return sockets

    def _adopt_slots(self, former: Sockets) -> None:
        for slot, made in former._made.items():
            if slot:
                kept = {key: found for key, found in made.items() if key in self._made[0]}
                self._made[slot] = kept

    def release(self, other: Sockets | None, *, slot: int | None = None) -> None:
        """Close what ``other`` does not have; with ``slot`` only that slot's own."""
        kept = {id(listener.socket) for listener in other._all()} if other is not None else set()
        for number in list(self._made) if slot is None else [slot]:
            for found in self._made.pop(number, {}).values():
                for listener in found:
                    if id(listener.socket) not in kept:
                        listener.close()

    def keep_slots(self, count: int) -> None:
        """Close the sockets of slots that there are no more, where nobody would accept."""
        if not self._config.reuse_port:
            count = 1  # all have those of the first
        for number in [number for number in self._made if number >= count]:
            self.release(None, slot=number)

    def close(self, other: Sockets | None = None) -> None:
        """Close what ``other`` does not have; ``release`` removes paths of Unix sockets."""
        kept = set(other._all()) if other is not None else set()
        for listener in self._all():
            if listener not in kept:
                listener.socket.close()

    def check_paths(self, other: Sockets | None = None) -> None:
        """See that the paths of Unix sockets that are ours still lead to them.

        :param other: what it has was seen to before.
        :raises BindError: if one does not.
        """
        seen = set(other._all()) if other is not None else set()
        for listener in self._all():
            if listener not in seen:
                listener.check_path()

    def take_access(self, config: Config) -> None:
        """Give the paths of Unix sockets the modes and owners that a configuration asks for.

        :raises TricornError: if one cannot have them.
        """
        for listener in self._all():
            listener.take_access(config)

    def own_paths(self, owned: bool) -> None:
        """Whether it is for us to remove the paths of Unix sockets."""
        for listener in self._all():
            listener.owned = listener.inode is not None and owned

    def _all(self) -> Iterator[Listener]:
        for made in self._made.values():
            for found in made.values():
                yield from found

    def of_slot(self, slot: int) -> list[tuple[Address, Listener]]:
        """The sockets of one worker, in the order of the options.

        :raises BindError: if its own cannot be made.
        """
        own = self._made.setdefault(slot, {})
        result: list[tuple[Address, Listener]] = []
        for key, address in self._wanted:
            first = self._made[0][key]
            if slot and self._config.reuse_port and key[0].kind == "tcp":
                if key not in own:
                    own[key] = _others(address, first)
                first = own[key]
            result += ((address, listener) for listener in first)
        return result

    # To another process

    def dump(self) -> tuple[str, list[int]]:
        """All of it as text, and the descriptors (int) that go with it."""
        rows = [
            {
                "slot": slot,
                "bind": str(key[0]),
                "time": key[1],
                "fd": listener.socket.fileno(),
                "inode": listener.inode,
                "access": listener.access,
            }
            for slot, made in self._made.items()
            for key, found in made.items()
            for listener in found
        ]
        return json.dumps(rows), [row["fd"] for row in rows]  # type: ignore[misc]

    @classmethod
    def restore(cls, text: str, config: Config) -> Sockets:
        """What ``dump`` wrote, in the process that inherited the descriptors.

        The paths of Unix sockets are still the other process' own.
        """
        sockets = cls(config)
        for row in json.loads(text):
            bind = parse_bind(row["bind"])
            inode = tuple(row["inode"]) if row["inode"] else None
            sock = _taken(row["fd"])
            listener = Listener(sock, bind, False, inode)
            listener.access = row.get("access")  # one of before it was kept does not tell
            made = sockets._made.setdefault(row["slot"], {})
            made.setdefault((bind, row["time"]), []).append(listener)
        sockets.own_paths(False)
        return sockets


def _others(address: Address, first: list[Listener]) -> list[Listener]:
    made: list[Listener] = []
    try:
        for listener in first:
            made.append(another(listener))  # noqa: PERF401 (what is made is closed again)
    except OSError as exc:
        for listener in made:
            listener.close()
        wrong = f"{address.option}: cannot bind {address.text!r} once more: {exc.strerror}"
        raise BindError(wrong) from None
    return made


def _taken(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    return sock


def to_worker(sockets: list[tuple[Address, Listener]]) -> tuple[list[dict[str, Any]], list[int]]:
    """Rows for the message that starts a worker, and the descriptors it inherits."""
    rows = [
        {
            "option": address.option,
            "bind": address.text,
            "secure": address.secure,
            "fd": listener.socket.fileno(),
        }
        for address, listener in sockets
    ]
    return rows, [listener.socket.fileno() for _, listener in sockets]


def in_worker(rows: list[dict[str, Any]]) -> list[Listener]:
    """The listeners a worker inherited."""
    listeners = []
    for row in rows:
        listener = Listener(_taken(row["fd"]), parse_bind(row["bind"]), row["secure"])
        listener.option = row["option"]
        listeners.append(listener)
    return listeners
