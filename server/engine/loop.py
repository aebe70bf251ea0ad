"""The turn of the engine: intake > schedule > decode > sample > publish."""

import contextlib
import heapq
import itertools
import time
from collections.abc import Callable

from llguidance import LLTokenizer

from server.engine.answering import Answering
from server.engine.backend import Backend
from server.engine.budget import PrefillBudget
from server.engine.calibration import StepCost
from server.engine.channel import Channel, ChannelClosed
from server.engine.code_sets import CodeSets
from server.engine.compilation import Compilation
from server.engine.intake import Intake, Refused
from server.engine.prefix_cache import PrefixCache
from server.engine.protocol import Cancel, CodeSet, CodeSetReady, Output, Policy, Step, Submit, Warm
from server.engine.queue import FairQueue
from server.engine.scheduler import Scheduler, Work
from server.engine.sequence import Sequence
from server.engine.slots import Slots
from server.engine.speculation import Speculation

_COMPILING_S = 0.005


class EngineLoop:
    """Drives one backend. Runs until the channel closes (ChannelClosed) or the backend faults."""

    def __init__(
        self,
        backend: Backend,
        tokenizer: LLTokenizer,
        channel: Channel,
        policy: Policy,
        cost: StepCost,
    ) -> None:
        self._channel = channel
        reuse = policy.prefix_cache if backend.trimmable else "off"
        self._code_sets = CodeSets(tokenizer, self._report)
        self._intake = Intake(backend, self._code_sets, speculate=policy.speculate)
        self._compilation = Compilation(tokenizer)
        self._trimmable = backend.trimmable
        self._keeps = reuse != "off" and policy.kept_bytes > 0
        self._cache = PrefixCache(reuse, policy.kept_bytes)
        self._slots = Slots(backend, self._cache)
        self._queue = FairQueue(aging_s=policy.aging_s)
        self._budget = PrefillBudget(cost, target_s=policy.target_step_s, most_tokens=policy.batch_tokens)
        self._scheduler = Scheduler(
            self._slots,
            self._queue,
            self._budget,
            batch_tokens=policy.batch_tokens,
            aging_s=policy.aging_s,
        )
        self._speculation = Speculation(backend, cost, batch_tokens=policy.batch_tokens)
        self._answering = Answering(backend)
        self._deadlines: list[tuple[float, int]] = []
        self._ended: list[Output] = []
        self._warming = itertools.count(-1, -1)

    def run(self) -> None:
        """Turn for as long as somebody listens."""
        while True:
            self.turn()

    def turn(self) -> None:
        """One step of everything; waits for a message when there is nothing to do."""
        self._receive()
        started_s = time.perf_counter()
        self._expire(started_s)
        work = self._scheduler.schedule(started_s)
        if work:
            self._step(work)
        self._publish(work, time.perf_counter() - started_s)

    @property
    def _waiting(self) -> int:
        return len(self._queue) + len(self._compilation)

    def _receive(self) -> None:
        idle = not (len(self._slots) or self._waiting)
        for message in self._channel.receive(wait=idle):
            if isinstance(message, Submit):
                self._submit(message)
            elif isinstance(message, CodeSet):
                self._code_sets.define(message)
            elif isinstance(message, Warm):
                self._warm(message)
            elif isinstance(message, Cancel):
                self._end(message.id, None)
        self._collect()

    def _collect(self) -> None:
        """Queue those whose grammars are compiled. Where there is nothing else to do, wait for them."""
        if len(self._compilation) and not (len(self._slots) or len(self._queue)):
            self._compilation.wait(_COMPILING_S)
        for sequence, matcher in self._compilation.finished():
            self._intake.constrain(sequence, matcher)
            self._enter(sequence)

    def _submit(self, submit: Submit) -> None:
        try:
            sequence = self._intake.sequence(submit)
        except Refused as refused:
            self._ended.append(refused.output)
            return
        if submit.deadline_s is not None:
            heapq.heappush(self._deadlines, (sequence.submitted_s + submit.deadline_s, submit.id))
        if submit.grammar is None:
            self._enter(sequence)
        else:
            self._compilation.begin(sequence, submit.grammar)

    def _enter(self, sequence: Sequence) -> None:
        if sequence.finish:
            self._ended.append(_output(sequence))
        else:
            self._queue.add(sequence)

    def _report(self, ready: CodeSetReady) -> None:
        """Called by the thread that compiled the set; that nobody listens, the loop finds out itself."""
        with contextlib.suppress(ChannelClosed):
            self._channel.send(ready)

    def _warm(self, warm: Warm) -> None:
        sequence = self._intake.warm_up(warm, next(self._warming)) if self._keeps else None
        if sequence is not None:
            self._queue.add(sequence)

    def _expire(self, now_s: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now_s:
            _, request_id = heapq.heappop(self._deadlines)
            self._end(request_id, Output(request_id, [], "expired", "the deadline has passed"))

    def _end(self, request_id: int, output: Output | None) -> None:
        """End a request from outside, wherever it stands; `output` is what its client is told."""
        if output is not None and any(each.id == request_id for each in self._ended):
            return  # answered in the very turn in which its time ran out
        self._ended = [each for each in self._ended if each.id != request_id]
        sequence = self._queue.take(request_id) or self._compilation.take(request_id)
        if sequence is None:
            sequence = next((each for each in self._slots if each.id == request_id), None)
            if sequence is None:
                return
            self._slots.release(sequence)
        if output is not None:
            self._ended.append(output)

    def _step(self, work: list[Work]) -> None:
        self._speculation.shape(work)
        prefilled = sum(each.count for each in work if each.sequence.prefill_left)
        answering = sum(each.count for each in work) - prefilled
        started_s = time.perf_counter()
        if self._answering.step(work, self._patience(work)):
            step_s = time.perf_counter() - started_s
            self._budget.observe(prefilled=prefilled, answering=answering, step_s=step_s)

    def _patience(self, work: list[Work]) -> Callable[[], bool] | None:
        """Whether a step, which is one prompt's alone and may take long, is no longer worth its time.

        That is where nobody waits for it any more, or where it would find the same, computed already, as
        soon as others are beside it.
        """
        if len(work) > 1 or not work[0].sequence.prefill_left or not self._trimmable:
            return None
        cancel = Cancel(work[0].sequence.id)
        spared_by_others = self._slots.has_beside_others(work[0].sequence, work[0].count)

        def given_up() -> bool:
            try:
                heard = self._channel.overhear()
            except ChannelClosed:
                return True
            return cancel in heard or (spared_by_others and any(isinstance(each, Submit) for each in heard))

        return given_up

    def _publish(self, work: list[Work], step_s: float) -> None:
        outputs, self._ended = self._ended, []
        sequences = [each.sequence for each in work]
        outputs += [_output(each) for each in sequences if each.finish or each.published < each.generated]
        for sequence in sequences:
            if sequence.finish:
                self._slots.release(sequence)
        for sequence in [each for each in self._slots if each.warming and not each.prefill_left]:
            self._slots.release(sequence, pinned=True)
        idle = not (len(self._slots) or self._waiting)
        self._channel.send(
            Step(
                outputs=outputs,
                running=len(self._slots),
                waiting=self._waiting,
                batch_tokens=sum(each.count + len(each.draft) for each in work),
                step_s=step_s,
                reused=self._slots.take_reused(),
                drafted=sum(len(each.draft) for each in work),
                accepted=sum(each.accepted for each in work),
                kept_bytes=self._cache.kept_bytes,
                mask_s=self._answering.take_mask_seconds(),
                compile_s=self._compilation.take_seconds(),
                leaks=self._slots.leaks() + self._cache.leaks if idle else None,
            )
        )


def _output(sequence: Sequence) -> Output:
    tokens = sequence.tokens[sequence.prompt_length + sequence.published :]
    sequence.published = sequence.generated
    logprobs, sequence.logprobs = sequence.logprobs, []
    return Output(
        sequence.id,
        tokens,
        sequence.finish,
        sequence.detail,
        sequence.queue_s,
        sequence.reused,
        logprobs if sequence.logprob_count is not None else None,
    )
