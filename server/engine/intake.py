"""From a Submit to a Sequence, or to the reason why not."""

import time

from server.engine.backend import Backend
from server.engine.blocks import cut_before
from server.engine.code_sets import CodeSets, CodeSetUnready, UnknownCodeSet
from server.engine.lookup import Habit, PromptLookup
from server.engine.matcher import GrammarFault, Matcher
from server.engine.protocol import FinishReason, Output, Priority, Sampling, Submit, Warm
from server.engine.sampler import Sampler
from server.engine.sequence import Sequence


class Refused(Exception):
    """The request cannot be served; `output` says why."""

    def __init__(self, submit: Submit, finish: FinishReason, detail: str) -> None:
        super().__init__(detail)
        self.output = Output(submit.id, [], finish, detail)


class Intake:
    """Checks requests and makes sequences of them."""

    def __init__(self, backend: Backend, code_sets: CodeSets, *, speculate: bool) -> None:
        self._backend = backend
        self._code_sets = code_sets
        self._speculate = speculate and backend.trimmable
        self._free_text, self._constrained = Habit(), Habit()

    def sequence(self, submit: Submit) -> Sequence:
        """A sequence ready to be queued, once it has its grammar where it asks for one. Raises Refused."""
        self._check(submit)
        try:
            sampler = Sampler(submit.sampling, submit.tokens, vocabulary=self._backend.vocabulary_size)
        except ValueError as error:
            raise Refused(submit, "rejected", str(error)) from error
        return Sequence(
            id=submit.id,
            tokens=list(submit.tokens),
            prompt_length=len(submit.tokens),
            max_tokens=submit.max_tokens,
            sampler=sampler,
            tenant=submit.tenant,
            shared=max(0, submit.shared),
            priority=submit.priority,
            logprob_count=submit.sampling.logprobs,
            code_sets=submit.code_sets,
            lookup=self._lookup(submit) if self._speculate else None,
            submitted_s=time.perf_counter(),
        )

    def constrain(self, sequence: Sequence, matcher: Matcher | GrammarFault) -> None:
        """Attach the grammar; what it forces before the first choice is decoded with the prompt's end.

        The sequence may have finished then.
        """
        try:
            if isinstance(matcher, GrammarFault):
                raise matcher
            sequence.matcher = self._code_sets.stack(matcher, sequence.code_sets)
            if sequence.logprob_count is None:
                sequence.grow(sequence.matcher.forced())
        except GrammarFault as fault:
            sequence.fail("grammar_error", str(fault))
        except CodeSetUnready as error:  # it was sent anew in the meantime
            sequence.fail("unready", str(error))
        except UnknownCodeSet as error:
            sequence.fail("rejected", str(error))

    def warm_up(self, warm: Warm, number: int) -> Sequence | None:
        """A sequence of whole blocks without an answer, or None where there is no whole block."""
        length = cut_before(len(warm.tokens) - 1)
        if not 0 < length < self._backend.context_tokens or not self._are_tokens(warm.tokens):
            return None
        return Sequence(
            id=number,
            tokens=warm.tokens[: length + 1],
            prompt_length=length + 1,
            max_tokens=0,
            sampler=Sampler(Sampling()),
            shared=length + 1,
            priority=Priority.BULK,
            submitted_s=time.perf_counter(),
        )

    def _lookup(self, submit: Submit) -> PromptLookup:
        return PromptLookup(submit.tokens, self._free_text if submit.grammar is None else self._constrained)

    def _check(self, submit: Submit) -> None:
        length = len(submit.tokens)
        if not 0 < length < length + submit.max_tokens <= self._backend.context_tokens:
            raise Refused(submit, "rejected", "the request does not fit the context")
        if not self._are_tokens(submit.tokens):
            raise Refused(submit, "rejected", "the prompt holds what is no token id")
        try:
            self._code_sets.check(submit.code_sets)
        except UnknownCodeSet as error:
            raise Refused(submit, "rejected", str(error)) from error
        except CodeSetUnready as error:
            raise Refused(submit, "unready", str(error)) from error

    def _are_tokens(self, ids: list[int]) -> bool:
        return 0 <= min(ids) <= max(ids) < self._backend.vocabulary_size
