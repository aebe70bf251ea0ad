"""A radix tree over integer keys: which values share how long a prefix with a key."""

from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = NDArray[np.int32]
T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("children", "edge", "values")

    def __init__(self, edge: Key) -> None:
        self.edge = edge
        self.children: dict[int, _Node[T]] = {}
        self.values: list[T] = []

    def split(self, at: int) -> "_Node[T]":
        """Cut the edge after `at` tokens; returns the upper part, whose only child this becomes."""
        upper: _Node[T] = _Node(self.edge[:at])
        self.edge = self.edge[at:]
        upper.children[int(self.edge[0])] = self
        return upper

    def below(self) -> Iterator[T]:
        """Values that end here or further down."""
        nodes = [self]
        while nodes:
            node = nodes.pop()
            yield from node.values
            nodes.extend(node.children.values())


class RadixTree(Generic[T]):
    """Values by key; several values may have one key."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node(np.zeros(0, np.int32))

    def __iter__(self) -> Iterator[T]:
        return self._root.below()

    def insert(self, key: Key, value: T) -> None:
        """Add a value."""
        node = self._root
        while key.size:
            child = node.children.get(int(key[0]))
            if child is None:
                child = node.children[int(key[0])] = _Node(key)
            common = _common(child.edge, key)
            if common < child.edge.size:
                child = node.children[int(key[0])] = child.split(common)
            node, key = child, key[common:]
        node.values.append(value)

    def remove(self, key: Key, value: T) -> None:
        """Take a value out; raises ValueError when it is not there."""
        path = [self._root]
        while key.size:
            child = path[-1].children.get(int(key[0]))
            if child is None or _common(child.edge, key) < child.edge.size:
                raise ValueError("no such key")
            path.append(child)
            key = key[child.edge.size :]
        path[-1].values.remove(value)
        _prune(path)

    def matches(self, key: Key) -> Iterator[tuple[int, Iterator[T]]]:
        """Yield (length, values that share exactly so long a prefix or longer), longest first."""
        found: list[tuple[int, _Node[T]]] = [(0, self._root)]
        node, length = self._root, 0
        while length < key.size:
            child = node.children.get(int(key[length]))
            if child is None:
                break
            common = _common(child.edge, key[length:])
            length += common
            found.append((length, child))
            if common < child.edge.size:
                break
            node = child
        for shared, each in reversed(found):
            yield shared, each.below()


def _common(left: Key, right: Key) -> int:
    size = min(left.size, right.size)
    differing = left[:size] != right[:size]
    return int(differing.argmax()) if differing.any() else size


def _prune(path: list[_Node[T]]) -> None:
    """Drop emptied nodes, and join a node that only leads on with what it leads to."""
    for parent, node in zip(path[-2::-1], path[:0:-1], strict=True):
        if node.values or len(node.children) > 1:
            return
        first = int(node.edge[0])
        if not node.children:
            del parent.children[first]
            continue
        (child,) = node.children.values()
        child.edge = np.concatenate([node.edge, child.edge])
        parent.children[first] = child
        return
