"""The dependency tree of RFC 7540 section 5.3: one of the orders of `protocol.scheduler`."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Final

# The library exports these without listing them, which strict typing takes for private.
from priority import DeadlockError, PriorityTree  # type: ignore[attr-defined]

DEFAULT_WEIGHT: Final = 16  # RFC 7540 section 5.3.5
# The priority library looks 100 ancestors up for a loop and raises beyond; it also
# recurses once for each level of the tree on every call of next().
MAX_DEPTH: Final = 100
# Noted ancestors that come back with a stream. Browsers build groups of one or two levels;
# without a limit one frame could move every noted stream.
MAX_RESTORED: Final = 8


class SelfDependencyError(ValueError):
    """A stream was made dependent on itself: stream error PROTOCOL_ERROR (RFC 7540 5.3.1)."""


class _Node:
    """One stream of the tree. ``parent`` of the root, stream 0, is the root."""

    __slots__ = ("children", "parent", "stream_id", "weight")

    def __init__(self, stream_id: int, parent: _Node | None) -> None:
        self.stream_id = stream_id
        self.parent = parent or self
        self.weight = DEFAULT_WEIGHT
        self.children: dict[int, _Node] = {}

    def ancestors(self) -> list[_Node]:
        """From the parent up to the root."""
        found = []
        node = self
        while node.parent is not node:
            node = node.parent
            found.append(node)
        return found

    def height(self, without: _Node) -> int:
        """Levels from this node (1 when alone) down, the branch at ``without`` left out."""
        height = 0
        row = [self]
        while row:
            height += 1
            row = [c for node in row for c in node.children.values() if c is not without]
        return height


class DependencyTreeScheduler:
    """Parents before children, siblings by weight.

    A ready stream goes before all that depend on it; one that is blocked, closed or idle
    passes its share on to its dependents. Besides the inserted streams at most
    ``closed_limit`` others are known: closed ones, and idle ones the peer named to group
    streams. The one not named for longest is dropped first. Signals that would make the
    tree deeper than `MAX_DEPTH` are ignored.

    The `priority` library does the scheduling, at a cost that grows with the tree, so a
    stream that is not inserted is in it only while others depend on it; of the rest only
    the place is noted. The shape is kept here as well, because the library (2.0) corrupts
    its tree on a dependency cycle and must never get to see one.
    """

    __slots__ = ("_closed", "_closed_limit", "_nodes", "_open", "_ready", "_root", "_tree")

    def __init__(self, closed_limit: int = 100) -> None:
        # The library's own maximum raises; the bounds kept here make it needless.
        self._tree = PriorityTree(maximum_streams=sys.maxsize)
        self._root = _Node(0, None)
        self._nodes: dict[int, _Node] = {0: self._root}
        self._open: dict[int, None] = {}
        # Parent and weight of those taken out of the tree, None for those in it.
        self._closed: OrderedDict[int, tuple[int, int] | None] = OrderedDict()
        self._closed_limit = closed_limit
        self._ready: dict[int, None] = {}

    @property
    def known(self) -> int:
        """How many streams are inserted or remembered."""
        return len(self._open) + len(self._closed)

    def insert(self, stream_id: int) -> None:
        """Add a stream, not ready, in the place the peer gave it before or the default one."""
        if stream_id in self._open:
            return
        if stream_id in self._closed:
            self._name(stream_id)
            del self._closed[stream_id]
        else:
            self._add(stream_id)
        self._open[stream_id] = None

    def remove(self, stream_id: int) -> None:
        """The stream is closed. Unknown ids are fine."""
        if stream_id not in self._open:
            return
        self.blocked(stream_id)
        del self._open[stream_id]
        self._closed[stream_id] = None
        self._fold(self._nodes[stream_id])
        self._trim()

    def reprioritize(
        self,
        stream_id: int,
        depends_on: int = 0,
        weight: int = DEFAULT_WEIGHT,
        exclusive: bool = False,
    ) -> None:
        """Apply a PRIORITY frame, or the priority in a HEADERS frame.

        ``weight`` is 1 to 256 and clamped to that. Streams not known, the dependent one or
        its parent, are added with default priority (RFC 7540 5.3.1, 5.3.4). Raises
        `SelfDependencyError`, and nothing else.
        """
        if stream_id <= 0:
            return
        if depends_on == stream_id:
            raise SelfDependencyError(f"stream {stream_id} depends on itself")
        depends_on = max(depends_on, 0)
        weight = min(max(weight, 1), 256)
        if stream_id not in self._nodes and not exclusive:
            self._note(stream_id, depends_on, weight)
            return
        parent = self._name(depends_on)
        node = self._name(stream_id)
        left = node.parent
        if left is not parent or node.weight != weight or exclusive:
            self._place(node, parent, weight, exclusive)
        for changed in (node, parent, left):
            self._fold(changed)
        self._trim()

    def ready(self, stream_id: int) -> None:
        """The stream could write a frame now. Repeats and unknown ids change nothing."""
        if stream_id in self._open and stream_id not in self._ready:
            self._ready[stream_id] = None
            self._tree.unblock(stream_id)

    def blocked(self, stream_id: int) -> None:
        """The stream has nothing to write, or no window. Repeats and unknown ids are fine."""
        if stream_id in self._ready:
            del self._ready[stream_id]
            self._tree.block(stream_id)

    def next(self) -> int | None:
        """The stream that should write its next DATA frame; None when no stream is ready."""
        if len(self._ready) < 2:  # the library would walk the tree to find the same
            return next(iter(self._ready), None)
        try:
            return self._tree.next()
        except DeadlockError:
            return None

    @property
    def has_ready(self) -> bool:
        """Whether ``next()`` would name a stream."""
        return bool(self._ready)

    def streams(self) -> list[int]:
        """The inserted streams, in the order they came."""
        return list(self._open)

    def ready_streams(self) -> list[int]:
        """The ready streams, in the order they became so."""
        return list(self._ready)

    def __len__(self) -> int:
        return len(self._open)

    def _name(self, stream_id: int) -> _Node:
        """The node the peer named, in the tree again or for the first time if need be."""
        if stream_id in self._closed:
            self._closed.move_to_end(stream_id)
        added: list[tuple[_Node, int, int]] = []
        missing = stream_id
        while missing not in self._nodes and len(added) < MAX_RESTORED:
            parent_id, weight = self._closed.get(missing) or (0, DEFAULT_WEIGHT)
            self._closed[missing] = None
            added.append((self._add(missing), parent_id, weight))
            missing = parent_id
        for node, parent_id, weight in reversed(added):
            self._restore(node, self._nodes.get(parent_id, self._root), weight)
        return self._nodes[stream_id]

    def _restore(self, node: _Node, parent: _Node, weight: int) -> None:
        if (parent, weight) == (node.parent, node.weight):
            return
        fits = self._depth_after(node, parent, exclusive=False) <= MAX_DEPTH
        if fits and node not in parent.ancestors():  # noted places may refer to each other
            self._link(node, parent, weight, exclusive=False)

    def _add(self, stream_id: int) -> _Node:
        self._tree.insert_stream(stream_id)
        self._tree.block(stream_id)
        node = _Node(stream_id, self._root)
        self._nodes[stream_id] = self._root.children[stream_id] = node
        return node

    def _place(self, node: _Node, parent: _Node, weight: int, exclusive: bool) -> None:
        if self._depth_after(node, parent, exclusive) > MAX_DEPTH:
            self._drop_closed(keep=(node.stream_id, parent.stream_id))
            if self._depth_after(node, parent, exclusive) > MAX_DEPTH:
                return
        if node in parent.ancestors():  # RFC 7540 5.3.3
            self._link(parent, node.parent, parent.weight, exclusive=False)
        self._link(node, parent, weight, exclusive)

    def _depth_after(self, node: _Node, parent: _Node, exclusive: bool) -> int:
        """How deep the deepest stream would be that placing ``node`` moves."""
        above = parent.ancestors()
        # A parent that depends on the node first comes up to where the node is.
        depth = len(node.ancestors()) if node in above else len(above)
        deepest = node.height(without=parent)
        if exclusive:
            for sibling in parent.children.values():
                if sibling is not node:
                    deepest = max(deepest, 1 + sibling.height(without=node))
        return depth + deepest

    def _link(self, node: _Node, parent: _Node, weight: int, exclusive: bool) -> None:
        self._tree.reprioritize(node.stream_id, parent.stream_id, weight, exclusive)
        del node.parent.children[node.stream_id]
        node.parent, node.weight = parent, weight
        if exclusive:
            for child in parent.children.values():
                child.parent = node
            node.children.update(parent.children)
            parent.children.clear()
        parent.children[node.stream_id] = node

    def _fold(self, node: _Node) -> None:
        """Take a stream out of the tree that is not inserted and that no other depends on."""
        while self._closed.get(node.stream_id, ()) is None and not node.children:
            parent = node.parent
            if parent is self._root and node.weight == DEFAULT_WEIGHT:
                del self._closed[node.stream_id]  # an unknown stream would get the same place
            else:
                self._closed[node.stream_id] = (parent.stream_id, node.weight)
            self._drop(node)
            node = parent  # it may have been kept for this one only

    def _note(self, stream_id: int, parent_id: int, weight: int) -> None:
        """Remember the place of a stream that is not in the tree."""
        if parent_id in self._closed:
            self._closed.move_to_end(parent_id)
        self._closed[stream_id] = (parent_id, weight)
        self._closed.move_to_end(stream_id)
        self._trim()

    def _trim(self) -> None:
        while len(self._closed) > self._closed_limit:
            stream_id, _ = self._closed.popitem(last=False)
            if stream_id in self._nodes:
                self._drop(self._nodes[stream_id])

    def _drop_closed(self, keep: tuple[int, int]) -> None:
        for stream_id in [i for i in self._closed if i in self._nodes and i not in keep]:
            del self._closed[stream_id]
            self._drop(self._nodes[stream_id])

    def _drop(self, node: _Node) -> None:
        """Take a node out; its dependents go to its parent (RFC 7540 5.3.4)."""
        self._tree.remove_stream(node.stream_id)
        del self._nodes[node.stream_id], node.parent.children[node.stream_id]
        for child in node.children.values():
            child.parent = node.parent
        node.parent.children.update(node.children)
