"""Which token ids a grammar lets through at one place."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray


class Mask:
    """Allowed token ids, as one bit each."""

    def __init__(self, words: NDArray[np.int32]) -> None:
        """Take `words` [ceil(vocabulary / 32)], lowest bit first; the caller changes them no more."""
        self._words = words

    def __contains__(self, token: int) -> bool:
        return bool(self._words[token >> 5] >> (token & 31) & 1)

    def among(self, ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of `ids` are allowed."""
        bits: NDArray[np.bool_] = (self._words[ids >> 5] >> (ids & 31) & 1).astype(np.bool_)
        return bits

    @cached_property
    def ids(self) -> NDArray[np.intp]:
        """All that are allowed, ascending."""
        bits = np.unpackbits(self._words.view(np.uint8), bitorder="little")
        # flatnonzero takes another, far quicker way for bool than for numbers.
        return np.flatnonzero(bits.view(np.bool_))

    def meets(self, other: "Mask") -> bool:
        """Whether both let some id through."""
        return bool((self._words & other._words).any())

    def replaced(self, token: int, other: "Mask") -> "Mask":
        """What this one lets through but for `token`, which gives way to all that `other` does."""
        words = self._words | other._words
        words.view(np.uint32)[token >> 5] &= ~np.uint32(1 << (token & 31))
        return Mask(words)
