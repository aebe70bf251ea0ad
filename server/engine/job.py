"""What the engine is asked to do."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.engine.protocol import Priority, Sampling, Submit


@dataclass(frozen=True, slots=True)
class Job:
    """One answer to be generated; see `Submit`.

    `expires_s` is when it is of no more use, on the monotonic clock.
    """

    tokens: list[int]
    max_tokens: int
    sampling: Sampling
    grammar: str | None = None
    tenant: str = ""
    shared: int = 0
    priority: Priority = Priority.NORMAL
    expires_s: float | None = None
    code_sets: Mapping[int, str] = field(default_factory=dict)

    def submit(self, request_id: int) -> Submit:
        """The message that asks for it now."""
        return Submit(
            id=request_id,
            tokens=self.tokens,
            max_tokens=self.max_tokens,
            sampling=self.sampling,
            grammar=self.grammar,
            tenant=self.tenant,
            shared=self.shared,
            priority=self.priority,
            code_sets=dict(self.code_sets),
            deadline_s=None if self.expires_s is None else max(0.0, self.expires_s - time.monotonic()),
        )
