"""Where a prompt's prefill may be cut, so that its parts can be shared and give the very same numbers.

llama.cpp's kernels round differently for batches of different sizes. A prompt that is computed alone is
therefore always computed in the same pieces, whole blocks from its start and one last piece of half a block
to one and a half, and another prompt may only take over whole blocks that it would have computed alike.
"""

# Rows that llama.cpp's flash attention takes at once on a CPU (ggml_fa_tile_config); fewer go one by one.
TILE_TOKENS = 64
BLOCK_TOKENS = 2 * TILE_TOKENS
_SHORTEST_LAST = TILE_TOKENS


def next_cut(position: int, end: int) -> int:
    """Where the piece that begins at `position` of a prefill of `end` tokens ends."""
    cut = (position // BLOCK_TOKENS + 1) * BLOCK_TOKENS
    return cut if end - cut >= _SHORTEST_LAST else end


def whole_blocks(end: int) -> int:
    """Tokens of a prefill of `end` tokens that are computed as whole blocks."""
    return max(0, (end - _SHORTEST_LAST) // BLOCK_TOKENS) * BLOCK_TOKENS
