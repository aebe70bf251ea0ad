"""Chooses the next token from one row of logits, with numpy over the vocabulary and Python over nothing.

Order as in llama.cpp: penalties, grammar, top-k, top-p, min-p, temperature, draw.
"""

from collections import Counter, deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from server.engine.backend import BackendFault, Logits
from server.engine.protocol import Sampling

_REPEAT_WINDOW = 64
_FIRST_NUCLEUS = 256
_SEEDS = 2**64


class Sampler:
    """Sampling state of one sequence.

    `repeat_penalty` looks at the last 64 tokens of prompt and answer (as llama.cpp does by default),
    presence and frequency penalties at the whole answer (as OpenAI defines them). A seed makes the
    draws repeatable; the logits themselves may differ with what else is in the batch.
    """

    def __init__(self, sampling: Sampling, prompt: Iterable[int] = ()) -> None:
        self._sampling = sampling
        seed = None if sampling.seed is None else sampling.seed % _SEEDS
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._answer: Counter[int] = Counter()
        self._recent: deque[int] = deque(prompt, maxlen=_REPEAT_WINDOW)

    def observe(self, tokens: Iterable[int]) -> None:
        """Count tokens that joined the answer."""
        for token in tokens:
            self._answer[token] += 1
            self._recent.append(token)

    def sample(self, logits: Logits, allowed: NDArray[np.intp] | None = None) -> int:
        """Choose a token id from `logits` [vocabulary], among `allowed` ids where given.

        Raises BackendFault where no finite logit is left.
        """
        logits = self._penalize(logits)
        scores = logits if allowed is None else logits[allowed]
        index = int(scores.argmax())
        # NaN is the largest to argmax, so this sees every way in which a row can be unusable.
        if not np.isfinite(scores[index]):
            raise BackendFault("the logits are not numbers")
        if self._sampling.temperature > 0:
            index = self._draw(scores)
        return index if allowed is None else int(allowed[index])

    def _draw(self, scores: Logits) -> int:
        indices = self._top_k(scores)
        indices, scores = self._top_p(indices, scores[indices])
        scaled = scores.astype(np.float64)
        if self._sampling.min_p > 0:
            keep = scaled >= scaled.max() + np.log(self._sampling.min_p)
            indices, scaled = indices[keep], scaled[keep]
        weights = np.exp((scaled - scaled.max()) / self._sampling.temperature).cumsum()
        return int(indices[weights.searchsorted(self._random.random() * weights[-1], side="right")])

    def _top_k(self, scores: Logits) -> NDArray[np.intp]:
        k = self._sampling.top_k
        if not 0 < k < scores.size:
            return np.flatnonzero(scores > -np.inf)
        return _largest(scores, k)

    def _top_p(self, indices: NDArray[np.intp], scores: Logits) -> tuple[NDArray[np.intp], Logits]:
        """Keep the smallest set whose probability reaches `top_p`, sorting no more than is needed."""
        top_p = self._sampling.top_p
        if top_p >= 1:
            return indices, scores
        probabilities = np.exp((scores - scores.max()).astype(np.float64))
        target = top_p * probabilities.sum()
        size = _FIRST_NUCLEUS
        while True:
            best = _largest(scores, size) if size < scores.size else np.arange(scores.size)
            best = best[np.argsort(-scores[best], kind="stable")]
            mass = probabilities[best].cumsum()
            if mass[-1] >= target or size >= scores.size:
                keep = best[: int(mass.searchsorted(target)) + 1]
                return indices[keep], scores[keep]
            size *= 8

    def _penalize(self, logits: Logits) -> Logits:
        sampling = self._sampling
        repeats = sampling.repeat_penalty != 1
        counts = bool(sampling.presence_penalty or sampling.frequency_penalty)
        if not repeats and not counts:
            return logits
        logits = logits.copy()
        if repeats and self._recent:
            ids = np.fromiter(set(self._recent), np.intp)
            seen = logits[ids]
            logits[ids] = np.where(seen > 0, seen / sampling.repeat_penalty, seen * sampling.repeat_penalty)
        if counts and self._answer:
            ids = np.fromiter(self._answer.keys(), np.intp)
            times = np.fromiter(self._answer.values(), np.float32)
            logits[ids] -= sampling.presence_penalty + sampling.frequency_penalty * times
        return logits


def _largest(scores: Logits, k: int) -> NDArray[np.intp]:
    """Indices of exactly the k largest scores; the earlier index wins a tie at the edge."""
    edge = np.partition(scores, scores.size - k)[scores.size - k]
    above = np.flatnonzero(scores > edge)
    ties = np.flatnonzero(scores == edge)[: k - above.size]
    return np.concatenate([above, ties])
