"""What the API process and the engine process say to each other.

Each message is one MessagePack object behind a 4-byte big-endian length, over a socket pair.
"""

import enum
from typing import Literal

import msgspec

FinishReason = Literal["stop", "length", "grammar_error", "rejected", "unready", "expired", "aborted"]

PrefixReuse = Literal["exact", "full", "off"]
KVLayout = Literal["streams", "unified"]
SplitMode = Literal["none", "layer", "row"]
FlashAttention = Literal["auto", "on", "off"]
KVType = Literal["f16", "q8_0"]
Blas = Literal["auto", "on", "off"]


class Policy(msgspec.Struct, frozen=True):
    """How the engine shares its time and its memory.

    A step carries at most `batch_tokens`; beside running answers no more than keeps it within
    `target_step_s`. `kept_bytes` bounds the prefixes kept in host memory. `aging_s` in the queue raise a
    request by one class of priority.
    """

    batch_tokens: int
    target_step_s: float = 0.4
    aging_s: float = 20.0
    prefix_cache: PrefixReuse = "exact"
    kept_bytes: int = 0
    speculate: bool = True


class Load(msgspec.Struct, frozen=True, tag="load"):
    """First message to a new engine: which GGUF to load and how. Sizes are in tokens."""

    path: str
    sequences: int
    context_tokens: int | None
    threads: int
    n_gpu_layers: int
    split_mode: SplitMode
    flash_attention: FlashAttention
    kv_type: KVType
    kv_layout: KVLayout
    policy: Policy
    blas: Blas = "auto"


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is chosen; `temperature` 0 is greedy, `top_k` 0 and `top_p` 1 are off."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None


class Priority(enum.IntEnum):
    """Who is served first. Waiting raises a request's class step by step, so that bulk never starves."""

    INTERACTIVE = 0
    NORMAL = 1
    BULK = 2


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """Continue `tokens` by at most `max_tokens`, under `grammar` (llguidance text) where one is given.

    `tenant` is who asks, for fair shares and so that no one learns from timing what others asked: only the
    first `shared` tokens, which the operators wrote, share their prefix between tenants. `deadline_s` is
    how many seconds from now the answer is still of use. `code_sets` says which `CodeSet` each placeholder
    of the grammar stands for: control tokens, which no answer holds.
    """

    id: int
    tokens: list[int]
    max_tokens: int
    sampling: Sampling = Sampling()
    grammar: str | None = None
    tenant: str = ""
    shared: int = 0
    priority: Priority = Priority.NORMAL
    deadline_s: float | None = None
    code_sets: dict[int, str] = {}


class CodeSet(msgspec.Struct, frozen=True, tag="code_set"):
    """Compile `grammar` once, for every request whose grammar has a placeholder for it; CodeSetReady answers.

    Its sentences are closed: none goes on where another one ends. A name that is there already is replaced.
    """

    name: str
    grammar: str


class Warm(msgspec.Struct, frozen=True, tag="warm"):
    """Compute `tokens`, which operators wrote, ahead of time and keep them for all tenants."""

    tokens: list[int]


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Drop a request wherever it stands; no further output of it is published."""

    id: int


ToEngine = Load | Submit | CodeSet | Warm | Cancel


class Memory(msgspec.Struct, frozen=True):
    """Bytes that an engine was estimated to need; `kv` is None where the weights have no plain KV cache."""

    weights: int
    kv: int | None
    buffers: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The weights are loaded. `device` says in words what computes."""

    device: str
    context_tokens: int
    sequences: int
    load_s: float
    memory: Memory


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The weights cannot be loaded; the engine exits after this."""

    reason: str


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True):
    """Natural log-probability of a token of the answer, and the `logprobs` likeliest ones at its place.

    Of the weights' own distribution, before penalties, bias, grammar and temperature.
    """

    logprob: float
    top: list[tuple[int, float]]


class Output(msgspec.Struct, frozen=True, array_like=True):
    """New tokens of one request, `finish` on its last.

    `queue_s` is how long it waited for a slot, `cached` how many tokens of its prompt were not computed anew.
    `logprobs` has one entry for each token where they were asked for.
    """

    id: int
    tokens: list[int]
    finish: FinishReason | None = None
    detail: str = ""
    queue_s: float = 0.0
    cached: int = 0
    logprobs: list[TokenLogprob] | None = None


class Step(msgspec.Struct, frozen=True, tag="step"):
    """What one turn of the loop brought, for all sequences at once.

    Sequences that got a slot found `reused` tokens computed already. Of `drafted` tokens, which were guesses,
    `accepted` were right. `mask_s` are the seconds that each mask of a grammar took, `compile_s` those that
    each grammar took which was not known yet. `leaks` is what the check of slots, KV and prefixes found, made
    when the engine has nothing left to do; None otherwise.
    """

    outputs: list[Output]
    running: int
    waiting: int
    batch_tokens: int
    step_s: float
    reused: int = 0
    drafted: int = 0
    accepted: int = 0
    kept_bytes: int = 0
    mask_s: list[float] = []
    compile_s: list[float] = []
    leaks: int | None = None


class CodeSetReady(msgspec.Struct, frozen=True, tag="code_set_ready"):
    """A code set was compiled in `build_s`; or it cannot be, and `fault` says why."""

    name: str
    build_s: float
    fault: str = ""


FromEngine = Ready | LoadFailed | CodeSetReady | Step
