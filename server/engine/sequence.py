"""One request inside the engine."""

from dataclasses import dataclass

from server.engine.matcher import Matcher
from server.engine.protocol import FinishReason
from server.engine.sampler import Sampler


@dataclass(slots=True, eq=False)
class Sequence:
    """Prompt and answer as one list of tokens, of which the first `cached` are in the KV cache.

    Prefill, decode and forced tokens are one thing: tokens that are not in the cache yet.
    """

    id: int
    tokens: list[int]
    prompt_length: int
    max_tokens: int
    sampler: Sampler
    matcher: Matcher | None = None
    slot: int = -1
    submitted_s: float = 0.0
    started_s: float | None = None
    cached: int = 0
    published: int = 0
    finish: FinishReason | None = None
    detail: str = ""

    @property
    def queue_s(self) -> float:
        """Seconds it waited for a slot."""
        return 0.0 if self.started_s is None else self.started_s - self.submitted_s

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

    @property
    def prefilling(self) -> bool:
        """Whether the prompt is not wholly in the cache."""
        return self.cached < self.prompt_length
