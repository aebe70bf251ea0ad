"""One request inside the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from server.engine.lookup import PromptLookup
from server.engine.matcher import Matcher
from server.engine.matcher_stack import MatcherStack
from server.engine.protocol import FinishReason, Priority, TokenLogprob
from server.engine.sampler import Sampler


@dataclass(slots=True, eq=False)
class Sequence:
    """Prompt and answer as one list of tokens, of which the first `cached` are in the KV cache.

    Prefill, decode and forced tokens are one thing: tokens that are not in the cache yet. The prompt's last
    token is no part of the prefill: it is decoded, by itself, whether the rest was computed or was kept.
    `undisturbed` is whether the prefill was computed alone, in the pieces that it then always has. `hurried`
    is the priority of the most urgent one that waits for what this one computes.
    """

    id: int
    tokens: list[int]
    prompt_length: int
    max_tokens: int
    sampler: Sampler
    tenant: str = ""
    shared: int = 0
    priority: Priority = Priority.NORMAL
    logprob_count: int | None = None
    code_sets: Mapping[int, str] = field(default_factory=dict)
    matcher: Matcher | MatcherStack | None = None
    lookup: PromptLookup | None = None
    slot: int = -1
    submitted_s: float = 0.0
    started_s: float | None = None
    cached: int = 0
    reused: int = 0
    undisturbed: bool = True
    hurried: Priority = Priority.BULK
    published: int = 0
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: FinishReason | None = None
    detail: str = ""

    @property
    def queue_s(self) -> float:
        """Seconds it waited for a slot."""
        return 0.0 if self.started_s is None else self.started_s - self.submitted_s

    @property
    def warming(self) -> bool:
        """Whether it is computed for later use alone."""
        return self.max_tokens == 0

    @property
    def prefill_length(self) -> int:
        """Tokens that are computed for their place in the cache alone."""
        return self.prompt_length - 1

    @property
    def prefill_left(self) -> int:
        """Tokens of the prefill that are not in the cache."""
        return max(0, self.prefill_length - self.cached)

    @property
    def pending(self) -> int:
        """Tokens that must be decoded before the next one can be sampled."""
        return len(self.tokens) - self.cached

    @property
    def generated(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - self.prompt_length

    @property
    def room(self) -> int:
        """Tokens the answer may still grow by."""
        return self.max_tokens - self.generated

    def grow(self, tokens: list[int]) -> None:
        """Append to the answer what there is room for, and see whether that ends it."""
        added = tokens[: self.room]
        self.tokens += added
        self.sampler.observe(added)
        if self.lookup is not None:
            self.lookup.extend(self.tokens)
        if self.matcher and self.matcher.finished and len(added) == len(tokens):
            self.finish = "stop"
        elif not self.room:
            self.finish = "length"

    def fail(self, finish: FinishReason, detail: str) -> None:
        """End it without further tokens."""
        self.finish, self.detail = finish, detail
