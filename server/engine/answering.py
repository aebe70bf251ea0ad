"""Runs one step: its tokens through the weights, and what the logits say onto the answers."""

import time
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf

from server.engine.backend import Backend, Batch, Interrupted
from server.engine.logit_rows import LogitRows
from server.engine.lookup import common_length
from server.engine.mask import Mask
from server.engine.matcher import GrammarFault, Matcher
from server.engine.matcher_stack import MatcherStack
from server.engine.scheduler import Work
from server.engine.sequence import Sequence


class Answering:
    """Decodes, samples and checks drafts. A draft is right where it is what would have been sampled."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._mask_s: list[float] = []

    def take_mask_seconds(self) -> list[float]:
        """How long each mask of a grammar took since this was last asked."""
        mask_s, self._mask_s = self._mask_s, []
        return mask_s

    def step(self, work: SequenceOf[Work], given_up: Callable[[], bool] | None = None) -> bool:
        """Advance every sequence of `work`; those that end say so in `finish`.

        False where it was broken off since it was `given_up`; nothing has advanced then. Raises BackendFault.
        """
        try:
            rows = LogitRows(self._backend.decode(_batch(work), given_up))
        except Interrupted:
            self._take_back(work)
            return False
        row = 0
        for each in work:
            each.sequence.cached += each.count
            if each.samples:
                self._answer(each, rows, row)
                row += 1 + len(each.draft)
        return True

    def _take_back(self, work: SequenceOf[Work]) -> None:
        for each in work:
            self._backend.trim(each.sequence.slot, each.sequence.cached)

    def _answer(self, work: Work, rows: LogitRows, row: int) -> None:
        """Sample after the pending tokens, and after each drafted token that proves right."""
        sequence, draft = work.sequence, work.draft
        start = len(sequence.tokens)
        right = 0
        while True:
            try:
                self._extend(sequence, rows, row + right)
            except GrammarFault as fault:
                sequence.fail("grammar_error", str(fault))
            added = sequence.tokens[start:]
            if sequence.finish or len(added) > len(draft) or added != draft[: len(added)]:
                break
            right = len(added)
        self._settle(work, added)

    def _extend(self, sequence: Sequence, rows: LogitRows, row: int) -> None:
        """Grow the answer by the sampled token and by what the grammar forces after it."""
        matcher = sequence.matcher
        token = sequence.sampler.sample(rows, row, self._mask(matcher) if matcher else None)
        if matcher:
            matcher.accept(token)
        if token in self._backend.end_of_generation:
            sequence.finish = "stop"
            return
        added = [token]
        if sequence.logprob_count is not None:
            sequence.logprobs.append(rows.logprobs(row, token, sequence.logprob_count))
        elif matcher and not matcher.finished:
            added += matcher.forced()
        sequence.grow(added)

    def _mask(self, matcher: Matcher | MatcherStack) -> Mask:
        started_s = time.perf_counter()
        mask = matcher.allowed()
        self._mask_s.append(time.perf_counter() - started_s)
        return mask

    def _settle(self, work: Work, added: list[int]) -> None:
        """Keep of the draft in the cache what was right."""
        sequence, draft = work.sequence, work.draft
        if sequence.lookup is not None:
            sequence.lookup.learn(work.guess, added)
        if draft:
            work.accepted = common_length(added, draft)
            sequence.cached += work.accepted
            self._backend.trim(sequence.slot, sequence.cached)


def _batch(work: SequenceOf[Work]) -> Batch:
    batch = Batch()
    for each in work:
        sequence = each.sequence
        tokens = sequence.tokens[sequence.cached : sequence.cached + each.count]
        outputs = 1 + len(each.draft) if each.samples else 0
        batch.extend(sequence.slot, sequence.cached, tokens + each.draft, outputs=outputs)
    return batch
