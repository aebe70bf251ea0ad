"""Where a prompt's prefill may be cut, so that its parts can be shared and give the very same numbers.

llama.cpp's kernels round differently for batches of different sizes. A prompt that is computed alone is
therefore always computed in the same pieces: two tiles, whole blocks, and a last piece of at least a tile.
Another prompt may only take over pieces that it would have computed alike.
"""

# Rows that llama.cpp's flash attention takes at once on a CPU (ggml_fa_tile_config); fewer go one by one.
TILE_TOKENS = 64
BLOCK_TOKENS = 2 * TILE_TOKENS
_SHORTEST_LAST = TILE_TOKENS


def cut_before(tokens: int) -> int:
    """The last cut in a prompt of so many tokens: after one tile, then after each block."""
    return tokens // BLOCK_TOKENS * BLOCK_TOKENS or tokens // TILE_TOKENS * TILE_TOKENS


def next_cut(position: int, end: int) -> int:
    """Where the piece that begins at `position` of a prefill of `end` tokens ends."""
    tile = TILE_TOKENS if position < BLOCK_TOKENS else BLOCK_TOKENS
    cut = (position // tile + 1) * tile
    return cut if end - cut >= _SHORTEST_LAST else end


def whole_blocks(end: int) -> int:
    """Tokens of a prefill of `end` tokens that are computed before its last piece."""
    return cut_before(max(0, end - _SHORTEST_LAST))
