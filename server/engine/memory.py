"""How much memory weights will need, told from their metadata, and how long a context fits.

The weights and the KV cache are counted as llama.cpp allocates them; its compute buffers are an allowance,
which `docs/architecture.md` compares with what it reports.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from server.engine.protocol import FlashAttention, KVType, Load, Memory
from server.engine.shape import Shape
from server.engine.speculation import most_outputs

LONGEST_DEFAULT_CONTEXT = 8192
SHORTEST_DEFAULT_CONTEXT = 2048

# llama.cpp rounds the cells of a sequence up to this.
CONTEXT_STEP = 256

# What a default may take of the free memory; the rest is for the processes beside the engine.
DEFAULT_SHARE = 0.8

_FLOAT_BYTES = 4
_HALF_BYTES = 2
_GIB = 1 << 30


class NotEnoughMemory(Exception):
    """The weights do not fit; the message has the numbers and what to change."""


@dataclass(frozen=True)
class Place:
    """Memory of one kind: its free bytes, and the share (0 to 1) of weights and KV cache that go there.

    Several `devices` are counted as one, but each needs buffers of its own.
    """

    words: str
    free: int
    share: float = 1.0
    devices: int = 1

    def needs(self, memory: Memory) -> int:
        """Bytes of `memory` that go here."""
        shared = memory.weights + (memory.kv or 0)
        return math.ceil(self.share * shared) + self.devices * memory.buffers

    def holds(self, memory: Memory, part: float = 1.0) -> bool:
        """Whether they fit into this part of what is free."""
        return self.needs(memory) <= part * self.free


def estimate(shape: Shape, load: Load, context_tokens: int) -> Memory:
    """The memory that `load` needs with contexts of `context_tokens`."""
    cells = -(-context_tokens // CONTEXT_STEP) * CONTEXT_STEP
    kv = None
    if shape.kv_numbers is not None:
        kv = _cache_bytes(shape.kv_numbers * cells * load.sequences, load.kv_type)
    return Memory(shape.weights_bytes, kv, _buffers(shape, load, cells))


def choose_context(shape: Shape, load: Load, places: Sequence[Place]) -> int:
    """Tokens of one sequence: those asked for, else the longest default context that fits well.

    Raises NotEnoughMemory where what was asked for, or the shortest default context, does not fit at all.
    Where the size of the KV cache is unknown, nothing is refused.
    """
    contexts = [load.context_tokens] if load.context_tokens else list(_defaults(shape.trained_tokens))
    for context in contexts:
        memory = estimate(shape, load, context)
        if memory.kv is None or all(place.holds(memory, DEFAULT_SHARE) for place in places):
            return context
    for place in places:
        if not place.holds(memory):
            raise NotEnoughMemory(_refusal(shape, load, place, context))
    return context


def describe(memory: Memory, sequences: int, context_tokens: int) -> str:
    """Such as `2.4 GiB (weights 2.2, KV cache 0.1 for 2 sequences of 256 tokens, buffers 0.1)`."""
    total = memory.weights + (memory.kv or 0) + memory.buffers
    several = f"{sequences} sequence{'s' if sequences > 1 else ''} of {context_tokens} tokens"
    kv = "unknown" if memory.kv is None else _gib(memory.kv)
    return (
        f"{_gib(total)} GiB (weights {_gib(memory.weights)}, KV cache {kv} for {several}, "
        f"buffers {_gib(memory.buffers)})"
    )


def _defaults(trained: int) -> Iterator[int]:
    longest = min(trained, LONGEST_DEFAULT_CONTEXT)
    yield longest
    start = (longest - 1) // CONTEXT_STEP * CONTEXT_STEP
    yield from range(start, SHORTEST_DEFAULT_CONTEXT - 1, -CONTEXT_STEP)


def _cache_bytes(numbers: int, kind: KVType) -> int:
    """Bytes of so many cached numbers: two each, or blocks of 32 with a 2-byte scale (ggml's block_q8_0)."""
    return numbers * _HALF_BYTES if kind == "f16" else numbers // 32 * 34


def _buffers(shape: Shape, load: Load, cells: int) -> int:
    """Logits of the graph and those that go out; a layer's activations; attention's mask and scores."""
    batch = load.policy.batch_tokens
    rows = load.sequences + most_outputs(load.sequences)
    logits = rows * shape.vocabulary * _FLOAT_BYTES
    activations = batch * (3 * shape.feed_forward + 4 * shape.embedding) * _FLOAT_BYTES
    return logits + activations + batch * cells * _cell_bytes(shape.heads, load.flash_attention)


def _cell_bytes(heads: int, flash_attention: FlashAttention) -> int:
    """Of a token's attention to a cell: the mask's half float; unfused, a float of it and one a head."""
    return (heads + 1) * _FLOAT_BYTES if flash_attention == "off" else _HALF_BYTES


def _refusal(shape: Shape, load: Load, place: Place, context: int) -> str:
    memory = estimate(shape, load, context)
    part = f", {_gib(place.needs(memory))} GiB of it {place.words}" if place.share < 1 else ""
    return (
        f"{shape.name} needs about {describe(memory, load.sequences, context)}{part}, "
        f"but {_gib(place.free)} GiB are free {place.words}: {_advice(load, place, memory)}"
    )


def _advice(load: Load, place: Place, memory: Memory) -> str:
    if place.share * memory.weights >= place.free:
        return "choose smaller weights"
    settings = "lower engine.sequences or engine.context_tokens"
    if load.kv_type == "f16" and load.flash_attention != "off":
        settings += ', or set engine.kv_type = "q8_0"'
    return settings


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f}"
