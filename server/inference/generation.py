"""Generate and restore: the answers to one request while they are being made."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from server.engine.protocol import Output, Priority, TokenLogprob
from server.errors import DeadlineExceeded, EngineUnavailable, GenerationFailed, InvalidGrammar
from server.inference.conformity import Conformity
from server.inference.merge import merged
from server.inference.text import Detokenizer, StopMatcher, TextStage
from server.inference.tool_calls import CallDelta, CallReader
from server.inference.weights import LoadedWeights
from server.metrics import Metrics
from server.privacy.pseudonyms import Deidentified

FinishReason = Literal["stop", "length", "tool_calls"]
Score = tuple[int, TokenLogprob]


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to be shown, and the tokens that came with it where their log-probabilities were asked for.

    The tokens are those that the weights wrote: theirs is the text with pseudonyms, never with identities.
    `calls` are parts of calls of tools, all behind the text.
    """

    text: str
    scores: tuple[Score, ...] = ()
    calls: tuple[CallDelta, ...] = ()


@dataclass(slots=True)
class Answer:
    """One answer. Iterate it once for its pieces, with every identity restored.

    Where a `reader` tells calls from content, stop strings are looked for in the content only.
    """

    outputs: AsyncGenerator[Output, None]
    detokenizer: Detokenizer
    restorer: TextStage | None
    stops: StopMatcher
    metrics: Metrics
    conformity: Conformity | None = None
    reader: CallReader | None = None
    completion_tokens: int = 0
    cached_tokens: int = 0
    finish_reason: FinishReason | None = None
    _started_s: float = 0.0
    _scores: list[Score] = field(default_factory=list)

    async def __aiter__(self) -> AsyncGenerator[Piece, None]:
        """Yield pieces, none empty; raises GenerationFailed, DeadlineExceeded, Unavailable.

        InvalidGrammar comes at once, where the engine finds that a caller's output type is too complex.
        InvalidOutput, a GenerationFailed, comes at the end of an answer, when most of it has been yielded.
        """
        self._started_s = time.perf_counter()
        async with aclosing(self.outputs) as outputs:
            async for output in outputs:
                self._observe(output)
                text = self._shown(self.detokenizer.feed(output.tokens))
                calls = self._called()
                if text or calls:
                    yield self._piece(text, calls)
                if self.stops.stopped:
                    break
                self._check(output)
        held = "" if self.stops.stopped else self._rest()
        calls = self._called()
        await self._conclude()
        if held or calls or self._scores:
            yield self._piece(held, calls)

    @property
    def _forced(self) -> bool:
        return self.conformity is not None or self.reader is not None

    def _piece(self, text: str, calls: tuple[CallDelta, ...]) -> Piece:
        scores, self._scores = self._scores, []
        return Piece(text, tuple(scores), calls)

    def _called(self) -> tuple[CallDelta, ...]:
        return self.reader.take() if self.reader and not self.stops.stopped else ()

    def _shown(self, text: str) -> str:
        """What of the content can be shown; once a call begins, all of it."""
        shown = self._content(self.reader.feed(text) if self.reader else text)
        return shown + self._flushed() if self.reader and self.reader.calls else shown

    def _rest(self) -> str:
        shown = self._shown(self.detokenizer.flush())
        return shown + (self._content(self.reader.flush()) if self.reader else "") + self._flushed()

    def _content(self, text: str) -> str:
        restored = self.restorer.feed(text) if self.restorer else text
        if self.conformity:
            self.conformity.add(text, restored)
        return self.stops.feed(restored)

    def _flushed(self) -> str:
        restored = self.restorer.flush() if self.restorer else ""
        if self.conformity:
            self.conformity.add("", restored)
        return self.stops.feed(restored) + self.stops.flush()

    async def _conclude(self) -> None:
        if self.stops.stopped:
            self.finish_reason = "stop"
            return
        if self.conformity and self.finish_reason == "stop":
            await self.conformity.verify()
        if self.reader is None:
            return
        await self.reader.verify()
        if self.finish_reason == "stop":
            if not self.reader.complete:
                raise GenerationFailed("the engine could not finish the answer: a call is not whole")
            if self.reader.calls:
                self.finish_reason = "tool_calls"

    def _observe(self, output: Output) -> None:
        if self.completion_tokens == 0 and output.tokens:
            self.metrics.time_to_first_token.observe(time.perf_counter() - self._started_s)
            self.metrics.queue_wait.observe(output.queue_s)
        self.completion_tokens += len(output.tokens)
        self.cached_tokens = max(self.cached_tokens, output.cached)
        if output.logprobs is not None:
            self._scores += zip(output.tokens, output.logprobs, strict=True)

    def _check(self, output: Output) -> None:
        if output.finish in ("stop", "length"):
            self.finish_reason = output.finish
        elif output.finish == "expired":
            raise DeadlineExceeded
        elif output.finish == "aborted":
            raise EngineUnavailable("the engine gave this request up; send it again")
        elif output.finish == "unready":
            raise EngineUnavailable("a code system is still being compiled; send the request again")
        elif output.finish == "grammar_error" and self._forced and not self.completion_tokens:
            raise InvalidGrammar(f"the output type cannot be forced: {output.detail}")
        elif output.finish is not None:
            raise GenerationFailed(f"the engine could not finish the answer: {output.detail}")


@dataclass(frozen=True, slots=True)
class Generation:
    """All answers to one request, under one audit id. Ask for their pieces once."""

    audit_id: str
    weights: LoadedWeights
    deidentified: Deidentified
    prompt_tokens: int
    priority: Priority
    answers: tuple[Answer, ...]

    @property
    def completion_tokens(self) -> int:
        """Of all answers so far."""
        return sum(answer.completion_tokens for answer in self.answers)

    @property
    def cached_tokens(self) -> int:
        """How much of the prompt the engine had at hand when it was first asked."""
        return self.answers[0].cached_tokens

    @property
    def finish_reason(self) -> str | None:
        """How the answers ended, each way once; None while none has."""
        reasons = {answer.finish_reason for answer in self.answers if answer.finish_reason}
        return ",".join(sorted(reasons)) or None

    def pieces(self) -> AsyncGenerator[tuple[int, Piece], None]:
        """Yield the answers' pieces as they come, each with the index of its answer; raises what they do."""
        return merged([aiter(answer) for answer in self.answers])

    async def whole(self) -> list[Piece]:
        """Each answer in one piece."""
        found: list[list[Piece]] = [[] for _ in self.answers]
        async with aclosing(self.pieces()) as pieces:
            async for index, piece in pieces:
                found[index].append(piece)
        return [_joined(each) for each in found]


def _joined(pieces: list[Piece]) -> Piece:
    scores = tuple(score for piece in pieces for score in piece.scores)
    calls = tuple(call for piece in pieces for call in piece.calls)
    return Piece("".join(piece.text for piece in pieces), scores, calls)
