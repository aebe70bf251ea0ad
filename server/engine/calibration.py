"""What a step costs on this device with these weights, measured once when they are loaded."""

import time
from dataclasses import dataclass

from server.engine.backend import Backend, Batch

_FEW, _MORE = 1, 5
_REPEATS = 4


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds for each pass over the weights and for each token in it."""

    pass_s: float
    token_s: float


def calibrate(backend: Backend) -> StepCost:
    """Time steps of one token and of a few, the quickest of each; leaves every slot empty."""
    _step_s(backend, _MORE)  # the first step makes the graphs
    few, more = (min(_step_s(backend, count) for _ in range(_REPEATS)) for count in (_FEW, _MORE))
    token_s = max((more - few) / (_MORE - _FEW), 0.0)
    return StepCost(max(few - _FEW * token_s, 0.1 * few), token_s)


def _step_s(backend: Backend, count: int) -> float:
    batch = Batch()
    batch.extend(0, 0, [0] * count, outputs=min(count, backend.max_outputs))
    started_s = time.perf_counter()
    backend.decode(batch)
    elapsed_s = time.perf_counter() - started_s
    backend.clear(0)
    return elapsed_s
