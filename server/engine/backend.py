"""What the loop asks of the thing that computes logits; llama.cpp is one, the tests' fake another."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


@dataclass(slots=True)
class Batch:
    """The tokens of one decode step, of any number of sequences; four columns of equal length."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tokens)

    def extend(self, slot: int, start: int, tokens: list[int], *, output: bool) -> None:
        """Append `tokens` at positions `start`… of `slot`; `output` asks for logits after the last."""
        self.tokens += tokens
        self.positions += range(start, start + len(tokens))
        self.slots += [slot] * len(tokens)
        self.outputs += [0] * len(tokens)
        if output:
            self.outputs[-1] = 1


class BackendFault(Exception):
    """The backend's state can no longer be trusted; the engine process must end."""


class Backend(Protocol):
    """Weights on a device, with a KV cache of `sequences` slots of `context_tokens` each."""

    sequences: int
    context_tokens: int
    device: str
    end_of_generation: frozenset[int]

    def decode(self, batch: Batch) -> Logits:
        """Compute one step; returns [outputs in batch order, vocabulary] float32, valid until the next."""
        ...

    def clear(self, slot: int) -> None:
        """Forget all that `slot` holds."""
        ...
