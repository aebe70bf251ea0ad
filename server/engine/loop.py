"""The turn of the engine: intake > schedule > decode > sample > publish."""

import time
from collections.abc import Sequence as SequenceOf

from llguidance import LLTokenizer

from server.engine.backend import Backend, Batch, Logits
from server.engine.channel import Channel
from server.engine.matcher import GrammarFault, Matcher
from server.engine.protocol import Cancel, FinishReason, Output, Step, Submit
from server.engine.sampler import Sampler
from server.engine.scheduler import Scheduler
from server.engine.sequence import Sequence


class EngineLoop:
    """Drives one backend. Runs until the channel closes (ChannelClosed) or the backend faults."""

    def __init__(
        self, backend: Backend, tokenizer: LLTokenizer, channel: Channel, *, batch_tokens: int
    ) -> None:
        self._backend = backend
        self._tokenizer = tokenizer
        self._channel = channel
        self._scheduler = Scheduler(slots=backend.sequences, budget=batch_tokens)
        self._rejected: list[Output] = []

    def run(self) -> None:
        """Turn for as long as somebody listens."""
        while True:
            self.turn()

    def turn(self) -> None:
        """One step of everything; waits for a message when there is nothing to do."""
        self._intake()
        started = time.perf_counter()
        chosen = self._scheduler.schedule()
        for sequence, _ in chosen:
            sequence.started_s = sequence.started_s or started
        if chosen:
            self._sample(chosen, self._decode(chosen))
        self._publish(chosen, time.perf_counter() - started)

    def _intake(self) -> None:
        idle = not (self._scheduler.running or self._scheduler.waiting)
        for message in self._channel.receive(wait=idle):
            if isinstance(message, Submit):
                self._admit(message)
            elif isinstance(message, Cancel):
                self._cancel(message.id)

    def _admit(self, submit: Submit) -> None:
        length = len(submit.tokens)
        if not 0 < length < length + submit.max_tokens <= self._backend.context_tokens:
            self._reject(submit, "rejected", "the request does not fit the context")
            return
        sequence = Sequence(
            id=submit.id,
            tokens=list(submit.tokens),
            prompt_length=length,
            max_tokens=submit.max_tokens,
            sampler=Sampler(submit.sampling, submit.tokens),
            submitted_s=time.perf_counter(),
        )
        try:
            self._constrain(sequence, submit.grammar)
        except GrammarFault as fault:
            self._reject(submit, "grammar_error", str(fault))
            return
        self._scheduler.add(sequence)

    def _constrain(self, sequence: Sequence, grammar: str | None) -> None:
        """Attach the grammar; what it forces before the first choice is prefilled with the prompt."""
        if grammar is None:
            return
        sequence.matcher = Matcher(self._tokenizer, grammar)
        _grow(sequence, sequence.matcher.forced())

    def _reject(self, submit: Submit, finish: FinishReason, detail: str) -> None:
        self._rejected.append(Output(submit.id, [], finish, detail))

    def _cancel(self, request_id: int) -> None:
        self._rejected = [output for output in self._rejected if output.id != request_id]
        sequence = self._scheduler.cancel(request_id)
        if sequence is not None:
            self._backend.clear(sequence.slot)

    def _decode(self, chosen: SequenceOf[tuple[Sequence, int]]) -> Logits:
        batch = Batch()
        for sequence, count in chosen:
            start = sequence.cached
            tokens = sequence.tokens[start : start + count]
            batch.extend(sequence.slot, start, tokens, output=count == sequence.pending)
        logits = self._backend.decode(batch)
        for sequence, count in chosen:
            sequence.cached += count
        return logits

    def _sample(self, chosen: SequenceOf[tuple[Sequence, int]], logits: Logits) -> None:
        rows = iter(logits)
        for sequence, _ in chosen:
            if sequence.pending:
                continue
            row = next(rows)
            if sequence.finish:
                continue
            try:
                self._extend(sequence, row)
            except GrammarFault as fault:
                sequence.finish, sequence.detail = "grammar_error", str(fault)

    def _extend(self, sequence: Sequence, logits: Logits) -> None:
        """Grow the answer by the sampled token and by what the grammar forces after it."""
        matcher = sequence.matcher
        token = sequence.sampler.sample(logits, matcher.allowed() if matcher else None)
        if matcher:
            matcher.accept(token)
        if token in self._backend.end_of_generation:
            sequence.finish = "stop"
            return
        added = [token]
        if matcher and not matcher.finished:
            added += matcher.forced()
        _grow(sequence, added)

    def _publish(self, chosen: SequenceOf[tuple[Sequence, int]], step_s: float) -> None:
        outputs, self._rejected = self._rejected, []
        outputs += [_output(sequence) for sequence, _ in chosen if _news(sequence)]
        ended = [sequence for sequence, _ in chosen if sequence.finish and not sequence.prefilling]
        for sequence in ended:
            self._backend.clear(sequence.slot)
        self._scheduler.retire(ended)
        self._channel.send(
            Step(
                outputs=outputs,
                running=len(self._scheduler.running),
                waiting=len(self._scheduler.waiting),
                batch_tokens=sum(count for _, count in chosen),
                step_s=step_s,
            )
        )


def _grow(sequence: Sequence, tokens: list[int]) -> None:
    """Append to the answer what there is room for, and see whether that ends it."""
    added = tokens[: sequence.room]
    sequence.tokens += added
    sequence.sampler.observe(added)
    if sequence.matcher and sequence.matcher.finished and len(added) == len(tokens):
        sequence.finish = "stop"
    elif not sequence.room:
        sequence.finish = "length"


def _news(sequence: Sequence) -> bool:
    if sequence.prefilling:
        return False
    return bool(sequence.finish) or sequence.published < sequence.generated


def _output(sequence: Sequence) -> Output:
    tokens = sequence.tokens[sequence.prompt_length + sequence.published :]
    sequence.published = sequence.generated
    return Output(sequence.id, tokens, sequence.finish, sequence.detail, sequence.queue_s)
