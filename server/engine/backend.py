"""What the loop asks of the thing that computes logits; llama.cpp is one, the tests' fake another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
State = NDArray[np.uint8]
"""The KV of one sequence, as `Backend.save` gives it: opaque bytes."""


@dataclass(slots=True)
class Batch:
    """The tokens of one decode step, of any number of sequences; four columns of equal length."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)

    def extend(self, slot: int, start: int, tokens: list[int], *, outputs: int) -> None:
        """Append `tokens` at positions `start`… of `slot`; the last `outputs` of them give logits."""
        self.tokens += tokens
        self.positions += range(start, start + len(tokens))
        self.slots += [slot] * len(tokens)
        self.outputs += [0] * (len(tokens) - outputs) + [1] * outputs


class BackendFault(Exception):
    """The backend's state can no longer be trusted; the engine process must end."""


class Interrupted(Exception):
    """The step was broken off on request; what its tokens left behind must be trimmed."""


class Backend(Protocol):
    """Weights on a device, with a KV cache of `sequences` slots of `context_tokens` each.

    `trimmable` is whether the end of what a slot holds can be taken back: not so for recurrent weights.
    """

    sequences: int
    context_tokens: int
    vocabulary_size: int
    end_of_generation: frozenset[int]
    trimmable: bool
    max_outputs: int

    def decode(self, batch: Batch, given_up: Callable[[], bool] | None = None) -> Logits:
        """Compute one step; returns [outputs in batch order, vocabulary] float32, valid until the next.

        `given_up` is asked now and then whether the step may be broken off, where the device allows that.
        Raises Interrupted, BackendFault.
        """
        ...

    def passes(self, rows: Sequence[tuple[int, int]]) -> list[int]:
        """Tokens of each pass over the weights in a step with (slot, its tokens), in order of the slots."""
        ...

    def held(self, slot: int) -> int:
        """Tokens that `slot` holds."""
        ...

    def clear(self, slot: int) -> None:
        """Forget all that `slot` holds."""
        ...

    def trim(self, slot: int, length: int) -> None:
        """Forget what `slot` holds beyond its first `length` tokens."""
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target`, which is empty, hold the first `length` tokens of `source`."""
        ...

    def save(self, slot: int) -> State:
        """What `slot` holds, as bytes in host memory."""
        ...

    def load(self, slot: int, state: State) -> None:
        """Let `slot`, which is empty, hold what was saved."""
        ...
