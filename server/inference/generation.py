"""Generate and restore: one answer while it is being made."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from server.engine.protocol import Output, Priority
from server.errors import DeadlineExceeded, EngineUnavailable, GenerationFailed
from server.inference.text import Detokenizer, StopMatcher, TextStage
from server.inference.weights import LoadedWeights
from server.metrics import Metrics
from server.privacy.pseudonyms import Deidentified

FinishReason = Literal["stop", "length"]


@dataclass(slots=True)
class Generation:
    """Iterate it once for the answer's text, in pieces and with every identity restored."""

    audit_id: str
    weights: LoadedWeights
    deidentified: Deidentified
    prompt_tokens: int
    priority: Priority
    outputs: AsyncGenerator[Output, None]
    restorer: TextStage | None
    stops: StopMatcher
    metrics: Metrics
    completion_tokens: int = 0
    finish_reason: FinishReason | None = None
    started_s: float = field(default_factory=time.perf_counter)

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        """Yield non-empty pieces; raises GenerationFailed, DeadlineExceeded, Unavailable."""
        detokenizer = Detokenizer(self.weights.vocabulary)
        async with aclosing(self.outputs) as outputs:
            async for output in outputs:
                self._observe(output)
                text = self._shown(detokenizer.feed(output.tokens))
                if text:
                    yield text
                if self.stops.stopped:
                    self.finish_reason = "stop"
                    return
                self._check(output)
        held = self._shown(detokenizer.flush()) + self._flushed()
        if self.stops.stopped:
            self.finish_reason = "stop"
        if held:
            yield held

    async def text(self) -> str:
        """The whole answer at once."""
        return "".join([piece async for piece in self])

    def _shown(self, text: str) -> str:
        return self.stops.feed(self.restorer.feed(text) if self.restorer else text)

    def _flushed(self) -> str:
        return self.stops.feed(self.restorer.flush() if self.restorer else "") + self.stops.flush()

    def _observe(self, output: Output) -> None:
        if self.completion_tokens == 0 and output.tokens:
            self.metrics.time_to_first_token.observe(time.perf_counter() - self.started_s)
            self.metrics.queue_wait.observe(output.queue_s)
        self.completion_tokens += len(output.tokens)

    def _check(self, output: Output) -> None:
        if output.finish in ("stop", "length"):
            self.finish_reason = output.finish
        elif output.finish == "expired":
            raise DeadlineExceeded
        elif output.finish == "aborted":
            raise EngineUnavailable("the engine gave this request up; send it again")
        elif output.finish is not None:
            raise GenerationFailed(f"the engine could not finish the answer: {output.detail}")
