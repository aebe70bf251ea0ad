"""What is asked of the logits of one decode step, answered without Python over the vocabulary."""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from server.engine.backend import BackendFault, Logits
from server.engine.protocol import TokenLogprob

Ids = NDArray[np.intp]

# Of 1024, 2048 and 4096 the quickest for the 40 largest of 49,152.
_COLUMNS = 1024
# From about here on sorting integers is the quicker way.
_FEW = 160


class LogitRows:
    """Logits [rows, vocabulary] float32, valid until the backend's next decode; they are never changed.

    Nothing is computed before it is asked for, and then for the row asked about; but for `argmax`, where
    one call for all rows costs little more. Where the largest logit is not a finite number, which a NaN
    anywhere in the row counts as, every question about that row raises BackendFault.
    """

    def __init__(self, logits: Logits) -> None:
        self._logits = logits

    def logits(self, row: int) -> Logits:
        """The row itself [vocabulary], a view: copy it before you change it."""
        logits: Logits = self._logits[row]
        return logits

    def argmax(self, row: int) -> int:
        """Id of the largest logit; the lowest of equals."""
        index = self._argmax[row]
        # NaN is the largest to argmax.
        _check(self._logits[row, index])
        return index

    def largest(self, row: int) -> float:
        """The largest logit."""
        return float(self._logits[row, self.argmax(row)])

    def top(self, row: int, k: int) -> tuple[Ids, Logits]:
        """Ids and logits of exactly the `k` > 0 largest, in descending order; all where there are fewer.

        Of equals the lower id comes first, and so wins at the edge.
        """
        logits = self._logits[row]
        # NaN is less than no edge.
        ids = np.flatnonzero(~(logits < _edge(logits, min(k, logits.size))))
        candidates = logits[ids]
        _check(candidates.max())
        order = _descending(candidates)[:k]
        return ids[order], candidates[order]

    def total(self, row: int) -> float:
        """The sum of exp(logit - largest logit) over the vocabulary: what a softmax divides by."""
        weights = self._logits[row] - np.float32(self.largest(row))
        np.exp(weights, out=weights)
        return float(weights.sum(dtype=np.float64))

    def logprobs(self, row: int, token: int, count: int) -> TokenLogprob:
        """Natural log-probability of `token`, and the `count` likeliest (id, log-probability), descending."""
        largest, scale = self.largest(row), math.log(self.total(row))
        logprob = float(self._logits[row, token]) - largest - scale
        if count <= 0:
            return TokenLogprob(logprob, [])
        ids, logits = self.top(row, count)
        likeliest = logits.astype(np.float64) - largest - scale
        return TokenLogprob(logprob, list(zip(ids.tolist(), likeliest.tolist(), strict=True)))

    @cached_property
    def _argmax(self) -> list[int]:
        indices: list[int] = self._logits.argmax(axis=1).tolist()
        return indices


def _descending(logits: Logits) -> Ids:
    """Indices in the order of descending logits; the lower index first of equals."""
    if logits.size <= _FEW:
        return np.argsort(-logits, kind="stable")
    # Of a whole vocabulary, a stable argsort takes 30 times as long as sorting integers made of logit and
    # index. Adding zero makes -0.0 equal to 0.0; the exclusive or makes a float's bits ascend as it does.
    bits = (logits + np.float32(0)).view(np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    keys = ~bits.astype(np.int64) << 32 | np.arange(logits.size)
    keys.sort()
    return keys & 0xFFFFFFFF


def _edge(logits: Logits, k: int) -> np.float32:
    """A number that the `k` largest reach, and few others.

    With the vocabulary laid out in columns, at least k logits reach the k-th largest of the columns' maxima.
    Those are few enough to partition; what is left over at the end needs no column.
    """
    if logits.size >= 2 * _COLUMNS and 2 * k <= _COLUMNS:
        whole = logits.size - logits.size % _COLUMNS
        # Twice as quick as maximum; the NaN that it passes over reach every edge.
        logits = np.fmax.reduce(logits[:whole].reshape(-1, _COLUMNS), axis=0)
    at = logits.size - k
    edge: np.float32 = np.partition(logits, at)[at]
    return edge


def _check(largest: np.float32) -> None:
    if not math.isfinite(largest):
        raise BackendFault("the logits are not numbers")
