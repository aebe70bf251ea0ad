"""What a step costs on this device with these weights, measured once when they are loaded."""

import time
from bisect import bisect_left
from collections.abc import Mapping

from server.engine.backend import Backend, Batch

_ROWS = (1, 2, 4, 8)
_REPEATS = 3


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
    """Time passes of a few sizes, the quickest of each; leaves every slot empty."""
    _step_s(backend, _ROWS[-1])  # the first step makes the graphs
    return StepCost({size: min(_step_s(backend, size) for _ in range(_REPEATS)) for size in _ROWS})


def _step_s(backend: Backend, count: int) -> float:
    batch = Batch()
    batch.extend(0, 0, [0] * count, outputs=min(count, backend.max_outputs))
    started_s = time.perf_counter()
    backend.decode(batch)
    elapsed_s = time.perf_counter() - started_s
    backend.clear(0)
    return elapsed_s
