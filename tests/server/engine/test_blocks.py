from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.blocks import BLOCK_TOKENS, next_cut, whole_blocks


def pieces(end: int, start: int = 0) -> list[int]:
    """Where the pieces of a prefill begin and end."""
    cuts = [start]
    while cuts[-1] < end:
        cuts.append(next_cut(cuts[-1], end))
    return cuts


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 12 * BLOCK_TOKENS))
def test_a_prefill_is_whole_blocks_and_one_last_piece(end):
    *blocks, last, finish = pieces(end)
    assert finish == end
    assert [*blocks, last] == [index * BLOCK_TOKENS for index in range(len(blocks) + 1)]
    assert last == whole_blocks(end)
    assert finish - last < 1.5 * BLOCK_TOKENS
    assert finish - last >= 0.5 * BLOCK_TOKENS or not blocks


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 12 * BLOCK_TOKENS), st.integers(0, 12))
def test_the_rest_is_cut_as_if_the_blocks_had_been_computed(end, blocks):
    start = min(blocks * BLOCK_TOKENS, whole_blocks(end))
    assert pieces(end, start) == [cut for cut in pieces(end) if cut >= start]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 12 * BLOCK_TOKENS), st.integers(1, 12 * BLOCK_TOKENS))
def test_two_prompts_compute_the_blocks_that_both_have_alike(left, right):
    shared = min(whole_blocks(left), whole_blocks(right))
    assert [cut for cut in pieces(left) if cut <= shared] == [cut for cut in pieces(right) if cut <= shared]


def test_nothing_has_no_blocks():
    assert whole_blocks(0) == 0
