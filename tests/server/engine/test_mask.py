import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.mask import Mask

BITS = 96


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, BITS - 1)))
def test_all_ways_to_ask_agree(allowed):
    words = [sum(1 << bit for bit in range(32) if word * 32 + bit in allowed) for word in range(BITS // 32)]
    mask = Mask(np.array(words, np.uint32).view(np.int32))

    assert mask.ids.tolist() == sorted(allowed)
    assert {token for token in range(BITS) if token in mask} == allowed
    assert set(np.flatnonzero(mask.among(np.arange(BITS))).tolist()) == allowed
