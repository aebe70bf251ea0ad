"""What a step costs on this device with these weights, measured once when they are loaded."""

import time
from bisect import bisect_left
from collections.abc import Mapping

from server.engine.backend import Backend, Batch

_ROWS = (1, 2, 4, 8)
_REPEATS = 3
_DEPTH = 256
_PIECE = 64


class StepCost:
    """Seconds of a pass over the weights by the tokens in it; straight lines between what was measured.

    It is far from one line: the second token of a pass can cost as much as the first, later ones half.
    """

    def __init__(self, measured: Mapping[int, float]) -> None:
        self._points = sorted(measured.items())

    def seconds(self, tokens: int) -> float:
        """Time of one pass with so many tokens."""
        index = bisect_left(self._points, (tokens, 0.0))
        right = min(max(index, 1), len(self._points) - 1)
        (less, least_s), (more, most_s) = self._points[right - 1], self._points[right]
        return least_s + (most_s - least_s) * (tokens - less) / (more - less)


def calibrate(backend: Backend) -> StepCost:
    """Time passes of a few sizes behind a prompt, the quickest of each; leaves every slot empty."""
    # Without a prompt there is no attention to pay, which can be a third of what a token costs.
    depth = min(_DEPTH, backend.context_tokens // 2) if backend.trimmable else 0
    for start in range(0, depth, _PIECE):
        _decode(backend, start, min(_PIECE, depth - start), outputs=0)
    _step_s(backend, depth, _ROWS[-1])  # the first step makes the graphs
    cost = {size: min(_step_s(backend, depth, size) for _ in range(_REPEATS)) for size in _ROWS}
    backend.clear(0)
    return StepCost(cost)


def _step_s(backend: Backend, depth: int, count: int) -> float:
    started_s = time.perf_counter()
    _decode(backend, depth, count, outputs=min(count, backend.max_outputs))
    elapsed_s = time.perf_counter() - started_s
    if depth:
        backend.trim(0, depth)
    else:
        backend.clear(0)
    return elapsed_s


def _decode(backend: Backend, start: int, count: int, *, outputs: int) -> None:
    batch = Batch()
    batch.extend(0, start, [0] * count, outputs=outputs)
    backend.decode(batch)
