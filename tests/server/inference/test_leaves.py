import pytest

from server.inference.leaves import depth, leaves, mapped, strings

VALUE = {"a": [1, {"b": None}, ["c", True]], "d": 2.5, "": {}}


def test_every_scalar_and_every_key_in_order():
    assert list(leaves(VALUE)) == ["a", 1, "b", None, "c", True, "d", 2.5, ""]
    assert list(strings(VALUE)) == ["a", "b", "c", "d", ""]


def test_each_can_be_changed():
    changed = mapped(VALUE, lambda leaf: leaf.upper() if isinstance(leaf, str) else leaf)
    assert changed == {"A": [1, {"B": None}, ["C", True]], "D": 2.5, "": {}}


@pytest.mark.parametrize(
    ("value", "levels"), [(1, 0), ("[[", 0), ([], 1), ({}, 1), ([[], {"a": [1]}], 3), (VALUE, 3)]
)
def test_depth(value, levels):
    assert depth(value) == levels
