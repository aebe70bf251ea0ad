import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.blocks import BLOCK_TOKENS, TILE_TOKENS, cut_before, next_cut, whole_blocks

CUTS = [0, TILE_TOKENS, *range(BLOCK_TOKENS, 14 * BLOCK_TOKENS, BLOCK_TOKENS)]


def pieces(end: int, start: int = 0) -> list[int]:
    """Where the pieces of a prefill begin and end."""
    cuts = [start]
    while cuts[-1] < end:
        cuts.append(next_cut(cuts[-1], end))
    return cuts


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(1, 12 * BLOCK_TOKENS))
def test_a_prefill_is_two_tiles_and_whole_blocks_and_one_last_piece(end):
    *blocks, last, finish = pieces(end)
    assert finish == end
    assert [*blocks, last] == CUTS[: len(blocks) + 1]
    assert last == whole_blocks(end)
    assert finish - last < (3 * TILE_TOKENS if last >= BLOCK_TOKENS else 2 * TILE_TOKENS)
    assert finish - last >= min(TILE_TOKENS, end)


@pytest.mark.parametrize(
    "end, expected",
    [
        (64, [0, 64]),
        (127, [0, 127]),
        (128, [0, 64, 128]),
        (191, [0, 64, 191]),
        (192, [0, 64, 128, 192]),
        (319, [0, 64, 128, 319]),
        (320, [0, 64, 128, 256, 320]),
    ],
)
def test_a_cut_leaves_a_tile_behind_it(end, expected):
    assert pieces(end) == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 12 * BLOCK_TOKENS))
def test_a_cut_is_after_one_tile_and_after_each_block(tokens):
    assert cut_before(tokens) == max(cut for cut in CUTS if cut <= tokens)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 12 * BLOCK_TOKENS), st.sampled_from(CUTS))
def test_the_rest_is_cut_as_if_the_blocks_had_been_computed(end, cut):
    start = min(cut, whole_blocks(end))
    assert pieces(end, start) == [cut for cut in pieces(end) if cut >= start]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 12 * BLOCK_TOKENS), st.integers(1, 12 * BLOCK_TOKENS))
def test_two_prompts_compute_the_blocks_that_both_have_alike(left, right):
    shared = min(whole_blocks(left), whole_blocks(right))
    assert [cut for cut in pieces(left) if cut <= shared] == [cut for cut in pieces(right) if cut <= shared]


def test_nothing_has_no_blocks():
    assert whole_blocks(0) == 0
