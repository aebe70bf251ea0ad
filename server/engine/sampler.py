"""Chooses the next token from one row of logits, with numpy over the vocabulary and Python over nothing.

Order as in llama.cpp: penalties, bias, grammar, top-k, top-p, min-p, temperature, draw.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from server.engine.backend import Logits
from server.engine.logit_rows import Ids, LogitRows
from server.engine.mask import Mask
from server.engine.protocol import Sampling

_REPEAT_WINDOW = 64
_FIRST_NUCLEUS = 64
_NUCLEUS_GROWTH = 8
_SPARE = 64
_GREATEST_BIAS = 100
_SEEDS = 2**64

Scores = NDArray[np.float64]
Candidates = tuple[Ids, Scores]
"""Token ids, and their logits less the largest of them."""


class Sampler:
    """Sampling state of one sequence.

    `repeat_penalty` looks at the last 64 tokens of prompt and answer (as llama.cpp does by default),
    presence and frequency penalties at the whole answer (as OpenAI defines them). A seed makes the
    draws repeatable; the logits themselves may differ with what else is in the batch.

    `vocabulary` is how many token ids there are. Raises ValueError for a `logit_bias` on any other id (so for
    every bias where it is not given), or one beyond the -100 (bans) to 100 (forces) that OpenAI defines.
    """

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = (), *, vocabulary: int = 0) -> None:
        self._sampling = sampling
        seed = None if sampling.seed is None else sampling.seed % _SEEDS
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._answer: Counter[int] = Counter()
        self._recent: deque[int] = deque(prompt, maxlen=_REPEAT_WINDOW)
        self._biased, self._biases = _columns(sampling.logit_bias, vocabulary)

    def observe(self, tokens: Iterable[int]) -> None:
        """Count tokens that joined the answer."""
        for token in tokens:
            self._answer[token] += 1
            self._recent.append(token)

    def sample(self, rows: LogitRows, row: int, allowed: Mask | None = None) -> int:
        """Choose a token id by the logits of `row`, among the `allowed` where given.

        One step may ask for several rows of one sequence, with what was chosen observed in between.
        Raises BackendFault where the largest logit, or the largest allowed one, is not a finite number.
        """
        if self._adjusts:
            rows, row = LogitRows(self._adjust(rows.logits(row))[np.newaxis]), 0
        if self._sampling.temperature <= 0:
            return _greedy(rows, row, allowed)
        ids, scores = self._candidates(rows, row) if allowed is None else self._among(rows, row, allowed)
        return int(ids[self._draw(scores)])

    def _among(self, rows: LogitRows, row: int, allowed: Mask) -> Candidates:
        k = self._sampling.top_k
        if k > 0:
            # Whatever is not among these is less likely than all of them: k allowed ones are the k likeliest.
            ids, logits = rows.top(row, k + _SPARE)
            kept = np.flatnonzero(allowed.among(ids))[:k]
            if kept.size == k and logits[kept[0]] > -np.inf:
                return self._cut(ids[kept], logits[kept])
        indices, scores = self._candidates(_only(rows, row, allowed), 0)
        return allowed.ids[indices], scores

    def _candidates(self, rows: LogitRows, row: int) -> Candidates:
        """What top-k and top-p leave."""
        if self._sampling.top_k > 0:
            return self._cut(*rows.top(row, self._sampling.top_k))
        if self._sampling.top_p < 1:
            return self._nucleus(rows, row)
        scores = rows.logits(row) - np.float64(rows.largest(row))
        return np.arange(scores.size), scores

    def _cut(self, ids: Ids, logits: Logits) -> Candidates:
        """Top-p of what top-k left, which is in descending order."""
        scores = logits - np.float64(logits[0])
        if self._sampling.top_p >= 1:
            return ids, scores
        mass = np.exp(scores).cumsum()
        size = int(mass.searchsorted(self._sampling.top_p * mass[-1])) + 1
        return ids[:size], scores[:size]

    def _nucleus(self, rows: LogitRows, row: int) -> Candidates:
        """The smallest set whose probability reaches `top_p`, sorting no more than is needed."""
        target = self._sampling.top_p * rows.total(row)
        size = _FIRST_NUCLEUS
        while True:
            ids, logits = rows.top(row, size)
            scores = logits - np.float64(logits[0])
            mass = np.exp(scores).cumsum()
            if mass[-1] >= target or ids.size < size:
                kept = int(mass.searchsorted(target)) + 1
                return ids[:kept], scores[:kept]
            size *= _NUCLEUS_GROWTH

    def _draw(self, scores: Scores) -> int:
        """Index of the one drawn, after min-p and temperature."""
        weights = np.exp(scores / self._sampling.temperature)
        if self._sampling.min_p > 0:
            weights[scores < math.log(self._sampling.min_p)] = 0
        mass = weights.cumsum()
        return int(mass.searchsorted(self._random.random() * mass[-1], side="right"))

    @property
    def _repeats(self) -> bool:
        return self._sampling.repeat_penalty != 1 and bool(self._recent)

    @property
    def _counts(self) -> bool:
        penalties = self._sampling.presence_penalty or self._sampling.frequency_penalty
        return bool(penalties and self._answer)

    @property
    def _adjusts(self) -> bool:
        return self._repeats or self._counts or self._biased.size > 0

    def _adjust(self, logits: Logits) -> Logits:
        """A copy of `logits` after penalties and bias."""
        sampling, logits = self._sampling, logits.copy()
        if self._repeats:
            ids = np.fromiter(set(self._recent), np.intp)
            seen = logits[ids]
            logits[ids] = np.where(seen > 0, seen / sampling.repeat_penalty, seen * sampling.repeat_penalty)
        if self._counts:
            ids = np.fromiter(self._answer.keys(), np.intp)
            times = np.fromiter(self._answer.values(), np.float32)
            logits[ids] -= sampling.presence_penalty + sampling.frequency_penalty * times
        logits[self._biased] += self._biases
        return logits


def _greedy(rows: LogitRows, row: int, allowed: Mask | None) -> int:
    best = rows.argmax(row)
    if allowed is None or best in allowed:
        return best
    return int(allowed.ids[_only(rows, row, allowed).argmax(0)])


def _only(rows: LogitRows, row: int, allowed: Mask) -> LogitRows:
    """One row, of the allowed ids only."""
    return LogitRows(rows.logits(row)[np.newaxis, allowed.ids])


def _columns(bias: Mapping[int, float], vocabulary: int) -> tuple[Ids, Logits]:
    """Ids and what to add to their logits."""
    if not all(0 <= token < vocabulary for token in bias):
        raise ValueError("logit_bias on what is no token id")
    if not all(abs(value) <= _GREATEST_BIAS for value in bias.values()):
        raise ValueError("logit_bias beyond -100 to 100")
    return np.fromiter(bias.keys(), np.intp), np.fromiter(bias.values(), np.float32)
