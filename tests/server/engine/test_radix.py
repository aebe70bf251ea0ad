import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.radix import RadixTree

KEYS = st.lists(st.integers(-1, 2), max_size=7).map(tuple)


def key(tokens):
    return np.array(tokens, np.int32)


def common(left, right) -> int:
    size = min(len(left), len(right))
    return next((index for index in range(size) if left[index] != right[index]), size)


def assert_compact(tree: RadixTree[int]) -> None:
    nodes = [*tree._root.children.items()]
    while nodes:
        first, node = nodes.pop()
        assert node.edge[0] == first
        assert node.values or len(node.children) > 1
        nodes += node.children.items()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(KEYS, st.none() | st.integers(0, 20)), max_size=25), KEYS)
def test_it_finds_what_a_list_would_find(actions, asked):
    tree: RadixTree[int] = RadixTree()
    model: list[tuple[tuple[int, ...], int]] = []
    for number, (tokens, victim) in enumerate(actions):
        if victim is not None and model:
            gone = model.pop(victim % len(model))
            tree.remove(key(gone[0]), gone[1])
        else:
            tree.insert(key(tokens), number)
            model.append((tokens, number))
        assert_compact(tree)
        assert sorted(tree) == sorted(value for _, value in model)

    found = [(length, sorted(values)) for length, values in tree.matches(key(asked))]
    lengths = [length for length, _ in found]
    shared = {value: common(tokens, asked) for tokens, value in model}
    assert lengths == sorted(set(lengths), reverse=True)
    assert {0, *shared.values()} <= set(lengths)
    for length, values in found:
        assert values == sorted(value for value, size in shared.items() if size >= length)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(KEYS, max_size=20), st.randoms(use_true_random=False))
def test_nothing_is_left_when_all_is_removed(keys, random):
    tree: RadixTree[int] = RadixTree()
    placed = list(enumerate(keys))
    for number, tokens in placed:
        tree.insert(key(tokens), number)
    random.shuffle(placed)
    for number, tokens in placed:
        tree.remove(key(tokens), number)

    assert list(tree) == []
    assert not tree._root.children


@pytest.mark.parametrize("tokens", [(), (1,), (1, 2), (1, 2, 3, 4), (7,)])
def test_what_is_not_there_cannot_be_removed(tokens):
    tree: RadixTree[str] = RadixTree()
    tree.insert(key((1, 2, 3)), "value")
    with pytest.raises(ValueError):
        tree.remove(key(tokens), "value")
    assert list(tree) == ["value"]


def test_a_key_may_hold_several_values():
    tree: RadixTree[str] = RadixTree()
    tree.insert(key((1, 2)), "one")
    tree.insert(key((1, 2)), "two")
    tree.remove(key((1, 2)), "one")
    assert list(tree) == ["two"]
